"""A whole library to `.zac` files (and tokens): every device works on a file of its own, and a killed run resumes."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from zoo import audio, audio_io, coding, commands, tokens
from zoo.bitstream.container import ContainerReader
from zoo.cli import progress
from zoo.errors import BitstreamError, ZooError

if TYPE_CHECKING:
    from zoo.__main__ import Encode
    from zoo.ready import ReadyCodec


@dataclass(frozen=True)
class Job:
    """One file, and what comes of it."""

    source: Path
    target: Path
    tokens: Path | None


@dataclass(frozen=True)
class Done:
    """What coding a file came to; `error` is a line, or None."""

    seconds: float
    payload_bytes: int
    error: str | None = None


def encode(options: Encode) -> None:
    """Codes every audio file below options.input; raises ZooError if there is none, or none can be coded."""
    root, out = Path(options.input), Path(options.output)
    if options.input == "-" or options.output == "-":
        raise ZooError("--corpus takes folders, not standard input or output")
    if out.exists() and not out.is_dir():
        raise ZooError(f"{out}: is a file; --corpus writes a folder")
    jobs = plan(root, out, tokens=options.tokens)
    codec = commands.find_codec(options.ckpt)
    coding.level_policy(codec, options.bitrate, options.level)  # refuses what no file could be coded with
    waiting = [job for job in jobs if options.force or not is_done(job, codec)]
    kept = len(jobs) - len(waiting)
    if kept:
        commands.report(f"{kept} of {len(jobs)} files are coded already")
    begin = time.perf_counter()
    results = run(codec, waiting, options)
    wall_s = time.perf_counter() - begin
    good = [result for result in results if result.error is None]
    seconds, payload = sum(r.seconds for r in good), sum(r.payload_bytes for r in good)
    if good:
        commands.report(
            f"{len(good)} files, {seconds / 3600:.2f} hours, {seconds / max(wall_s, 1e-9):.0f}× real time, "
            f"payload {payload / 125 / max(seconds, 1e-9):.2f} kbps on average"
        )
    if failed := len(results) - len(good):
        commands.report(f"left out {failed} files that could not be coded")
    if results and not good and not kept:
        raise ZooError(f"{root}: none of its {len(results)} files could be coded")


def plan(root: Path, out: Path, *, tokens: bool) -> list[Job]:
    """A job for each audio file below root; those that differ only in their suffix keep it before .zac.

    Raises ZooError for a folder without audio.
    """
    files = audio.find_files(root)
    names = Counter(file.relative_to(root).with_suffix("") for file in files)
    jobs = []
    for file in files:
        relative = file.relative_to(root)
        stem = relative.with_suffix("") if names[relative.with_suffix("")] == 1 else relative
        target = out / f"{stem}.zac"
        jobs.append(Job(file, target, out / f"{stem}.npy" if tokens else None))
    return jobs


def is_done(job: Job, codec: ReadyCodec) -> bool:
    """Whether an earlier run has coded the file; raises ZooError if that was another codec."""
    if not job.target.exists() or (job.tokens and not job.tokens.exists()):
        return False
    try:
        with job.target.open("rb") as stream:
            made_with = ContainerReader(stream).header.weights_hash
    except (BitstreamError, OSError) as error:
        raise ZooError(f"{job.target}: in the way ({error}); --force overwrites it") from None
    if made_with != codec.digest:
        raise ZooError(f"{job.target}: made with other weights; choose another folder, or --force")
    return True


def run(codec: ReadyCodec, jobs: list[Job], options: Encode) -> list[Done]:
    """Codes the files, the longest queue of each device's own worker; a file that fails is named once and left out."""
    devices = jax.local_devices()
    # on one device a second worker reads, resamples and writes while the first one's network runs
    n_workers = max(2, len(devices)) if jobs else 1
    # one copy a device, since each compiles what it runs
    placed = [_on(codec, device) for device in devices] if len(devices) > 1 else [codec]
    codecs = [placed[i % len(placed)] for i in range(n_workers)]
    idle = list(range(n_workers))
    stop = threading.Event()
    results: list[Done] = []
    queue = iter(jobs)
    running: dict[Future[Done], int] = {}
    with ThreadPoolExecutor(n_workers) as pool, progress(len(jobs), "encoding") as advance:
        try:
            while True:
                while idle and (job := next(queue, None)) is not None:
                    worker = idle.pop()
                    running[pool.submit(_code, codecs[worker], job, options, stop)] = worker
                if not running:
                    return results
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    idle.append(running.pop(future))
                    results.append(future.result())
                    advance(1)
        except BaseException:
            stop.set()
            raise


def _on(codec: ReadyCodec, device: jax.Device) -> ReadyCodec:
    """The codec with its weights on a device, where its computations then run; what is compiled is its own."""
    return dataclasses.replace(codec, variables=jax.device_put(codec.variables, device))


def _code(codec: ReadyCodec, job: Job, options: Encode, stop: threading.Event) -> Done:
    codes: list[np.ndarray] = []

    def advance(_: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with (
            audio_io.open_reader(job.source) as reader,
            audio_io.open_output(job.target, force=True) as stream,
        ):
            encoder = commands.encode_reader(codec, reader, stream, options, codes, advance)
            if job.tokens:
                # before the .zac, whose presence says that a file is done
                tokens.save(job.tokens, tokens.of(encoder, codes), force=True)
        return Done(encoder.n_samples / reader.sample_rate, encoder.payload_bytes)
    except OSError as error:
        raise ZooError(f"{job.target}: cannot be written ({error.strerror})") from error
    except ZooError as error:
        if str(error).startswith(tuple(str(path) for path in (job.target, job.tokens) if path)):
            raise  # what cannot be written concerns the files to come as well
        commands.report(f"skipped {error}")
        return Done(0.0, 0, str(error))
