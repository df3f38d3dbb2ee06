"""Resampling of a signal that comes in blocks, sample for sample what `zoo.audio.resample` makes of the whole."""

from __future__ import annotations

import math

import numpy as np

from zoo.audio.samples import silence_behind
from zoo.errors import ZooError


class Resampler:
    """Blocks (m, C) at `from_hz` in, blocks at `to_hz` out, without delay and at constant memory (soxr HQ).

    However a signal is cut into blocks, the outputs together are the same, bit for bit.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        """Raises ZooError for a rate that is not positive."""
        if from_hz < 1 or to_hz < 1:
            raise ZooError(f"sample rates must be positive, got {from_hz} and {to_hz} Hz")
        self.from_hz, self.to_hz, self.channels = from_hz, to_hz, channels
        self.n_in = 0
        self.n_out = 0
        self._stream = None
        if from_hz != to_hz:
            import soxr

            self._stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray) -> np.ndarray:
        """What `block` (m, C) makes available, float32 (m', C); m' may be 0."""
        block = np.ascontiguousarray(block, np.float32)
        self.n_in += len(block)
        result = block
        if self._stream is not None and len(block):
            result = self._stream.resample_chunk(block, last=False)
        self.n_out += len(result)
        return result

    def finish(self, n_samples: int | None = None) -> np.ndarray:
        """The rest, so that all in all ceil(n_in · to_hz / from_hz) samples came out, or `n_samples`."""
        total = -(-self.n_in * self.to_hz // self.from_hz) if n_samples is None else n_samples
        rest = np.zeros((0, self.channels), np.float32)
        if self._stream is not None and self.n_in:
            silence = silence_behind(self.from_hz, self.to_hz, self.channels)
            rest = self._stream.resample_chunk(silence, last=True)
        rest = rest[: max(total - self.n_out, 0)]
        if self.n_out + len(rest) < total:
            rest = np.pad(rest, ((0, total - self.n_out - len(rest)), (0, 0)))
        self.n_out += len(rest)
        return rest


def grid_hz(from_hz: int, to_hz: int) -> tuple[int, int]:
    """Samples at both rates after which their instants coincide again: (from_hz / g, to_hz / g)."""
    g = math.gcd(from_hz, to_hz)
    return from_hz // g, to_hz // g
