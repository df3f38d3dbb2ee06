"""From a library of audio files to shards: each file decoded to a part of its own, parts in order packed into shards.

What a run has done lies in OUT/.prepare: plan.json, the settings and every source file; parts/0000012.json, what came
of a file, and beside it its samples; shard-00000.json, the files of a shard that is written. Each appears whole, under
its name, after what it speaks of, so that a run that was killed goes on where it was, and its shards have the bytes of
an undisturbed one: what goes into which shard depends on the plan and the decoded lengths alone.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from train.data import shards
from train.data.files import group_of
from zoo import audio
from zoo.audio import open_reader
from zoo.audio.resampler import Resampler
from zoo.errors import ZooError
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


@dataclass(frozen=True)
class Source:
    """A file of the library: its path below the root with forward slashes, its length and time of change."""

    name: str
    bytes: int
    mtime_ns: int


class Stopped(Exception):
    """Raised in workers when the run ends early."""


def scan(root: Path) -> list[Source]:
    """All audio files below `root`, sorted; raises ZooError where there is none."""
    found = []
    for path in audio.find_files(root):
        name = path.relative_to(root).as_posix()
        try:
            stat = path.stat()
            found.append(Source(name, stat.st_size, stat.st_mtime_ns))
        except OSError:  # a link that leads nowhere, a folder that is closed: decoding it will say so
            found.append(Source(name, 0, 0))
    return found


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


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

    def record(self, number: int, channels: int) -> Record | None:
        """What came of file `number`, None if it has not been decoded."""
        try:
            record: Record = json.loads(self.record_path(number).read_bytes())
            n_bytes = self.samples_path(number).stat().st_size if "frames" in record else 0
        except (FileNotFoundError, ValueError):
            return None
        # parts are not forced onto the disk: after a loss of power, one may be shorter than its record says
        return record if n_bytes == record.get("frames", 0) * 2 * channels else None

    def finished_shards(self) -> list[Record]:
        """The records of shards that are written, in order."""
        found: list[Record] = []
        while (path := self.folder / f"shard-{len(found):05d}.json").is_file():
            found.append(json.loads(path.read_bytes()))
        return found

    def decode(self, root: Path, number: int, source: Source, settings: Settings, stop: threading.Event) -> Record:
        """Decodes a file to its part and returns its record: of its place in the index, or of why it is left out.

        Raises OSError if the part cannot be written, Stopped if `stop` was set.
        """
        record: Record = {"name": source.name, "bytes": source.bytes, "mtime_ns": source.mtime_ns}
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(self.parts)) as spool:
            try:
                peak, note = _read(root / source.name, spool, settings, stop)
            except ZooError as error:
                record["reason"] = str(error).replace(f"{root}{os.sep}", "")
                whole.write_bytes(self.record_path(number), to_json(record))
                return record
            record["frames"] = spool.tell() // (4 * settings.channels)
            if peak > 1:
                record["gain_db"] = round(-20 * float(np.log10(peak)), 3)
            if note:
                record["note"] = note.replace(f"{root}{os.sep}", "")
            with whole.file(self.samples_path(number)) as stream:
                _round(spool, stream, 1 / max(peak, 1.0), stop)
        whole.write_bytes(self.record_path(number), to_json(record))
        return record


def _read(path: Path, spool: Any, settings: Settings, stop: threading.Event) -> tuple[float, str | None]:
    """Writes a file's float32 samples at the wanted rate and channels to `spool`: its peak, what is wrong with it."""
    peak = 0.0
    with open_reader(path) as reader:
        mixed_first = settings.channels < reader.channels  # fewer channels to resample
        channels = settings.channels if mixed_first else reader.channels
        resampler = Resampler(reader.sample_rate, settings.sample_rate, channels)
        ended = False
        while not ended:
            if stop.is_set():
                raise Stopped
            block = reader.read(BLOCK)
            ended = not len(block)
            if ended:
                block = resampler.finish()
            else:
                block = resampler.push(audio.mix_channels(block, channels))
            if len(block):
                block = np.ascontiguousarray(audio.mix_channels(block, settings.channels))
                peak = max(peak, float(block.max()), -float(block.min()))
                spool.write(block.data)
        return peak, reader.warning


