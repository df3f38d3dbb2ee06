"""`python -m train prepare DIR OUT`: a library decoded and resampled once, into shards that training maps to memory."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tyro.conf import Positional, arg

from zoo.console.command import command
from zoo.errors import ZooError
from zoo.saved import whole
from zoo.wording import counted, speed

if TYPE_CHECKING:
    from train.data.listing import Listing, Source
    from train.data.packing import Settings, Workspace
    from train.data.target import Target
    from zoo.library.store import Store


@dataclass(frozen=True)
class Options:
    """Decodes and resamples all audio below DIR once, into a folder or store that --data.root takes.

    Takes folders, stores (s3://, gs://, hf://, https://), and in them audio files, tar archives (WebDataset) and
    Parquet of `datasets`.

    Stopped at any moment and run again, it goes on; what comes out is the same. On a finished folder it checks the
    shards. Files whose peak exceeds 1 (or does once resampled) are scaled down to it, not clipped.

    Examples:
      python -m train prepare ~/music ~/music24 --sample_rate 24000 --channels 1
      python -m train prepare s3://bucket/music ~/music24
      python -m train --model gan_vocoder --data.root ~/music24
    """

    dir: Positional[Annotated[str, arg(metavar="DIR")]]
    """folder or store of audio files, or archives of them, of any format, rate and number of channels"""
    out: Positional[Annotated[str, arg(metavar="OUT")]]
    """folder or store to write: shard-00000.npy, …, int16 (T, C), and index.json"""
    STORES: ClassVar = ("out",)
    sample_rate: int = 24000
    """Hz, as the model has it"""
    channels: int = 1
    """as the model has them; 2 serve models of one channel, too"""
    downmix: Literal["mix", "first"] = "mix"
    """how more channels than these are taken: mixed (5.1 and the like by ITU-R BS.775), or the first ones of them"""
    stream: int | None = None
    """which of the audio streams of a container (a film), from 0; None = the first"""
    shard_mb: float = 512
    """size of a shard in million bytes; a longer file has a shard of its own"""
    workers: int | None = None
    """files decoded at once; None = as many as there are cores"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train prepare", run, arguments, cached=False, extra="train")


