"""A whole library to `.zac` files (and tokens): every device works on a file of its own, and a killed run resumes."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo import audio, coding, tokens
from zoo.audio import open_output, open_reader
from zoo.bitstream.container import ContainerReader
from zoo.commands.encode import encode_reader, taking
from zoo.commands.journal import NAME, Entry, Journal, State, if_unchanged, look_at
from zoo.commands.options import Encode
from zoo.commands.sources import find_codec
from zoo.console.command import SOME_FAILED, progress
from zoo.console.terminal import report
from zoo.errors import BitstreamError, ZooError
from zoo.ready import ReadyCodec
from zoo.wording import counted, some, speed


@dataclass(frozen=True)
class Job:
    """One file, and what comes of it."""

    source: Path
    target: Path
    tokens: Path
    """where they go if they are asked for"""


@dataclass(frozen=True)
class Done:
    """What coding a file came to; `error` is a line, or None."""

    seconds: float
    payload_bytes: int
    error: str | None = None


def encode(options: Encode) -> None:
    """Codes every audio file below options.input; raises ZooError if there is none, or none can be coded.

    Exits with SOME_FAILED if some cannot.

    What an earlier run has coded is kept, unless the file, the codec or the options have changed since.
    """
    for name, path in (("input", options.input), ("output", options.output)):
        if not path:  # which Path takes for the working directory
            raise ZooError(f"the name of an {name} is empty")
    root, out = Path(options.input), Path(options.output)
    if options.input == "-" or options.output == "-":
        raise ZooError("--corpus takes folders, not standard input or output")
    if out.exists() and not out.is_dir():
        raise ZooError(f"{out}: is a file; --corpus writes a folder")
    jobs = plan(root, out)
    codec = find_codec(options.ckpt).with_precision(options.precision)
    coding.level_policy(codec.engine, options.bitrate, options.level)  # refuses what no file could be coded with
    with Journal(out) as journal:
        work = Corpus(root, out, codec, options, journal)
        with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:  # on network disks this is waiting
            verdicts = list(pool.map(work.judge, jobs))
        _say_what_is_there(verdicts, _without_source(jobs, work), root)
        waiting = [job for job, verdict in zip(jobs, verdicts) if verdict not in KEPT]
        begin = time.perf_counter()
        results = run(work, waiting)
        wall_s = time.perf_counter() - begin
    good = [result for result in results if result.error is None]
    seconds, payload = sum(r.seconds for r in good), sum(r.payload_bytes for r in good)
    if good:
        report(
            f"{counted(len(good), 'file')}, {seconds / 3600:.2f} hours, {speed(seconds, wall_s)}, "
            f"payload {payload / 125 / max(seconds, 1e-9):.2f} kbps on average"
        )
    if failed := len(results) - len(good):
        report(f"left out {counted(failed, 'file')} that could not be coded")
    if results and not good and len(results) == len(jobs):
        raise ZooError(f"{root}: none of its {len(results)} files could be coded")
    if failed:
        raise SystemExit(SOME_FAILED)


def plan(root: Path, out: Path) -> list[Job]:
    """A job for each audio file below root; those that differ only in their suffix keep it before .zac.

    Raises ZooError for a folder without audio.
    """
    files = audio.find_files(root)
    names = Counter(file.relative_to(root).with_suffix("") for file in files)
    jobs = []
    for file in files:
        relative = file.relative_to(root)
        stem = relative.with_suffix("") if names[relative.with_suffix("")] == 1 else relative
        jobs.append(Job(file, out / f"{stem}.zac", out / f"{stem}.npy"))
    return jobs


class Verdict(Enum):
    """What becomes of a file, and what is said of those that are coded again."""

    NEW = "new"
    DONE = "done"
    FITS = "there is no record of how, but it fits"
    CHANGED = "changed since"
    OTHER_WEIGHTS = "coded with other weights"
    OTHER_OPTIONS = "coded with other options"
    WITHOUT_TOKENS = "coded without tokens"


KEPT = (Verdict.DONE, Verdict.FITS)


class Corpus:
    """A library, the folder that it is coded into, and how."""

    def __init__(self, root: Path, out: Path, codec: ReadyCodec, options: Encode, journal: Journal) -> None:
        self.root, self.out, self.codec, self.options, self.journal = root, out, codec, options, journal
        self._settings = {
            "weights": codec.digest.hex(),
            "packet_frames": codec.packet_frames(options.packet_s),
            "bitrate": options.bitrate,
            "level": codec.engine.level(options.level) if options.bitrate is None else None,
        }

    def entry_of(self, job: Job) -> Entry | None:
        """What the journal says of a job's output."""
        return self.journal.entries.get(job.target.relative_to(self.out).as_posix())

    def judge(self, job: Job) -> Verdict:
        """What is to be done; raises ZooError if something that is no coded audio is in the way."""
        if self.options.force or not job.target.exists():
            return Verdict.NEW
        entry = self.entry_of(job)
        if entry is None or _size(job.target) != entry.coded_bytes:
            return self._judge_unknown(job)
        try:
            now = if_unchanged(job.source, entry.state)
        except ZooError:
            return Verdict.CHANGED  # coding will name it
        if now is None or job.source.relative_to(self.root).as_posix() != entry.source:
            return Verdict.CHANGED
        if entry.settings != self._settings_for(entry.channels):
            other = entry.settings.get("weights") != self._settings["weights"]
            return Verdict.OTHER_WEIGHTS if other else Verdict.OTHER_OPTIONS
        if self.options.tokens and (entry.token_bytes is None or _size(job.tokens) != entry.token_bytes):
            return Verdict.WITHOUT_TOKENS
        if now != entry.state:
            self.journal.add(replace(entry, state=now))  # touched: the next run need not read it again
        return Verdict.DONE

    def _judge_unknown(self, job: Job) -> Verdict:
        """Judges an output of an earlier version, or of a run that was killed before it could write it down."""
        try:
            with job.target.open("rb") as stream:
                made = ContainerReader(stream)
        except (BitstreamError, OSError) as error:
            raise ZooError(f"{job.target}: in the way ({error}); --force overwrites it") from None
        try:
            state = look_at(job.source, contents=False)
            with open_reader(job.source, stream=self.options.stream) as reader:
                channels = taking(self.codec, reader, self.options).channels
                rate, n_samples = reader.sample_rate, reader.n_samples
        except ZooError:
            return Verdict.CHANGED
        header = made.header
        if (rate, channels) != (header.sample_rate, header.channels) or n_samples not in (None, made.n_samples):
            return Verdict.CHANGED
        settings = self._settings_for(channels)
        if header.weights_hash != self.codec.digest:
            return Verdict.OTHER_WEIGHTS
        if (header.packet_frames, header.mid_side) != (settings["packet_frames"], settings["mid_side"]):
            return Verdict.OTHER_OPTIONS
        if self.options.tokens and not job.tokens.exists():
            return Verdict.WITHOUT_TOKENS
        self._write_down(job, state, channels, with_tokens=self.options.tokens)
        return Verdict.FITS

    def _settings_for(self, channels: int) -> dict[str, Any]:
        mid_side = self.options.stereo == "mid_side" and channels == 2 and self.codec.channels == 1
        found = self._settings | {"mid_side": mid_side}
        if self.options.stream:
            found["stream"] = self.options.stream
        if self.options.channels != "each":
            found["channels"] = self.options.channels
        if self.options.precision != "float32":
            found["precision"] = self.options.precision
        return found

    def _write_down(self, job: Job, state: State, channels: int, *, with_tokens: bool) -> None:
        self.journal.add(
            Entry(
                target=job.target.relative_to(self.out).as_posix(),
                source=job.source.relative_to(self.root).as_posix(),
                state=state,
                channels=channels,
                settings=self._settings_for(channels),
                coded_bytes=_size(job.target),
                token_bytes=_size(job.tokens) if with_tokens else None,
            )
        )

    def code(self, codec: ReadyCodec, job: Job, stop: threading.Event) -> Done:
        """Codes a file by a copy of the codec; raises ZooError where that cannot be for any file."""
        codes: list[np.ndarray] = []
        # tokens that belong to the former coding would be wrong beside this one
        had_tokens = (entry := self.entry_of(job)) is not None and entry.token_bytes is not None
        options = replace(self.options, tokens=self.options.tokens or had_tokens)

        def advance(_: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt

        try:
            state = look_at(job.source, contents=True)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            with (
                open_reader(job.source, stream=options.stream) as reader,
                open_output(job.target, force=True) as stream,
            ):
                encoder = encode_reader(codec, reader, stream=stream, options=options, codes=codes, advance=advance)
                if look_at(job.source, contents=False) != replace(state, sha256=None):
                    raise ZooError(f"{job.source}: has changed while it was coded")
                if options.tokens:
                    # before the .zac, whose presence says that a file is done
                    tokens.save(job.tokens, tokens.of(encoder, codes), force=True)
            self._write_down(job, state, taking(codec, reader, options).channels, with_tokens=options.tokens)
            if reader.warning:
                report(f"warning: {reader.warning}")
            return Done(encoder.n_samples / reader.sample_rate, encoder.payload_bytes)
        except OSError as error:
            raise ZooError(f"{job.target}: cannot be written ({error.strerror})") from error
        except ZooError as error:
            if str(error).startswith(tuple(str(path) for path in (job.target, job.tokens, self.out / NAME))):
                raise  # what cannot be written concerns the files to come as well
            named = str(error) if str(job.source) in str(error) else f"{job.source}: {error}"
            report(f"skipped {named}")
            return Done(0.0, 0, named)


def _size(path: Path) -> int:
    """Bytes of a file; −1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _without_source(jobs: Sequence[Job], work: Corpus) -> list[str]:
    """Files that earlier runs have coded from what is no longer there."""
    planned = {job.target for job in jobs}
    return sorted(
        target for target in work.journal.entries if (path := work.out / target) not in planned and path.exists()
    )


def _say_what_is_there(verdicts: Sequence[Verdict], orphans: Sequence[str], root: Path) -> None:
    n = Counter(verdicts)
    if kept := sum(n[verdict] for verdict in KEPT):
        unknown = f", {n[Verdict.FITS]} of them without a record of how: their headers fit" if n[Verdict.FITS] else ""
        report(f"{kept} of {len(verdicts)} files are coded already{unknown}")
    for verdict in Verdict:
        if n[verdict] and verdict not in (*KEPT, Verdict.NEW):
            has, is_, was = ("has", "is", "was") if n[verdict] == 1 else ("have", "are", "were")
            what = f"{has} changed" if verdict is Verdict.CHANGED else f"{was} {verdict.value}"
            report(f"{n[verdict]} file{'s' * (n[verdict] != 1)} {what} and {is_} coded again")
    if orphans:
        which = "1 coded file has" if len(orphans) == 1 else f"{len(orphans)} coded files have"
        report(f"{which} no source below {root} any more and stay{'s' * (len(orphans) == 1)}: {some(orphans)}")


def run(work: Corpus, jobs: list[Job]) -> list[Done]:
    """Codes the files, the longest queue of each device's own worker; a file that fails is named once and left out."""
    devices = jax.local_devices()
    # on one device a second worker reads, resamples and writes while the first one's network runs
    n_workers = max(2, len(devices)) if jobs else 1
    # one copy a device, since each compiles what it runs
    placed = [_on(work.codec, device) for device in devices] if len(devices) > 1 else [work.codec]
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
                    running[pool.submit(work.code, codecs[worker], job, stop)] = worker
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
    return replace(codec, variables=jax.device_put(codec.variables, device))
