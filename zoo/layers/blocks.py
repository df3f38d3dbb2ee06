"""Normalisation, activations and residual units."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.layers.convolution import Conv1d, DepthwiseConv1d
from zoo.layers.edges import Span
from zoo.layers.parameters import Dtype, per_channel


class LayerNorm(nn.Module):
    """Normalises over channels only, in float32.

    With `n_conditions`, scale and bias are a mixture of so many, in the proportions `condition` (B, T, n_conditions).
    """

    dtype: Dtype = jnp.float32
    epsilon: float = 1e-6
    n_conditions: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array | None = None) -> jax.Array:
        shape = (self.n_conditions, x.shape[-1]) if self.n_conditions else (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + self.epsilon)
        if condition is None:
            scale, bias = per_channel(scale), per_channel(bias)
        else:  # full precision: where products are rounded, on a GPU by default, one condition would not be just that
            scale, bias = (jnp.matmul(condition, each, precision=jax.lax.Precision.HIGHEST) for each in (scale, bias))
        return (centred * inverse * scale + bias).astype(self.dtype)


class TimeGroupNorm(nn.Module):
    """Normalises (B, T, C) over all of time and all channels, in float32; the array is all that there is."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=(1, 2), keepdims=True)
        inverse = jax.lax.rsqrt((centred * centred).mean(axis=(1, 2), keepdims=True) + 1e-5)
        return (centred * inverse * per_channel(scale) + per_channel(bias)).astype(self.dtype)


class Snake(nn.Module):
    """x + sin²(αx) / α with a learnt α per channel (Ziyin, Hartwig and Ueda, 2020)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = per_channel(self.param("alpha", nn.initializers.ones, (x.shape[-1],), jnp.float32), jnp.float32)
        wide = x.astype(jnp.float32)
        return (wide + sine_squared(alpha * wide) / (alpha + 1e-9)).astype(self.dtype)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, LayerNorm, two dense layers with GELU, a small layer scale, and the residual.

    ConvNeXt (Liu et al., 2022) in the one-dimensional form of Vocos (Siuzdak, 2023).
    """

    hidden: int
    kernel_size: int = 7
    layer_scale: float = 0.25
    dtype: Dtype = jnp.float32
    causal: bool = False
    exact_gelu: bool = False
    """the Gaussian's distribution function itself, not the usual approximation of it by tanh"""
    n_conditions: int = 0
    """of `LayerNorm`"""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span | DepthwiseConv1d(self.kernel_size, causal=self.causal).inputs(span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, condition: jax.Array | None = None) -> jax.Array:
        channels = x.shape[-1]
        y = DepthwiseConv1d(self.kernel_size, dtype=self.dtype, causal=self.causal)(x, mask)
        y = LayerNorm(dtype=self.dtype, n_conditions=self.n_conditions)(y, condition)
        y = nn.gelu(Conv1d(self.hidden, dtype=self.dtype, name="expand")(y), approximate=not self.exact_gelu)
        y = Conv1d(channels, dtype=self.dtype, name="project")(y)
        scale = self.param("layer_scale", nn.initializers.constant(self.layer_scale), (channels,), jnp.float32)
        return x + y * per_channel(scale, self.dtype)


class ResidualUnit(nn.Module):
    """Snake, dilated convolution, Snake, pointwise convolution, and the residual (DAC, 2023)."""

    dilation: int = 1
    kernel_size: int = 7
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span | Conv1d(1, self.kernel_size, dilation=self.dilation).inputs(span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels = x.shape[-1]
        y = Snake(dtype=self.dtype, name="snake_in")(x)
        y = Conv1d(channels, self.kernel_size, dilation=self.dilation, dtype=self.dtype, name="dilated")(y, mask)
        y = Snake(dtype=self.dtype, name="snake_out")(y)
        return x + Conv1d(channels, dtype=self.dtype, name="pointwise")(y, mask)


def elu(x: jax.Array) -> jax.Array:
    """x, or exp(x) − 1 where negative; not expm1, which takes XLA:CPU twice as long."""
    return jnp.maximum(x, 0) + (jnp.exp(jnp.minimum(x, 0)) - 1)


def sine_squared(x: jax.Array) -> jax.Array:
    """sin²(x), by reduction to [−π/2, π/2] and the Taylor series of sine to the eleventh power; error below 5e-7.

    Only products and sums, so that XLA vectorises it and its gradient: the library's sine was two thirds of a residual
    unit's time on a CPU. The period is subtracted in two parts, which holds for thousands of periods in float32.
    """
    period = jnp.round(x * (1.0 / np.pi))
    x = x - period * 3.140625 - period * (np.pi - 3.140625)
    square = x * x
    series = jnp.full_like(x, -1.0 / 39916800)
    for factorial in (362880, -5040, 120, -6, 1):
        series = series * square + 1.0 / factorial
    return jnp.square(x * series)


def compand(x: jax.Array, exponent: float) -> jax.Array:
    """Signed power law sign(x)·((|x| + ε)^p − ε^p): loud values are coded more coarsely than soft ones.

    Linear below ε = 1e-3, so that gradients stay finite. The inverse of `expand`.
    """
    if exponent == 1.0:
        return x
    return jnp.sign(x) * ((jnp.abs(x) + _KNEE) ** exponent - _KNEE**exponent)


def expand(x: jax.Array, exponent: float) -> jax.Array:
    """Inverse of `compand`."""
    if exponent == 1.0:
        return x
    return jnp.sign(x) * ((jnp.abs(x) + _KNEE**exponent) ** (1.0 / exponent) - _KNEE)


_KNEE = 1e-3
