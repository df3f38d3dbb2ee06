"""Files and folders that appear whole or not at all: written under a hidden name, then given their own."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

ABANDONED_S = 60.0
"""since a hidden file was last written to, before which it may be in use"""
_FORMER = ".old"
"""after the name of a folder that is being replaced"""
Guard = Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def place(path: Path, *, unique: bool = False, guard: Guard = contextlib.nullcontext) -> Iterator[Path]:
    """A context manager that yields the hidden path beside `path` to write to, and then gives that file its name.

    After any exception nothing is left of it, and `path` is as it was. The hidden name is always the same, so that what
    a killed process left is written over by the next; with `unique`, no other thread or process uses it, and what
    killed processes of this machine left of `path` more than a minute ago is removed. `guard` is entered around what
    is done to the file here, for a caller who says otherwise what went wrong.
    """
    temporary = _own(path) if unique else path.with_name(f".{path.name}.part")
    if unique:
        _remove_abandoned(path)
    try:
        yield temporary
        with guard():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def folder(path: Path, *, replaces: bool = True) -> Iterator[Path]:
    """A context manager that yields where to make a folder beside `path`, and then gives that its name.

    A folder that is there is replaced, unless `replaces` is false; after any exception it is as it was, and nothing is
    left of the new one. What killed processes left of either is removed as by `place`, once there is a whole one.
    """
    temporary = _own(path)
    former = temporary.with_name(temporary.name + _FORMER)
    try:
        yield temporary
        try:
            if path.exists() and replaces:
                path.rename(former)
            if not path.exists():
                temporary.rename(path)
        except BaseException:
            if former.exists() and not path.exists():
                former.rename(path)
            raise
        shutil.rmtree(former, ignore_errors=True)
        _remove_abandoned(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _ends(path: Path) -> tuple[str, str]:
    """How hidden names of `path` begin and end: short, since its own may be as long as a name can be."""
    return f".{path.stem[:40]}.", path.suffix[:10]


def _own(path: Path) -> Path:
    """The hidden name that no other thread or process uses."""
    before, after = _ends(path)
    return path.with_name(f"{before}{os.getpid()}-{threading.get_ident()}{after}")


def _remove_abandoned(path: Path) -> None:
    """Removes files of `place` and folders of `folder`, by their names, of processes that are no more.

    Another host's processes cannot be seen from here; what they write to is not a minute old.
    """
    before, after = _ends(path)
    name = re.compile(f"{re.escape(before)}([0-9]+)-[0-9]+{re.escape(after)}(?:{re.escape(_FORMER)})?")
    for hidden in _hidden(path.parent):
        if (found := name.fullmatch(hidden)) and not _is_running(int(found[1])):
            with contextlib.suppress(OSError):
                left = path.with_name(hidden)
                if left.is_symlink() or time.time() - _written(left) <= ABANDONED_S:
                    continue
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()


def _written(path: Path) -> float:
    """When a file, or anything in a folder, was last written to: seconds since the epoch."""
    return max(part.lstat().st_mtime for part in (path, *path.rglob("*")))


@functools.lru_cache(maxsize=64)
def _hidden(folder: Path) -> tuple[str, ...]:
    """Names that `place` may have given, at first sight: to list a large folder for each of its files takes long."""
    try:
        return tuple(name for name in os.listdir(folder) if re.fullmatch(r"\..*\.[0-9]+-[0-9]+.{,14}", name))
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
