"""A signal that comes in blocks, cut into windows at any places, and windows added up again to one.

What lies before its first sample and behind its last is silence.
"""

from __future__ import annotations

import numpy as np

from zoo.nn.dsp import hann_window


class Windows:
    """Keeps as much of a signal (T, C) as windows that are still to come may ask for."""

    def __init__(self, channels: int, before: int) -> None:
        """Samples up to `before` ahead of the first one may be asked for."""
        self.channels = channels
        self._blocks = [np.zeros((before, channels), np.float32)]
        self._first = -before
        self.end = 0
        """samples that have come"""

    def push(self, block: np.ndarray) -> None:
        """Appends (m, C)."""
        self._blocks.append(block)
        self.end += len(block)

    def finish(self, until: int) -> None:
        """Appends silence up to sample `until`, if that is beyond the end."""
        if until > self.end:
            self.push(np.zeros((until - self.end, self.channels), np.float32))

    def cut(self, starts: np.ndarray, size: int) -> np.ndarray:
        """Windows (n, size, C) that begin at `starts` (n,); they must have come, and not be forgotten."""
        return self._joined()[(starts - self._first)[:, None] + np.arange(size)]

    def held(self, start: int, stop: int) -> np.ndarray:
        """Samples [start, stop), as of `cut`."""
        return self._joined()[start - self._first : stop - self._first]

    def forget(self, until: int) -> None:
        """Lets go of what is before sample `until`."""
        if until > self._first:
            self._blocks = [self._joined()[until - self._first :].copy()]
            self._first = until

    def _joined(self) -> np.ndarray:
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        return self._blocks[0]


class OverlapAdd:
    """Adds up windows of `size` samples that are `hop` apart, and divides by the sum of their weights."""

    def __init__(self, channels: int, size: int, hop: int, weight: np.ndarray, first: int) -> None:
        """`weight` (size,) is what windows have been multiplied with in all; the first one begins at sample `first`."""
        self._size, self._hop = size, hop
        self._weight = weight
        self._sum = np.zeros((size - hop, channels))
        self._norm = np.zeros(size - hop)
        self._next = first

    def add(self, windows: np.ndarray) -> np.ndarray:
        """The samples (m, C), from sample 0 on, that the next windows (n, size, C) make final."""
        n, _, channels = windows.shape
        cut = n * self._hop
        total, norm = np.zeros((cut + self._size - self._hop, channels)), np.zeros(cut + self._size - self._hop)
        total[: len(self._sum)], norm[: len(self._norm)] = self._sum, self._norm
        for i, window in enumerate(windows):
            part = slice(i * self._hop, i * self._hop + self._size)
            total[part] += window
            norm[part] += self._weight
        self._sum, self._norm = total[cut:], norm[cut:]
        done = total[:cut] / np.maximum(norm[:cut], 1e-3)[:, None]
        before, self._next = self._next, self._next + cut
        return done[max(0, -before) :].astype(np.float32)


def hann(size: int) -> np.ndarray:
    """The periodic Hann window in double precision."""
    return hann_window(size).astype(np.float64)


def power_of_two(n_samples: float) -> int:
    """The power of two that is nearest by ratio, at least 16."""
    return max(16, int(2 ** round(float(np.log2(max(n_samples, 1.0))))))
