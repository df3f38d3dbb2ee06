"""A unit of work: its files to shards, and then to the record that says so. Done twice, it writes the same bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from zoo.audio.output import describe
from zoo.errors import ZooError
from zoo.library.clips import events
from zoo.library.store import Store, open_input, open_store
from zoo.ready import ReadyCodec
from zoo.tokenise import formats, plan
from zoo.tokenise.plan import Unit
from zoo.tokenise.record import Record, Shard
from zoo.tokenise.rows import Row, Settings
from zoo.tokenise.tracks import FileEvent, Tracks, shares

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
        chunks = self._engine.chunks(self._work.settings.packet_frames)
        n_tracks = min(len(unit.files), chunks.batch_size) if chunks.encoder_remembers else 1
        with contextlib.ExitStack() as stack:
            tracks = []
            for share in shares(unit.files, n_tracks):
                found = self._events(unit, share)
                track = ahead(found, BLOCKS_AHEAD // n_tracks + 1) if self._ahead else found
                tracks.append(stack.enter_context(contextlib.closing(track)))  # type: ignore[type-var]
            work = self._work
            yield from Tracks(tracks, self._engine, work.codec, work.settings).rows(len(unit.files), record)

    def _events(self, unit: Unit, share: Sequence[int]) -> Iterator[FileEvent]:
        for number in share:
            for event in events(self._input, unit.files[number], stream=self._work.settings.stream):
                yield number, event
            yield number, None


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