def _round(spool: Any, stream: BinaryIO, gain: float, stop: threading.Event) -> None:
    """Rounds to 16 bits, without dither: a 16-bit file at the same rate stays as it is, and silence silent."""
    spool.seek(0)
    while data := spool.read(_COPY_BYTES):
        if stop.is_set():
            raise Stopped
        samples = np.rint(np.frombuffer(data, np.float32) * np.float32(gain * shards.FULL_SCALE))
        stream.write(np.clip(samples, -32768, 32767, out=samples).astype(shards.DTYPE).data)


class Packer:
    """Takes the records of files in the plan's order and writes shards; raises OSError where that fails."""

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._workspace, self._settings = workspace, settings
        self._limit = settings.shard_mb * 1e6 / (2 * settings.channels)  # frames
        self.written = workspace.finished_shards()
        """the records of the shards that are written"""
        self._open: list[tuple[int, Record]] = []
        self._frames = 0
        self.next_file = self.written[-1]["next_file"] if self.written else 0
        """number of the file in the plan that `add` takes next"""

    def add(self, record: Record) -> None:
        """The next file of the plan; the shard before it is written if this one no longer fits in."""
        frames = record.get("frames", 0)
        if self._frames and self._frames + frames > self._limit:
            self._close()
        self._open.append((self.next_file, record))
        self._frames += frames
        self.next_file += 1

    def finish(self) -> list[Record]:
        """Writes the last shard; the records of all."""
        if self._open:
            self._close()
        return self.written

    def _close(self) -> None:
        name = shards.shard_name(len(self.written))
        kept = [(number, record) for number, record in self._open if "frames" in record]
        skipped = [record for _, record in self._open if "frames" not in record]
        frames = self._frames
        crc = self._write(self._workspace.out / name, kept, frames) if kept else 0
        files, start = [], 0
        for _, record in kept:
            group = group_of(Path(record["name"]))
            files.append({**record, "group": group, "shard": len(self.written), "start": start})
            start += record["frames"]
        shard = {"name": name, "frames": frames, "crc32": f"{crc:08x}"} if kept else None
        done = {"shard": shard, "files": files, "skipped": skipped, "next_file": self.next_file}
        whole.write_bytes(self._workspace.folder / f"shard-{len(self.written):05d}.json", to_json(done), sync=True)
        self.written.append(done)
        for number, _ in self._open:
            self._workspace.record_path(number).unlink(missing_ok=True)
            self._workspace.samples_path(number).unlink(missing_ok=True)
        self._open, self._frames = [], 0

    def _write(self, path: Path, kept: list[tuple[int, Record]], frames: int) -> int:
        """Writes the shard of these parts and returns its checksum, header included."""
        with whole.file(path, sync=True) as stream:
            header = {"descr": shards.DTYPE.str, "fortran_order": False, "shape": (frames, self._settings.channels)}
            np.lib.format.write_array_header_1_0(stream, header)
            for number, _ in kept:
                with self._workspace.samples_path(number).open("rb") as part:
                    shutil.copyfileobj(part, stream, _COPY_BYTES)
            stream.seek(0)
            return _checksum(stream)


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    with path.open("rb") as stream:
        return _checksum(stream)


def _checksum(stream: BinaryIO) -> int:
    crc = 0
    while data := stream.read(_COPY_BYTES):
        crc = zlib.crc32(data, crc)
    return crc


def plan(settings: Settings, sources: list[Source]) -> Record:
    """What plan.json holds."""
    return {"version": shards.VERSION, **asdict(settings), "files": [list(vars(source).values()) for source in sources]}


def index_json(settings: Settings, written: list[Record]) -> bytes:
    """index.json, a line to each shard, file and skipped file."""
    head = {"format": shards.FORMAT, "version": shards.VERSION, **asdict(settings)}
    lists = {
        "shards": [record["shard"] for record in written if record["shard"]],
        "files": [file for record in written for file in record["files"]],
        "skipped": [file for record in written for file in record["skipped"]],
    }
    parts = [to_json(head)[:-1]]
    for key, entries in lists.items():
        lines = b",\n".join(to_json(entry) for entry in entries)
        parts.append(b'"%s":[%s]' % (key.encode(), b"\n" + lines + b"\n" if lines else b""))
    return b",\n".join(parts) + b"}\n"
