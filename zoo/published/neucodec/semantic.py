"""The semantic encoder: the first layers of w2v-BERT 2.0 (Seamless Communication, 2023), and convolutions after them.

They are Conformers (Gulati et al., 2020) with a causal convolution, in which attention reaches over the whole clip,
with a learnt score for each distance (Shaw et al., 2018), up to a largest one on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers import Block, Conv1d, DepthwiseConv1d, Dtype, LayerNorm, Layers, Network, Residual, Span
from zoo.published.wavtokenizer.whole import WholeClip, attend


@dataclass(frozen=True)
class SemanticSpec:
    """Hyper-parameters."""

    n_mels: int
    width: int
    hidden: int
    """width between two dense layers"""
    n_layers: int
    n_heads: int
    kernel_size: int
    left: int
    """frames, the largest distance to earlier ones that is told from larger ones"""
    right: int
    norm_eps: float


class SemanticEncoder(Network):
    """Mel features (B, F, 2 · n_mels) to features (B, F, width)."""

    spec: SemanticSpec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, dtype = self.spec, self.dtype
        yield LayerNorm(dtype, spec.norm_eps, name="norm_in")
        yield Conv1d(spec.width, dtype=dtype, masked=False, name="project")
        for i in range(spec.n_layers):
            yield ConformerLayer(spec, dtype, name=f"layer_{i}")
        yield Conv1d(None, 3, use_bias=False, dtype=dtype, name="adapter_in")
        yield nn.relu
        yield AdapterUnit(dtype, name="adapter")
        yield Conv1d(None, 3, use_bias=False, dtype=dtype, name="adapter_out")


class AdapterUnit(Residual):
    """Two convolutions, a ReLU between them, and the residual."""

    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(None, 3, dtype=self.dtype, name="conv_1")
        yield nn.relu
        yield Conv1d(None, 3, dtype=self.dtype, name="conv_2")


class ConformerLayer(Block):
    """Half of two dense layers, attention, a causal convolution, half of two dense layers, and a norm."""

    spec: SemanticSpec
    dtype: Dtype

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        x = x + 0.5 * Dense(self.spec, self.dtype, name="dense_1")(x)
        x = x + Attention(self.spec, self.dtype, name="attention")(x, mask)
        x = x + Convolution(self.spec, self.dtype, name="convolution")(x, mask)
        x = x + 0.5 * Dense(self.spec, self.dtype, name="dense_2")(x)
        return LayerNorm(self.dtype, self.spec.norm_eps, name="norm_out")(x)


class Dense(Network):
    """A norm and two dense layers."""

    spec: SemanticSpec
    dtype: Dtype

    def layers(self) -> Layers:
        yield LayerNorm(self.dtype, self.spec.norm_eps, name="norm")
        yield Conv1d(self.spec.hidden, dtype=self.dtype, masked=False, name="expand")
        yield nn.silu
        yield Conv1d(self.spec.width, dtype=self.dtype, masked=False, name="project")


class Attention(WholeClip):
    """A norm and attention of every frame to all of its clip; the score of a pair depends on their distance too."""

    spec: SemanticSpec
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        spec, (batch, length, channels) = self.spec, x.shape
        head_dim = spec.width // spec.n_heads
        normed = LayerNorm(self.dtype, spec.norm_eps, name="norm")(x)
        query, key, value = (
            Conv1d(dtype=self.dtype, masked=False, name=name)(normed).reshape(batch, length, spec.n_heads, head_dim)
            for name in ("q", "k", "v")
        )
        shape = spec.left + spec.right + 1, head_dim
        distances = self.param("distances", nn.initializers.normal(0.02), shape, jnp.float32).astype(self.dtype)

        def bias(query: jax.Array, first: jax.Array) -> jax.Array:
            scores = jnp.einsum("bqhd,rd->bhqr", query, distances).astype(jnp.float32)
            steps = first + jnp.arange(query.shape[1])
            distance = jnp.clip(jnp.arange(length)[None] - steps[:, None], -spec.left, spec.right)
            return jnp.take_along_axis(scores, (distance + spec.left)[None, None], axis=-1)

        valid = jnp.ones((batch, length), bool) if mask is None else mask
        y = attend(query * jnp.asarray(head_dim**-0.5, self.dtype), key, value, valid, bias)
        return Conv1d(dtype=self.dtype, masked=False, name="out")(y.reshape(batch, length, channels))


class Convolution(Network):
    """A norm, a gated dense layer, a causal depthwise convolution with a norm and SiLU, and a dense layer."""

    spec: SemanticSpec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, dtype = self.spec, self.dtype
        yield LayerNorm(dtype, spec.norm_eps, name="norm")
        yield Conv1d(2 * spec.width, use_bias=False, dtype=dtype, masked=False, name="expand")
        yield nn.glu
        yield DepthwiseConv1d(spec.kernel_size, dtype, causal=True, use_bias=False, name="depthwise")
        yield LayerNorm(dtype, spec.norm_eps, name="norm_out")
        yield nn.silu
        yield Conv1d(spec.width, use_bias=False, dtype=dtype, masked=False, name="project")
