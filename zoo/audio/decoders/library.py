"""Decoding by libsndfile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.audio.decoders.formats import blame
from zoo.audio.decoders.source import skip
from zoo.audio.decoders.view import Piece, View
from zoo.audio.loudspeakers import Layout, layout_of
from zoo.errors import ZooError

_COUNTED = 1 << 12  # samples at once: a read that meets damage gives none


@dataclass(frozen=True, slots=True)
class LibraryPart:
    """A file, or the pieces of one, that libsndfile decodes exactly."""

    sample_rate: int
    channels: int
    n_samples: int
    preroll: int | None = 0
    """samples that are decoded before the one that is sought, None: all of them"""
    seek_limit: int | None = None
    """libsndfile is not made to seek beyond this sample, None: anywhere"""
    pieces: tuple[Piece, ...] = ()
    """none: the whole file"""
    order: tuple[int, ...] = ()
    """of the decoded channels, in which WAV has them; none: as they come"""

    @property
    def sequential(self) -> bool:
        return self.preroll is None

    @property
    def layout(self) -> Layout:
        return layout_of(self.channels)

    def open(self, path: Path) -> LibrarySource:
        return LibrarySource(path, self)


class LibrarySource:
    """Whatever libsndfile decodes, read strictly in order between two calls of `seek`."""

    def __init__(self, path: Path, part: LibraryPart) -> None:
        """Raises ZooError if the file cannot be opened, or is not what the part says."""
        self.sample_rate, self.channels, self.n_samples = part.sample_rate, part.channels, part.n_samples
        self.warning: str | None = None
        self._path, self._part, self._position = path, part, 0
        self._open()

    def _open(self) -> None:
        self._view, self._file = open_file(self._path, self._part.pieces)
        if (self._file.samplerate, self._file.channels) != (self.sample_rate, self.channels):
            self.close()
            raise ZooError(f"{self._path}: has changed since it was examined")
        self._position = 0

    def read(self, n: int) -> np.ndarray:
        n = min(n, self.n_samples - self._position)
        if n < 1:
            return np.zeros((0, self.channels), np.float32)
        with blame(self._path, "read as audio"):
            samples: np.ndarray = self._file.read(n, dtype="float32", always_2d=True)
        self._position += len(samples)
        if self._part.order:
            samples = samples[:, self._part.order]
        if not len(samples):
            raise ZooError(f"{self._path}: ends at sample {self._position}, its header promises {self.n_samples}")
        return samples

    def seek(self, sample: int) -> None:
        part = self._part
        if part.preroll is None:
            if sample < self._position:
                self.close()
                self._open()
        else:
            place = max(sample - part.preroll, 0)
            if part.seek_limit is not None:
                place = min(place, part.seek_limit)
            if not (place <= self._position <= sample):
                with blame(self._path, "read as audio"):
                    self._file.seek(place)
                self._position = place
        skip(self, sample - self._position)

    def close(self) -> None:
        self._file.close()
        if self._view is not None:
            self._view.close()


def open_file(path: Path, pieces: tuple[Piece, ...] = ()):
    """The view (None of a whole file) and a soundfile.SoundFile of it; raises ZooError naming the file."""
    import soundfile

    class InOrder(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False  # or soundfile seeks after each read, which is not exact for lossy formats

    view = None
    with blame(path, "read as audio"):
        try:
            view = View(path, pieces) if pieces else None
            return view, InOrder(view or os.fsencode(path))  # it takes a str for UTF-8
        except BaseException:
            if view is not None:
                view.close()
            raise


@contextlib.contextmanager
def opened(path: Path, pieces: tuple[Piece, ...] = ()) -> Iterator[Any]:
    """A soundfile.SoundFile of a file or its pieces, closed at the end; raises ZooError if it cannot be opened."""
    view, file = open_file(path, pieces)
    try:
        yield file
    finally:
        file.close()
        if view is not None:
            view.close()


def count(path: Path, pieces: tuple[Piece, ...] = ()) -> int:
    """How many samples libsndfile decodes from the first one on, whatever the header says.

    Damage ends it; raises ZooError if the file cannot be opened.
    """
    import soundfile

    n = 0
    with opened(path, pieces) as file, contextlib.suppress(soundfile.SoundFileError, RuntimeError):
        while len(block := file.read(_COUNTED, dtype="float32", always_2d=True)):
            n += len(block)
    return n


def ends_at(path: Path, pieces: tuple[Piece, ...], n_samples: int) -> bool:
    """Whether libsndfile decodes the last of so many samples; raises ZooError if the file cannot be opened."""
    import soundfile

    with opened(path, pieces) as file:
        try:
            file.seek(n_samples - 1)
            return len(file.read(1, dtype="float32")) == 1
        except (soundfile.SoundFileError, RuntimeError):
            return False


def seeks_exactly(path: Path, part: LibraryPart, sample: int) -> bool:
    """Whether seeking to a sample gives what reading up to it gives; to be tried near the beginning."""
    source = part.open(path)
    try:
        skip(source, sample)
        expected = source.read(_COUNTED)
        source.seek(0)
        source.seek(sample)
        found = source.read(len(expected))
        return len(found) == len(expected) and bool(np.allclose(found, expected, rtol=0, atol=1e-6))
    except ZooError:
        return False
    finally:
        source.close()
