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

_VERSION = 1
_WORTH_KEEPING_S = 1.0
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (PcmPart, LibraryPart, MpegPart, ContainerPart)}

Scanned = FileInfo | str
"""what a file is, or why it cannot be read"""


def scan(root: Path, paths: Sequence[Path], *, advance: Callable[[int], None] = lambda _: None) -> list[Scanned]:
    """What each of `paths`, files below `root`, is; those that have not changed since the last time are not opened.

    `advance` is called with a number of files whenever so many more are known.
    """
    begun = time.monotonic()
    index = _Index(root)
    known = [index.get(path) for path in paths]
    advance(sum(info is not None for info in known))
    new = [path for path, info in zip(paths, known) if info is None]
    found = {}
    # in threads: decoders let go of the interpreter, and on network disks the time goes into waiting
    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
        for path, info in zip(new, pool.map(_examine, new)):
            found[path] = info
            advance(1)
    result = [found[path] if info is None else info for path, info in zip(paths, known)]
    if new and time.monotonic() - begun > _WORTH_KEEPING_S:
        index.save(paths, result)
    return result


def _examine(path: Path) -> Scanned:
    try:
        return inspect(path)
    except ZooError as error:
        return str(error)


class _Index:
    """A file of the user's cache that says what the files of a folder are."""

    def __init__(self, root: Path) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:24]
        folder = user_cache.folder("audio")
        self._root = root
        self._path = folder / f"{name}.json" if folder is not None else None
        self._files: dict[str, list[Any]] = {}
        try:
            stored = json.loads(self._path.read_bytes()) if self._path is not None else {}
            if stored.get("engines") == _engines():
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

    def save(self, paths: Sequence[Path], infos: Sequence[Scanned]) -> None:
        """Writes all down, whole or not at all; a cache that cannot be written does no harm."""
        if self._path is None:
            return
        files = {}
        for path, info in zip(paths, infos):
            # why a file could not be read may have passed by the next time
            if not isinstance(info, str) and (stamped := stamp(path)):
                files[self._name(path)] = [*stamped, *_stored(path, info)]
        data = json.dumps({"engines": _engines(), "files": files}, separators=(",", ":")).encode()
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with whole.file(self._path, unique=True) as stream:
                stream.write(data)

    def _name(self, path: Path) -> str:
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
        status = path.stat()
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
