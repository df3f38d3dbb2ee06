"""Where a clip begins and ends inside an array, what a layer hears beyond that, and on what its outputs depend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

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
    """Sets (B, T, C) `x` to zero wherever `mask` (B, F) is false; T is a multiple of F."""
    if mask is None:
        return x
    repeats = x.shape[1] // mask.shape[1]
    wide = jnp.repeat(mask, repeats, axis=1) if repeats > 1 else mask
    return jnp.where(wide[..., None], x, jnp.zeros((), x.dtype))


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
    start = jnp.argmax(frames, axis=1) * repeats
    end = x.shape[1] - jnp.argmax(frames[:, ::-1], axis=1) * repeats
    return jax.vmap(lambda *clip: _fill(*clip, left=left, right=right, edge=edge))(x, padded, start, end)


def _fill(
    x: jax.Array, padded: jax.Array, start: jax.Array, end: jax.Array, *, left: int, right: int, edge: Edge
) -> jax.Array:
    """Writes what stands before `start` and from `end` on of a clip (T, C) into its padded form."""
    before, after = start - left + jnp.arange(left), end + jnp.arange(right)
    if edge == "replicate":
        sources = jnp.full(left, start), jnp.full(right, end - 1)
    else:
        # zeros between the clip and its mirror image at the end, if it is too short to fill the padding
        gap = jnp.maximum(max(left, right) - (end - start) + 1, 0)
        mirrored = 2 * (end + gap - 1) - after
        sources = 2 * start - before, jnp.where(jnp.arange(right) < gap, -1, mirrored)
    for source, place in zip(sources, (start, end + left)):
        inside = (source >= start) & (source < end)
        values = jnp.where(inside[:, None], x[jnp.clip(source, 0, len(x) - 1)], jnp.zeros((), x.dtype))
        padded = jax.lax.dynamic_update_slice(padded, values, (place, jnp.int32(0)))
    return padded
