"""Libraries in stores and archives as folders of audio files: copied to the user's cache, and kept there.

Each time, the store is asked which files there are: what is new or has changed is fetched, what is gone is removed.
A copy that was interrupted goes on. Archives and tables are unpacked, each to a folder of its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.audio import SUFFIXES
from zoo.audio.files import walk
from zoo.audio.output import describe
from zoo.audio.places import is_uri
from zoo.errors import ZooError
from zoo.library.clips import PARQUET, TARS, clips, is_archive
from zoo.library.store import File, Store, open_input
from zoo.saved import user_cache, whole

AT_ONCE = 8
"""files that are fetched: of a store, this is waiting"""
_SUFFIX = ".snd"
"""of a clip without a name: what it is, its contents tell"""
Choose = Callable[[Sequence[File]], list[File]]


def audio_of(files: Sequence[File]) -> list[File]:
    """The files that hold audio, and archives of them."""
    return [file for file in files if file.key.lower().endswith((*SUFFIXES, *TARS, *PARQUET))]


def folder(place: str | Path, *, choose: Choose = audio_of, say: Callable[[str], None] = lambda _: None) -> Path:
    """A folder of this machine with what a place holds: that itself, or a copy of what `choose` takes of a store.

    A folder that holds archives, and no audio files beside them, is unpacked, too. `say` gets a line for what cannot be
    read, and one that says where the copy is. Raises ZooError for a store that holds nothing of use, or fails, and
    where there is no room.
    """
    text = str(place)
    if not is_uri(text) or text.startswith("file://"):
        local = Path(text.removeprefix("file://"))
        if not local.is_dir() or not _only_archives(local):
            return local
        text = os.path.realpath(local)
    store, single = open_input(text)
    files = [single] if single is not None else choose(store.files())
    if not files:
        raise ZooError(f"{text}: holds no audio files, nor tar archives or Parquet of them")
    cache = user_cache.folder("libraries")
    if cache is None:
        raise ZooError(f"{text}: there is no place to copy it to: set XDG_CACHE_HOME to a folder")
    name = hashlib.sha256(text.rstrip("/").encode("utf-8", "surrogateescape")).hexdigest()[:24]
    # the last part names the library where nothing else does
    target = cache / name / (PurePosixPath(text).name or "library")
    try:
        _Copy(store, target, say).update(files)
    except OSError as error:
        raise ZooError(f"{target}: {text} cannot be copied here ({describe(error)}); XDG_CACHE_HOME moves it") from None
    return target


def _only_archives(local: Path) -> bool:
    """Whether a folder holds archives, and no audio files; looks no further than the first of these."""
    found = False
    for _, names in walk(local, lambda _: None):
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                return False
            found = found or is_archive(name)
    return found


class _Copy:
    """A folder of the cache, and beside it what of the store is in there: a line of JSON to each of its files."""

    def __init__(self, store: Store, target: Path, say: Callable[[str], None]) -> None:
        self._store, self._target, self._say = store, target, say
        self._journal = target.parent / "copied.jsonl"

    def update(self, files: Sequence[File]) -> None:
        """Makes the copy what these files are; raises OSError where that cannot be written, ZooError of the store."""
        self._target.mkdir(parents=True, exist_ok=True)
        known = self._known()
        wanted = {file.key for file in files}
        for key in known.keys() - wanted:
            self._remove(known.pop(key)["made"])
        missing = [file for file in files if not self._is_there(file, known.get(file.key))]
        if missing:
            n_bytes = sum(file.bytes for file in missing)
            self._say(f"copying {len(missing)} files, {n_bytes / 1e6:.0f} MB, of {self._store.name} to {self._target}")

        def fetch(file: File) -> dict[str, Any]:
            if (old := known.get(file.key)) is not None:
                self._remove(old["made"])
            entry = {"key": file.key, "bytes": file.bytes, "stamp": file.stamp, "made": list(self._fetched(file))}
            with self._journal.open("ab") as stream:
                stream.write(json.dumps(entry).encode() + b"\n")
            return entry

        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            for entry in pool.map(fetch, missing):
                known[entry["key"]] = entry
        finally:
            pool.shutdown(cancel_futures=True)
        lines = b"".join(json.dumps(known[file.key]).encode() + b"\n" for file in files)
        with whole.file(self._journal, unique=True) as stream:
            stream.write(lines)

    def _known(self) -> dict[str, dict[str, Any]]:
        known = {}
        try:
            for line in self._journal.read_bytes().splitlines():
                entry = json.loads(line)
                known[entry["key"]] = entry
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet, or its last line is not whole: what it does not tell is fetched again
        return known

    def _is_there(self, file: File, entry: dict[str, Any] | None) -> bool:
        if entry is None or (entry.get("bytes"), entry.get("stamp")) != (file.bytes, file.stamp):
            return False
        return all((self._target / name).is_file() for name in entry["made"])

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            (self._target / name).unlink(missing_ok=True)

    def _fetched(self, file: File) -> Iterator[str]:
        """Fetches a file; the names of what came of it."""
        if not is_archive(file.key):
            with self._store.local(file.key) as path:
                yield self._keep(path, file.key)
            return
        for clip in clips(self._store, file):
            if clip.path is None:
                self._say(f"skipped {clip.key}: {clip.reason}")
            elif (name := _safe(clip.key, clip.path.suffix)) is None:
                self._say(f"skipped {clip.key}: is no name of a file below a folder")
            else:
                yield self._keep(clip.path, name)

    def _keep(self, path: Path, name: str) -> str:
        target = self._target / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole.place(target, unique=True) as temporary:
            shutil.copyfile(path, temporary)
        return name


def _safe(key: str, suffix: str) -> str | None:
    """The name of a clip below the folder, as what finds audio files takes it; None where it would lie elsewhere."""
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\0" in key or any(part.startswith(".") for part in path.parts):
        return None
    if path.suffix.lower() in SUFFIXES:
        return key
    return key + (suffix if suffix.lower() in SUFFIXES else _SUFFIX)
