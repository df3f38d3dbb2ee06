"""`python -m evaluate.bench tokenise`: what tokenising costs besides coding, what workers bring, how fast torch is."""

from __future__ import annotations

import functools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from evaluate import cli
from evaluate.bench.dry_run import dry_run
from evaluate.bench.tokenise_work import planned, speed
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.bench.tokenise_versus import Versus
    from zoo.ready import ReadyCodec


@dataclass(frozen=True)
class Options:
    """Measures a dry run of many tiny clips, and the speed of one worker on one core beside that of several.

    Examples:
      python -m evaluate.bench tokenise --rows 1000000                        the dry run alone
      python -m evaluate.bench tokenise --ckpt runs/vae --data.root DIR       and one worker beside one to each core
      python -m evaluate.bench tokenise --model encodec_24khz --data.root DIR --workers 2
      python -m evaluate.bench tokenise --model mimi --data.root DIR --rows 0 --vs torch    beside the obvious pipeline
    """

    ckpt: str | None = None
    """a run directory or checkpoint, or a published model"""
    model: str | None = None
    """a family or published model with random weights instead"""
    data: cli.Folder = field(default_factory=cli.Folder)
    """audio to be tokenised; None = the dry run alone"""
    workers: int | None = None
    """as many are compared with one; None = one to each core"""
    rows: int = 10_000
    """clips of the dry run, 0.1 s each, in tar archives; 0 = none"""
    vs: Literal["torch"] | None = None
    """instead of one worker, the model's torch implementation: files in batches padded by length; the same weights"""
    batch_size: int = 8
    """of that"""
    repeat: int = 3
    """turns of both"""
    limit: int | None = None
    """files that both are given, evenly spaced; None = all"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


@dataclass(frozen=True)
class Speed:
    """Seconds of audio per wall second, from the end of the first unit on: starting and compiling left out."""

    workers: int
    cores: int
    real_time: float


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.bench tokenise", run, arguments)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    from evaluate import table
    from evaluate.bench import hardware

    counts = (options.workers, options.batch_size, options.repeat, options.limit)
    if options.rows < 0 or any(count is not None and count < 1 for count in counts):
        raise ZooError("--rows, --workers, --batch_size, --repeat and --limit must be positive")
    if options.vs and not (options.data.root and options.model):
        raise ZooError("--vs torch takes --data.root and a published --model")
    if options.data.root and (options.ckpt is None) == (options.model is None):
        raise ZooError("give either --ckpt or --model")
    cli.check_results_file(options.output)
    machine = hardware.hardware()
    dry = dry_run(options.rows) if options.rows else None
    speeds = compare(options) if options.data.root and not options.vs else []
    versus = beside_torch(options) if options.vs else None
    if options.output:
        record = {
            "hardware": machine,
            "dry_run": asdict(dry) | {"outside_ms": dry.outside_ms, "outside_cpu_ms": dry.outside_cpu_ms}
            if dry
            else None,
            "speeds": [asdict(speed) for speed in speeds],
            "versus": versus.record() if versus else None,
        }
        table.write_text(Path(options.output), json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(hardware.describe(machine))
    if dry:
        print(
            f"{dry.rows} rows of a stub: {dry.all_ms:.2f} ms each, reading and decoding {dry.decoding_ms:.2f}, "
            f"all else {dry.outside_ms:.2f} ({dry.outside_cpu_ms:.2f} of the processor's time)"
        )
    for found in speeds:
        print(f"{found.workers} workers on {found.cores} cores: {found.real_time:.0f}× real time")
    if versus:
        print(
            f"{versus.model}, {versus.files} files: torch in batches of {versus.batch_size} "
            f"{statistics.median(versus.torch):.1f}× real time, ours with {versus.workers} workers "
            f"{statistics.median(versus.ours):.1f}×: {versus.times_faster:.2f} times as fast; codes equal "
            f"{100 * versus.codes_equal:.2f} % (torch's own, of padded clips and single ones: "
            f"{100 * versus.padded_equal:.2f} %)"
        )
    if speeds:
        print(f"{speeds[-1].real_time / speeds[0].real_time:.2f} times as fast")


def beside_torch(options: Options) -> Versus:
    """Tokenises beside torch, with one worker to each core."""
    from evaluate.bench import tokenise_versus
    from zoo.tokenise import local

    assert options.data.root is not None
    assert options.model is not None
    return tokenise_versus.compare(
        options.data.root,
        options.model,
        workers=options.workers or local.default_workers(),
        batch_size=options.batch_size,
        repeat=options.repeat,
        limit=options.limit,
    )


def compare(options: Options) -> list[Speed]:
    """One worker on one core, and then all of them."""
    from evaluate.bench.models import random_codec
    from zoo.tokenise import local

    load: Callable[[], ReadyCodec]
    if options.model:
        load = functools.partial(random_codec, options.model)
    else:
        from zoo.commands.sources import find_codec

        load = functools.partial(find_codec, options.ckpt)
    codec = load()
    codec.engine.check_coded()
    n_workers = options.workers or local.default_workers()
    assert options.data.root is not None
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for n, using in ((1, cores[:1]), (n_workers, cores)):
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder, _on(using):
            work, units = planned(options.data.root, folder, codec, load, workers=n_workers)
            found.append(Speed(n, len(using), speed(work, units, n)))
    return found


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Processes that are started in here have these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
