"""Convolution over time and frequency, in the forms that are fast on XLA."""

from __future__ import annotations

import functools
import math
from typing import Any

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
        # of the padding, what is whole after space-to-depth
        margins = padding[1], (left // stride, (width - stride - left) // stride)
        return convolve_2d(x, kernel, margins) + per_channel(bias, self.dtype)[None]


def convolve_2d(x: jax.Array, kernel: jax.Array, margins: Margins = ((0, 0), (0, 0))) -> jax.Array:
    """Convolves x (B, F, K, C), without padding, with a kernel (H, W, C, D): (B, F − H + 1, K − W + 1, D).

    `margins` are numbers of frames and of bins, before and after, that are constant: on a CPU, x has no gradient there.

    On a CPU it is a convolution over frequency: the frames under the kernel are put side by side, or, if features are
    few, all rows of the kernel are applied to each frame, and what they give is summed up. For one or two features it
    is a product with all taps, and a sum: with 64 channels and 49 taps that is twenty times as fast as a convolution
    over both.
    """
    return _convolved_quickly(x, kernel, margins) if jax.default_backend() == "cpu" else _convolved(x, kernel)


def _convolved(x: jax.Array, kernel: jax.Array, margins: Margins = ((0, 0), (0, 0))) -> jax.Array:
    """The convolution (B, F', K', D) of x (B, F, K, C), with margins of zeros, with a kernel (H, W, C, D)."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), margins, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolved_quickly(x: jax.Array, kernel: jax.Array, margins: Margins) -> jax.Array:
    """The unpadded convolution in the form that is fastest on a CPU."""
    if kernel.shape[-1] <= _FEW:
        return _to_few(x, kernel)
    if math.prod(kernel.shape[:3]) <= _NARROW:
        return _convolved(x, kernel)
    return _sum_of_rows(x, kernel) if _is_narrow(kernel) else _of_rows_at_once(x, kernel)


def _is_narrow(kernel: jax.Array) -> bool:
    """Whether its matrix product has so few columns that it waits for memory."""
    _, width, channels, features = kernel.shape
    return _FEW < features <= _NARROW <= width * channels


def _of_rows_at_once(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution over frequency alone, of H · C channels."""
    batch, height, (bins, channels) = x.shape[0], kernel.shape[0], x.shape[2:]
    frames = x.shape[1] - height + 1
    rows = jnp.concatenate([x[:, i : i + frames] for i in range(height)], axis=-1)
    rows = rows.reshape(batch * frames, bins, height * channels)
    y = _over_bins(rows, kernel.transpose(1, 0, 2, 3).reshape(kernel.shape[1], height * channels, -1))
    return y.reshape(batch, frames, *y.shape[1:])


def _sum_of_rows(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A convolution over frequency alone, to H · D features, and a sum over frames: by example, in the cache."""
    height, width, channels, features = kernel.shape
    taps = kernel.transpose(1, 2, 0, 3).reshape(width, channels, height * features)

    def one(x: jax.Array) -> jax.Array:
        rows = jnp.split(_over_bins(x, taps), height, axis=-1)
        return functools.reduce(jnp.add, [row[i : len(x) - height + 1 + i] for i, row in enumerate(rows)])

    return jax.lax.map(one, x)


def _over_bins(rows: jax.Array, taps: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(rows, taps, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"))


def _to_few(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same for few features: products with all taps at once, and a sum of what is shifted."""
    height, width = kernel.shape[:2]
    frames, bins = x.shape[1] - height + 1, x.shape[2] - width + 1
    products = jnp.einsum("hwcd,bfkc->hwdbfk", kernel, x)
    parts = [products[i, j, :, :, i : i + frames, j : j + bins] for i in range(height) for j in range(width)]
    return jnp.moveaxis(functools.reduce(jnp.add, parts), 0, -1)


def _convolved_forward(x: jax.Array, kernel: jax.Array, margins: Margins) -> tuple[jax.Array, Any]:
    return _convolved_quickly(x, kernel, margins), (x, kernel)


def _convolved_backward(margins: Margins, inputs: Any, on_y: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = inputs
    if _is_narrow(kernel):
        on_kernel = _on_kernel(x, kernel, on_y)
    else:  # as in `convolve._convolved`
        on_kernel = _convolved(x.transpose(3, 1, 2, 0), on_y.transpose(1, 2, 0, 3)).transpose(1, 2, 0, 3)
    return jnp.pad(_on_inner(kernel, margins, on_y), ((0, 0), *margins, (0, 0))), on_kernel


def _on_inner(kernel: jax.Array, margins: Margins, on_y: jax.Array) -> jax.Array:
    """The gradient of what is within the margins.

    The kernel is turned around before: what XLA derives takes thirty times as long on a CPU inside a loop.
    """
    height, width = kernel.shape[:2]
    (above, below), (left, right) = margins
    padding = (height - 1 - above, height - 1 - below), (width - 1 - left, width - 1 - right)
    return _convolved(on_y, kernel[::-1, ::-1].swapaxes(2, 3), padding)


def _on_kernel(x: jax.Array, kernel: jax.Array, on_y: jax.Array) -> jax.Array:
    """The gradient of a kernel (H, W, C, D): a product of matrices for each example, whose copies stay in the cache."""
    height, width, channels, features = kernel.shape
    bins = on_y.shape[2]

    def add(total: jax.Array, example: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        x, on_y = example
        columns = jnp.concatenate([x[:, i : i + bins] for i in range(width)], axis=-1)
        rows = [jnp.pad(on_y, ((i, height - 1 - i), (0, 0), (0, 0))) for i in range(height)]
        left = jnp.concatenate(rows, axis=-1).reshape(-1, height * features)
        right = columns.reshape(-1, width * channels)
        return total + jnp.einsum("nh,nw->hw", left, right, preferred_element_type=jnp.float32), None

    total, _ = jax.lax.scan(add, jnp.zeros((height * features, width * channels)), (x, on_y))
    return total.reshape(height, features, width, channels).transpose(0, 2, 3, 1).astype(kernel.dtype)


_convolved_quickly.defvjp(_convolved_forward, _convolved_backward)

Margins = tuple[tuple[int, int], tuple[int, int]]
_FEW = 2
_NARROW = 64
"""features; products that are summed up for one"""
