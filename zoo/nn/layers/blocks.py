"""Normalisation, activations and residual units."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers.convolution import Conv1d, DepthwiseConv1d
from zoo.nn.layers.network import Layers, Residual, run
from zoo.nn.layers.parameters import Dtype, Module, per_channel


class Block(Module):
    """A part that a network repeats, and the unit of rematerialisation.

    Where training saves memory, only what goes in and out of `__call__` is kept for the gradient, not what is inside.
    """


class LayerNorm(Module):
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


class RMSNorm(Module):
    """Divides by the root mean square over channels, in float32, and multiplies by a learnt scale (Zhang, 2019)."""

    dtype: Dtype = jnp.float32
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + self.epsilon)
        return (x * inverse * per_channel(scale)).astype(self.dtype)


class TimeGroupNorm(Module):
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


class Snake(Module):
    """The activation x + sin²(αx) / α with a learnt α per channel (Ziyin, Hartwig and Ueda, 2020)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        return snake(x.astype(self.dtype), alpha)


class ConvNeXtBlock(Residual, Block):
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

    def layers(self, channels: int | None = None) -> Layers:
        """The branch, to as many channels as there are outside it."""
        yield DepthwiseConv1d(self.kernel_size, dtype=self.dtype, causal=self.causal)
        yield LayerNorm(dtype=self.dtype, n_conditions=self.n_conditions)
        yield Conv1d(self.hidden, dtype=self.dtype, masked=False, name="expand")
        yield functools.partial(nn.gelu, approximate=not self.exact_gelu)
        yield Conv1d(channels, dtype=self.dtype, masked=False, name="project")

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, condition: jax.Array | None = None) -> jax.Array:
        channels = x.shape[-1]
        convolution, norm, *dense = self.layers(channels)
        y = run(dense, norm(convolution(x, mask), condition), mask)
        scale = self.param("layer_scale", nn.initializers.constant(self.layer_scale), (channels,), jnp.float32)
        return x + y * per_channel(scale, self.dtype)


class ResidualUnit(Residual, Block):
    """Snake, dilated convolution, Snake, pointwise convolution, and the residual (DAC, 2023)."""

    dilation: int = 1
    kernel_size: int = 7
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        yield Snake(dtype=self.dtype, name="snake_in")
        yield Conv1d(None, self.kernel_size, dilation=self.dilation, dtype=self.dtype, name="dilated")
        yield Snake(dtype=self.dtype, name="snake_out")
        yield Conv1d(dtype=self.dtype, name="pointwise")


def elu(x: jax.Array) -> jax.Array:
    """Computes x, or exp(x) − 1 where negative; not by expm1, which takes XLA:CPU twice as long."""
    return jnp.maximum(x, 0) + (jnp.exp(jnp.minimum(x, 0)) - 1)


def snake(x: jax.Array, alpha: jax.Array, depth: jax.Array | None = None) -> jax.Array:
    """Computes x + depth · sin²(αx) of (B, T, C), with α and depth (C,), in float32; depth is 1 / α by default.

    Sine and cosine are Taylor series on [−π/2, π/2], to the eleventh and twelfth power: the error of sin² is below
    5e-7. Only products and sums, so that XLA vectorises them: the library's sine was two thirds of a residual unit's
    time on a CPU. The period is subtracted in two parts, which holds for thousands of periods. For the gradient x alone
    is kept.
    """
    return _snake(depth is None, x, alpha, 1 / (alpha + 1e-9) if depth is None else depth)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _snake(tied: bool, x: jax.Array, alpha: jax.Array, depth: jax.Array) -> jax.Array:
    """Computes Snake; with depth `tied` to α, its gradient is in that of α."""
    wide = x.astype(jnp.float32)
    sine = _sine(_in_half_period(per_channel(alpha) * wide))
    return (wide + sine * sine * per_channel(depth)).astype(x.dtype)


def _snake_forward(tied: bool, x: jax.Array, alpha: jax.Array, depth: jax.Array) -> tuple[jax.Array, Any]:
    return _snake(tied, x, alpha, depth), (x, alpha, depth)


def _snake_backward(tied: bool, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, alpha, depth = kept
    wide, g = x.astype(jnp.float32), gradient.astype(jnp.float32)
    angle = _in_half_period(per_channel(alpha) * wide)
    sine, cosine = _sine(angle), _series(angle * angle, _COSINE)
    slope = 2 * sine * cosine * per_channel(depth)
    of_x = (g + g * slope * per_channel(alpha)).astype(x.dtype)
    # over both axes at once, of a single clip too: a sum over time alone takes XLA:CPU ten times as long
    if tied:  # a sum takes as long as all the rest on a CPU, so that there is one and not two
        of_depth = -sine * sine * per_channel(depth * depth)
        return of_x, (g * (wide * slope + of_depth)).sum(axis=(0, 1)), jnp.zeros_like(depth)
    return of_x, (g * wide * slope).sum(axis=(0, 1)), (g * sine * sine).sum(axis=(0, 1))


_snake.defvjp(_snake_forward, _snake_backward)


def _in_half_period(angle: jax.Array) -> jax.Array:
    """The angle less a multiple of π, in [−π/2, π/2]."""
    period = jnp.round(angle * (1.0 / np.pi))
    return angle - period * 3.140625 - period * (np.pi - 3.140625)


def _sine(angle: jax.Array) -> jax.Array:
    return angle * _series(angle * angle, _SINE)


def _series(x: jax.Array, factorials: Sequence[int]) -> jax.Array:
    """The sum of x^n / factorials[n], highest power first."""
    total = jnp.full_like(x, 1.0 / factorials[0])
    for factorial in factorials[1:]:
        total = total * x + 1.0 / factorial
    return total


_SINE = (-39916800, 362880, -5040, 120, -6, 1)
_COSINE = (479001600, -3628800, 40320, -720, 24, -2, 1)


def compand(x: jax.Array, exponent: float) -> jax.Array:
    """Signed power law sign(x)·((|x| + ε)^p − ε^p): loud values are coded more coarsely than soft ones.

    Linear below ε = 1e-3, so that gradients stay finite. The inverse of `expand`.
    """
    if exponent == 1.0:
        return x
    return jnp.sign(x) * ((jnp.abs(x) + _KNEE) ** exponent - _KNEE**exponent)


def expand(x: jax.Array, exponent: float) -> jax.Array:
    """Inverts `compand`."""
    if exponent == 1.0:
        return x
    return jnp.sign(x) * ((jnp.abs(x) + _KNEE**exponent) ** (1.0 / exponent) - _KNEE)


_KNEE = 1e-3
