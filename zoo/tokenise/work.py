"""A unit of work: its files to shards, and then to the record that says so. Done twice, it writes the same bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any, TypeVar

import numpy as np

from zoo.audio.output import describe
from zoo.coding.engine import Engine
from zoo.errors import ZooError
from zoo.library.clips import Begin, Clip, End, Event, Failed, events
from zoo.library.store import Store, open_input, open_store
from zoo.ready import ReadyCodec
from zoo.tokenise import formats, plan
from zoo.tokenise.plan import Unit
from zoo.tokenise.rows import ClipEncoder, Row, Settings

T = TypeVar("T")
BLOCKS_AHEAD = 64


@dataclass(frozen=True)
class Work:
    """All that a worker must know, on this machine or another: plain values, and how to get the codec."""

    input: str
    output: str
    load: Callable[[], ReadyCodec]
    codec: str
    """digest that the codec must have"""
    settings: Settings
    format: formats.Format
    shard_bytes: int


@dataclass(frozen=True)
class Shard:
    """A file of rows."""

    files: list[str]
    """one, or two of the format npy: their names below the output"""
    rows: int
    bytes: int
    sha256: str
    """of the files one after the other"""


@dataclass
class Record:
    """What a unit came to."""

    unit: int
    clips: int = 0
    rows: int = 0
    seconds: float = 0.0
    """of audio"""
    shards: list[Shard] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    """what became of clips with more than two channels, and of how many"""

    def fail(self, key: str, source: str, reason: str) -> None:
        self.errors.append({"key": key, "source": source, "reason": reason})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Worker:
    """A codec, and the stores that it reads from and writes to."""

    def __init__(self, work: Work, codec: ReadyCodec, *, ahead: bool, stop: threading.Event | None = None) -> None:
        """`ahead` reads in a thread while the codec computes; once `stop` is set, `run` raises KeyboardInterrupt.

        Raises ZooError for a codec that is not the one meant.
        """
        if codec.digest.hex() != work.codec:
            raise ZooError(f"the codec has changed: it was {work.codec}, and is {codec.digest.hex()}")
        self._work, self._engine, self._ahead = work, codec.engine, ahead
        self._input, _ = open_input(work.input)
        self._output = open_store(work.output)
        self._stop = stop or threading.Event()

    def run(self, unit: Unit) -> Record:
        """Writes the shards of a unit, and its record; raises ZooError where a store fails."""
        record = Record(unit.index)
        shards = _Shards(self._output, self._work, record)
        try:
            for row in self._rows(unit, record):
                if self._stop.is_set():
                    raise KeyboardInterrupt
                shards.add(row)
        except OSError as error:
            raise ZooError(f"{tempfile.gettempdir()}: takes no more temporary files ({describe(error)})") from None
        shards.close()
        self._output.write(
            f"{plan.RECORDS}/{plan.record_name(unit.index)}", (json.dumps(record.to_json()) + "\n").encode()
        )
        return record

    def _rows(self, unit: Unit, record: Record) -> Iterator[Row]:
        found = self._events(unit)
        with contextlib.closing(ahead(found, BLOCKS_AHEAD) if self._ahead else found) as stream:  # type: ignore[type-var]
            yield from rows_of(stream, self._engine, self._work, record)

    def _events(self, unit: Unit) -> Iterator[Event]:
        for file in unit.files:
            yield from events(self._input, file, stream=self._work.settings.stream)


def rows_of(stream: Iterator[Event], engine: Engine, work: Work, record: Record) -> Iterator[Row]:
    """The rows of clips whose samples come as events; clips that fail have none, and are written down with a reason."""
    encoder: ClipEncoder | None = None
    clip: Clip | None = None
    with Spool() as spool:
        for event in stream:
            try:
                if isinstance(event, Failed):
                    encoder = None
                    record.fail(event.key, event.source, event.reason)
                elif isinstance(event, Begin):
                    encoder, clip = None, event.clip
                    encoder = ClipEncoder(engine, work.codec, event, work.settings)
                    spool.clear()
                elif encoder is not None and isinstance(event, End):
                    last = [*encoder.finish()]
                    yield from spool.rows()
                    yield from last
                    record.clips += 1
                    if not encoder.taken.is_usual:
                        said = str(encoder.taken)
                        record.taken[said] = record.taken.get(said, 0) + 1
                    encoder = None
                    if event.warning:
                        record.warnings.append(event.warning)
                elif encoder is not None and isinstance(event, np.ndarray):
                    for row in encoder.push(event):
                        spool.add(row)
            except ZooError as error:
                assert clip is not None
                encoder = None
                record.fail(clip.key, clip.source, str(error))


class Spool:
    """The first rows of a very long clip, on the disk until its end has turned out to be readable."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._file: IO[bytes] | None = None

    def add(self, row: Row) -> None:
        """Puts a row aside; raises OSError if there is no space for it."""
        self._file = self._file or tempfile.TemporaryFile(prefix="zoo-")  # noqa: SIM115
        np.save(self._file, row.values)
        self._rows.append(replace(row, values=row.values[:, :0].copy()))  # a view would keep all of it

    def rows(self) -> Iterator[Row]:
        """The rows that were put aside, which are then forgotten."""
        if self._file is not None:
            self._file.seek(0)
            for row in self._rows:
                yield replace(row, values=np.load(self._file))
        self.clear()

    def clear(self) -> None:
        if self._rows and self._file is not None:
            self._file.seek(0)
            self._file.truncate()
        self._rows = []

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class _Shards:
    """Rows in their order to files of bounded size."""

    def __init__(self, out: Store, work: Work, record: Record) -> None:
        self._out, self._work, self._record = out, work, record
        self._rows: list[Row] = []
        self._n_bytes = 0

    def add(self, row: Row) -> None:
        if self._rows and self._n_bytes + row.values.nbytes > self._work.shard_bytes:
            self._write()
        self._rows.append(row)
        self._n_bytes += row.values.nbytes
        self._record.seconds += row.duration

    def close(self) -> None:
        """Writes the last shard."""
        if self._rows:
            self._write()

    def _write(self) -> None:
        record = self._record
        files = formats.WRITERS[self._work.format](self._rows)
        stem = f"{plan.SHARDS}/{record.unit:06d}-{len(record.shards):03d}"
        for suffix, data in files.items():
            self._out.write(stem + suffix, data)
        content = hashlib.sha256(b"".join(files.values())).hexdigest()
        size = sum(len(data) for data in files.values())
        record.shards.append(Shard([stem + suffix for suffix in files], len(self._rows), size, content))
        record.rows += len(self._rows)
        self._rows, self._n_bytes = [], 0


def ahead(items: Iterator[T], n: int) -> Iterator[T]:
    """The items, made in a thread up to n before they are asked for; what it raises is raised here."""
    waiting: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(n)
    stop = threading.Event()

    def put(item: tuple[T | None, BaseException | None, bool]) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def fill() -> None:
        try:
            for item in items:
                put((item, None, False))
                if stop.is_set():
                    return
            put((None, None, True))
        except BaseException as error:
            put((None, error, True))

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    try:
        while True:
            item, error, ended = waiting.get()
            if error is not None:
                raise error
            if ended:
                return
            yield item  # type: ignore[misc]  # None only with one of the others
    finally:
        stop.set()
        thread.join(timeout=1)  # a request to a store may take longer, and nobody waits for it any more
