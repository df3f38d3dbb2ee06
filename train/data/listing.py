"""The files of a library that is prepared: held once, compactly, and compared with what was written down of them.

plan.json is a line of JSON to each file, so that a million of them are never held as text, or twice.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, overload

from zoo.audio.files import find_names, in_order
from zoo.errors import ZooError
from zoo.library.clips import PARQUET, TARS
from zoo.library.copies import audio_of
from zoo.library.store import Store


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the library: its path below the root with forward slashes, its length and time of change.

    Of a file in a store, the time is a number that changes with the file.
    """

    name: str
    bytes: int
    mtime_ns: int


class Listing(Sequence[Source]):
    """The files of a library in the order of their paths, some 130 bytes of memory to each."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._names: list[str] = []
        self._bytes, self._times = array("q"), array("q")
        for source in sources:
            self._names.append(source.name)
            self._bytes.append(source.bytes)
            self._times.append(source.mtime_ns)

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, i: int) -> Source: ...

    @overload
    def __getitem__(self, i: slice) -> Sequence[Source]: ...

    def __getitem__(self, i: int | slice) -> Source | Sequence[Source]:
        if isinstance(i, slice):
            return [self[number] for number in range(*i.indices(len(self)))]
        return Source(self._names[i], self._bytes[i], self._times[i])

    def n_bytes(self, first: int, end: int | None = None) -> int:
        """Bytes of the files from the first to the last before the end."""
        return sum(self._bytes[first:end])


def of_folder(root: Path) -> Listing:
    """All audio files and archives of them below `root`; raises ZooError where there is none."""

    def found() -> Iterator[Source]:
        names = find_names(root, also=(*TARS, *PARQUET))
        names.reverse()
        while names:  # each is let go as soon as it is taken
            name = names.pop()
            try:
                stat = (root / name).stat()
                yield Source(name, stat.st_size, stat.st_mtime_ns)
            except OSError:  # a link that leads nowhere, a folder that is closed: decoding it will say so
                yield Source(name, 0, 0)

    return Listing(found())


def of_store(store: Store) -> Listing:
    """All audio files and archives of them in a store; raises ZooError where there is none."""
    found = Listing(Source(file.key, file.bytes, file.stamp) for file in audio_of(store.files()))
    if not found:
        raise ZooError(f"{store.name}: holds no audio files, nor tar archives or Parquet of them")
    return found


def write_plan(stream: BinaryIO, settings: dict[str, Any], sources: Iterable[Source]) -> None:
    """Writes plan.json: the settings, and a line to each file."""
    stream.write(to_json(settings)[:-1] + b',"files":[\n')
    for number, source in enumerate(sources):
        line = to_json([source.name, source.bytes, source.mtime_ns])
        stream.write(b",\n" + line if number else line)
    stream.write(b"\n]}\n")


def read_plan(path: Path) -> tuple[dict[str, Any], Iterator[Source]]:
    """The settings in a plan.json, and its files one after the other; raises ZooError for what is none."""
    stream = path.open("rb")
    try:
        head = json.loads(stream.readline().removesuffix(b',"files":[\n') + b"}")
    except ValueError:
        stream.close()
        raise ZooError(f"{path}: is no plan of this version; delete {path.parent} to begin anew") from None

    def files() -> Iterator[Source]:
        with stream:
            for line in stream:
                if line.startswith(b"["):
                    yield Source(*json.loads(line.removesuffix(b"\n").removesuffix(b",")))

    return head, files()


def difference(earlier: Iterable[Source], now: Iterable[Source]) -> str | None:
    """What is different in two listings in the order of their paths: the first file, and how; None if nothing is."""
    for old, new in zip_longest(earlier, now):
        if old == new:
            continue
        if old is None or (new is not None and in_order(new.name) < in_order(old.name)):
            return f"{new.name} is new"
        if new is None or in_order(old.name) < in_order(new.name):
            return f"{old.name} is gone"
        return f"{new.name} has changed"
    return None


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
