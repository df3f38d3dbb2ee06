"""Convolutions over time, in the forms that are fast on XLA."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from zoo.nn.layers.convolve import CONVOLVED, convolve
from zoo.nn.layers.edges import Edge, Span, apply_mask, pad_time
from zoo.nn.layers.parameters import Dtype, Initializer, Module, per_channel


class Conv1d(Module):
    """Convolution over time of masked (B, T, C), padded on both sides to T / stride outputs.

    Of the padding, `left` samples are on the left, by default half, or all if `causal`; `edge` says what they are. A
    stride must divide the kernel size and the number of samples. There are as many features as the input has channels
    where `features` is None.
    """

    features: int | None = None
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32
    causal: bool = False
    left: int | None = None
    edge: Edge = "zero"
    masked: bool = True
    """whether its input is set to zero outside the clip first: a kernel of one tap may do without"""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.analysed((self.kernel_size - 1) * self.dilation + 1, self.stride, self._padding()[0])

    @nn.nowrap
    def _padding(self) -> tuple[int, int]:
        return _padding((self.kernel_size - 1) * self.dilation + 1 - self.stride, self.causal, self.left)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels, stride, size = x.shape[-1], self.stride, self.kernel_size
        features, mask = self.features or channels, mask if self.masked else None
        kernel = self.param("kernel", self.kernel_init, (size, channels, features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32) if self.use_bias else None
        if stride > 1 and (size % stride or self.dilation > 1):
            raise ValueError(f"kernel_size {size} must be a multiple of stride {stride}, undilated")
        x, kernel = apply_mask(x, mask).astype(self.dtype), kernel.astype(self.dtype)
        y = convolve(pad_time(x, *self._padding(), self.edge, mask), kernel, self.dilation, stride)
        return y if bias is None else y + per_channel(bias, self.dtype)


class ConvTranspose1d(Module):
    """Transposed convolution (B, F, C) -> (B, F * stride, features) with a kernel of twice the stride.

    Its first `left` samples are dropped, by default half a stride; 0 makes it causal. Written as a sub-pixel product:
    two neighbouring frames give one block of `stride` samples.
    """

    features: int
    stride: int
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32
    left: int | None = None

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.synthesised(2 * self.stride, self.stride, self._left())

    @nn.nowrap
    def _left(self) -> int:
        return self.stride // 2 if self.left is None else self.left

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, channels = x.shape
        stride = self.stride
        # (2 * stride, C, features): row n is what an input frame adds to sample n of its window.
        kernel = self.param("kernel", self.kernel_init, (2 * stride, channels, self.features), jnp.float32)
        x, kernel = apply_mask(x, mask).astype(self.dtype), kernel.astype(self.dtype)
        if jax.default_backend() == "cpu" and kernel.size >= _HUGE:
            y = checkpoint_name(_sample_by_sample(x, kernel), CONVOLVED)
        else:
            x = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
            first, second = jnp.split(kernel, 2)  # first half of a window, second half
            taps = jnp.stack([second, first])  # the earlier frame's second half overlaps the later one's first
            taps = taps.transpose(0, 2, 1, 3).reshape(2, channels, stride * self.features)
            y = convolve(x, taps, 1).reshape(batch, (frames + 1) * stride, self.features)
        y = y[:, self._left() : self._left() + frames * stride]
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + per_channel(bias, self.dtype)
        return y


class DepthwiseConv1d(Module):
    """Depthwise convolution of masked (B, T, C), as a sum of shifted slices (ten times faster on XLA:CPU)."""

    kernel_size: int
    dtype: Dtype = jnp.float32
    causal: bool = False
    dilation: int = 1
    use_bias: bool = True

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.analysed((self.kernel_size - 1) * self.dilation + 1, 1, self._padding()[0])

    @nn.nowrap
    def _padding(self) -> tuple[int, int]:
        return _padding((self.kernel_size - 1) * self.dilation, self.causal, None)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels, length = x.shape[-1], x.shape[1]
        kernel = self.param("kernel", _depthwise_init, (self.kernel_size, channels), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32) if self.use_bias else None
        x = pad_time(apply_mask(x, mask).astype(self.dtype), *self._padding())
        y = x[:, :length] * per_channel(kernel[0], self.dtype)
        for tap in range(1, self.kernel_size):
            start = tap * self.dilation
            y = y + x[:, start : start + length] * per_channel(kernel[tap], self.dtype)
        return y if bias is None else y + per_channel(bias, self.dtype)


def _sample_by_sample(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """All samples (B, (F + 1) * stride, features) of a transposed convolution with a kernel (2 * stride, C, features).

    A product for each sample of a window leaves the kernel as it is; where it holds more than the signal, moving its
    numbers around for two taps takes as long as the products.
    """
    (batch, frames, channels), (size, _, features) = x.shape, kernel.shape
    windows = _by_each(x.reshape(-1, channels), kernel)
    halves = windows.reshape(2, size // 2, batch, frames, features).transpose(0, 2, 3, 1, 4)
    first, second = halves.reshape(2, batch, frames * size // 2, features)
    return jnp.pad(first, ((0, 0), (0, size // 2), (0, 0))) + jnp.pad(second, ((0, 0), (size // 2, 0), (0, 0)))


@jax.custom_vjp
def _by_each(x: jax.Array, matrices: jax.Array) -> jax.Array:
    """Multiplies x (M, C) with each of the matrices (n, C, features) to (n, M, features)."""
    return jnp.matmul(_repeated(x, len(matrices)), matrices)


def _by_each_forward(x: jax.Array, matrices: jax.Array) -> tuple[jax.Array, Any]:
    return _by_each(x, matrices), (x, matrices)


def _by_each_backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, matrices = kept

    def add(i: Any, total: jax.Array) -> jax.Array:  # XLA:CPU takes twice as long to make a stack and sum it up
        return total + gradient[i] @ matrices[i].T

    of_x = jax.lax.fori_loop(0, len(matrices), add, jnp.zeros_like(x))
    return of_x, jnp.einsum("nmc,nmf->ncf", _repeated(x, len(matrices)), gradient)


_by_each.defvjp(_by_each_forward, _by_each_backward)


def _repeated(x: jax.Array, n: int) -> jax.Array:
    return jnp.broadcast_to(x[None], (n, *x.shape))


def _padding(total: int, causal: bool, left: int | None) -> tuple[int, int]:
    """Samples before and after."""
    before = left if left is not None else total if causal else total // 2
    return before, total - before


_HUGE = 2**23


def _depthwise_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    bound = float(np.sqrt(1.0 / shape[0]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)
