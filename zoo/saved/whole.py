"""Files that appear whole or not at all: written under a hidden name, which is then replaced by their own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

Guard = Callable[[], contextlib.AbstractContextManager[object]]


@contextlib.contextmanager
def place(path: Path, *, unique: bool = False, guard: Guard = contextlib.nullcontext) -> Iterator[Path]:
    """A context manager that yields the hidden path beside `path` to write to, and then gives that file its name.

    After any exception nothing is left of it, and `path` is as it was. The hidden name is always the same, so that what
    a killed process left is written over by the next; with `unique`, no other thread or process uses it. `guard` is
    entered around what is done to the file here, for a caller who says otherwise what went wrong.
    """
    # short, since a file's own name may be as long as a name can be
    own = f"{path.stem[:40]}.{os.getpid()}-{threading.get_ident()}{path.suffix[:10]}"
    temporary = path.with_name(f".{own}" if unique else f".{path.name}.part")
    try:
        yield temporary
        with guard():
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
