"""Batches of clips: any shape, rate and number of channels to what a codec takes, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo import audio
from zoo.codec import Codec
from zoo.coding.channels import ChannelLayout


@dataclass(frozen=True)
class Encoded:
    """Codes, and what `decode` needs to give back the shape, rate, channels and exact length of what went in.

    codes: int32 (N, F, Q). N is the batch; a codec with fewer channels than the audio codes channels as clips of
    their own (row b·C + c is channel c of clip b).
    """

    codes: np.ndarray
    level: int
    """operating point that the codes were made at"""
    sample_rate: int
    """of the audio that went in, Hz"""
    shape: tuple[int, ...]
    """of the audio that went in"""
    model_samples: int
    """length at the codec's rate"""

    @property
    def n_clips(self) -> int:
        """The clips of the batch that went in."""
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def n_samples(self) -> int:
        """The samples of each channel that went in."""
        return self.shape[-2] if len(self.shape) > 1 else self.shape[0]

    @property
    def channels(self) -> int:
        """The channels that went in."""
        return self.shape[-1] if len(self.shape) > 1 else 1


def as_batch(samples: np.ndarray) -> np.ndarray:
    """(T,), (T, C) or (B, T, C) as (B, T, C)."""
    return samples[None, :, None] if samples.ndim == 1 else samples.reshape(-1, *samples.shape[-2:])


def to_model(samples: np.ndarray, sample_rate: int, module: Codec) -> np.ndarray:
    """Float32 (T,), (T, C) or (B, T, C) at any rate -> (N, T', channels) at the codec's.

    Raises ZooError for channels that the codec cannot take.
    """
    batch = as_batch(samples)
    layout = ChannelLayout(batch.shape[2], module.channels, mid_side=False)
    clips = [audio.resample(clip, sample_rate, module.sample_rate) for clip in batch]
    return np.concatenate([layout.split(clip) for clip in clips])


def from_model(decoded: np.ndarray, encoded: Encoded, module: Codec) -> np.ndarray:
    """The inverse: (N, T', channels) of decoded audio -> the rate, length and shape of what went in."""
    layout = ChannelLayout(encoded.channels, module.channels, mid_side=False)
    streams = decoded.reshape(-1, layout.n_streams, *decoded.shape[1:])
    clips = [
        audio.resample(layout.join(clip), module.sample_rate, encoded.sample_rate, n_samples=encoded.n_samples)
        for clip in streams
    ]
    return np.stack(clips).reshape(encoded.shape)
