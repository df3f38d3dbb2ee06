"""Layers whose outputs depend on the whole clip: group norms over time, and attention of every frame to every other."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers import Conv1d, Dtype, Layers, Module, Residual, Span, apply_mask, per_channel

_BLOCK = 512
"""frames that attend at once: memory grows with the clip, and not with its square"""
_UNHEARD = -1e30
Bias = Callable[[jax.Array, jax.Array], jax.Array]


class WholeClip(Module):
    """A layer that reaches over all of a clip; asked for its inputs, it tells of the frames themselves alone."""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span


class GroupNorm(WholeClip):
    """Normalises groups of channels of (B, T, C) over each clip, in float32; zero outside the clips."""

    n_groups: int
    epsilon: float = 1e-6
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, channels = x.shape
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        valid = jnp.ones((batch, length), bool) if mask is None else mask
        inside = valid[:, :, None, None]
        n = jnp.maximum(valid.sum(axis=1), 1).astype(jnp.float32)[:, None, None, None] * (channels // self.n_groups)
        groups = x.astype(jnp.float32).reshape(batch, length, self.n_groups, -1)

        def mean(y: jax.Array) -> jax.Array:
            return jnp.where(inside, y, 0.0).sum(axis=(1, 3), keepdims=True) / n

        centred = groups - mean(groups)
        normed = centred * jax.lax.rsqrt(mean(centred * centred) + self.epsilon)
        y = normed.reshape(x.shape) * per_channel(scale) + per_channel(bias)
        return apply_mask(y, mask).astype(self.dtype)


class NormedResidual(Residual):
    """Group norm, SiLU and a convolution of three taps, twice, and the residual."""

    n_groups: int
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        for i in (1, 2):
            yield GroupNorm(self.n_groups, dtype=self.dtype, name=f"norm_{i}")
            yield nn.silu
            yield Conv1d(None, 3, dtype=self.dtype, name=f"conv_{i}")


class Attention(WholeClip):
    """Attention with one head of every frame of a clip to all of its frames, after a group norm, and the residual."""

    n_groups: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, channels = x.shape
        normed = GroupNorm(self.n_groups, dtype=self.dtype, name="norm")(x, mask)
        query, key, value = (
            Conv1d(dtype=self.dtype, masked=False, name=name)(normed)[:, :, None] for name in ("q", "k", "v")
        )
        valid = jnp.ones((batch, length), bool) if mask is None else mask
        y = attend(query * jnp.asarray(channels**-0.5, self.dtype), key, value, valid)
        return x + Conv1d(dtype=self.dtype, masked=False, name="out")(y.reshape(x.shape))


def attend(query: jax.Array, key: jax.Array, value: jax.Array, valid: jax.Array, bias: Bias | None = None) -> jax.Array:
    """Attention (B, T, H, D) of every step of a clip to all its steps, which are those that are `valid` (B, T).

    Queries are scaled. `bias` says what is added to the scores of some queries (B, n, H, D), the first of which is step
    `first`, with all T keys: (B, H, n, T). Many queries are taken `_BLOCK` at a time.
    """
    length = query.shape[1]

    def attended(query: jax.Array, first: jax.Array) -> jax.Array:
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key).astype(jnp.float32)
        if bias is not None:
            scores = scores + bias(query, first)
        weights = jax.nn.softmax(jnp.where(valid[:, None, None], scores, _UNHEARD), axis=-1)
        return jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)

    if length <= _BLOCK:
        return attended(query, jnp.int32(0))
    n = -(-length // _BLOCK)
    padded = jnp.pad(query, ((0, 0), (0, n * _BLOCK - length), (0, 0), (0, 0)))
    blocks = jnp.moveaxis(padded.reshape(len(query), n, _BLOCK, *query.shape[2:]), 1, 0)
    y = jax.lax.map(lambda block: attended(*block), (blocks, _BLOCK * jnp.arange(n)))
    return jnp.moveaxis(y, 0, 1).reshape(padded.shape)[:, :length]
