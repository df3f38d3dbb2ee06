"""Convolution over time and frequency, in the forms that are fast on XLA."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers.parameters import Dtype, Module, per_channel


class Conv2d(Module):
    """Convolution over time and frequency of (B, F, K, C), zero-padded to F frames and K / stride bins.

    The stride, over frequency only, must divide K and the kernel's width; it is computed as space-to-depth, because the
    gradient of a strided convolution takes a path on XLA:CPU that is a hundred times slower.
    """

    features: int
    kernel_size: tuple[int, int]
    stride: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, _, bins, channels = x.shape
        (height, width), stride = self.kernel_size, self.stride
        if width % stride or bins % stride:
            raise ValueError(f"stride {stride} must divide the kernel's width {width} and the {bins} bins")
        init = nn.initializers.lecun_normal()
        kernel = self.param("kernel", init, (height, width, channels, self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        above, left = (height - 1) // 2, (width - stride) // 2
        padding = ((0, 0), (above, height - 1 - above), (left, width - stride - left), (0, 0))
        x = jnp.pad(x.astype(self.dtype), padding)
        x = x.reshape(batch, x.shape[1], -1, stride * channels)
        kernel = kernel.astype(self.dtype).reshape(height, width // stride, stride * channels, self.features)
        return convolve_2d(x, kernel) + per_channel(bias, self.dtype)[None]


def convolve_2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves x (B, F, K, C), without padding, with a kernel (H, W, C, D): (B, F − H + 1, K − W + 1, D).

    On a CPU the frames under the kernel are put side by side, and the convolution is one over frequency: with 16
    channels that is four times as fast. For one or two features it is a product with all taps, and a sum: with 64
    channels and 49 taps that is five times as fast again. Gradients are faster without either.
    """
    return _convolved_quickly(x, kernel) if jax.default_backend() == "cpu" else _convolved(x, kernel)


def _convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The unpadded convolution (B, F', K', D) of x (B, F, K, C) with a kernel (H, W, C, D)."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@jax.custom_vjp
def _convolved_quickly(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same, as a convolution over frequency alone of H · C channels; gradients are those of `_convolved`."""
    if kernel.shape[-1] <= _FEW:
        return _to_few(x, kernel)
    batch, height, (bins, channels) = x.shape[0], kernel.shape[0], x.shape[2:]
    frames = x.shape[1] - height + 1
    rows = jnp.concatenate([x[:, i : i + frames] for i in range(height)], axis=-1)
    rows = rows.reshape(batch * frames, bins, height * channels)
    taps = kernel.transpose(1, 0, 2, 3).reshape(kernel.shape[1], height * channels, -1)
    y = jax.lax.conv_general_dilated(rows, taps, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))
    return y.reshape(batch, frames, *y.shape[1:])


def _to_few(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same for few features: products with all taps at once, and a sum of what is shifted."""
    height, width = kernel.shape[:2]
    frames, bins = x.shape[1] - height + 1, x.shape[2] - width + 1
    products = jnp.einsum("hwcd,bfkc->hwdbfk", kernel, x)
    parts = [products[i, j, :, :, i : i + frames, j : j + bins] for i in range(height) for j in range(width)]
    return jnp.moveaxis(functools.reduce(jnp.add, parts), 0, -1)


def _convolved_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolved_quickly(x, kernel), (x, kernel)


def _convolved_backward(inputs: tuple[jax.Array, jax.Array], on_y: jax.Array) -> tuple[jax.Array, jax.Array]:
    on_x, on_kernel = jax.vjp(_convolved, *inputs)[1](on_y)
    return on_x, on_kernel


_convolved_quickly.defvjp(_convolved_forward, _convolved_backward)

_FEW = 2
"""features"""
