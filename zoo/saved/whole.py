"""Files that appear whole or not at all: written under a hidden name, which is then replaced by their own."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED_S = 60.0
"""since a hidden file was last written to, before which it may be in use"""
Guard = Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def place(path: Path, *, unique: bool = False, guard: Guard = contextlib.nullcontext) -> Iterator[Path]:
    """A context manager that yields the hidden path beside `path` to write to, and then gives that file its name.

    After any exception nothing is left of it, and `path` is as it was. The hidden name is always the same, so that what
    a killed process left is written over by the next; with `unique`, no other thread or process uses it, and what
    killed processes of this machine left of `path` more than a minute ago is removed. `guard` is entered around what
    is done to the file here, for a caller who says otherwise what went wrong.
    """
    # short, since a file's own name may be as long as a name can be
    before, after = f".{path.stem[:40]}.", path.suffix[:10]
    own = f"{before}{os.getpid()}-{threading.get_ident()}{after}"
    temporary = path.with_name(own if unique else f".{path.name}.part")
    if unique:
        _remove_abandoned(path.parent, before, after)
    try:
        yield temporary
        with guard():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(folder: Path, before: str, after: str) -> None:
    """Removes files of `place`, by their names BEFORE PID-THREAD AFTER, of processes that are no more.

    Another host's processes cannot be seen from here; what they write to is not a minute old.
    """
    name = re.compile(f"{re.escape(before)}([0-9]+)-[0-9]+{re.escape(after)}")
    for hidden in _hidden(folder):
        if (found := name.fullmatch(hidden)) and not _is_running(int(found[1])):
            with contextlib.suppress(OSError):
                left = folder / hidden
                if left.is_file() and not left.is_symlink() and time.time() - left.stat().st_mtime > ABANDONED_S:
                    left.unlink()


@functools.lru_cache(maxsize=64)
def _hidden(folder: Path) -> tuple[str, ...]:
    """Names that `place` may have given, at first sight: to list a large folder for each of its files takes long."""
    try:
        return tuple(name for name in os.listdir(folder) if re.fullmatch(r"\..*\.[0-9]+-[0-9]+.{,10}", name))
    except OSError:  # one that cannot be listed can hold what it will
        return ()


def _is_running(pid: int) -> bool:
    """Whether there is such a process on this machine; of what is no number of one, yes."""
    if os.name != "posix":  # where os.kill is no question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


@contextlib.contextmanager
def file(
    path: Path, *, unique: bool = False, sync: bool = False, guard: Guard = contextlib.nullcontext
) -> Iterator[BinaryIO]:
    """A context manager that yields the stream to write `path` to, which is there when the context is left.

    With `sync` the bytes are on the disk before the file has its name, and a loss of power cannot leave half of it. For
    the rest see `place`.
    """
    with place(path, unique=unique, guard=guard) as temporary:
        stream: BinaryIO | None = None
        try:
            # in here: a signal that comes while the file is made raises as soon as it is there
            with guard():
                stream = temporary.open("w+b")
            yield stream
            with guard():
                if sync:
                    stream.flush()
                    os.fsync(stream.fileno())
                stream.close()
        finally:
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Writes a file; raises OSError. See `file`."""
    with file(path, sync=sync) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Writes a file of UTF-8; raises OSError. See `file`."""
    write_bytes(path, text.encode())
