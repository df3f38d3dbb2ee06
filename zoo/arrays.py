"""Arrays of audio as a user has them, and as a codec wants them: batches of clips at its rate and with its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo import audio as zoo_audio
from zoo.codec import Codec
from zoo.errors import ZooError


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


@dataclass(frozen=True)
class ChannelLayout:
    """How the channels of a source become streams of a codec, each (T, codec channels).

    Raises ZooError where the codec cannot take so many.
    """

    channels: int
    """of the source"""
    model_channels: int
    mid_side: bool

    def __post_init__(self) -> None:
        if self.channels < 1 or (self.model_channels > 1 and self.channels not in (1, self.model_channels)):
            possible = f"give it 1 or {self.model_channels}"
            raise ZooError(f"audio has {self.channels} channels, this codec {self.model_channels}: {possible}")

    @property
    def n_streams(self) -> int:
        return self.channels if self.model_channels == 1 else 1

    def split(self, block: np.ndarray) -> np.ndarray:
        """(m, channels) -> (n_streams, m, model_channels)."""
        if self.model_channels > 1:
            return (block if self.channels > 1 else np.repeat(block, self.model_channels, axis=1))[None]
        return (_rotate(block) if self.mid_side else block).T[..., None]

    def join(self, streams: np.ndarray) -> np.ndarray:
        """(n_streams, m, model_channels) -> (m, channels)."""
        if self.model_channels > 1:
            return streams[0] if self.channels > 1 else streams[0].mean(axis=1, keepdims=True)
        block = streams[..., 0].T
        return _rotate(block) if self.mid_side else block


def _rotate(block: np.ndarray) -> np.ndarray:
    """Left and right to mid and side and back: orthonormal, and its own inverse."""
    left, right = block[:, :1], block[:, 1:]
    return np.concatenate([left + right, left - right], axis=1) * np.float32(0.5**0.5)


def to_model(samples: np.ndarray, sample_rate: int, module: Codec) -> np.ndarray:
    """(B, T, C) at any rate -> (N, T', channels) at the codec's; raises ZooError for what it cannot take."""
    if sample_rate <= 0:
        raise ZooError(f"sample_rate {sample_rate} is not positive")
    layout = ChannelLayout(samples.shape[2], module.channels, mid_side=False)
    clips = [zoo_audio.resample(clip, sample_rate, module.sample_rate) for clip in samples]
    return np.concatenate([layout.split(clip) for clip in clips])


def from_model(decoded: np.ndarray, encoded: Encoded, module: Codec) -> np.ndarray:
    """The inverse: (N, T', channels) of decoded audio -> the rate, length and shape of what went in."""
    shape = encoded.shape
    length = shape[0] if len(shape) < 3 else shape[1]
    layout = ChannelLayout(shape[-1] if len(shape) > 1 else 1, module.channels, mid_side=False)
    streams = decoded.reshape(-1, layout.n_streams, *decoded.shape[1:])
    clips = [
        zoo_audio.resample(layout.join(clip), module.sample_rate, encoded.sample_rate, n_samples=length)
        for clip in streams
    ]
    return np.stack(clips).reshape(shape)


def as_batch(audio: Any) -> np.ndarray:
    """Float32 (B, T, C) of audio (T,), (T, C) or (B, T, C), float or integer PCM; raises ZooError for anything else."""
    samples = as_array(audio, "audio")
    if samples.dtype in (np.int8, np.int16, np.int32):
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    elif not jnp.issubdtype(samples.dtype, jnp.floating):
        raise ZooError(f"audio must be floating-point, or signed integers of 8, 16 or 32 bits, got {samples.dtype}")
    if samples.ndim not in (1, 2, 3) or 0 in samples.shape:
        raise ZooError(f"audio must be (T,), (T, C) or (B, T, C) and not empty, got shape {samples.shape}")
    samples = samples.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(samples))
    if bad.size:
        position = tuple(int(i) for i in np.unravel_index(bad[0], samples.shape))
        raise ZooError(f"audio holds NaN or infinity, first at index {position}")
    if samples.ndim == 1:
        return samples[None, :, None]
    return samples[None] if samples.ndim == 2 else samples


def as_array(values: Any, name: str) -> np.ndarray:
    """Any array-like as numpy; raises ZooError, naming it, for what is none."""
    try:
        return np.asarray(values)
    except ValueError:
        raise ZooError(f"{name} must be an array, got parts of different shapes") from None
