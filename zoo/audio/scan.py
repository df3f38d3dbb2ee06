"""All audio files of a folder, examined once: what is known of them is kept, and checked by size and time.

A large library takes minutes to examine (0.2 to 3 ms a file, a whole decoding of what only FFmpeg reads), a moment to
look up. The index lies in the user's cache, so that every run on a folder shares it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from zoo.audio.decoders.container import ContainerPart
from zoo.audio.decoders.inspect import FileInfo, inspect
from zoo.audio.decoders.library import LibraryPart
from zoo.audio.decoders.mpeg_source import MpegPart
from zoo.audio.decoders.pcm import PcmPart
from zoo.errors import ZooError
from zoo.saved import user_cache, whole

_VERSION = 2
_WORTH_KEEPING_S = 1.0
_SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was examined may have changed again at the same time of its clock."""
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (PcmPart, LibraryPart, MpegPart, ContainerPart)}

Scanned = FileInfo | str
"""what a file is, or why it cannot be read"""


def scan(
    root: Path, paths: Sequence[Path], *, stream: int | None = None, advance: Callable[[int], None] = lambda _: None
) -> list[Scanned]:
    """What each of `paths`, files below `root`, is; those that have not changed since the last time are not opened.

    `stream` chooses among the audio streams of containers. `advance` is called with a number of files whenever so many
    more are known. What a scan that is interrupted has found is kept, too.
    """
    begun = time.monotonic()
    index = _Index(root, stream)
    result: list[Scanned | None] = [index.get(path) for path in paths]
    new = [number for number, info in enumerate(result) if info is None]
    advance(len(paths) - len(new))

    def examine(number: int) -> None:
        path = paths[number]
        before = stamp(path)
        result[number] = info = _examine(path, stream)
        # why a file could not be read may have passed by the next time
        if before is not None and not isinstance(info, str):
            index.put(path, before, info)

    # in threads: decoders let go of the interpreter, and on network disks the time goes into waiting
    pool = ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1)))
    try:
        for _ in pool.map(examine, new):
            advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
        if new and time.monotonic() - begun > _WORTH_KEEPING_S:
            index.save(paths)
    return [info for info in result if info is not None]  # which is all


def _examine(path: Path, stream: int | None) -> Scanned:
    try:
        return inspect(path, stream=stream)
    except ZooError as error:
        return str(error)


class _Index:
    """A file of the user's cache that says what the files of a folder are, as the last scan met them."""

    def __init__(self, root: Path, stream: int | None) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24]
        folder = user_cache.folder("audio")
        self._root, self._prefix = root, str(root / "x")[:-1]
        self._path = folder / f"{name}{f'-{stream}' if stream else ''}.json" if folder is not None else None
        self._files: dict[str, list[Any]] = {}
        try:
            stored = json.loads(self._path.read_bytes()) if self._path is not None else {}
            if stored.get("engines") == _engines() and isinstance(stored["files"], dict):
                self._files = stored["files"]
        except (OSError, ValueError, KeyError, AttributeError):
            pass  # none yet, or damaged: the files themselves will tell

    def get(self, path: Path) -> FileInfo | None:
        entry = self._files.get(self._name(path))
        if entry is None or entry[:2] != stamp(path):
            return None
        try:
            return _restored(path, entry[2:])
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, path: Path, stamped: list[int], info: FileInfo) -> None:
        """Takes down what a file is, which had this stamp before it was examined, unless it may change, or has."""
        if stamped == stamp(path) and time.time_ns() - stamped[1] > _SETTLED_NS:
            self._files[self._name(path)] = [*stamped, *_stored(path, info)]

    def save(self, paths: Sequence[Path]) -> None:
        """Writes down what is known of these files, whole or not at all; one that cannot be written does no harm."""
        if self._path is None:
            return
        names = map(self._name, paths)
        files = {name: entry for name in names if (entry := self._files.get(name)) is not None}
        data = json.dumps({"engines": _engines(), "files": files}, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with whole.file(self._path, unique=True) as stream:
                stream.write(data)

    def _name(self, path: Path) -> str:
        whole_path = str(path)
        if whole_path.startswith(self._prefix):
            return whole_path[len(self._prefix) :]
        return os.path.relpath(path, self._root)


def _engines() -> list[str]:
    """What the answers depend on besides the files."""
    versions = [str(_VERSION), importlib.metadata.version("soundfile")]
    try:
        versions.append(importlib.metadata.version("av"))
    except importlib.metadata.PackageNotFoundError:
        versions.append("")
    return versions


def stamp(path: Path) -> list[int] | None:
    """Size and time of a file, which change where it does; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else None


def _stored(path: Path, info: FileInfo) -> list[Any]:
    """Converts a result to JSON; lines that begin with the path keep what follows it, as the folder may be renamed."""
    warning = info.warning and info.warning.replace(str(path), "\0")
    parts = [[type(part).__name__, *_plain(dataclasses.astuple(part))] for part in info.parts]  # type: ignore[call-overload]
    return [
        info.sample_rate, info.channels, info.n_samples, info.engine, info.format, info.header_samples, warning, parts
    ]  # fmt: skip


def _plain(values: Any) -> Any:
    """Tuples as lists, bytes as {"hex": …}."""
    if isinstance(values, bytes):
        return {"hex": values.hex()}
    return [_plain(value) for value in values] if isinstance(values, tuple) else values


def _rich(values: Any) -> Any:
    if isinstance(values, dict):
        return bytes.fromhex(values["hex"])
    return tuple(_rich(value) for value in values) if isinstance(values, list) else values


def _restored(path: Path, stored: list[Any]) -> FileInfo:
    sample_rate, channels, n_samples, engine, kind, header_samples, warning, parts = stored
    rich = tuple(_KINDS[part[0]](*_rich(part[1:])) for part in parts)
    warning = warning and warning.replace("\0", str(path))
    return FileInfo(
        path,
        sample_rate,
        channels=channels,
        n_samples=n_samples,
        engine=engine,
        format=kind,
        header_samples=header_samples,
        warning=warning,
        parts=rich,
    )
