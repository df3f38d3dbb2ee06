"""The clips in the files of a store, as samples: audio files, tar archives (WebDataset), and Parquet with audio."""

from __future__ import annotations

import contextlib
import os
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from zoo.audio import SUFFIXES, open_reader
from zoo.audio.loudspeakers import Layout
from zoo.audio.output import describe
from zoo.console import extras
from zoo.console.terminal import printable
from zoo.errors import ZooError, one_line
from zoo.library.store import File, Store

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
PARQUET = (".parquet",)
OTHER_ARCHIVES = (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst", ".iso")
"""of which the members are not read"""
BLOCK_SAMPLES = 1 << 15
ROWS_AT_ONCE = 8
"""of Parquet: a recording may have many megabytes"""


@dataclass(frozen=True)
class Clip:
    """One recording: where it comes from, and a file that holds it, or why there is none."""

    key: str
    """names it among all of an input"""
    source: str
    """the file that it is in, and its name in there"""
    path: Path | None
    reason: str = ""


@dataclass(frozen=True)
class Begin:
    """The samples of a clip come next, as blocks (m, channels)."""

    clip: Clip
    sample_rate: int
    channels: int
    layout: Layout = ()
    """the loudspeakers of the channels; empty where none are meant"""


@dataclass(frozen=True)
class End:
    """The samples of a clip are all there; a line on what was missing or put right in its file."""

    warning: str | None


@dataclass(frozen=True)
class Failed:
    """A clip that cannot be read, or not to its end: what has come of it is to be forgotten."""

    key: str
    source: str
    reason: str


Event = Begin | End | Failed | np.ndarray


def is_input(key: str) -> bool:
    """Whether a file may hold audio, by the end of its name: archives that are not read too, to be complained of."""
    return key.lower().endswith((*SUFFIXES, *TARS, *PARQUET, *OTHER_ARCHIVES))


def is_archive(key: str) -> bool:
    """Whether a file holds others, or a table with audio, by the end of its name."""
    return key.lower().endswith((*TARS, *PARQUET))


def events(store: Store, file: File, *, stream: int | None = None) -> Iterator[Event]:
    """All samples of all clips of a file in their order; what cannot be read is a `Failed` among them.

    `stream` chooses among the audio streams of containers. Raises ZooError where the store itself fails.
    """
    for found in clips(store, file):
        # bytes of names that are no text go into no table
        clip = replace(found, key=printable(found.key), source=printable(found.source))
        if clip.path is None:
            yield Failed(clip.key, clip.source, clip.reason)
        else:
            yield from _samples(clip, clip.path, stream)


def _samples(clip: Clip, path: Path, stream: int | None) -> Iterator[Event]:
    def failed(error: Exception) -> Failed:
        # of a copy, the name means nothing to anyone
        said = one_line(error).replace(f"{path}: ", "").replace(str(path), clip.source)
        return Failed(clip.key, clip.source, said if isinstance(error, ZooError) else f"{type(error).__name__}: {said}")

    # decoders of a dozen formats, on files that anyone may have made: no error of theirs may end the others' work
    try:
        reader = open_reader(path, stream=stream)
    except Exception as error:
        yield failed(error)
        return
    with reader:
        yield Begin(clip, reader.sample_rate, reader.channels, reader.layout)
        while True:
            try:
                block = reader.read(BLOCK_SAMPLES)
            except Exception as error:
                yield failed(error)
                return
            if not len(block):
                break
            yield block
        yield End(reader.warning and reader.warning.replace(str(path), clip.source))


def clips(store: Store, file: File) -> Iterator[Clip]:
    """The clips of a file; the path of each holds until the next one is asked for."""
    name = file.key.lower()
    if name.endswith(TARS):
        inside = _of_tar
    elif name.endswith(PARQUET):
        inside = _of_parquet
    elif name.endswith(OTHER_ARCHIVES):
        yield Clip(file.key, file.key, None, "is an archive of a kind that is not read: unpack it, or make it a tar")
        return
    else:
        with store.local(file.key) as path:
            yield Clip(file.key, file.key, path)
        return
    with store.local(file.key) as path, tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        found = False
        for clip in inside(file.key, path, Path(folder)):
            found = True
            yield clip
        if not found:
            yield Clip(file.key, file.key, None, "holds no audio")


def _of_tar(key: str, path: Path, folder: Path) -> Iterator[Clip]:
    """The audio files of an archive, one after the other; archives in it are not opened."""
    seen: Counter[str] = Counter()
    try:
        with tarfile.open(path) as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would remember a million of them
                name = member.name.removeprefix("./")
                if not member.isfile() or PurePosixPath(name).name.startswith("."):
                    continue
                seen[name] += 1
                own = f"{key}/{name}" + (f"#{seen[name]}" if seen[name] > 1 else "")
                if name.lower().endswith((*TARS, *PARQUET, *OTHER_ARCHIVES)):
                    yield Clip(own, f"{key}/{name}", None, "is an archive in an archive, which is not opened")
                elif ".." in PurePosixPath(name).parts:
                    yield Clip(own, f"{key}/{name}", None, "has a name that leads out of its archive")
                elif name.lower().endswith(tuple(SUFFIXES)):
                    stream = archive.extractfile(member)
                    assert stream is not None  # of a file there is one
                    with _written(folder, name, stream.read()) as copy:
                        yield Clip(own, f"{key}/{name}", copy)
    except ZooError:
        raise
    except Exception as error:  # of a damaged archive, or a compressor
        yield Clip(key, key, None, f"this archive cannot be read to its end ({one_line(error)})")


def _of_parquet(key: str, path: Path, folder: Path) -> Iterator[Clip]:
    """The rows of a table whose audio is a struct of `bytes` and `path`, as the `datasets` library writes it."""
    extras.require("tokens")
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
        schema = table.schema_arrow
    except Exception as error:  # of many kinds
        yield Clip(key, key, None, f"is no Parquet that can be read ({one_line(error)})")
        return
    with table:
        column = _audio_column(schema)
        if column is None:
            columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
            yield Clip(key, key, None, f"has no column of audio (a struct with bytes); its columns: {columns}"[:500])
            return
        row = 0
        try:
            for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column]):
                for value in batch.column(0):
                    own, audio = f"{key}/{row}", value.as_py()
                    row += 1
                    data, name = (audio, None) if isinstance(audio, bytes) else _parts(audio)
                    source = f"{own} ({name})" if name else own
                    if data is None:
                        why = "holds a path and no bytes" if name else "holds no audio"
                        yield Clip(own, source, None, why)
                        continue
                    with _written(folder, name or "", data) as copy:
                        yield Clip(own, source, copy)
        except ZooError:
            raise
        except Exception as error:  # of many kinds
            yield Clip(f"{key}/{row}", key, None, f"cannot be read from row {row} on ({one_line(error)})")


def _parts(audio: Any) -> tuple[bytes | None, str | None]:
    return (audio.get("bytes"), audio.get("path")) if isinstance(audio, dict) else (None, None)


def _audio_column(schema: Any) -> str | None:
    """The column that holds audio: a struct with binary `bytes`, or one named audio that is binary itself."""
    import pyarrow as pa

    def is_binary(kind: Any) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def holds_audio(field: Any) -> bool:
        if pa.types.is_struct(field.type):
            at = field.type.get_field_index("bytes")
            return at >= 0 and is_binary(field.type.field(at).type)
        return field.name == "audio" and is_binary(field.type)

    found = [field.name for field in schema if holds_audio(field)]
    return "audio" if "audio" in found else next(iter(found), None)


@contextlib.contextmanager
def _written(folder: Path, name: str, data: bytes) -> Iterator[Path]:
    copy = folder / ("clip" + os.path.splitext(name)[1][:16].replace("/", ""))
    try:
        copy.write_bytes(data)
    except OSError as error:
        raise ZooError(f"{folder}: {name} cannot be copied here ({describe(error)})") from None
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)
