"""Arrays of audio as a user has them, checked and as float32."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo.arguments import as_array
from zoo.audio.samples import check_scale, first_not_finite
from zoo.bitstream.layout import MAX_CHANNELS
from zoo.errors import ZooError

_LOUDSPEAKERS = 8
"""channels up to here may be more than the samples of a very short clip; more are samples"""


def as_audio(audio: Any) -> np.ndarray:
    """Float32 (T,), (T, C) or (B, T, C), not empty, of whatever `as_samples` takes.

    Raises ZooError for anything else, for channels that must be samples, and for NaN.
    """
    array = as_array(audio, "audio")
    check_shape(array.shape)
    samples = as_samples(array)
    if (bad := first_not_finite(samples)) is not None:
        raise ZooError(f"audio holds NaN or infinity, first at index {bad}")
    return samples


def as_block(block: Any, channels: int, position: int = 0) -> np.ndarray:
    """Float32 (m, channels), m from 0 on, of a part (m,) or (m, channels) of a stream as `as_samples` takes it.

    Raises ZooError for other shapes and types, and for NaN, by its number in a stream whose part begins at `position`.
    """
    samples = as_samples(block)
    given = samples.shape
    samples = samples[:, None] if samples.ndim == 1 else samples
    if samples.ndim != 2 or samples.shape[1] != channels:
        turned = "; give block.T" if samples.ndim == 2 and len(samples) == channels else ""
        raise ZooError(f"a block must be (m, {channels}), got shape {given}{turned}")
    if (bad := first_not_finite(samples)) is not None:
        raise ZooError(f"audio holds NaN or infinity, first at sample {position + bad[0]}")
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


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises ZooError for shapes that audio cannot have, and where channels stand in the place of samples.

    Before anything is computed of so many.
    """
    if len(shape) not in (1, 2, 3) or 0 in shape:
        raise ZooError(f"audio must be (T,), (T, C) or (B, T, C) and not empty, got shape {shape}")
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
