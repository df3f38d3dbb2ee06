"""How the channels of a source become the streams that a codec codes, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.bitstream.layout import MAX_CHANNELS
from zoo.errors import ZooError


@dataclass(frozen=True)
class ChannelLayout:
    """How the channels of a source become streams of a codec, each (T, codec channels).

    Raises ZooError where the codec cannot take so many.
    """

    channels: int
    """of the source"""
    model_channels: int
    mid_side: bool
    apart: bool = False
    """whether more channels than a model of several has are coded one by one, each given to all of the model's"""

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ZooError(f"audio must have 1 to {MAX_CHANNELS} channels, got {self.channels}")
        fits = self.channels in (1, self.model_channels) or (self.apart and self.channels > self.model_channels)
        if self.model_channels > 1 and not fits:
            possible = f"give it 1 or {self.model_channels}"
            raise ZooError(f"audio has {self.channels} channels, this codec {self.model_channels}: {possible}")

    @property
    def n_streams(self) -> int:
        return self.channels if self.model_channels == 1 or self._one_by_one else 1

    @property
    def _one_by_one(self) -> bool:
        return 1 < self.model_channels < self.channels

    def split(self, block: np.ndarray) -> np.ndarray:
        """Splits a block (m, channels) into streams (n_streams, m, model_channels)."""
        if self._one_by_one:
            return np.repeat(block.T[..., None], self.model_channels, axis=2)
        if self.model_channels > 1:
            return (block if self.channels > 1 else np.repeat(block, self.model_channels, axis=1))[None]
        return (_rotate(block) if self.mid_side else block).T[..., None]

    def join(self, streams: np.ndarray) -> np.ndarray:
        """Joins streams (n_streams, m, model_channels) to a block (m, channels)."""
        if self._one_by_one:
            return streams.mean(axis=2).T
        if self.model_channels > 1:
            return streams[0] if self.channels > 1 else streams[0].mean(axis=1, keepdims=True)
        block = streams[..., 0].T
        return _rotate(block) if self.mid_side else block


def _rotate(block: np.ndarray) -> np.ndarray:
    """Left and right to mid and side and back: orthonormal, and its own inverse."""
    left, right = block[:, :1], block[:, 1:]
    return np.concatenate([left + right, left - right], axis=1) * np.float32(0.5**0.5)
