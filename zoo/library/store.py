"""Where audio comes from, and tokens and shards go: folders, and whatever fsspec knows by a URI (s3://, gs://, hf://, https://).

Paths in a store have forward slashes and are relative to its root. What is written appears whole or not at all;
requests that fail for a passing reason are repeated, with pauses that grow.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from zoo.audio.files import walk
from zoo.audio.output import describe
from zoo.audio.places import is_uri
from zoo.errors import ZooError, one_line
from zoo.library.retry import is_final, retried, said
from zoo.saved import whole

T = TypeVar("T")
DOWNLOAD_BLOCK = 1 << 24
"""bytes to a request, so that one that fails costs no more"""
_CHANGES = ("ETag", "etag", "md5Hash", "checksum", "blob_id", "LastModified", "last_modified", "mtime", "created")
"""what stores call that which changes with a file's contents, or when it is written"""
_WITH_FOLDERS = {"sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs"}
"""protocols of stores in which a folder must be there before its files"""
_TALKATIVE = {"gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
"""protocol → logger of its library, which writes each attempt to standard error, with tracebacks; `retried` tells it"""


@dataclass(frozen=True, slots=True)
class File:
    """A file in a store, by its path below the root, and its length."""

    key: str
    bytes: int
    stamp: int = field(default=0, compare=False)
    """its time of change in ns, or where a store has none a number that changes with the file; 0 where nothing does"""


class Store(Protocol):
    """What is asked of a place; every method raises ZooError, naming what it could not do."""

    name: str
    """the folder or URI, for error texts"""

    def files(self) -> list[File]:
        """All files below the root in the order of their paths, hidden ones and those in hidden folders left out."""
        ...

    def children(self, folder: str) -> set[str]:
        """Names of what lies in a folder, hidden ones too; none where there is no such folder."""
        ...

    def read(self, key: str) -> bytes: ...

    def write(self, key: str, data: bytes) -> None:
        """Writes a file, and the folders above it."""
        ...

    def put(self, key: str, path: Path) -> None:
        """Copies a file of this machine, of any size, into the store."""
        ...

    def remove(self, key: str) -> None: ...

    def local(self, key: str, *, beside: str = "") -> contextlib.AbstractContextManager[Path]:
        """A context manager that yields the path of the file, or of a copy of it that is gone afterwards.

        So it is with the file that only differs from it in the suffix `beside`, if that is given.
        """
        ...


def open_store(place: str) -> Store:
    """The store of a folder or URI; raises ZooError for a URI of which nothing is known."""
    return Remote(place) if is_uri(place) and not place.startswith("file://") else Local(place.removeprefix("file://"))


def open_input(place: str) -> tuple[Store, File | None]:
    """The store of an input, and its file where it is one rather than a folder; raises ZooError if there is nothing."""
    if is_uri(place) and not place.startswith("file://"):
        return Remote(place).at()
    path = Path(place.removeprefix("file://"))
    if path.is_file():
        status = path.stat()
        return Local(str(path.parent)), File(path.name, status.st_size, status.st_mtime_ns)
    if not path.is_dir():
        raise ZooError(f"{path}: {'is neither a file nor a folder' if path.exists() else 'no such file or folder'}")
    return Local(str(path)), None


class Local:
    """A folder of this machine."""

    def __init__(self, folder: str) -> None:
        self.name = folder
        self._root = Path(folder)

    def files(self) -> list[File]:
        def closed(error: OSError) -> None:
            raise ZooError(f"{os.fsdecode(error.filename)}: this folder cannot be read ({describe(error)})")

        found: list[File] = []
        start = len(str(self._root)) + 1
        for folder, names in walk(self._root, closed):
            below = f"{folder}/"[start:] if folder != str(self._root) else ""
            for name in names:
                with contextlib.suppress(OSError):  # a link that leads nowhere
                    status = os.stat(f"{folder}/{name}")
                    if stat.S_ISREG(status.st_mode):
                        found.append(File(below + name, status.st_size, status.st_mtime_ns))
        return _in_order(found)

    def children(self, folder: str) -> set[str]:
        try:
            return set(os.listdir(self._root / folder))
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise ZooError(f"{self._root / folder}: cannot be read ({describe(error)})") from None

    def read(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except OSError as error:
            raise ZooError(f"{self._root / key}: cannot be read ({describe(error)})") from None

    def write(self, key: str, data: bytes) -> None:
        path = self._root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole.file(path, unique=True, sync=True) as stream:
                stream.write(data)
        except OSError as error:
            raise ZooError(f"{path}: cannot be written ({describe(error)})") from None

    def put(self, key: str, path: Path) -> None:
        target = self._root / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole.place(target, unique=True) as temporary:
                shutil.copyfile(path, temporary)
        except OSError as error:
            raise ZooError(f"{target}: cannot be written ({describe(error)})") from None

    def remove(self, key: str) -> None:
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError as error:
            raise ZooError(f"{self._root / key}: cannot be removed ({describe(error)})") from None

    @contextlib.contextmanager
    def local(self, key: str, *, beside: str = "") -> Iterator[Path]:
        yield self._root / key


class Remote:
    """What fsspec reaches by a URI."""

    def __init__(self, uri: str) -> None:
        import fsspec

        self.name = uri
        protocol = uri.partition("://")[0]
        if (logger := _TALKATIVE.get(protocol)) is not None:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        try:
            self._fs, root = fsspec.url_to_fs(uri)
        except ImportError as error:
            raise ZooError(f"{uri}: {one_line(error)} (pip install -e '.[stores]')") from None
        except ValueError as error:
            raise ZooError(f"{uri}: no store of this kind is known ({one_line(error)})") from None
        except Exception as error:  # whatever the store's library raises
            raise ZooError(f"{uri}: cannot be reached ({said(error)})") from None
        self._root = root.rstrip("/")
        self._makes_folders = protocol in _WITH_FOLDERS
        self._is_web = protocol in ("http", "https")
        self._has_answered = False
        # or else fsspec reads on behind each block that it is asked for, and forgets what it read
        self._of_block = {"cache_type": "none"} if protocol == "hf" else {}

    def at(self) -> tuple[Remote, File | None]:
        """The store itself; or, where its URI names a file, the folder that this is in, and the file."""
        if self._is_web and self.name.endswith("/"):
            raise ZooError(f"{self.name}: folders of a web server cannot be listed; name a file")
        info = self._try(lambda: self._fs.info(self._root), self.name, "read")
        if info["type"] != "file":
            return self, None
        folder, _, name = self._root.rpartition("/")
        self._root = folder
        self.name = self.name.rstrip("/").rpartition("/")[0]
        return self, _file(name, info)

    def files(self) -> list[File]:
        self._fs.invalidate_cache()
        found = self._try(lambda: self._fs.find(self._root, detail=True), self.name, "read")
        start = len(self._root) + 1
        files = [
            _file(key, info)
            for path, info in found.items()
            if info.get("type") == "file" and not _is_hidden(key := path.rstrip("/")[start:])
        ]
        return _in_order(files)

    def children(self, folder: str) -> set[str]:
        self._fs.invalidate_cache()
        place = f"{self._root}/{folder}" if folder else self._root
        try:
            found = self._ask(lambda: self._fs.ls(place, detail=False), self.name)
        except FileNotFoundError:
            return set()
        except Exception as error:
            raise ZooError(f"{self.name}: cannot be read ({said(error)})") from None
        return {name for path in found if (name := path.rstrip("/").rpartition("/")[2])}

    def read(self, key: str) -> bytes:
        data: bytes = self._try(lambda: self._fs.cat_file(f"{self._root}/{key}"), f"{self.name}/{key}", "read")
        return data

    def write(self, key: str, data: bytes) -> None:
        path = f"{self._root}/{key}"

        self._write(key, lambda: self._fs.pipe_file(path, data))

    def put(self, key: str, path: Path) -> None:
        self._write(key, lambda: self._fs.put_file(str(path), f"{self._root}/{key}"))

    def _write(self, key: str, request: Callable[[], object]) -> None:
        def written() -> None:
            if self._makes_folders:
                self._fs.makedirs(f"{self._root}/{key}".rpartition("/")[0], exist_ok=True)
            request()

        self._try(written, f"{self.name}/{key}", "written")

    def remove(self, key: str) -> None:
        def remove() -> None:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{self._root}/{key}")

        self._try(remove, f"{self.name}/{key}", "removed")

    @contextlib.contextmanager
    def local(self, key: str, *, beside: str = "") -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            # the end of the name says what is inside; all of it may be too long
            copy = Path(folder, "copy" + Path(key).suffix[:16])
            self._copy(key, copy)
            if beside:
                self._copy(str(PurePosixPath(key).with_suffix(beside)), copy.with_suffix(beside))
            yield copy

    def _copy(self, key: str, target: Path) -> None:
        path, name = f"{self._root}/{key}", f"{self.name}/{key}"
        size = self._try(lambda: self._fs.info(path).get("size"), name, "read")
        try:
            with target.open("wb") as stream:
                if size is None:  # of a web server that does not say
                    stream.write(self.read(key))
                for start in range(0, size or 0, DOWNLOAD_BLOCK):
                    end = min(start + DOWNLOAD_BLOCK, size)
                    asked = {"start": start, "end": end, **self._of_block}
                    block = self._try(lambda asked=asked: self._fs.cat_file(path, **asked), name, "read")  # type: ignore[misc]
                    if len(block) != end - start:
                        raise ZooError(f"{name}: has changed while it was read")
                    stream.write(block)
        except OSError as error:
            raise ZooError(f"{target.parent}: {name} cannot be copied here ({describe(error)})") from None

    def _ask(self, request: Callable[[], T], name: str) -> T:
        answer = retried(request, name, has_answered=self._has_answered)
        self._has_answered = True
        return answer

    def _try(self, request: Callable[[], T], name: str, verb: str) -> T:
        try:
            return self._ask(request, name)
        except FileNotFoundError as error:
            if error.__cause__ is not None and not is_final(error.__cause__):
                raise ZooError(f"{name}: cannot be {verb} ({said(error.__cause__)})") from None
            why = said(error)
            raise ZooError(f"{name}: there is nothing there" + (f" ({why})" if why not in name else "")) from None
        except Exception as error:  # whatever the store's library raises
            raise ZooError(f"{name}: cannot be {verb} ({said(error)})") from None


def _file(key: str, info: dict[str, Any]) -> File:
    """A file as a store describes it: each has another name for what changes with the contents."""
    stamp: Any = next((info[name] for name in _CHANGES if info.get(name) is not None), 0)
    if not isinstance(stamp, int):
        stamp = int.from_bytes(hashlib.sha256(str(stamp).encode()).digest()[:7])
    return File(key, int(info.get("size") or 0), stamp)


def _is_hidden(key: str) -> bool:
    return any(part.startswith(".") for part in key.split("/"))


def _in_order(files: list[File]) -> list[File]:
    """By the parts of their paths, whatever the order in which a store lists them."""
    files.sort(key=lambda file: file.key.replace("/", "\0"))
    return files
