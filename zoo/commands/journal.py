"""What a folder of coded audio was made of: a line to each file, written when that is done, for the run after this one.

OUT/.corpus.jsonl is only ever appended to, and the last line of a file counts: a run may be killed at any moment. Who
has it open holds a lock on it, which vanishes with its holder, so that there is one run at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zoo.audio.output import describe
from zoo.errors import ZooError

NAME = ".corpus.jsonl"


@dataclass(frozen=True)
class State:
    """A source file as it is: its length, time of change, and contents."""

    bytes: int
    mtime_ns: int
    sha256: str | None = None
    """None = not looked at"""


@dataclass(frozen=True)
class Entry:
    """A coded file, and what it was made of. Paths have forward slashes."""

    target: str
    """below the folder"""
    source: str
    """below the library"""
    state: State
    channels: int
    """of the source"""
    settings: dict[str, Any]
    """what else its bytes depend on"""
    coded_bytes: int
    token_bytes: int | None
    """None = no tokens were written with it"""


class Journal:
    """The entries of a folder by target; a context manager. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder if need be; raises ZooError if it cannot be written to, or another process has it."""
        self._path = folder / NAME
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+b")
        except OSError as error:
            raise ZooError(f"{folder}: cannot be written ({describe(error)})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self._file.close()
            raise ZooError(f"{folder}: another process is coding into this folder; wait until it ends") from None
        except OSError:
            pass  # a file system without locks
        self._read()

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        for line in data.splitlines():
            try:
                values = json.loads(line)
                entry = Entry(**{**values, "state": State(**values["state"])})
            except (ValueError, KeyError, TypeError):
                continue  # a run was killed while it wrote this
            self.entries[entry.target] = entry
        if data and not data.endswith(b"\n"):
            self._write(b"\n")

    def add(self, entry: Entry) -> None:
        """Appends an entry, which takes the place of the former one; raises ZooError if it cannot be written."""
        with self._lock:
            self._write(json.dumps(asdict(entry)).encode() + b"\n")
            self.entries[entry.target] = entry

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise ZooError(f"{self._path}: cannot be written ({describe(error)})") from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def look_at(path: Path, *, contents: bool) -> State:
    """The state of a source, which takes reading all of it if `contents`; raises ZooError if it cannot be read."""
    try:
        if not path.is_file():
            raise ZooError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest() if contents else None
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({describe(error)})") from None
    return State(found.st_size, found.st_mtime_ns, digest)


def if_unchanged(path: Path, before: State) -> State | None:
    """The state of a source whose contents are what they were, which only of one that was touched takes reading it.

    Raises ZooError if it cannot be read.
    """
    now = look_at(path, contents=False)
    if (now.bytes, now.mtime_ns) == (before.bytes, before.mtime_ns):
        return before
    if now.bytes == before.bytes and (read := look_at(path, contents=True)).sha256 == before.sha256:
        return read
    return None
