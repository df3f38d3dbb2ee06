"""Causal convolutions over time and frequency of masked (B, T, K, C), at changing rates, of SpectroStream.

T are steps of time, K bins of frequency. In time a layer sees nothing later than what its output stands for; in
frequency it is padded with zeros on both sides. As elsewhere, what is strided becomes space-to-depth and what is
transposed a sub-pixel product (`zoo.nn.layers`).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers import (
    Block,
    Dtype,
    Layers,
    Network,
    Span,
    Sum,
    Transform,
    apply_mask,
    convolve_2d,
    elu,
    per_channel,
    run,
)

Strides = tuple[int, int]
"""of time and of frequency"""


def resampling_kernel(strides: Strides) -> tuple[int, int]:
    """The kernel of a convolution that changes rates by `strides`: two strides wide, or three where there is none."""
    return max(3, 2 * strides[0]), max(3, 2 * strides[1])


class Conv(nn.Module):
    """Convolution (B, T, K, C) -> (B, T / s, K / s', features) with strides (s, s') that divide the kernel's sizes."""

    features: int
    kernel_size: tuple[int, int]
    strides: Strides = (1, 1)
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        size, stride = self.kernel_size[0], self.strides[0]
        return span.analysed(size, stride, size - stride)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        (height, width), (down, across) = self.kernel_size, self.strides
        channels = x.shape[-1]
        kernel, bias = _parameters(self, channels)
        if height > 1:
            x = apply_mask(x, mask)
        beside = width - across
        x = jnp.pad(x, ((0, 0), (height - down, 0), (beside // 2, beside - beside // 2), (0, 0)))
        batch, steps, bins, _ = x.shape
        x = x.reshape(batch, steps // down, down, bins // across, across, channels)
        x = x.swapaxes(2, 3).reshape(batch, steps // down, bins // across, down * across * channels)
        kernel = kernel.reshape(height // down, down, width // across, across, channels, -1).swapaxes(1, 2)
        kernel = kernel.reshape(height // down, width // across, down * across * channels, -1)
        return convolve_2d(x, kernel) + per_channel(bias, self.dtype)[None]


class ConvTranspose(nn.Module):
    """Transposed convolution (B, T, K, C) -> (B, T · s, K · s', features) with the kernel of `resampling_kernel`.

    Where a stride is one, it is an ordinary convolution along that axis.
    """

    features: int
    strides: Strides
    dtype: Dtype = jnp.float32

    @property
    def kernel_size(self) -> tuple[int, int]:
        return resampling_kernel(self.strides)

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        up = self.strides[0]
        return span.synthesised(2 * up, up, 0) if up > 1 else span.analysed(3, 1, 2)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        (batch, steps, bins, channels), (up, across) = x.shape, self.strides
        kernel, bias = _parameters(self, channels)
        taps, parts = kernel.shape[0] // up, kernel.shape[1] // across
        x = jnp.pad(apply_mask(x, mask), ((0, 0), (taps - 1, 0), (1, 1), (0, 0)))
        # here kernels lie the other way round: an input adds the last row to the first of the outputs that it reaches
        kernel = kernel.reshape(taps, up, parts, across, channels, -1)[:, ::-1, :, ::-1]
        kernel = kernel.transpose(0, 2, 4, 1, 3, 5).reshape(taps, parts, channels, -1)
        y = convolve_2d(x, kernel).reshape(batch, steps, -1, up, across, self.features)
        y = y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, steps * up, -1, self.features)
        # of a transposed convolution in frequency half a stride is left out at each end, the first one rounded down
        first = across // 2
        return y[:, :, first : first + bins * across] + per_channel(bias, self.dtype)[None]


class Down(Network, Block):
    """A residual unit that ends with a strided convolution, and has a mean over as much beside it."""

    channels: int
    """of its input"""
    features: int
    strides: Strides = (1, 1)
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        branch: Layers = [
            elu,
            Conv(self.channels, (3, 3), dtype=self.dtype, name="conv"),
            elu,
            Conv(self.features, resampling_kernel(self.strides), self.strides, self.dtype, name="resample"),
        ]
        beside = [] if self.strides == (1, 1) else [_mean(self.strides)]
        yield Sum(branch, [*beside, *_fitted(self)])


class Up(Network, Block):
    """A residual unit that begins with a transposed convolution, and has the input repeated beside it."""

    channels: int
    """of its input, as far as the shortcut is concerned"""
    features: int
    strides: Strides = (1, 1)
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        branch: Layers = [
            elu,
            ConvTranspose(self.features, self.strides, self.dtype, name="resample"),
            elu,
            Conv(self.features, (3, 3), dtype=self.dtype, name="conv"),
        ]
        beside = [] if self.strides == (1, 1) else [_repeated(self.strides)]
        yield Sum(branch, [*_fitted(self), *beside])


class Apart(Network):
    """Layers that each of `n_groups` groups of channels goes through by itself, with the same weights.

    A subclass says which layers.
    """

    n_groups: int

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, n = len(x), self.n_groups
        x = x.reshape(*x.shape[:3], n, -1).transpose(0, 3, 1, 2, 4)
        x = x.reshape(batch * n, *x.shape[2:])
        y = run(self.layers(), x, None if mask is None else jnp.repeat(mask, n, axis=0))
        y = y.reshape(batch, n, *y.shape[1:]).transpose(0, 2, 3, 1, 4)
        return y.reshape(*y.shape[:3], -1)


def _mean(strides: Strides) -> Transform:
    """Means over `strides` steps and bins that do not overlap."""
    down, across = strides

    def pool(x: jax.Array, mask: jax.Array | None) -> jax.Array:
        batch, steps, bins, channels = x.shape
        return x.reshape(batch, steps // down, down, bins // across, across, channels).mean(axis=(2, 4))

    return Transform(pool, lambda span: span.analysed(down, down, 0))


def _repeated(strides: Strides) -> Transform:
    """Each step and bin as many times as `strides` say."""
    up, across = strides
    return Transform(
        lambda x, _: jnp.repeat(jnp.repeat(x, up, axis=1), across, axis=2), lambda span: span.synthesised(up, up, 0)
    )


def _fitted(unit: Down | Up) -> Layers:
    """What gives the shortcut of a unit as many channels as its branch has."""
    return [] if unit.channels == unit.features else [Conv(unit.features, (1, 1), dtype=unit.dtype, name="shortcut")]


def _parameters(layer: Conv | ConvTranspose, channels: int) -> tuple[jax.Array, jax.Array]:
    """Kernel (H, W, channels, features) in the layer's precision, and bias (features,)."""
    shape = (*layer.kernel_size, channels, layer.features)
    kernel = layer.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
    bias = layer.param("bias", nn.initializers.zeros, (layer.features,), jnp.float32)
    return kernel.astype(layer.dtype), bias
