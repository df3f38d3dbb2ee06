"""Building blocks of the encoders and decoders: convolutions, up- and down-sampling, residual units.

Conventions shared by every block:

* layout (B, T, C); a `mask` is None (everything valid) or bool (B, F) at the *frame* rate, of which the
  length of any inner signal is a whole multiple: what lies outside a clip is set to zero before every
  convolution, so that edges, padded batches and chunks agree;
* nothing normalises over time;
* `inputs(span)` says on which input samples those of an output `Span` depend; `causal` convolutions depend on
  nothing later than themselves;
* `dtype` is the precision of the arithmetic, parameters are float32.

The forms look unusual because the plain ones are slow on XLA: strided convolutions become space-to-depth and a
dense product, transposed ones a sub-pixel product, depthwise ones sums of shifted slices; all give the
numbers of the textbook operation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Dtype = Any
Initializer = Callable[..., jax.Array]


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
    """Sets (B, T, C) `x` to zero wherever `mask` (B, F) is false; T is a multiple of F."""
    if mask is None:
        return x
    repeats = x.shape[1] // mask.shape[1]
    wide = jnp.repeat(mask, repeats, axis=1) if repeats > 1 else mask
    return jnp.where(wide[..., None], x, jnp.zeros((), x.dtype))


class Conv1d(nn.Module):
    """Convolution over time of masked (B, T, C), zero-padded on both sides to T / stride outputs.

    If `causal`, all padding is on the left. A stride must divide the kernel size, and is computed as space-to-depth
    followed by a dense convolution.
    """

    features: int
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32
    causal: bool = False

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        size = (self.kernel_size - 1) * self.dilation + 1
        return span.analysed(size, self.stride, _left_padding(size - self.stride, self.causal))

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels, stride, size = x.shape[-1], self.stride, self.kernel_size
        kernel = self.param("kernel", self.kernel_init, (size, channels, self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32) if self.use_bias else None
        x = apply_mask(x, mask).astype(self.dtype)
        kernel = kernel.astype(self.dtype)
        if stride > 1:
            if size % stride or self.dilation > 1:
                raise ValueError(f"kernel_size {size} must be a multiple of stride {stride}, undilated")
            x = _pad_time(x, size - stride, self.causal)
            x = x.reshape(x.shape[0], x.shape[1] // stride, stride * channels)
            kernel = kernel.reshape(size // stride, stride * channels, self.features)
        else:
            x = _pad_time(x, (size - 1) * self.dilation, self.causal)
        y = _dense_convolution(x, kernel, self.dilation)
        return y if bias is None else y + _per_channel(bias, self.dtype)


class Conv2d(nn.Module):
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
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + _per_channel(bias, self.dtype)[None]


class ConvTranspose1d(nn.Module):
    """Transposed convolution (B, F, C) -> (B, F * stride, features) with a kernel of twice the stride.

    Written as a sub-pixel product: two neighbouring frames give one block of `stride` samples.
    """

    features: int
    stride: int
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.synthesised(2 * self.stride, self.stride, self.stride // 2)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, channels = x.shape
        stride = self.stride
        # (2 * stride, C, features): row n is what an input frame adds to sample n of its window.
        kernel = self.param("kernel", self.kernel_init, (2 * stride, channels, self.features), jnp.float32)
        x = jnp.pad(apply_mask(x, mask).astype(self.dtype), ((0, 0), (1, 1), (0, 0)))
        first, second = jnp.split(kernel.astype(self.dtype), 2)  # first half of a window, second half
        taps = jnp.stack([second, first])  # the earlier frame's second half overlaps the later one's first
        taps = taps.transpose(0, 2, 1, 3).reshape(2, channels, stride * self.features)
        y = _dense_convolution(x, taps, 1).reshape(batch, (frames + 1) * stride, self.features)
        left = stride // 2
        y = y[:, left : left + frames * stride]
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + _per_channel(bias, self.dtype)
        return y


class DepthwiseConv1d(nn.Module):
    """Depthwise convolution of masked (B, T, C), as a sum of shifted slices (ten times faster on XLA:CPU)."""

    kernel_size: int
    dtype: Dtype = jnp.float32
    causal: bool = False

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.analysed(self.kernel_size, 1, _left_padding(self.kernel_size - 1, self.causal))

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels, length = x.shape[-1], x.shape[1]
        kernel = self.param("kernel", _depthwise_init, (self.kernel_size, channels), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        x = _pad_time(apply_mask(x, mask).astype(self.dtype), self.kernel_size - 1, self.causal)
        y = x[:, :length] * _per_channel(kernel[0], self.dtype)
        for tap in range(1, self.kernel_size):
            y = y + x[:, tap : tap + length] * _per_channel(kernel[tap], self.dtype)
        return y + _per_channel(bias, self.dtype)


class LayerNorm(nn.Module):
    """Normalises over channels only, in float32."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        x = x.astype(jnp.float32)
        centred = x - x.mean(axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-6)
        return (centred * inverse * _per_channel(scale) + _per_channel(bias)).astype(self.dtype)


class Snake(nn.Module):
    """x + sin²(αx) / α with a learnt α per channel (Ziyin, Hartwig and Ueda, 2020)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = _per_channel(self.param("alpha", nn.initializers.ones, (x.shape[-1],), jnp.float32), jnp.float32)
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

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span | DepthwiseConv1d(self.kernel_size, causal=self.causal).inputs(span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        channels = x.shape[-1]
        y = DepthwiseConv1d(self.kernel_size, dtype=self.dtype, causal=self.causal)(x, mask)
        y = LayerNorm(dtype=self.dtype)(y)
        y = nn.gelu(Conv1d(self.hidden, dtype=self.dtype, name="expand")(y))
        y = Conv1d(channels, dtype=self.dtype, name="project")(y)
        scale = self.param("layer_scale", nn.initializers.constant(self.layer_scale), (channels,), jnp.float32)
        return x + y * _per_channel(scale, self.dtype)


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


def _per_channel(parameter: jax.Array, dtype: Dtype = jnp.float32) -> jax.Array:
    """(C,) -> (1, 1, C): ranks are never promoted implicitly."""
    return parameter.astype(dtype)[None, None]


def _left_padding(total: int, causal: bool) -> int:
    return total if causal else total // 2


def _pad_time(x: jax.Array, total: int, causal: bool) -> jax.Array:
    left = _left_padding(total, causal)
    return jnp.pad(x, ((0, 0), (left, total - left), (0, 0))) if total else x


def _dense_convolution(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """VALID convolution of (B, T, C) with (K, C, features); a kernel of one tap is a matrix product."""
    if kernel.shape[0] == 1:
        return x @ kernel[0]
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "VALID", rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
    )


def _depthwise_init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    bound = float(np.sqrt(1.0 / shape[0]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)