def run(options: Options) -> None:
    """Prepares a library; raises ZooError for input that cannot be used, and where the disk is full."""
    from train.data import packing, target
    from zoo.audio.output import describe
    from zoo.audio.places import is_uri

    for name in ("sample_rate", "channels", "workers"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ZooError(f"--{name} must be at least 1, got {value}")
    if not options.shard_mb > 0:
        raise ZooError(f"--shard_mb must be positive, got {options.shard_mb}")
    if _lies_in(options.out, options.dir):
        raise ZooError(
            f"{options.out} lies in {options.dir}: its shards would be part of the library; choose another folder"
        )
    settings = packing.Settings(
        options.sample_rate, options.channels, float(options.shard_mb), options.downmix, options.stream
    )
    store, sources = _library(options.dir)
    out = target.of(options.out)
    if out.store is None and out.folder.exists() and not out.folder.is_dir():
        raise ZooError(f"{out.name}: is a file; prepare writes a folder")
    there = out.holds()
    if "index.json" in there and (prepared := _if_finished(out, settings, sources)):
        out.clear()
        print(f"{out.name} is prepared already, and intact: {prepared}")
        return
    begun = (out.folder / ".prepare").is_dir()
    if there and not begun:
        raise ZooError(f"{out.name}: is neither empty nor a prepared folder; choose another")
    try:
        workspace = packing.Workspace(out.folder)
        workspace.parts.mkdir(parents=True, exist_ok=True)
        with _alone(workspace.folder / "lock", out.name):
            _begin(workspace, out.name, settings, sources)
            _pack(workspace, store, out, settings, sources, options.workers or os.cpu_count() or 1)
    except OSError as error:
        again = "run the same command again and it goes on from here"
        place = out.folder if is_uri(out.name) else out.name
        raise ZooError(f"{place}: cannot be written ({describe(error)}); {again}") from error
    except KeyboardInterrupt:
        raise ZooError("interrupted; run the same command again and it goes on from here") from None


def _lies_in(out: str, root: str) -> bool:
    from zoo.audio.places import is_uri

    if is_uri(out) or is_uri(root):
        return f"{out.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
    return Path(out).resolve().is_relative_to(Path(root).resolve())


def _library(place: str) -> tuple[Store, Listing]:
    """Where files are read from, and all of them; raises ZooError where there is none."""
    from train.data import listing
    from zoo.audio.places import is_uri
    from zoo.library.store import Local, open_input

    if not is_uri(place) or place.startswith("file://"):
        folder = place.removeprefix("file://")
        return Local(folder), listing.of_folder(Path(folder))
    store, single = open_input(place)
    if single is not None:
        return store, listing.Listing([listing.Source(single.key, single.bytes, single.stamp)])
    return store, listing.of_store(store)


@contextlib.contextmanager
def _alone(path: Path, out: Path | str) -> Iterator[None]:
    """Held by one process at a time; a process that dies lets go of it."""
    with path.open("wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ZooError(f"{out}: another process is preparing this folder") from None
        yield


def _begin(workspace: Workspace, out: str, settings: Settings, sources: Listing) -> None:
    """Writes the plan, or compares it with that of the run which goes on here."""
    from train.data import listing, shards

    path = workspace.folder / "plan.json"
    if not path.is_file():
        with whole.file(path, sync=True) as stream:
            listing.write_plan(stream, {"version": shards.VERSION, **asdict(settings)}, sources)
        return
    before, files = listing.read_plan(path)
    _check_same(out, before, settings, files, sources)


def _check_same(out: str, before: dict[str, Any], now: Settings, earlier: Iterable[Source], sources: Listing) -> None:
    from train.data import listing

    wanted = asdict(now)
    was = {key: before.get(key, value) for key, value in {**wanted, "downmix": "mix", "stream": None}.items()}
    if was != wanted:
        changed = [key for key in wanted if was[key] != wanted[key] or key in ("sample_rate", "channels")]
        first, second = (", ".join(f"{key} {values[key]}" for key in changed) for values in (was, wanted))
        raise ZooError(f"{out} was prepared with {first}; asked for is {second}: choose another folder, or delete it")
    if found := listing.difference(earlier, sources):
        raise ZooError(
            f"{out} was prepared from other files: {found}; choose another folder, or delete it to start anew"
        )


def _if_finished(out: Target, settings: Settings, sources: Listing) -> str:
    """What a finished folder holds, when it is whole and what was asked for; "" where it holds something else."""
    from train.data import packing, shards

    with out.local("index.json") as path:
        head = shards.read_head(path, out.name)
        if head is None:
            return ""
        _check_same(out.name, head, settings, _sources_in(path), sources)
        for shard in shards.entries(path, "shards"):
            with out.local(shard["name"]) as file:
                if out.store is None:
                    shards.open_shard(file, shard["frames"], settings.channels)
                if f"{packing.checksum(file):08x}" != shard["crc32"]:
                    name = f"{out.name}/{shard['name']}"
                    raise ZooError(f"{name}: this shard is damaged (its checksum differs); delete {out.name}")
        return _described(path, settings)


def _sources_in(path: Path) -> Iterator[Source]:
    """The files that an index.json was made of, in the order of their paths."""
    from train.data import shards
    from train.data.listing import Source
    from zoo.audio.files import in_order

    def listed(key: str) -> Iterator[Source]:
        for entry in shards.entries(path, key):
            yield Source(entry.get("source", entry["name"]), entry["bytes"], entry["mtime_ns"])

    both = heapq.merge(listed("files"), listed("skipped"), key=lambda source: in_order(source.name))
    return (source for source, _ in itertools.groupby(both))  # an archive is one of them


def _pack(workspace: Workspace, store: Store, out: Target, settings: Settings, sources: Listing, workers: int) -> None:
    from train.data import packing
    from train.data.packing_progress import PackingProgress

    started = time.monotonic()
    packer = packing.Packer(workspace, settings, out.publish)
    stop = threading.Event()
    n_files = len(sources)
    if packer.n_shards or any(workspace.parts.iterdir()):
        print(
            f"going on where an earlier run stopped, after {counted(packer.next_file, 'file')} in "
            f"{counted(packer.n_shards, 'shard')}"
        )
    done: dict[int, Any] = {}
    running: dict[Future[Any], int] = {}
    waiting = iter(range(packer.next_file, n_files))
    decoded_s = 0.0
    with PackingProgress(sources, settings.sample_rate) as progress, ThreadPoolExecutor(workers) as pool:
        progress.skip(sources.n_bytes(0, packer.next_file), packer.next_file)
        try:
            while packer.next_file < n_files:
                # a few more than are decoded, so that nobody waits while a shard is written
                while len(running) < 4 * workers and (number := next(waiting, None)) is not None:
                    if (record := workspace.record(number, settings.channels)) is not None:
                        done[number] = record
                        progress.skip(sources[number].bytes, 1)
                        continue
                    running[pool.submit(workspace.decode, store, number, sources[number], settings, stop)] = number
                while (record := done.pop(packer.next_file, None)) is not None:
                    packer.add(record)
                if not running:
                    continue
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    record = done[running.pop(future)] = future.result()
                    decoded_s += sum(entry.get("frames", 0) for entry in packing.entries(record)) / settings.sample_rate
                    progress.advance(record)
            packer.finish()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if not packer.n_files:
        shutil.rmtree(workspace.folder)
        raise ZooError(f"{store.name}: none of its {n_files} audio files can be read")
    index = workspace.out / "index.json"
    with whole.file(index, sync=True) as stream:
        packing.write_index(stream, settings, workspace)
    wall_s = time.monotonic() - started
    so_fast = f", in {wall_s:.0f} s ({speed(decoded_s, wall_s)})" if decoded_s else ""
    said = f"prepared {_described(index, settings)}{so_fast}"
    channels = _channels(index)
    out.publish(index.name)
    out.clear()
    print(said)
    for line in channels:
        print(line)


def _channels(index: Path) -> list[str]:
    """What became of files with more channels than two, a line to each kind."""
    from train.data import shards

    found = Counter(entry["channels"] for entry in shards.entries(index, "files") if "channels" in entry)
    return [f"{counted(n, 'file')} of {said}" for said, n in found.items()]


def _described(index: Path, settings: Settings) -> str:
    from train.data import shards

    n_files, n_skipped = (sum(1 for _ in shards.entries(index, key)) for key in ("files", "skipped"))
    frames = [shard["frames"] for shard in shards.entries(index, "shards")]
    hours = sum(frames) / settings.sample_rate / 3600
    left_out = f" ({n_skipped} left out)" if n_skipped else ""
    return (
        f"{counted(n_files, 'file')}{left_out}, {hours:.2f} hours at {settings.sample_rate} Hz "
        f"with {counted(settings.channels, 'channel')}, {counted(len(frames), 'shard')}, "
        f"{sum(frames) * 2 * settings.channels / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
