"""Clips of several files at once to rows, in the order of the files.

Files are read side by side, in tracks, where a codec remembers what came before in a clip, so that a batch takes
streams of different clips; otherwise one after the other, since a batch can have many windows of one clip. Which
windows are computed together follows from the files alone, not from how fast any of them are read.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO

import numpy as np

from zoo.coding.engine import Engine
from zoo.errors import ZooError
from zoo.library.clips import Begin, End, Event, Failed
from zoo.library.store import File
from zoo.tokenise.record import Record
from zoo.tokenise.rows import ClipEncoder, Row, Settings, batches_for

MAX_HELD_BYTES = 1 << 26
"""of samples that are read before they can be computed, in search of further clips for a batch"""
FileEvent = tuple[int, Event | None]
"""number of a file among those of the unit, and what comes next of it; None: nothing does"""


def shares(files: Sequence[File], n: int) -> list[list[int]]:
    """The numbers of files for each of n tracks, of about the same size in bytes, each in their order."""
    loads, found = [0] * n, [list[int]() for _ in range(n)]
    for number in sorted(range(len(files)), key=lambda number: -files[number].bytes):
        track = loads.index(min(loads))
        loads[track] += files[number].bytes
        found[track].append(number)
    return [sorted(share) for share in found]


class Tracks:
    """The clips of tracks of files, coded together."""

    def __init__(self, tracks: Sequence[Iterator[FileEvent]], engine: Engine, digest: str, settings: Settings) -> None:
        self._engine, self._digest, self._settings = engine, digest, settings
        self._batches = batches_for(engine, settings)
        self._tracks = [_Track(events) for events in tracks]
        self._jobs: dict[int, deque[_Job]] = {}  # by file
        self._ended: set[int] = set()  # files

    def rows(self, n_files: int, record: Record) -> Iterator[Row]:
        """The rows of all clips; those that fail have none, and are written down with a reason.

        Raises OSError where there is no space for temporary files.
        """
        try:
            for file in range(n_files):
                jobs = self._jobs.setdefault(file, deque())
                while True:
                    while jobs and jobs[0].is_done:
                        yield from _told(jobs.popleft(), record)
                    if not jobs and file in self._ended:
                        break
                    self._go_on()
                del self._jobs[file]
        finally:
            for job in self._all_jobs():
                job.close()

    def _go_on(self) -> None:
        """Reads as much as one step of all clips takes, and computes it."""
        while not self._batches.is_full and (track := self._hungriest()) is not None:
            self._read(track)
            if self._engine.module.encodes_whole:
                break  # it is computed where a clip ends
        self._batches.step()
        for job in self._all_jobs():
            job.collect()

    def _all_jobs(self) -> list[_Job]:
        return [job for jobs in self._jobs.values() for job in jobs]

    def _hungriest(self) -> _Track | None:
        """The track to read on: one that has nothing to compute, else one that may have further clips."""
        going_on = [track for track in self._tracks if not track.ended]
        for track in going_on:
            if track.job is None or not track.job.is_waiting:
                return track
        return going_on[0] if going_on and self._batches.held_bytes < MAX_HELD_BYTES else None

    def _read(self, track: _Track) -> None:
        """Takes the next event of a track."""
        found = next(track.events, None)
        if found is None:
            track.ended = True
            return
        file, event = found
        job = track.job
        if event is None:
            self._ended.add(file)
        elif isinstance(event, Begin):
            track.job = job = _Job(event.clip.key, event.clip.source)
            self._jobs.setdefault(file, deque()).append(job)
            try:
                job.encoder = ClipEncoder(self._engine, self._digest, event, self._settings, self._batches)
            except ZooError as error:
                job.fail(str(error))
        elif isinstance(event, Failed):
            if job is None or job.key != event.key:
                job = _Job(event.key, event.source)
                self._jobs.setdefault(file, deque()).append(job)
            job.fail(event.reason)
            track.job = None
        elif job is not None:
            try:
                if isinstance(event, End):
                    track.job = None
                    job.finish(event.warning)
                else:
                    job.push(event)
            except ZooError as error:
                job.fail(str(error))


class _Track:
    """Files that are read one after the other."""

    def __init__(self, events: Iterator[FileEvent]) -> None:
        self.events, self.ended = events, False
        self.job: _Job | None = None
        """the clip that is being read"""


class _Job:
    """A clip on its way to rows."""

    def __init__(self, key: str, source: str) -> None:
        self.key, self.source = key, source
        self.encoder: ClipEncoder | None = None
        self.failure: str | None = None
        self.warning: str | None = None
        self.spool = Spool()

    @property
    def is_waiting(self) -> bool:
        """Whether some of it could be computed."""
        return self.failure is None and self.encoder is not None and self.encoder.is_waiting

    @property
    def is_done(self) -> bool:
        return self.failure is not None or (self.encoder is not None and self.encoder.is_done)

    def push(self, block: np.ndarray) -> None:
        if self.failure is None and self.encoder is not None:
            self.encoder.push(block)

    def finish(self, warning: str | None) -> None:
        self.warning = warning
        if self.failure is None and self.encoder is not None:
            self.encoder.finish()

    def collect(self) -> None:
        """Takes the rows that what has been computed completes."""
        if self.failure is not None or self.encoder is None:
            return
        try:
            for row in self.encoder.rows():
                self.spool.add(row)
        except ZooError as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        """Forgets what has come of it; the first reason counts."""
        self.failure = self.failure or reason
        self.close()

    def close(self) -> None:
        if self.encoder is not None:
            self.encoder.close()
        self.spool.close()


def _told(job: _Job, record: Record) -> Iterator[Row]:
    """The rows of a clip that is done, and what the record says of it."""
    if job.failure is not None:
        record.fail(job.key, job.source, job.failure)
        return
    assert job.encoder is not None
    yield from job.spool.rows()
    job.close()
    record.clips += 1
    taken = job.encoder.taken
    if not taken.is_usual:
        record.taken[str(taken)] = record.taken.get(str(taken), 0) + 1
    if job.warning:
        record.warnings.append(job.warning)


class Spool:
    """The rows of a clip until its end has turned out to be readable: of a very long one on the disk, but the last."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._file: IO[bytes] | None = None

    def add(self, row: Row) -> None:
        """Puts a row aside; raises OSError if there is no space for it."""
        if row.last:
            self._rows.append(row)
            return
        self._file = self._file or tempfile.TemporaryFile(prefix="zoo-")  # noqa: SIM115
        np.save(self._file, row.values)
        self._rows.append(replace(row, values=row.values[:, :0].copy()))  # a view would keep all of it

    def rows(self) -> Iterator[Row]:
        """The rows that were put aside."""
        if self._file is not None:
            self._file.seek(0)
        for row in self._rows:
            yield row if self._file is None or row.last else replace(row, values=np.load(self._file))

    def close(self) -> None:
        """Forgets them."""
        if self._file is not None:
            self._file.close()
        self._rows, self._file = [], None
