"""Several processes as one: how they find each other, and what only the first of them does.

Every process runs the same program on its own devices; process 0 alone looks after the run directory.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import hashlib
import importlib.util
import itertools
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar, cast

import jax
import numpy as np

from configs import loading
from configs.base import Config, Distributed
from train.run.signals import StoppedError
from zoo.errors import ZooError, one_line

_MESSAGE_BYTES = 2048
LOOK_EVERY_S = 1.0
"""between two looks whether another process has failed"""
_stretches = itertools.count()
T = TypeVar("T")


@dataclass(frozen=True)
class Membership:
    """This process's place among those that train together."""

    coordinator: str
    """address:port of process 0"""
    num_processes: int
    process_id: int
    local_device_ids: tuple[int, ...] | None = None
    """GPUs of the host that are this process's; None = all it sees"""


def initialise(config: Distributed, environ: Mapping[str, str] = os.environ) -> None:
    """Joins the other processes; does nothing where there are none. Call it before anything is computed.

    Raises ZooError where the options are incomplete, and for a coordinator that does not answer in `timeout_s`.
    """
    found = membership(config, environ)
    if found is None:
        if _jax_knows_the_cluster(environ):
            _join(None, config.timeout_s)
        return
    if found.process_id:
        _wait_for(found.coordinator, config.timeout_s)
    _join(found, config.timeout_s)


def membership(config: Distributed, environ: Mapping[str, str]) -> Membership | None:
    """What the options say, else what SLURM says; None for a process by itself, or where jax has to ask the cluster."""
    given = (config.coordinator, config.num_processes, config.process_id)
    if any(value is not None for value in given):
        names = ("coordinator", "num_processes", "process_id")
        if missing := [name for name, value in zip(names, given) if value is None]:
            raise ZooError(f"--distributed.{missing[0]} is missing: by hand it takes all of {', '.join(names)}")
        address, count, place = config.coordinator or "", config.num_processes or 0, config.process_id or 0
        if not re.fullmatch(r"(\[.+\]|[^:]+):\d{1,5}", address):
            raise ZooError(f"--distributed.coordinator {address!r} is not ADDRESS:PORT")
        if not 0 <= place < count:
            raise ZooError(f"--distributed.process_id {place} is not one of {count} processes")
        return Membership(address, count, place)
    return _slurm(environ)


