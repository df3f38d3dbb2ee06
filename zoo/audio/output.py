"""Bytes out: files that appear whole or not at all, and standard output."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from zoo.arguments import as_path
from zoo.errors import ZooError
from zoo.saved import whole

_REASONS = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the quota of disk space is used up",
    errno.EFBIG: "the file has become larger than is allowed here",
    errno.EPIPE: "whoever reads it has closed the pipe",
}


def standard(stream: Any, name: str) -> BinaryIO:
    """The bytes of sys.stdin or sys.stdout; raises ZooError, naming `name`, if it is closed or a terminal."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None:
        raise ZooError(f"{name}: is closed")
    if hasattr(stream, "isatty") and stream.isatty():
        raise ZooError(f"{name}: is a terminal, neither a pipe nor a file")
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.set_blocking(buffer.fileno(), True)  # a pipe that is not ready must not look like one that has ended
    return cast(BinaryIO, buffer)


def describe(error: Exception) -> str:
    """What went wrong, in one line without the path that Python adds to it."""
    if isinstance(error, OSError) and error.errno in _REASONS:
        return _REASONS[error.errno]
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


@contextlib.contextmanager
def _blame(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ZooError(f"{name}: cannot be written ({describe(error)})") from error


class Output(io.RawIOBase):
    """A stream whose failures are ZooErrors that name it; what is written to a pipe leaves at once."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self.name = stream, name

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return isinstance(self._stream, io.BufferedRandom)

    def write(self, data: Any) -> int:
        """Writes all of `data`."""
        view = memoryview(data).cast("B")
        with _blame(self.name):
            done = 0
            while done < len(view):
                done += self._stream.write(view[done:]) or 0
        return len(view)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _blame(self.name):
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def flush(self) -> None:
        if not self._stream.closed:
            with _blame(self.name):
                self._stream.flush()


def output_name(path: str | Path) -> str:
    """What messages call an output, of which "-" is standard output."""
    return "standard output" if str(path) == "-" else str(path)


def output_path(path: Any) -> str:
    """A path as `as_path` takes it; raises ZooError for an empty one too, which it calls that of an output."""
    if isinstance(path, str) and not path:
        raise ZooError("the name of an output is empty")
    return as_path(path)


def check_output(path: str | Path, *, force: bool = False) -> None:
    """Raises ZooError, naming `path`, if it is empty, a folder, in no folder, or there already (unless `force`).

    "-" and what is no ordinary file (/dev/null, a named pipe) is never in the way.
    """
    path = output_path(path)
    place = Path(path)
    if path == "-":
        standard(sys.stdout, "standard output")
    elif place.is_dir():
        raise ZooError(f"{path}: is a folder, not a file to write")
    elif place.is_file() and not force:
        raise ZooError(f"{path}: exists already; --force (force=True) writes over it")
    elif not place.exists() and not (folder := Path(os.path.realpath(place)).parent).is_dir():
        raise ZooError(f"{path}: no folder {folder if place.is_symlink() else place.parent}")
    elif place.is_file() or not place.exists():
        _check_writable(path, Path(os.path.realpath(place)).parent)


def check_folder(path: str | Path) -> Path:
    """The folder that is to be written to, made or not; raises ZooError for a file, and where none can be made."""
    place = Path(path)
    if not str(path):
        raise ZooError("the name of an output is empty")
    there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise ZooError(
            f"{path}: {'is' if there == place.absolute() else f'{there} is'} a file, not a folder to write to"
        )
    _check_writable(path, there)
    return place


def check_whole_folder(path: str | Path, *, force: bool, ours: Callable[[Path], bool], content: str) -> None:
    """Raises ZooError unless a folder can be written as a whole: in place of none, or with `force` of what is `ours`.

    A folder with anything else in it is never replaced; `content` says in the error what it is or holds.
    """
    folder = Path(output_path(path))
    if folder.exists() and not force:
        raise ZooError(f"{folder} exists: choose another folder, or overwrite it with --force (force=True)")
    if folder.exists() and not (folder.is_dir() and (ours(folder) or not any(folder.iterdir()))):
        raise ZooError(f"{folder} {content}: it is not replaced")
    check_folder(folder.parent)


def _check_writable(path: str | Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ZooError(f"{path}: cannot be written (no permission to write to {folder})")


@contextlib.contextmanager
def open_output(path: str | Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A context manager that yields a stream to append bytes to, "-" being standard output.

    A file lies under a hidden temporary name beside its own until the context is left, and then takes its name at once;
    after any exception nothing is left of it. Raises ZooError, naming `path`, where `check_output` does, and if writing
    fails (no space, a pipe that nobody reads any more).
    """
    path = output_path(path)
    check_output(path, force=force)
    place = Path(path)
    if path == "-":
        buffer = standard(sys.stdout, "standard output")
        with _blame("standard output"):
            buffer.flush()
        # Not through Python's buffer: what could not be written would be tried again when Python ends.
        yield cast(BinaryIO, Output(getattr(buffer, "raw", buffer), "standard output"))
    elif place.exists() and not place.is_file():
        with _blame(str(path)):
            device = place.open("wb", buffering=0)
        with device:
            yield cast(BinaryIO, Output(device, str(path)))
    else:
        target = Path(os.path.realpath(place))  # a link stays one
        with whole.file(target, unique=True, guard=lambda: _blame(str(path))) as stream:
            yield cast(BinaryIO, Output(stream, str(path)))
