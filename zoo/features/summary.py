"""Frames of a clip as one vector: what a classifier of clips is given."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import arguments
from zoo.arguments import as_array
from zoo.errors import ZooError


@partial(jax.tree_util.register_dataclass)
@dataclasses.dataclass(frozen=True, eq=False)
class Statistics:
    """Each is (..., n): over a clip's own frames."""

    mean: jax.Array
    std: jax.Array
    """of the frames themselves, divided by their number"""
    minimum: jax.Array
    maximum: jax.Array
    delta_mean: jax.Array
    """of `delta`, as delta_std"""
    delta_std: jax.Array

    def vector(self) -> jax.Array:
        """All of them in this order, (..., 6 n)."""
        return jnp.concatenate([getattr(self, field.name) for field in dataclasses.fields(self)], axis=-1)


def statistics(frames: Any, n_frames: Any = None) -> Statistics:
    """Statistics of a feature's frames (..., F, n) over the first `n_frames` (...,) of each clip (None: all F).

    Raises ZooError for arrays of other shapes, and for a clip without a frame unless it is being traced.
    """
    return _statistics(*_checked(frames, n_frames))


def delta(frames: Any, n_frames: Any = None, *, width: int = 9) -> jax.Array:
    """Slope of frames (..., F, n) over time, per frame: the straight line through `width` of them, fitted by squares.

    `librosa.feature.delta`, transposed: in the first and last (width - 1) / 2 frames of a clip, the slope of its first
    and last `width` frames. A clip with fewer frames, which librosa refuses, has zeros, as have frames beyond its own.
    Raises ZooError for a width that is not odd and at least 3, and like `statistics`.
    """
    width = arguments.whole(width, "width")
    if width < 3 or width % 2 == 0:
        raise ZooError(f"width must be odd and at least 3, got {width}")
    return _delta(*_checked(frames, n_frames), width)


@jax.jit
def _statistics(frames: jax.Array, n_frames: jax.Array) -> Statistics:
    valid = (_places(frames, n_frames) < n_frames[..., None])[..., None]
    low, high = jnp.where(valid, frames, jnp.inf), jnp.where(valid, frames, -jnp.inf)
    mean, std = _moments(frames, valid, n_frames)
    slope_mean, slope_std = _moments(_delta(frames, n_frames, 9), valid, n_frames)
    return Statistics(
        mean, std, minimum=jnp.min(low, axis=-2), maximum=jnp.max(high, axis=-2),
        delta_mean=slope_mean, delta_std=slope_std,
    )  # fmt: skip


def _moments(frames: jax.Array, valid: jax.Array, n_frames: jax.Array) -> tuple[jax.Array, jax.Array]:
    n = n_frames[..., None].astype(jnp.float32)
    mean = jnp.sum(jnp.where(valid, frames, 0.0), axis=-2) / n
    square = jnp.where(valid, jnp.square(frames - mean[..., None, :]), 0.0)
    return mean, jnp.sqrt(jnp.sum(square, axis=-2) / n)


@partial(jax.jit, static_argnums=2)
def _delta(frames: jax.Array, n_frames: jax.Array, width: int) -> jax.Array:
    half, n = width // 2, frames.shape[-2]
    if n < width:
        return jnp.zeros_like(frames)
    steps = np.arange(-half, half + 1) / np.sum(np.arange(-half, half + 1) ** 2)
    n_slopes = n - width + 1
    slopes = sum(frames[..., i : i + n_slopes, :] * np.float32(steps[i]) for i in range(width))
    place = _places(frames, n_frames)
    # at the edges, the line through the outermost frames
    centre = jnp.clip(place - half, 0, jnp.maximum(n_frames[..., None] - width, 0))
    found = jnp.take_along_axis(jnp.asarray(slopes), centre[..., None], axis=-2)
    kept = (place < n_frames[..., None]) & (n_frames[..., None] >= width)
    return jnp.where(kept[..., None], found, 0.0)


def _places(frames: jax.Array, n_frames: jax.Array) -> jax.Array:
    """Number of each frame, (..., F)."""
    return jnp.broadcast_to(jnp.arange(frames.shape[-2]), (*n_frames.shape, frames.shape[-2]))


def _checked(frames: Any, n_frames: Any) -> tuple[jax.Array, jax.Array]:
    x = frames if isinstance(frames, jax.Array) else as_array(frames, "frames")
    if x.ndim < 2 or x.size == 0 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ZooError(f"frames must be floats (..., F, n), got {x.dtype} {x.shape}")
    batch = x.shape[:-2]
    if n_frames is None:
        counts: Any = np.full(batch, x.shape[-2], np.int32)
    else:
        counts = n_frames if isinstance(n_frames, jax.Array) else as_array(n_frames, "n_frames")
    if counts.shape != batch or not jnp.issubdtype(counts.dtype, jnp.integer):
        raise ZooError(f"n_frames must be integers {batch}, one for each clip, got {counts.dtype} {counts.shape}")
    if not isinstance(counts, jax.core.Tracer):
        known = np.asarray(counts)
        if known.min() < 1 or known.max() > x.shape[-2]:
            raise ZooError(f"n_frames must lie between 1 and {x.shape[-2]}, got {known.min()} to {known.max()}")
    return jnp.asarray(x, jnp.float32), jnp.asarray(counts, jnp.int32)
