"""`python -m evaluate.bench first`: what the first file takes in a fresh process, imports and compilation included."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from evaluate import cli
from evaluate.bench import footprint
from zoo.console.command import command, use_compilation_cache
from zoo.errors import ZooError

if TYPE_CHECKING:
    from rich.table import Table

Coding = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""a codec's encoding of audio (T, C), and its decoding of what that gives"""
Load = Callable[[], Coding]
"""loads a codec; all that it needs is imported already"""
SIDES = ("torch", "empty", "filled")
"""torch's process; ours with a compilation cache that is empty, and with one that an earlier process has filled"""


@dataclass(frozen=True)
class Options:
    """Times a process that loads a codec, encodes a clip, decodes it, and ends.

    Examples:
      python -m evaluate.bench first --ckpt codec_24khz
      python -m evaluate.bench first --model encodec_24khz mimi --vs torch      random weights, the same for both
    """

    ckpt: tuple[str, ...] = ()
    """codecs of the package, run directories, or published models"""
    model: tuple[str, ...] = ()
    """published models (hub id, or its last part), with random weights: needs the extra 'parity'"""
    vs: Literal["torch"] | None = None
    """also those models' torch implementations"""
    seconds: float = 10.0
    """of audio"""
    repeat: int = 3
    """processes of each kind, in turn, of which the median is taken"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


@dataclass(frozen=True)
class Job:
    """What a process is given: a codec's path, or the folder of a model's weights, and a .npy file of audio (T, C)."""

    path: str
    audio: str
    family: str = ""
    """of torch's implementation; empty for ours"""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Times:
    """Wall seconds of the parts of a process, and of all of it, its start and end included."""

    imported: float
    loaded: float
    encoded: float
    decoded: float
    whole: float


@dataclass(frozen=True)
class First:
    """The times of a codec's processes, by their sides."""

    system: str
    seconds: float
    times: dict[str, Times]
    """medians, by the names of `SIDES`"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.bench first", run, arguments, cached=False)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    from evaluate import table
    from evaluate.bench.versus import check_torch

    if not options.ckpt and not options.model:
        raise ZooError("nothing to measure: give --ckpt CODEC or --model NAME")
    if not options.seconds > 0 or options.repeat < 1:
        raise ZooError("--seconds and --repeat must be positive")
    cli.check_results_file(options.output)
    if options.model or options.vs:
        check_torch()
    found = [_of_checkpoint(name, options) for name in options.ckpt]
    found += [_of_model(name, options) for name in options.model]
    if options.output:
        table.write_json(found, Path(options.output))
    table.console().print(render(found))


def _of_checkpoint(path: str, options: Options) -> First:
    import zoo

    codec = zoo.load(path)
    codec.engine.check_coded()
    with tempfile.TemporaryDirectory(prefix="codec-zoo-") as place:
        audio = _clip(Path(place), codec.sample_rate, codec.channels, options.seconds)
        return _measured(path, Job(path, audio), None, Path(place), options)


def _of_model(name: str, options: Options) -> First:
    from evaluate.bench import torch_peers
    from evaluate.bench.models import published_only

    model = published_only(name)
    with tempfile.TemporaryDirectory(prefix="codec-zoo-") as place:
        folder = Path(place, "model")
        torch_peers.build(model.family, model.config).save(folder)
        audio = _clip(Path(place), model.sample_rate, model.channels, options.seconds)
        ours = Job(str(folder), audio)
        torch = dataclasses.replace(ours, family=model.family, config=model.config) if options.vs else None
        return _measured(f"{model.name} (random)", ours, torch, Path(place), options)


def _clip(place: Path, sample_rate: int, channels: int, seconds: float) -> str:
    import numpy as np

    from zoo import synth

    path = place / "audio.npy"
    np.save(path, synth.clip(0, seconds, sample_rate, channels=channels, held_out=True))
    return str(path)


def _measured(system: str, ours: Job, torch: Job | None, place: Path, options: Options) -> First:
    """Runs our processes, and torch's where there is a job for it, in turn."""
    jobs = {side: job for side, job in zip(SIDES, (torch, ours, ours)) if job}
    # of a turn the first of our processes finds the cache empty, and fills it for the second
    turns = [
        {side: _timed(job, place / f"cache{turn}") for side, job in jobs.items()} for turn in range(options.repeat)
    ]
    return First(system, options.seconds, {side: _median([times[side] for times in turns]) for side in jobs})


def _timed(job: Job, cache: Path) -> Times:
    start = time.perf_counter()
    said = footprint.output_of(
        "evaluate.bench.first",
        dataclasses.asdict(job),
        f"{job.path}: the process that codes with it",
        JAX_COMPILATION_CACHE_DIR=str(cache),
    )
    return Times(**json.loads(said.splitlines()[-1]), whole=time.perf_counter() - start)


def _median(times: Sequence[Times]) -> Times:
    """The turn whose whole time is the median one, or the shorter of the two in the middle."""
    return sorted(times, key=lambda found: found.whole)[(len(times) - 1) // 2]


def render(found: Sequence[First]) -> Table:
    """A row for each codec and side."""
    from evaluate.bench.by_system import table_by_system

    names = {"torch": "torch", "empty": "ours, nothing compiled", "filled": "ours, compiled before"}
    columns = ("import\ns", "load\ns", "encode\ns", "decode\ns", "in all\ns", "beside\ntorch")
    rows = [
        (
            f"{one.system}: {names[side]}",
            [*(f"{seconds:.1f}" for seconds in dataclasses.astuple(times)), _beside(one, times)],
        )
        for one in found
        for side, times in one.times.items()
    ]
    return table_by_system(columns, rows, title=f"first {found[0].seconds:g} s of audio in a fresh process")


def _beside(one: First, times: Times) -> str:
    return f"{times.whole / one.times['torch'].whole:.2f}" if "torch" in one.times else "–"


def work(job: Job, begun: float) -> dict[str, float]:
    """Loads, encodes and decodes once; seconds of each part, the first of which has `begun` already."""
    load = _torch(job) if job.family else _ours(job)
    import numpy as np

    audio = np.load(job.audio)
    marks = [begun, time.perf_counter()]
    encode, decode = load()
    marks.append(time.perf_counter())
    encoded = encode(audio)
    marks.append(time.perf_counter())
    decode(encoded)
    marks.append(time.perf_counter())
    parts = [after - before for before, after in itertools.pairwise(marks)]
    return dict(zip(("imported", "loaded", "encoded", "decoded"), parts))


def _torch(job: Job) -> Load:
    footprint.prepare_torch(job.family, job.config)
    from evaluate.bench import torch_peers

    def load() -> Coding:
        peer = torch_peers.restore(job.family, job.config, Path(job.path))
        return lambda audio: peer.encode(peer.audio(audio[None])), peer.decode

    return load


def _ours(job: Job) -> Load:
    import zoo

    def load() -> Coding:
        codec = zoo.load(job.path)
        return codec.encode, codec.decode

    return load


if __name__ == "__main__":
    begun, job = time.perf_counter(), Job(**json.loads(sys.argv[1]))
    if not job.family:
        use_compilation_cache()
    print(json.dumps(work(job, begun)))
