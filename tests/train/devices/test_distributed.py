"""Several processes as one: how they find each other, and that a run is the same however many there are."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import soundfile

from configs.base import Config, Distributed
from tests import forked
from tests.train.run import together
from train import cli
from train.devices import processes
from train.devices.processes import Membership, membership
from zoo.errors import ZooError

STEP = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "gpu[003-004,9]",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_NTASKS": "12",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3)",
}


# --- who takes part


def test_a_process_by_itself_is_no_member() -> None:
    assert membership(Distributed(), {}) is None
    # an salloc shell has tasks, but is none of them; and a step of one task is alone
    shell = {name: STEP[name] for name in ("SLURM_JOB_ID", "SLURM_NTASKS")}
    assert membership(Distributed(), shell) is None
    assert membership(Distributed(), STEP | {"SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[003-004,9]", "gpu003"),
        ("node7", "node7"),
        ("a1,b2", "a1"),
        ("n[12,15-20],m1", "n12"),
        ("x-y-1,z", "x-y-1"),
    ],
)
def test_slurm_says_who_is_first(nodes: str, first: str) -> None:
    found = membership(Distributed(), STEP | {"SLURM_STEP_NODELIST": nodes})
    assert found == Membership(f"{first}:{61440 + 1}", 6, 3, (1,))


@pytest.mark.parametrize(
    ("visible", "tasks", "local", "mine"),
    [
        ("", "2(x3)", "1", (1,)),
        ("", "1(x6)", "0", None),
        ("0,1,2,3", "1(x6)", "0", None),  # alone on its node: all of them
        ("0,1,2,3", "4(x2),3", "2", (2,)),
        ("0,1,2,3", "2(x3)", "1", (2, 3)),
        ("0", "4", "3", None),  # bound by SLURM: each sees its own
    ],
)
def test_slurm_tasks_share_the_gpus_of_a_node(visible: str, tasks: str, local: str, mine: Any) -> None:
    environ = {"CUDA_VISIBLE_DEVICES": visible, "SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_LOCALID": local}
    found = membership(Distributed(), STEP | environ)
    assert found is not None
    assert found.local_device_ids == mine


def test_what_is_said_by_hand_counts() -> None:
    given = Distributed("host:1234", 3, 2)
    assert membership(given, STEP) == Membership("host:1234", 3, 2)
    assert membership(Distributed("[::1]:1234", 3, 0), {}) == Membership("[::1]:1234", 3, 0)


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        (Distributed("host:1234"), "num_processes is missing"),
        (Distributed(num_processes=2, process_id=0), "coordinator is missing"),
        (Distributed("host", 2, 0), "'host' is not ADDRESS:PORT"),
        (Distributed("host:1234", 2, 2), "process_id 2 is not one of 2"),
        (Distributed("host:1234", 0, 0), "process_id 0 is not one of 0"),
    ],
)
def test_what_does_not_fit_is_refused(given: Distributed, culprit: str) -> None:
    with pytest.raises(ZooError, match=culprit):
        membership(given, {})


def test_a_coordinator_that_does_not_answer_is_named() -> None:
    address = f"localhost:{together.free_port()}"
    started = time.monotonic()
    with pytest.raises(ZooError, match=rf"coordinator {address} did not answer within 1 s"):
        processes.initialise(Distributed(address, 2, 1, timeout_s=1), {})
    assert time.monotonic() - started < 10


def test_alone_the_first_does_it_itself() -> None:
    done: list[int] = []
    processes.on_first(lambda: done.append(1))
    assert done == [1]

    def refuse() -> None:
        raise ZooError("no room")

    with pytest.raises(ZooError, match="no room"):
        processes.on_first(refuse)


# --- two processes


def test_processes_must_agree_and_what_the_first_refuses_all_refuse(tmp_path: Path) -> None:
    port = together.free_port()
    workers = together.start(together.tiny(tmp_path / "a", steps=3), 2, 1, port=port, places=[0])
    workers += together.start(together.tiny(tmp_path / "a", steps=4), 2, 1, port=port, places=[1])
    for status, text in together.ended(workers):
        assert status == 2
        assert "process 1 was started with another configuration than process 0" in text
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    for status, text in together.ended(together.start(together.tiny(tmp_path / "full"), 2, 1)):
        assert status == 2
        assert "full exists already" in text
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("without", "process 1: data: no such folder"),
        ("other", "data of process 1 holds other audio than that of process 0"),
    ],
)
def test_a_host_with_other_data_ends_the_run_everywhere(tmp_path: Path, host: str, message: str) -> None:
    for name, n in (("first", 2000), ("other", 2400)):
        (tmp_path / name / "data").mkdir(parents=True)
        soundfile.write(tmp_path / name / "data" / "a.wav", 0.1 * np.random.default_rng(0).normal(size=n), 8000)
    (tmp_path / "without").mkdir()
    config = together.tiny(tmp_path / "run")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root="data"))
    found = together.ended(together.start(config, 2, 1, folders=[tmp_path / "first", tmp_path / host]))
    assert [status for status, _ in found] == [2, 2]
    assert message in found[0][1]
    assert message.removeprefix("process 1: ") in found[1][1]
    assert not (tmp_path / "run").exists()


def fails_alone(port: int, place: int, fails: int) -> None:
    """One of two processes, of which that of number `fails` meets an error while the other waits for it."""
    processes.initialise(Distributed(f"localhost:{port}", 2, place), {})
    try:
        with processes.together():
            if place == fails:
                raise ZooError("the disk is gone")
            processes.unlike_first("waits for the other, which nothing interrupts")
    except ZooError as error:
        cli.fail(str(error))


def test_a_process_that_fails_alone_ends_all(tmp_path: Path) -> None:
    fails = 0  # who is the coordinator, too
    port = together.free_port()
    workers = [
        forked.start(fails_alone, port, place, fails, output=tmp_path / str(place), environment={"XLA_FLAGS": ""})
        for place in range(2)
    ]
    found = together.ended(workers, timeout_s=60)
    assert [status for status, _ in found] == [2, 2]
    assert "error: the disk is gone\n" in found[fails][1]
    assert f"error: process {fails}: the disk is gone\n" in found[1 - fails][1]


def test_a_run_is_the_same_on_other_processes_and_devices(tmp_path: Path) -> None:
    """One is told to stop on 2 × 2, goes on on 1 × 4 to the end; another was never stopped, on 1 × 1."""
    steps = 14
    # one phase: the rest of the program takes longer to compile than all the steps
    discriminator = dataclasses.replace(together.small(tmp_path).discriminator, warmup_steps=0)

    def config(name: str, **changes: Any) -> Config:
        changes |= {"steps": steps, "adversarial_start": 0}
        return dataclasses.replace(together.small(tmp_path / name, **changes), discriminator=discriminator)

    workers = together.start(config("stopped"), 2, 2)
    whole = together.start(config("whole"), 1, 1)
    log = tmp_path / "stopped" / "metrics.jsonl"
    while not (log.is_file() and log.read_text().count("\n") >= 2):
        assert all(worker.process.is_alive() for worker in workers), together.ended(workers)
        time.sleep(0.05)
    os.kill(workers[1].process.pid, signal.SIGTERM)  # the one that does not write
    texts = together.finish(workers)
    (reached,) = {int(path.name) for path in (tmp_path / "stopped" / "checkpoints").glob("[0-9]*")}
    assert all(f"after step {reached} of {steps}" in text for text in texts)
    together.finish(together.start(config("stopped", resume=True), 1, 4))
    (text,) = together.finish(whole)
    assert "finished alone 0" in text
    a, b = (together.outcome(tmp_path / name) for name in ("whole", "stopped"))
    assert list(a[0]["step"]) == list(range(1, steps + 1))
    assert a[0]["restarted"].max() > 0
    curves, arrays = (together.differences(x, y) for x, y in zip(a, b))
    arrays = {name: value for name, value in arrays.items() if name.startswith(("params/", "ema/", "codebook_usage"))}
    # norms of gradients jump where a hinge or a nearest entry does
    curves = {name: value for name, value in curves.items() if not name.startswith("waveform_gradient/")}
    for found, bound in ((curves, 1e-2), (arrays, 1e-3), ({"loss": curves["loss"]}, 1e-3)):
        worst = max(found, key=lambda name: found[name])
        assert found[worst] < bound, (worst, found[worst])
    config = json.loads((tmp_path / "stopped" / "config.json").read_text())
    assert config["distributed"]["coordinator"] is None
    assert jax.process_count() == 1
