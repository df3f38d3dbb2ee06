"""`python -m train prepare DIR OUT`: a library decoded and resampled once, into shards that training maps to memory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from zoo.console.command import command
from zoo.errors import ZooError
from zoo.saved import whole

if TYPE_CHECKING:
    from train.data.packing import Settings, Source, Workspace
    from train.data.shards import Index

PLAIN_INTERVAL_S = 10.0


@dataclass(frozen=True)
class Options:
    """Decodes and resamples all audio below DIR once, into a folder that --data.root takes.

    Stopped at any moment and run again, it goes on; what comes out is the same. On a finished folder it checks the
    shards. Files whose peak exceeds 1 (or does once resampled) are scaled down to it, not clipped.

    Examples:
      python -m train prepare ~/music ~/music24 --sample_rate 24000 --channels 1
      python -m train --model gan_vocoder --data.root ~/music24
    """

    dir: Positional[str]
    """folder of audio files, of any format, rate and number of channels"""
    out: Positional[str]
    """folder to write: shard-00000.npy, …, int16 (T, C), and index.json"""
    sample_rate: int = 24000
    """Hz, as the model has it"""
    channels: int = 1
    """as the model has them; 2 serve models of one channel, too"""
    shard_mb: float = 512
    """size of a shard in million bytes; a longer file has a shard of its own"""
    workers: int | None = None
    """files decoded at once; None = as many as there are cores"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train prepare", run, arguments, cached=False, extra="train")


