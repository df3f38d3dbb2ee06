"""Several sounds on one time line: sources of any rates and channels, in blocks that begin at the same instants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from zoo.audio.resampler import Resampler
from zoo.audio.samples import mix_channels
from zoo.editing.blending import Weights

BLOCK_SAMPLES = 1 << 15


class Readable(Protocol):
    """What gives samples in order, as `zoo.audio.Reader` does."""

    @property
    def name(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    def read(self, n: int) -> np.ndarray: ...


class Source(Protocol):
    """What gives the samples of one time line."""

    def take(self, n: int) -> np.ndarray:
        """The next samples (m, C), m = n but at the end."""


class Converted:
    """A reader at another rate and with other channels; mono is copied to all, many are mixed to mono."""

    def __init__(self, reader: Readable, sample_rate: int, channels: int) -> None:
        self._reader, self._channels = reader, channels
        self._resampler = Resampler(reader.sample_rate, sample_rate, channels)
        self._waiting = [np.zeros((0, channels), np.float32)]
        self._ended = False
        self.n_taken = 0

    @property
    def name(self) -> str:
        return self._reader.name

    def take(self, n: int) -> np.ndarray:
        """The next samples (m, C), m = n but at the end."""
        known = sum(map(len, self._waiting))
        while known < n and not self._ended:
            block = self._reader.read(BLOCK_SAMPLES)
            self._ended = not len(block)
            resampled = (
                self._resampler.finish()
                if self._ended
                else self._resampler.push(mix_channels(np.asarray(block), self._channels))
            )
            self._waiting.append(resampled)
            known += len(resampled)
        joined = np.concatenate(self._waiting)
        self._waiting = [joined[n:]]
        self.n_taken += min(n, len(joined))
        return joined[:n]


class Part:
    """A source from sample `start` on, behind `silence` samples of silence, and no longer than `longest` of its own."""

    def __init__(self, source: Converted, *, silence: int = 0, start: int = 0, longest: int | None = None) -> None:
        self._source, self._silence, self._skip, self._left = source, silence, start, longest

    def take(self, n: int) -> np.ndarray:
        """The next samples (m, C), m = n but at the end."""
        while self._skip:
            skipped = len(self._source.take(min(self._skip, BLOCK_SAMPLES)))
            if not skipped:
                break
            self._skip -= skipped
        before = min(n, self._silence)
        self._silence -= before
        own = n - before if self._left is None else min(n - before, self._left)
        taken = self._source.take(own)
        if self._left is not None:
            self._left -= len(taken)
        return np.pad(taken, ((before, 0), (0, 0))) if before else taken


def blocks(sources: Sequence[Source], length: Callable[[Sequence[int]], int]) -> Iterator[list[np.ndarray]]:
    """A block of each source, all of them as long: silence stands for what has ended.

    `length` of how many samples each source still had says how many count: `max` goes on to the end of the last one,
    `min` to that of the first.
    """
    while True:
        taken = [source.take(BLOCK_SAMPLES) for source in sources]
        n = length([len(block) for block in taken])
        if n:
            yield [block[:n] if len(block) >= n else np.pad(block, ((0, n - len(block)), (0, 0))) for block in taken]
        if n < BLOCK_SAMPLES:
            return


class WaveformBlend:
    """The sum of blocks with weights at the instants of their samples."""

    def __init__(self, weights: Weights, sample_rate: int) -> None:
        self._weights, self._rate = weights, sample_rate
        self._n_samples = 0

    def push(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """The sum (m, C) of blocks (m, C)."""
        n = len(inputs[0])
        weights = self._weights((self._n_samples + np.arange(n)) / self._rate).astype(np.float32)
        self._n_samples += n
        return np.asarray(sum(weight[:, None] * block for weight, block in zip(weights, inputs)))

    def finish(self) -> np.ndarray | None:
        """Nothing: what came is out."""
        return None


def constant(weights: Sequence[float]) -> Weights:
    """Weights that never change."""
    return lambda instants: np.repeat(np.asarray(weights, np.float64)[:, None], len(instants), axis=1)


def change(at_s: float, fade_s: float) -> Weights:
    """The first of two until `at_s`, and from `fade_s` later on the second one; straight lines between them."""

    def weights(instants: np.ndarray) -> np.ndarray:
        share = np.clip((instants - at_s) / max(fade_s, 1e-9), 0, 1)
        return np.stack([1 - share, share])

    return weights
