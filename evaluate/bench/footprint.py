"""What an implementation of a model takes in a process of its own: memory at its peak, seconds to load the weights.

`measure` starts `python -m evaluate.bench.footprint JOB`, which prints a number.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Job:
    """What a process is given: a model, and what to put into it."""

    subject: str
    """whose implementation"""
    folder: str
    """in the hub's layout"""
    family: str
    config: dict[str, Any]
    input: str
    """a file of numpy's"""


@dataclass(frozen=True)
class CodingJob(Job):
    """Loads the model of `folder`, and codes and decodes once.

    `subject` is "torch"; of ours, "whole" clips at once or "chunks" as for files; "load", which loads ours and no more.
    `input` is the .npy file of the audio (B, T, C), or of frames (B, F, D) for a model that only decodes.
    """

    n_samples: int
    """of each clip"""
    encodes: bool = True
    continuous: bool = False
    """whether latents take the place of codes"""


def measure(job: CodingJob) -> float:
    """Megabytes that loading and running takes beyond what the imported libraries do; or, for "load", seconds.

    Raises ZooError where the process fails.
    """
    return in_process("evaluate.bench.footprint", dataclasses.asdict(job), f"measuring {job.subject} of {job.family}")


def in_process(module: str, job: dict[str, Any], what: str) -> float:
    """The number that `python -m MODULE JOB` prints last, of a job as JSON; raises ZooError where that fails."""
    return float(output_of(module, job, what).split()[-1])


def output_of(module: str, job: dict[str, Any], what: str, **settings: str) -> str:
    """What `python -m MODULE JOB` prints, of a job as JSON and with variables set; raises ZooError where it fails."""
    # programs compiled by earlier processes would spare this one the memory, and the time, for compiling them
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"} | settings
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(job)],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ZooError(f"{what} ended with status {done.returncode}: {last}")
    return done.stdout


def main(arguments: Sequence[str]) -> None:
    """One job, given as JSON."""
    job = CodingJob(**json.loads(arguments[0]))
    if job.subject == "load":
        print(_load_s(job))
        return
    print(peak_mb(_torch(job) if job.subject == "torch" else _ours(job)))


def peak_mb(run: Callable[[], object]) -> float:
    """Megabytes at the peak of a call, beyond what this process has before it."""
    before = memory_mb("VmRSS")
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # what importing took at its peak does not count
    run()
    return memory_mb("VmHWM") - before


def _load_s(job: CodingJob) -> float:
    """Times `zoo.load` once the files have been read, so that the system has them in its cache."""
    import jax

    import zoo

    jax.block_until_ready(jax.numpy.zeros(1))  # starts the backend
    for file in Path(job.folder).iterdir():
        file.read_bytes()
    start = time.perf_counter()
    jax.block_until_ready(zoo.load(job.folder).variables)
    return time.perf_counter() - start


def _torch(job: CodingJob) -> Callable[[], None]:
    """What is to be measured, with all that it needs imported."""
    prepare_torch(job.family, job.config)
    from evaluate.bench import torch_peers

    def run() -> None:
        peer = torch_peers.restore(job.family, job.config, Path(job.folder))
        given = np.load(job.input)
        peer.decode(peer.encode(peer.audio(given)) if job.encodes else peer.native(given))

    return run


def prepare_torch(family: str, config: dict[str, Any]) -> None:
    """Imports torch and what a model's implementation needs, and gives operations all cores of this process."""
    from evaluate.bench import torch_peers
    from evaluate.bench.hardware import cores

    torch_peers.use_threads(cores())
    torch_peers.prepare(family, config)


def _ours(job: CodingJob) -> Callable[[], None]:
    import jax

    import zoo
    from evaluate.bench.passes import InChunks, WholeClips
    from zoo import families
    from zoo.published import load  # noqa: F401

    families.module_of(job.family)
    jax.block_until_ready(jax.jit(lambda x: x + 1)(jax.numpy.zeros(1)))

    def run() -> None:
        kind = WholeClips if job.subject == "whole" else InChunks
        clips = kind(zoo.load(job.folder), continuous=job.continuous)
        given = np.load(job.input)
        clips.decode(clips.encode(given) if job.encodes else given, job.n_samples)

    return run


def memory_mb(field: str) -> float:
    """The memory of this process, from Linux; elsewhere its peak so far.

    Not `getrusage` where it can be helped: Linux lets a child begin with the peak of the process that started it.
    """
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
        return float(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
