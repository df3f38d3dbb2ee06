"""From a library of audio files to shards: each file decoded to a part of its own, parts in order packed into shards.

What a run has done lies in OUT/.prepare: plan.json, the settings and every source file; parts/0000012.json, what came
of a file, and beside it its samples; shard-00000.json, the files of a shard that is written. Each appears whole, under
its name, after what it speaks of, so that a run that was killed goes on where it was, and its shards have the bytes of
an undisturbed one: what goes into which shard depends on the plan and the decoded lengths alone. An archive is a file
of which many recordings come, which may lie in several shards.
"""

from __future__ import annotations

import json
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from train.data import shards
from train.data.files import group_of
from train.data.listing import Source, to_json
from zoo.audio import open_reader
from zoo.audio.loudspeakers import Downmix
from zoo.audio.resampler import Resampler
from zoo.audio.samples import mix_channels
from zoo.audio.taking import Taken
from zoo.errors import ZooError
from zoo.library.clips import Clip, clips, is_archive
from zoo.library.store import File, Store
from zoo.saved import whole

BLOCK = 1 << 16
"""frames that are decoded at once"""
_SPOOL_BYTES = 1 << 26  # of float32 samples of a file that are kept in memory; a longer one's lie on disk meanwhile
_COPY_BYTES = 1 << 22

Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What decides on the contents of a prepared folder."""

    sample_rate: int
    """Hz"""
    channels: int
    shard_mb: float
    """a shard ends before the file that would make it larger than that many million bytes"""
    downmix: Downmix = "mix"
    """how more channels become as many"""
    stream: int | None = None
    """which audio stream of a container"""


class Stopped(Exception):
    """Raised in workers when the run ends early."""


class Workspace:
    """OUT/.prepare: what has been done so far."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / ".prepare"
        self.parts = self.folder / "parts"

    def record_path(self, number: int) -> Path:
        return self.parts / f"{number:07d}.json"

    def samples_path(self, number: int) -> Path:
        return self.parts / f"{number:07d}.pcm"

    def shard_path(self, number: int) -> Path:
        """Where the record of a written shard lies."""
        return self.folder / f"shard-{number:05d}.json"

    def record(self, number: int, channels: int) -> Record | None:
        """What came of file `number`, None if it has not been decoded."""
        try:
            record: Record = json.loads(self.record_path(number).read_bytes())
            n_frames = sum(entry.get("frames", 0) for entry in entries(record))
            n_bytes = self.samples_path(number).stat().st_size if n_frames else 0
        except (FileNotFoundError, ValueError):
            return None
        # parts are not forced onto the disk: after a loss of power, one may be shorter than its record says
        return record if n_bytes == n_frames * 2 * channels else None

    def finished_shards(self) -> Iterator[Record]:
        """The records of shards that are written, in order, one after the other."""
        number = 0
        while (path := self.shard_path(number)).is_file():
            yield json.loads(path.read_bytes())
            number += 1

    def decode(self, store: Store, number: int, source: Source, settings: Settings, stop: threading.Event) -> Record:
        """Decodes a file to its part and returns its record: of its place in the index, or of why it is left out.

        Of an archive the record has "members", a record to each recording in it. Raises OSError if the part cannot be
        written, Stopped if `stop` was set, ZooError if the store fails.
        """
        about: Record = {"name": source.name, "bytes": source.bytes, "mtime_ns": source.mtime_ns}
        members: list[Record] = []
        with whole.file(self.samples_path(number)) as stream:
            for clip in clips(store, File(source.name, source.bytes)):
                members.append(self._decode(clip, about, stream, settings, stop))
        inside = is_archive(source.name)
        record = {**about, "members": members} if inside else members[0]
        if not any("frames" in member for member in members):
            self.samples_path(number).unlink(missing_ok=True)
        whole.write_bytes(self.record_path(number), to_json(record))
        return record

    def _decode(self, clip: Clip, about: Record, stream: BinaryIO, settings: Settings, stop: threading.Event) -> Record:
        """Appends a recording to a part; returns its record."""
        record: Record = {**about, "name": clip.key}
        if clip.key != about["name"]:
            record["source"] = about["name"]
        if clip.path is None:
            return record | {"reason": f"{clip.key}: {clip.reason}"}

        def said(line: str) -> str:
            """Of a copy the name means nothing to anyone, and a library may be moved."""
            return line.replace(str(clip.path), clip.key)

        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(self.parts)) as spool:
            try:
                peak, note, taken = _read(clip.path, spool, settings, stop)
            except ZooError as error:
                return record | {"reason": said(str(error))}
            record["frames"] = spool.tell() // (4 * settings.channels)
            if peak > 1:
                record["gain_db"] = round(-20 * float(np.log10(peak)), 3)
            if taken.source_channels > 2 and not taken.is_whole:
                record["channels"] = str(taken)
            if note:
                record["note"] = said(note)
            _round(spool, stream, 1 / max(peak, 1.0), stop)
        return record


def entries(record: Record) -> list[Record]:
    """The records of the recordings in a file: itself, or the members of an archive."""
    members: list[Record] | None = record.get("members")
    return [record] if members is None else members


def _read(path: Path, spool: Any, settings: Settings, stop: threading.Event) -> tuple[float, str | None, Taken]:
    """Writes a file's float32 samples at the wanted rate and channels to `spool`.

    Returns its peak, what is wrong with it, and what became of its channels.
    """
    peak = 0.0
    with open_reader(path, stream=settings.stream) as reader:
        taken = Taken(settings.downmix, reader.channels, reader.layout, settings.channels)
        # fewer channels to resample
        resampler = Resampler(reader.sample_rate, settings.sample_rate, taken.channels)
        ended = False
        while not ended:
            if stop.is_set():
                raise Stopped
            block = reader.read(BLOCK)
            ended = not len(block)
            if ended:
                block = resampler.finish()
            else:
                block = resampler.push(taken(block))
            if len(block):
                block = np.ascontiguousarray(mix_channels(block, settings.channels))
                peak = max(peak, float(block.max()), -float(block.min()))
                spool.write(block.data)
        return peak, reader.warning, taken


