"""Transformers that change the rate, of SAME (Stability AI, 2026): what is kept of a segment are its learnt tokens.

A segment is the steps of a frame and, after them, learnt tokens: one that is to become the latent, or one for each step
that a latent is to become. Two frames at a time attend to each other, in the first half of the layers from an even
frame on, in the second half from an odd one, so that a frame depends on up to two before its pair and two after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers import Block, Dtype, Module, Span, per_channel
from zoo.nn.rotary import angles, rotate

PAIR = 2
"""frames that attend to each other"""


@dataclass(frozen=True)
class BlocksSpec:
    """Hyper-parameters of a transformer."""

    depth: int
    """layers, an even number"""
    head_dim: int
    hidden: int
    """width between two dense layers"""


class DynamicTanh(Module):
    """γ · tanh(αx) + β, in the place of a norm (Zhu et al., 2025); α is one number for all channels."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.constant(4.0), (1,), jnp.float32)
        gamma = self.param("gamma", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        beta = self.param("beta", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        alpha, gamma, beta = (v.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,)) for v in (alpha, gamma, beta))
        return gamma * jnp.tanh(alpha * x) + beta


class Layer(Block):
    """Differential attention (Ye et al., 2024) among all steps of (N, T, C), and SwiGLU (Shazeer, 2020)."""

    spec: BlocksSpec
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        spec, channels = self.spec, x.shape[-1]
        x = x + self._attention(DynamicTanh(self.dtype, name="norm_attention")(x))
        y = self._dense(DynamicTanh(self.dtype, name="norm_mlp")(x), 2 * spec.hidden, "expand", bias=True)
        y, gate = jnp.split(y, 2, axis=-1)
        return x + self._dense(y * nn.silu(gate), channels, "project", bias=True)

    def _attention(self, x: jax.Array) -> jax.Array:
        batch, length, channels = x.shape
        heads = batch, length, 5, channels // self.spec.head_dim, self.spec.head_dim
        query, key, value, other_query, other_key = jnp.moveaxis(
            self._dense(x, 5 * channels, "qkv").reshape(heads), 2, 0
        )
        norm_query, norm_key = (DynamicTanh(self.dtype, name=name) for name in ("norm_query", "norm_key"))
        y = self._attended(norm_query(query), norm_key(key), value)
        y = y - self._attended(norm_query(other_query), norm_key(other_key), value)
        return self._dense(y.reshape(batch, length, channels), channels, "out")

    def _attended(self, query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        """Attention (N, T, H, D) to the window; half of each head's channels tell where they stand."""
        turned = self.spec.head_dim // 2
        turns = angles(jnp.arange(query.shape[1]), turned)

        def placed(x: jax.Array) -> jax.Array:
            return jnp.concatenate([rotate(x[..., :turned], turns), x[..., turned:]], axis=-1)

        return jax.nn.dot_product_attention(placed(query), placed(key), value)

    def _dense(self, x: jax.Array, features: int, name: str, *, bias: bool = False) -> jax.Array:
        kernel = self.param(name, nn.initializers.lecun_normal(), (x.shape[-1], features), jnp.float32)
        y = x @ kernel.astype(self.dtype)
        if not bias:
            return y
        return y + per_channel(self.param(f"{name}_bias", nn.initializers.zeros, (features,), jnp.float32), self.dtype)


class Resampler(Module):
    """Steps (B, F · into, C) -> (B, F · out, C), where `into` or `out` is 1, and F a multiple of PAIR."""

    spec: BlocksSpec
    into: int
    """steps to a frame, of what comes in"""
    out: int
    """steps to a frame, of what goes out"""
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        frames = Span(span.first // self.out, span.last // self.out)
        for shift in (1, 0):
            first = (frames.first - shift) // PAIR * PAIR + shift
            frames = Span(first, (frames.last - shift) // PAIR * PAIR + shift + PAIR - 1)
        return Span(frames.first * self.into, (frames.last + 1) * self.into - 1)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, channels = x.shape
        frames, half = length // self.into, self.spec.depth // 2
        token = self.param("token", nn.initializers.normal(1e-5), (channels,), jnp.float32)
        tokens = jnp.broadcast_to(token.astype(self.dtype)[None, None, None], (batch, frames, self.out, channels))
        x = x.astype(self.dtype).reshape(batch, frames, self.into, channels)
        x = self._layers(jnp.concatenate([x, tokens], axis=2), range(half))
        valid = jnp.ones((batch, frames), bool) if mask is None else mask
        x = self._layers(_with_neighbours(x, valid), range(half, self.spec.depth))[:, 1:-1]
        return x[:, :, self.into :].reshape(batch, frames * self.out, channels)

    def _layers(self, x: jax.Array, which: Any) -> jax.Array:
        """Layers over pairs of segments of (B, F, S, C)."""
        shape = x.shape
        x = x.reshape(-1, PAIR * shape[2], shape[3])
        for i in which:
            x = Layer(self.spec, self.dtype, name=f"layer_{i}")(x)
        return x.reshape(shape)


def _with_neighbours(x: jax.Array, valid: jax.Array) -> jax.Array:
    """Segments (B, F, S, C) with one more at either end, so that each pair begins with an odd frame.

    At both ends of a clip, of which `valid` (B, F) says where they are, the partner of a segment is a copy of itself.
    """
    no_segment = jnp.zeros_like(x[:, :1])
    nowhere = jnp.zeros_like(valid[:, :1])
    x, valid = jnp.concatenate([no_segment, x, no_segment], 1), jnp.concatenate([nowhere, valid, nowhere], 1)
    pairs = x.reshape(x.shape[0], -1, PAIR, *x.shape[2:])
    here = valid.reshape(*pairs.shape[:3])[..., None, None]
    return jnp.where(here, pairs, pairs[:, :, ::-1]).reshape(x.shape)