def run(options: Options) -> None:
    """Prepares a library; raises ZooError for input that cannot be used, and where the disk is full."""
    from train.data import packing, shards
    from zoo.audio.output import describe

    root, out = Path(options.dir), Path(options.out)
    for name in ("sample_rate", "channels", "workers"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ZooError(f"--{name} must be at least 1, got {value}")
    if not options.shard_mb > 0:
        raise ZooError(f"--shard_mb must be positive, got {options.shard_mb}")
    if out.resolve().is_relative_to(root.resolve()):
        raise ZooError(f"{out} lies in {root}: its shards would be part of the library; choose another folder")
    settings = packing.Settings(options.sample_rate, options.channels, float(options.shard_mb))
    sources = packing.scan(root)
    if out.exists() and not out.is_dir():
        raise ZooError(f"{out}: is a file; prepare writes a folder")
    if (out / "index.json").is_file() and (index := shards.read_index(out)) is not None:
        _check_finished(out, index, settings, sources)
        shutil.rmtree(out / ".prepare", ignore_errors=True)
        print(f"{out} is prepared already, and intact: {_described(index)}")
        return
    if out.is_dir() and any(out.iterdir()) and not (out / ".prepare").is_dir():
        raise ZooError(f"{out}: is neither empty nor a prepared folder; choose another")
    try:
        workspace = packing.Workspace(out)
        workspace.parts.mkdir(parents=True, exist_ok=True)
        with _alone(workspace.folder / "lock", out):
            _begin(workspace, settings, sources)
            _pack(workspace, root, settings, sources, options.workers or os.cpu_count() or 1)
    except OSError as error:
        again = "run the same command again and it goes on from here"
        raise ZooError(f"{out}: cannot be written ({describe(error)}); {again}") from error
    except KeyboardInterrupt:
        raise ZooError("interrupted; run the same command again and it goes on from here") from None


@contextlib.contextmanager
def _alone(path: Path, out: Path) -> Iterator[None]:
    """Held by one process at a time; a process that dies lets go of it."""
    with path.open("wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ZooError(f"{out}: another process is preparing this folder") from None
        yield


def _begin(workspace: Workspace, settings: Settings, sources: list[Source]) -> None:
    """Writes the plan, or compares it with that of the run which goes on here."""
    import json

    from train.data import packing

    path = workspace.folder / "plan.json"
    if not path.is_file():
        whole.write_bytes(path, packing.to_json(packing.plan(settings, sources)), sync=True)
        return
    before = json.loads(path.read_bytes())
    begun = packing.Settings(before["sample_rate"], before["channels"], before["shard_mb"])
    _check_same(workspace.out, begun, settings, [packing.Source(*file) for file in before["files"]], sources)


def _check_same(out: Path, before: Settings, now: Settings, earlier: list[Source], sources: list[Source]) -> None:
    if before != now:
        first, second = (", ".join(f"{key} {value:g}" for key, value in asdict(s).items()) for s in (before, now))
        raise ZooError(f"{out} was prepared with {first}; asked for is {second}: choose another folder, or delete it")
    if (earlier := sorted(earlier, key=lambda s: s.name)) != (sources := sorted(sources, key=lambda s: s.name)):
        old, new = {s.name: s for s in earlier}, {s.name: s for s in sources}
        name = next(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
        what = "is new" if name not in old else "is gone" if name not in new else "has changed"
        raise ZooError(
            f"{out} was prepared from other files: {name} {what}; choose another folder, or delete it to start anew"
        )


def _check_finished(out: Path, index: Index, settings: Settings, sources: list[Source]) -> None:
    from train.data import packing

    earlier = [packing.Source(f["name"], f["bytes"], f["mtime_ns"]) for f in (*index.files, *index.skipped)]
    before = packing.Settings(index.sample_rate, index.channels, index.shard_mb)
    _check_same(out, before, settings, earlier, sources)
    for number, shard in enumerate(index.shards):
        index.open_shard(number)
        if f"{packing.checksum(out / shard['name']):08x}" != shard["crc32"]:
            raise ZooError(f"{out / shard['name']}: this shard is damaged (its checksum differs); delete {out}")


def _pack(workspace: Workspace, root: Path, settings: Settings, sources: list[Source], workers: int) -> None:
    from train.data import packing, shards

    started = time.monotonic()
    packer = packing.Packer(workspace, settings)
    stop = threading.Event()
    n_files = len(sources)
    resumed = sum(len(done["files"]) + len(done["skipped"]) for done in packer.written)
    if packer.written or any(workspace.parts.iterdir()):
        print(f"going on where an earlier run stopped, after {resumed} files in {len(packer.written)} shards")
    done: dict[int, Any] = {}
    running: dict[Future[Any], int] = {}
    waiting = iter(range(packer.next_file, n_files))
    decoded_s = 0.0
    with _Progress(sources, settings.sample_rate) as progress, ThreadPoolExecutor(workers) as pool:
        progress.skip(sum(s.bytes for s in sources[: packer.next_file]), packer.next_file)
        try:
            while packer.next_file < n_files:
                # a few more than are decoded, so that nobody waits while a shard is written
                while len(running) < 4 * workers and (number := next(waiting, None)) is not None:
                    if (record := workspace.record(number, settings.channels)) is not None:
                        done[number] = record
                        progress.skip(sources[number].bytes, 1)
                        continue
                    running[pool.submit(workspace.decode, root, number, sources[number], settings, stop)] = number
                while (record := done.pop(packer.next_file, None)) is not None:
                    packer.add(record)
                if not running:
                    continue
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    record = done[running.pop(future)] = future.result()
                    decoded_s += record.get("frames", 0) / settings.sample_rate
                    progress.advance(record)
            written = packer.finish()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if not any(record["files"] for record in written):
        shutil.rmtree(workspace.folder)
        raise ZooError(f"{root}: none of its {n_files} audio files can be read")
    whole.write_bytes(workspace.out / "index.json", packing.index_json(settings, written), sync=True)
    shutil.rmtree(workspace.folder)
    wall_s = time.monotonic() - started
    index = shards.read_index(workspace.out)
    assert index is not None
    speed = f", in {wall_s:.0f} s ({decoded_s / wall_s:.0f}× real time)" if decoded_s else ""
    print(f"prepared {_described(index)}{speed}")


def _described(index: Index) -> str:
    left_out = f" ({len(index.skipped)} left out)" if index.skipped else ""
    size_mb = sum(shard["frames"] for shard in index.shards) * 2 * index.channels / 1e6
    return (
        f"{len(index.files)} files{left_out}, {index.seconds / 3600:.2f} hours at {index.sample_rate} Hz with "
        f"{index.channels} channel(s), {len(index.shards)} shards, {size_mb:.0f} MB"
    )


class _Progress:
    """A bar by bytes of the library on a terminal; elsewhere a line every ten seconds. Names files that fall out."""

    def __init__(self, sources: list[Source], sample_rate: int) -> None:
        self._n_files, self._sample_rate = len(sources), sample_rate
        self._total = max(sum(source.bytes for source in sources), 1)
        self._files, self._bytes, self._decoded_bytes, self._decoded_s = 0, 0, 0, 0.0
        self._started = self._shown = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("preparing", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def skip(self, n_bytes: int, n_files: int) -> None:
        """Files that an earlier run has done."""
        self._bytes += n_bytes
        self._files += n_files

    def advance(self, record: dict[str, Any]) -> None:
        """A file is done, or cannot be read."""
        self.skip(record["bytes"], 1)
        self._decoded_bytes += record["bytes"]
        self._decoded_s += record.get("frames", 0) / self._sample_rate
        said = f"skipped {record['reason']}" if "reason" in record else record.get("note")
        if said:
            self._say(said)
        speed = f"{self._decoded_s / max(time.monotonic() - self._started, 1e-9):.0f}× real time"
        if self._bar is not None:
            text = f"{self._files}/{self._n_files} files, {speed}"
            self._bar.update(self._task, completed=self._bytes, description=text)
        elif time.monotonic() - self._shown >= PLAIN_INTERVAL_S:
            self._shown = time.monotonic()
            left_s = (self._total - self._bytes) * (self._shown - self._started) / max(self._decoded_bytes, 1)
            self._say(
                f"{self._files}/{self._n_files} files · {100 * self._bytes / self._total:.0f} % · {speed} · "
                f"{left_s / 60:.1f} min left"
            )

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
