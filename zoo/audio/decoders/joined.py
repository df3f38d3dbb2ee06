"""Parts that follow one another in a file, read as one: the rate and channels are those of the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.audio.decoders.source import Part, Source, skip
from zoo.audio.resampler import Resampler
from zoo.audio.samples import mix_channels


def length(parts: Sequence[Part]) -> int | None:
    """Samples of all parts at the rate of the first; None where one is not known."""
    return None if any(part.n_samples is None for part in parts) else sum(_lengths(parts))


def _lengths(parts: Sequence[Part]) -> list[int]:
    rate = parts[0].sample_rate
    return [-(-(part.n_samples or 0) * rate // part.sample_rate) for part in parts]


class JoinedSource:
    """The samples of several parts in turn."""

    def __init__(self, path: Path, parts: Sequence[Part]) -> None:
        """Raises ZooError if the first part cannot be opened."""
        self.sample_rate, self.channels = parts[0].sample_rate, parts[0].channels
        self.n_samples = length(parts)
        self.warning: str | None = None
        self._path, self._parts = path, parts
        self._starts = np.cumsum([0, *_lengths(parts)]).tolist()
        self._open(0)

    def _open(self, number: int) -> None:
        self._number = number
        part = self._parts[number]
        self._source: Source = part.open(self._path)
        self._resampler = Resampler(part.sample_rate, self.sample_rate, self.channels)
        self._rest = np.zeros((0, self.channels), np.float32)  # converted, and not yet given out
        self._ended = False

    def read(self, n: int) -> np.ndarray:
        while True:
            block = self._read_part(n)
            if len(block) or self._number + 1 == len(self._parts):
                return block
            self.warning = self.warning or self._source.warning
            self.close()
            self._open(self._number + 1)

    def _read_part(self, n: int) -> np.ndarray:
        while not len(self._rest) and not self._ended:
            block = self._source.read(n)
            self._ended = not len(block)
            mixed = mix_channels(block, self.channels)
            self._rest = self._resampler.finish() if self._ended else self._resampler.push(mixed)
        taken, self._rest = self._rest[:n], self._rest[n:]
        return taken

    def seek(self, sample: int) -> None:
        number = min(int(np.searchsorted(self._starts, sample, side="right")) - 1, len(self._parts) - 1)
        part, inside = self._parts[number], sample - self._starts[number]
        self.close()
        self._open(number)
        if part.sample_rate == self.sample_rate:
            self._source.seek(inside)
        else:
            skip(self, inside)

    def close(self) -> None:
        self._source.close()
