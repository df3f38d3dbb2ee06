"""Where a clip begins and ends inside an array, what layers get beyond that, and on what their outputs depend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

Edge = Literal["zero", "reflect", "replicate"]
"""what stands beyond the ends of a clip: nothing, its mirror image, or its last sample"""


@dataclass(frozen=True)
class Span:
    """A run of samples, first and last index; it is carried from the output of a stack of layers to its input."""

    first: int
    last: int

    def analysed(self, size: int, hop: int, left: int) -> Span:
        """The samples under windows `first` … `last`, where window f is the `size` samples from f * hop - left on."""
        return Span(self.first * hop - left, self.last * hop - left + size - 1)

    def synthesised(self, size: int, hop: int, left: int) -> Span:
        """The windows, laid out as for `analysed`, that cover any of the samples."""
        return Span(-((size - 1 - left - self.first) // hop), (self.last + left) // hop)

    def __or__(self, other: Span) -> Span:
        return Span(min(self.first, other.first), max(self.last, other.last))


def apply_mask(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Sets `x` (B, T, …) to zero wherever `mask` (B, F) is false; T is a multiple of F."""
    if mask is None:
        return x
    repeats = x.shape[1] // mask.shape[1]
    wide = jnp.repeat(mask, repeats, axis=1) if repeats > 1 else mask
    return jnp.where(wide.reshape(*wide.shape, *[1] * (x.ndim - 2)), x, jnp.zeros((), x.dtype))


def pad_time(x: jax.Array, left: int, right: int, edge: Edge = "zero", mask: jax.Array | None = None) -> jax.Array:
    """Adds `left` and `right` samples to (B, T, C), zero where `mask` (B, F) is false, and fills in its clips' edges.

    A clip is what lies between the first and the last frame that the mask admits. Where the mirror image is longer than
    the clip, zeros follow the clip before it is mirrored, as EnCodec does.
    """
    if not left and not right:
        return x
    padded = jnp.pad(x, ((0, 0), (left, right), (0, 0)))
    if edge == "zero":
        return padded
    frames = jnp.ones((x.shape[0], 1), bool) if mask is None else mask
    repeats = x.shape[1] // frames.shape[1]
    start = jnp.argmax(frames, axis=1).astype(jnp.int32) * repeats
    end = x.shape[1] - jnp.argmax(frames[:, ::-1], axis=1).astype(jnp.int32) * repeats
    beyond = _beyond(x, start[:, None], end[:, None], left, right, edge)

    def write(b: Any, padded: jax.Array) -> jax.Array:  # one by one, which XLA does in place
        b = jnp.int32(b)
        both = jax.lax.dynamic_index_in_dim(beyond, b)
        places = [jax.lax.dynamic_index_in_dim(place, b, keepdims=False) for place in (start, end + left)]
        for values, place in zip((both[:, :left], both[:, left:]), places):
            if values.shape[1]:
                padded = jax.lax.dynamic_update_slice(padded, values, (b, place, jnp.int32(0)))
        return padded

    return write(0, padded) if len(x) == 1 else jax.lax.fori_loop(0, len(x), write, padded)


def _beyond(x: jax.Array, start: jax.Array, end: jax.Array, left: int, right: int, edge: Edge) -> jax.Array:
    """What stands beyond the ends (B, 1) of clips (B, T, C): `left` samples before them, and `right` after them."""
    # of all samples beyond the ends, how far from its end each is
    before, after = np.arange(left, 0, -1, dtype=np.int32)[None], np.arange(right, dtype=np.int32)[None]
    if edge == "replicate":
        sources = [jnp.repeat(start, left, axis=1), jnp.repeat(end - 1, right, axis=1)]
    else:
        # zeros between the clip and its mirror image at the end, if it is too short to fill the padding
        gap = jnp.maximum(max(left, right) + 1 - (end - start), 0)
        sources = [start + before, jnp.where(after < gap, -1, end + 2 * (gap - 1) - after)]
    source = jnp.concatenate(sources, axis=1)
    inside = (source >= start) & (source < end)
    values = jnp.take_along_axis(x, source[..., None], axis=1, mode="clip")
    return jnp.where(inside[..., None], values, jnp.zeros((), x.dtype))
