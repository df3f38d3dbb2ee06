"""Arrays of audio as a user has them, and as a codec wants them: batches of clips at its rate and with its channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo import audio as zoo_audio
from zoo.arguments import as_array
from zoo.bitstream.layout import MAX_CHANNELS
from zoo.codec import Codec
from zoo.errors import ZooError
from zoo.samples import check_scale, first_not_finite

_LOUDSPEAKERS = 8
"""channels up to here may be more than the samples of a very short clip; more are samples"""


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
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ZooError(f"audio must have 1 to {MAX_CHANNELS} channels, got {self.channels}")
        if self.model_channels > 1 and self.channels not in (1, self.model_channels):
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
    """Float32 (T,), (T, C) or (B, T, C) at any rate -> (N, T', channels) at the codec's.

    Raises ZooError for channels that the codec cannot take.
    """
    batch = samples[None, :, None] if samples.ndim == 1 else samples.reshape(-1, *samples.shape[-2:])
    layout = ChannelLayout(batch.shape[2], module.channels, mid_side=False)
    clips = [zoo_audio.resample(clip, sample_rate, module.sample_rate) for clip in batch]
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


def as_audio(audio: Any) -> np.ndarray:
    """Float32 (T,), (T, C) or (B, T, C), not empty, of whatever `as_samples` takes.

    Raises ZooError for anything else, for channels that must be samples, and for NaN.
    """
    array = as_array(audio, "audio")
    if array.ndim not in (1, 2, 3) or 0 in array.shape:
        raise ZooError(f"audio must be (T,), (T, C) or (B, T, C) and not empty, got shape {array.shape}")
    _check_order(array.shape)
    samples = as_samples(array)
    if (bad := first_not_finite(samples)) is not None:
        raise ZooError(f"audio holds NaN or infinity, first at index {bad}")
    return samples


def as_samples(audio: Any) -> np.ndarray:
    """Float32 in [-1, 1], of the same shape, of floats of any precision or PCM: int8, int16, int32, uint8 around 128.

    Arrays of numpy, jax or torch, of any byte order, or lists. Raises ZooError for a type whose full scale is not
    known, and for floats beyond `samples.LARGEST_SAMPLE`.
    """
    array = as_array(audio, "audio")
    kind, n_bytes = array.dtype.kind, array.dtype.itemsize
    if kind == "i" and n_bytes <= 4:
        return array.astype(np.float32) / np.float32(2 ** (8 * n_bytes - 1))
    if kind == "u" and n_bytes == 1:
        return (array.astype(np.float32) - 128) / 128
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ZooError(
            f"audio of type {array.dtype} has no full scale that is known: give floats in [-1, 1], int8, int16, int32, "
            f"or uint8 around 128"
        )
    if n_bytes < 4:
        array = array.astype(np.float32)
    check_scale(array)
    return array.astype(np.float32, copy=False)


def _check_order(shape: tuple[int, ...]) -> None:
    """Raises ZooError where channels stand in the place of samples, before anything is computed of so many."""
    if len(shape) < 2:
        return
    samples, channels = shape[-2:]
    if channels <= MAX_CHANNELS and (channels <= samples or channels <= _LOUDSPEAKERS):
        return
    turned = "audio.T" if len(shape) == 2 else "audio.swapaxes(1, 2)"
    hint = f": give {turned}" if samples <= MAX_CHANNELS else f", and no codec takes more than {MAX_CHANNELS}"
    raise ZooError(
        f"audio of shape {shape} would be {channels} channels of {samples} samples, since it is (T, C) or (B, T, C)"
        + hint
    )
