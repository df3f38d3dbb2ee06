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


def to_model(samples: np.ndarray, sample_rate: int, module: Codec) -> np.ndarray:
    """(B, T, C) at any rate -> (N, T', channels) at the codec's; raises ZooError for what it cannot take."""
    if sample_rate <= 0:
        raise ZooError(f"sample_rate {sample_rate} is not positive")
    resampled = np.stack([zoo_audio.resample(clip, sample_rate, module.sample_rate) for clip in samples])
    channels = resampled.shape[2]
    if channels == module.channels:
        return resampled
    if channels == 1:
        return np.repeat(resampled, module.channels, axis=2)
    if module.channels == 1:
        return resampled.swapaxes(1, 2).reshape(-1, resampled.shape[1], 1)
    raise ZooError(f"audio has {channels} channels, this codec {module.channels}: give it 1 or {module.channels}")


def from_model(decoded: np.ndarray, encoded: Encoded, module: Codec) -> np.ndarray:
    """The inverse: (N, T', channels) of decoded audio -> the rate, length and shape of what went in."""
    shape = encoded.shape
    batch = shape[0] if len(shape) == 3 else 1
    length = shape[0] if len(shape) < 3 else shape[1]
    channels = shape[-1] if len(shape) > 1 else 1
    if channels != module.channels:
        if channels == 1:
            decoded = decoded.mean(axis=2, keepdims=True)
        else:
            decoded = decoded.reshape(batch, channels, -1).swapaxes(1, 2)
    clips = [zoo_audio.resample(c, module.sample_rate, encoded.sample_rate, n_samples=length) for c in decoded]
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
