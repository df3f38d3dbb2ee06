"""`python -m evaluate.bench tokenise`: what tokenising costs besides coding, and what more workers bring."""

from __future__ import annotations

import functools
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from evaluate.cli import Folder
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.ready import ReadyCodec
    from zoo.tokenise.plan import Unit
    from zoo.tokenise.work import Work

CLIP_S = 0.1
"""of the clips of the dry run"""
CLIPS_IN_A_TAR = 10_000


@dataclass(frozen=True)
class Options:
    """Measures a dry run of many tiny clips, and the speed of one worker on one core beside that of several.

    Examples:
      python -m evaluate.bench tokenise --rows 1000000                        the dry run alone
      python -m evaluate.bench tokenise --ckpt runs/vae --data.root DIR       and one worker beside one to each core
      python -m evaluate.bench tokenise --model encodec_24khz --data.root DIR --workers 2
    """

    ckpt: str | None = None
    """a run directory or checkpoint, or a published model"""
    model: str | None = None
    """a family or published model with random weights instead"""
    data: Folder = field(default_factory=Folder)
    """audio to be tokenised; None = the dry run alone"""
    workers: int | None = None
    """as many are compared with one; None = one to each core"""
    rows: int = 10_000
    """clips of the dry run, 0.1 s each, in tar archives; 0 = none"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


@dataclass(frozen=True)
class DryRun:
    """Milliseconds to a row where the codec does nothing."""

    rows: int
    all_ms: float
    decoding_ms: float
    """of reading the archives and decoding their clips, alone"""

    @property
    def outside_ms(self) -> float:
        """Outside of decoding and coding."""
        return self.all_ms - self.decoding_ms


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

    if options.rows < 0 or (options.workers is not None and options.workers < 1):
        raise ZooError("--rows and --workers must be positive")
    if options.data.root and (options.ckpt is None) == (options.model is None):
        raise ZooError("give either --ckpt or --model")
    machine = hardware.hardware()
    dry = dry_run(options.rows) if options.rows else None
    speeds = compare(options) if options.data.root else []
    if options.output:
        record = {
            "hardware": machine,
            "dry_run": asdict(dry) | {"outside_ms": dry.outside_ms} if dry else None,
            "speeds": [asdict(speed) for speed in speeds],
        }
        table.write_text(Path(options.output), json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(hardware.describe(machine))
    if dry:
        print(
            f"{dry.rows} rows of a stub: {dry.all_ms:.2f} ms each, reading and decoding {dry.decoding_ms:.2f}, "
            f"all else {dry.outside_ms:.2f}"
        )
    for speed in speeds:
        print(f"{speed.workers} workers on {speed.cores} cores: {speed.real_time:.0f}× real time")
    if speeds:
        print(f"{speeds[-1].real_time / speeds[0].real_time:.2f} times as fast")


def dry_run(n_rows: int) -> DryRun:
    """Tokenises clips of noise by a codec whose networks give zeros at once."""
    import numpy as np

    from zoo.tokenise.clips import Begin, events
    from zoo.tokenise.store import Local

    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        source = Path(folder, "in")
        source.mkdir()
        noise = np.random.default_rng(0).standard_normal((256, round(CLIP_S * 8000))) * 0.1
        _archives(source, noise, n_rows)
        codec = _stub()
        work, units = _planned(str(source), str(Path(folder, "out")), codec, functools.partial(_stub))
        store = Local(str(source))
        found, decoding_s = _timed(
            lambda: sum(
                isinstance(event, Begin) for unit in units for file in unit.files for event in events(store, file)
            )
        )
        assert found == n_rows
        _, all_s = _timed(lambda: _work_alone(work, codec, units))
    return DryRun(n_rows, 1e3 * all_s / n_rows, 1e3 * decoding_s / n_rows)


def _archives(folder: Path, noise: Any, n_rows: int) -> None:
    import soundfile

    wavs = []
    for clip in noise:
        stream = io.BytesIO()
        soundfile.write(stream, clip, 8000, format="WAV", subtype="PCM_16")
        wavs.append(stream.getvalue())
    for first in range(0, n_rows, CLIPS_IN_A_TAR):
        with tarfile.open(folder / f"{first:09d}.tar", "w") as archive:
            for number in range(first, min(first + CLIPS_IN_A_TAR, n_rows)):
                data = wavs[number % len(wavs)]
                member = tarfile.TarInfo(f"{number}.wav")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _stub() -> ReadyCodec:
    """A codec whose encoder and bottleneck compute nothing."""
    import numpy as np

    from evaluate.bench.models import random_codec

    codec = random_codec("vae", sample_rate=8000, latent_dim=8, widths=(8, 8), strides=(8, 20), dilations=(1,))
    chunks = codec.engine.chunks(codec.packet_frames())
    latents = np.zeros((chunks.chunk_frames, 8), np.float32)
    codes = np.zeros((chunks.chunk_frames, codec.symbols.n_codes(codec.default_level)), np.int32)
    vars(chunks).update(
        encode=lambda audio, mask, carry: (latents, carry),
        quantise=lambda latent, level: codes,
    )
    return codec


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
    n_workers = options.workers or local.default_workers()
    assert options.data.root is not None
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for n, using in ((1, cores[:1]), (n_workers, cores)):
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder, _on(using):
            work, units = _planned(options.data.root, folder, codec, load)
            if len(units) < 4 * n_workers:
                raise ZooError(f"{options.data.root}: {len(units)} units of work are too few for {n_workers} workers")
            found.append(Speed(n, len(using), _speed(work, units, n)))
    return found


def _speed(work: Work, units: Sequence[Unit], n: int) -> float:
    from zoo.tokenise import local, manifest
    from zoo.tokenise.store import open_store

    ends: list[tuple[float, int]] = []
    local.in_processes(work, units, n, lambda unit: ends.append((time.perf_counter(), unit.index)))
    seconds = {
        record["unit"]: record["seconds"]
        for record in manifest.records(open_store(work.output), [u.index for u in units])
    }
    started = ends[n - 1][0]  # by then each has compiled
    return sum(seconds[index] for _, index in ends[n:]) / (ends[-1][0] - started)


def _work_alone(work: Work, codec: ReadyCodec, units: Sequence[Unit]) -> None:
    from zoo.tokenise.work import Worker

    worker = Worker(work, codec, ahead=False)
    for unit in units:
        worker.run(unit)


def _planned(source: str, out: str, codec: ReadyCodec, load: Callable[[], ReadyCodec]) -> tuple[Work, list[Unit]]:
    from zoo.tokenise import plan
    from zoo.tokenise.clips import is_input
    from zoo.tokenise.rows import Settings
    from zoo.tokenise.store import open_input
    from zoo.tokenise.work import Work

    store, _ = open_input(source)
    files = [file for file in store.files() if is_input(file.key)]
    _, ends = plan.units_of(files, None)
    settings = Settings(
        level=codec.engine.level(),
        channels="each",
        mid_side=True,
        packet_frames=codec.packet_frames(),
        row_bytes=8_000_000,
    )
    work = Work(source, out, load, codec.digest.hex(), settings, format="npy", shard_bytes=32_000_000)
    return work, [plan.Unit(i, tuple(files[start:stop])) for i, (start, stop) in enumerate(ends)]


@contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Processes that are started in here have these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start