def _slurm(environ: Mapping[str, str]) -> Membership | None:
    """The place in an srun step of several tasks; an salloc shell, or a step of one task, is a process by itself."""
    needed = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
    count = int(environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS") or 1)
    if count < 2 or any(name not in environ for name in needed):
        return None
    # the first node of node[003-007,12],other or node003,other or node003
    prefix, bracket, rest = re.fullmatch(r"([^,\[]+)(\[?)(.*)", environ["SLURM_STEP_NODELIST"]).groups()  # type: ignore[union-attr]
    host = prefix + (re.split(r"[-,\]]", rest)[0] if bracket else "")
    # as jax does: one of 4096 high ports by the job, so that two jobs on a node do not meet
    port = environ.get("JAX_COORDINATOR_PORT") or int(environ["SLURM_JOB_ID"]) % 4096 + 61440
    return Membership(f"{host}:{port}", count, int(environ["SLURM_PROCID"]), _slurm_devices(environ))


def _slurm_devices(environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """The GPUs of this task: all it sees, unless several tasks of a node see the same ones.

    A task alone on its node has them all, and where SLURM binds GPUs to tasks (--gpus-per-task) a task sees its own.
    Where SLURM does not say which GPUs there are, each task takes one, as jax would have it.
    """
    text = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_NTASKS_PER_NODE") or "1"
    tasks = int(re.split(r"\D", text)[0])  # of 4(x2),3 the first nodes' number
    visible = [x for x in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if x]
    share = len(visible) // tasks if visible else 1
    if tasks < 2 or share < 1:
        return None
    first = int(environ["SLURM_LOCALID"]) * share
    return tuple(range(first, first + share))


def _jax_knows_the_cluster(environ: Mapping[str, str]) -> bool:
    """Open MPI, an indexed Kubernetes job, a TPU host: jax asks them itself."""
    if int(environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return True
    if "KUBERNETES_SERVICE_HOST" in environ and "JOB_COMPLETION_INDEX" in environ:
        return True
    if "," in environ.get("TPU_WORKER_HOSTNAMES", ""):
        return True
    accelerators = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(accelerators) and importlib.util.find_spec("libtpu") is not None


def _join(found: Membership | None, timeout_s: int) -> None:
    # between processes on CPUs; it changes nothing on accelerators
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        if found is None:
            jax.distributed.initialize(initialization_timeout=timeout_s)
        else:
            jax.distributed.initialize(
                found.coordinator,
                found.num_processes,
                found.process_id,
                local_device_ids=found.local_device_ids,
                cluster_detection_method="deactivate",
                initialization_timeout=timeout_s,
            )
    except Exception as error:  # jax raises whatever the cluster's library does
        if found is None and "coordinator_address should be defined" in str(error):
            return  # a TPU host by itself
        where = "the cluster" if found is None else f"{found.num_processes} processes at {found.coordinator}"
        flag = "--distributed.timeout_s"
        raise ZooError(f"could not join {where} within {timeout_s} s ({flag}): {one_line(error)}") from None
    atexit.register(_part)


def _part() -> None:
    """Parts with the others, if `leave` has not: in jax 0.12 a process that just ends aborts those that wait for it."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # some have ended by themselves
        jax.distributed.shutdown()


def _wait_for(address: str, timeout_s: float) -> None:
    """Waits until somebody listens; jax itself would end the whole process with a page of its own."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=min(5.0, timeout_s)).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                reason = error.strerror or str(error)
                raise ZooError(
                    f"the coordinator {address} did not answer within {timeout_s} s ({reason}): does process 0 run?"
                ) from None
            time.sleep(0.5)


def stream() -> TextIO | None:
    """The stream on which progress is shown: None for the default, and nothing in all processes but the first."""
    return None if is_first() else open(os.devnull, "w")


def leave() -> None:
    """Waits for the other processes and parts with them; each may go on by itself, or end."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()


def is_first() -> bool:
    """Whether this process looks after the run directory and speaks."""
    return jax.process_index() == 0


def print_once(text: str) -> None:
    """Prints, in the first process only."""
    if is_first():
        print(text, flush=True)


def on_first(action: Callable[[], None]) -> None:
    """Runs `action` in the first process while the others wait; where it fails, all do."""
    on_all(action if is_first() else lambda: None)


def on_all(action: Callable[[], T]) -> T:
    """What `action` gives, in each process; where it fails in one, all raise a ZooError that says what happened there.

    One that raised alone would leave the others waiting for it, until the coordinator ends them all without a word.
    """
    if jax.process_count() == 1:
        return action()
    from jax.experimental import multihost_utils

    try:
        result, failure = action(), None
    except Exception as error:
        result, failure = None, error
    said = "" if failure is None else str(failure) or type(failure).__name__
    written = said.encode(errors="replace")[:_MESSAGE_BYTES].ljust(_MESSAGE_BYTES, b"\0")
    gathered = np.asarray(multihost_utils.process_allgather(np.frombuffer(written, np.uint8)))
    if failure is not None:
        raise failure
    for process, row in enumerate(gathered):
        if text := row.tobytes().rstrip(b"\0").decode(errors="replace"):
            raise ZooError(f"process {process}: {text}" if process else text)
    return cast(T, result)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Ends all processes within seconds where something inside fails in one of them; each says what happened there.

    They may be waiting for it in a computation that nothing interrupts, and would until the coordinator gives it up:
    for minutes, and then without a word. A StoppedError is no failure: all raise it.
    """
    if jax.process_count() == 1:
        yield
        return
    from jax._src import distributed  # the one way to the coordinator's keys

    client: Any = distributed.global_state.client
    key = f"codec_zoo/failed/{next(_stretches)}"
    left = threading.Event()

    def watch() -> None:
        while not left.wait(LOOK_EVERY_S):
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # no such key: all is well
                said = client.key_value_try_get(key)
                if left.is_set():
                    return
                print(f"error: {said}", file=sys.stderr, flush=True)
                jax.distributed.shutdown()  # where they wait for each other, so that none is missed
                os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except StoppedError:
        raise
    except BaseException as error:
        left.set()
        said = " ".join((str(error) or type(error).__name__).split())
        with contextlib.suppress(jax.errors.JaxRuntimeError):  # another one failed before
            client.key_value_set(key, f"process {jax.process_index()}: {said}")
        raise
    finally:
        left.set()


def check_agreement(config: Config) -> None:
    """Raises ZooError in all processes if they were not started with the same configuration."""
    values: dict[str, Any] = loading.to_dict(config) | {"distributed": None}
    if others := unlike_first(json.dumps(values, sort_keys=True)):
        raise ZooError(f"process {others} was started with another configuration than process 0")


def unlike_first(text: str) -> str:
    """The numbers of the processes that have another text than process 0; "" where all have the same."""
    if jax.process_count() == 1:
        return ""
    from jax.experimental import multihost_utils

    digest = hashlib.sha256(text.encode()).digest()
    digests = np.asarray(multihost_utils.process_allgather(np.frombuffer(digest, np.uint8)))
    return ", ".join(str(p) for p, row in enumerate(digests) if (row != digests[0]).any())


def same_everywhere(tree: Any) -> Any:
    """The first process's values: hosts with other processors round otherwise, and replicas must be equal."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return multihost_utils.broadcast_one_to_all(tree)
