"""Where a clip begins and ends inside an array, what layers get beyond that, and on what their outputs depend."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

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
    start = jnp.argmax(frames, axis=1) * repeats
    end = x.shape[1] - jnp.argmax(frames[:, ::-1], axis=1) * repeats
    fill = functools.partial(_beyond, left=left, right=right, edge=edge)
    before, after = jax.vmap(fill)(x, start, end)
    padded = _overwrite(padded, before, start) if left else padded
    return _overwrite(padded, after, end + left) if right else padded


def _beyond(
    x: jax.Array, start: jax.Array, end: jax.Array, *, left: int, right: int, edge: Edge
) -> tuple[jax.Array, jax.Array]:
    """What stands before `start`, `left` samples, and from `end` on, `right` samples, of a clip (T, C)."""
    before, after = start - left + jnp.arange(left), end + jnp.arange(right)
    if edge == "replicate":
        sources = jnp.full(left, start), jnp.full(right, end - 1)
    else:
        # zeros between the clip and its mirror image at the end, if it is too short to fill the padding
        gap = jnp.maximum(max(left, right) - (end - start) + 1, 0)
        mirrored = 2 * (end + gap - 1) - after
        sources = 2 * start - before, jnp.where(jnp.arange(right) < gap, -1, mirrored)

    def take(source: jax.Array) -> jax.Array:
        inside = (source >= start) & (source < end)
        return jnp.where(inside[:, None], x[jnp.clip(source, 0, len(x) - 1)], jnp.zeros((), x.dtype))

    return take(sources[0]), take(sources[1])


def _overwrite(x: jax.Array, values: jax.Array, places: jax.Array) -> jax.Array:
    """`x` (B, T, C) with `values` (B, n, C) from `places` (B,) on; one by one, which XLA does in place."""

    def write(b: Any, x: jax.Array) -> jax.Array:
        value = jax.lax.dynamic_index_in_dim(values, b)
        zero = jnp.int32(0)
        return jax.lax.dynamic_update_slice(x, value, (jnp.int32(b), jnp.int32(places[b]), zero))

    return write(0, x) if len(x) == 1 else jax.lax.fori_loop(0, len(x), write, x)