def _round(spool: Any, stream: BinaryIO, gain: float, stop: threading.Event) -> None:
    """Rounds to 16 bits, without dither: a 16-bit file at the same rate stays as it is, and silence silent."""
    spool.seek(0)
    while data := spool.read(_COPY_BYTES):
        if stop.is_set():
            raise Stopped
        samples = np.rint(np.frombuffer(data, np.float32) * np.float32(gain * shards.FULL_SCALE))
        stream.write(np.clip(samples, -32768, 32767, out=samples).astype(shards.DTYPE).data)


@dataclass(frozen=True)
class _Placed:
    """A recording in the shard that is filled: the file that it is of, its number in there, and its first byte."""

    file: int
    member: int
    start: int
    record: Record


class Packer:
    """Takes the records of files in the plan's order and writes shards; raises OSError where that fails."""

    def __init__(self, workspace: Workspace, settings: Settings, publish: Callable[[str], None] = lambda _: None):
        """`publish` is called with the name of each shard that is written, before that is written down."""
        self._workspace, self._settings, self._publish = workspace, settings, publish
        self._limit = settings.shard_mb * 1e6 / (2 * settings.channels)  # frames
        self._open: list[_Placed] = []
        self._frames = 0
        self.n_shards = self.n_files = 0
        """that are written, and the recordings in them"""
        self.next_file = self._next_member = 0
        """number of the file in the plan that `add` takes next, and of the recording in there"""
        for done in workspace.finished_shards():
            self._count(done)
            self.next_file, self._next_member = done["next_file"], done.get("next_member", 0)
        self._done_file = self.next_file

    def add(self, record: Record) -> None:
        """The next file of the plan; the shard before it is written if this one no longer fits in."""
        start = 0
        for member, entry in enumerate(entries(record)):
            frames = entry.get("frames", 0)
            if member >= self._next_member:
                if self._frames and self._frames + frames > self._limit:
                    self._close(self.next_file, member)
                self._open.append(_Placed(self.next_file, member, start, entry))
                self._frames += frames
            start += frames * 2 * self._settings.channels
        self.next_file, self._next_member = self.next_file + 1, 0

    def finish(self) -> None:
        """Writes the last shard."""
        if self._open:
            self._close(self.next_file, 0)

    def _close(self, next_file: int, next_member: int) -> None:
        name = shards.shard_name(self.n_shards)
        kept = [placed for placed in self._open if "frames" in placed.record]
        skipped = [placed.record for placed in self._open if "frames" not in placed.record]
        frames = self._frames
        crc = self._write(self._workspace.out / name, kept, frames) if kept else 0
        files, start = [], 0
        for placed in kept:
            group = group_of(placed.record["name"])
            files.append({**placed.record, "group": group, "shard": self.n_shards, "start": start})
            start += placed.record["frames"]
        shard = {"name": name, "frames": frames, "crc32": f"{crc:08x}"} if kept else None
        done = {"shard": shard, "files": files, "skipped": skipped, "next_file": next_file, "next_member": next_member}
        if shard:
            self._publish(name)
        whole.write_bytes(self._workspace.shard_path(self.n_shards), to_json(done), sync=True)
        self._count(done)
        for number in range(self._done_file, next_file):
            self._workspace.record_path(number).unlink(missing_ok=True)
            self._workspace.samples_path(number).unlink(missing_ok=True)
        self._done_file = next_file
        self._open, self._frames = [], 0

    def _count(self, done: Record) -> None:
        self.n_shards += 1
        self.n_files += len(done["files"])

    def _write(self, path: Path, kept: list[_Placed], frames: int) -> int:
        """Writes the shard of these recordings and returns its checksum, header included."""
        frame_bytes = 2 * self._settings.channels
        with whole.file(path, sync=True) as stream:
            header = {"descr": shards.DTYPE.str, "fortran_order": False, "shape": (frames, self._settings.channels)}
            np.lib.format.write_array_header_1_0(stream, header)
            for placed in kept:
                with self._workspace.samples_path(placed.file).open("rb") as part:
                    part.seek(placed.start)
                    _copy(part, stream, placed.record["frames"] * frame_bytes)
            stream.seek(0)
            return _checksum(stream)


def _copy(source: BinaryIO, target: BinaryIO, n_bytes: int) -> None:
    while n_bytes > 0 and (data := source.read(min(n_bytes, _COPY_BYTES))):
        target.write(data)
        n_bytes -= len(data)


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    with path.open("rb") as stream:
        return _checksum(stream)


def _checksum(stream: BinaryIO) -> int:
    crc = 0
    while data := stream.read(_COPY_BYTES):
        crc = zlib.crc32(data, crc)
    return crc


def write_index(stream: BinaryIO, settings: Settings, workspace: Workspace) -> None:
    """Writes index.json, a line to each shard, file and skipped file, from what was written down of each shard."""
    stream.write(to_json({"format": shards.FORMAT, "version": shards.VERSION, **asdict(settings)})[:-1])
    for key in ("shards", "files", "skipped"):
        separator = b',\n"%s":[' % key.encode()
        empty = True
        for done in workspace.finished_shards():
            of_shard = ([done["shard"]] if done["shard"] else []) if key == "shards" else done[key]
            for entry in of_shard:
                stream.write((separator + b"\n" if empty else b",\n") + to_json(entry))
                empty = False
        stream.write(separator + b"]" if empty else b"\n]")
    stream.write(b"}\n")
