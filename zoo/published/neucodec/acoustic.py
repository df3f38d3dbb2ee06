"""The acoustic encoder: strided convolutions and residual units with Snakes at twice the rate, as in BigCodec.

A Snake makes overtones beyond half the sample rate, which would come back as alias. So a signal is brought to twice its
rate first, and back to its own after (Karras et al., 2021; BigVGAN: Lee et al., 2023).
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers import Conv1d, Dtype, Layers, Network, Residual, Span
from zoo.published.oobleck.model import DILATIONS, SnakeBeta

_TAPS = 12
"""of the low-pass filter, at twice the rate"""


class AntiAliased(nn.Module):
    """A Snake of (B, T, C) at twice the rate; beyond a clip's ends is its first or last sample, at either rate."""

    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return Span(span.first - _TAPS // 2 + 1, span.last + _TAPS // 2 - 1)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, channels = x.shape
        half, taps = _TAPS // 2, (low_pass()[0::2], low_pass()[1::2])
        padded = _held(x.astype(self.dtype), half // 2, half // 2, mask)
        phases = [2 * _filtered(padded, taps[i], i, length) for i in (0, 1)]
        fine = jnp.stack(phases, axis=2).reshape(batch, 2 * length, channels)
        fine = SnakeBeta(self.dtype, name="act")(fine)
        # an odd number of samples before, so that the odd ones are first in their pairs
        pairs = _held(fine, half - 1, half + 1, mask).reshape(batch, -1, 2, channels)
        return _filtered(pairs[:, :, 0], taps[0], 0, length) + _filtered(pairs[:, :, 1], taps[1], 0, length)


class Unit(Residual):
    """Snake, dilated convolution, Snake, pointwise convolution, and the residual."""

    dilation: int
    dtype: Dtype

    def layers(self) -> Layers:
        yield AntiAliased(self.dtype, name="snake_in")
        yield Conv1d(None, 7, dilation=self.dilation, dtype=self.dtype, name="dilated")
        yield AntiAliased(self.dtype, name="snake_out")
        yield Conv1d(dtype=self.dtype, masked=False, name="pointwise")


class AcousticEncoder(Network):
    """Audio (B, F · prod(ratios), 1) to features (B, F, features)."""

    width: int
    ratios: tuple[int, ...]
    features: int
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")
        for i, ratio in enumerate(self.ratios):
            for j, dilation in enumerate(DILATIONS):
                yield Unit(dilation, self.dtype, name=f"unit_{i}_{j}")
            yield AntiAliased(self.dtype, name=f"snake_{i}")
            width, left = self.width << (i + 1), -(-ratio // 2)
            yield Conv1d(width, 2 * ratio, ratio, left=left, dtype=self.dtype, name=f"down_{i}")
        yield AntiAliased(self.dtype, name="snake_out")
        yield Conv1d(self.features, 3, dtype=self.dtype, name="conv_out")


@functools.cache
def low_pass() -> np.ndarray:
    """The taps (12,) of a sinc that keeps the lower half of the frequencies, in a Kaiser window; their sum is one."""
    attenuation_db = 2.285 * (_TAPS // 2 - 1) * np.pi * 1.2 + 7.95  # of a transition of 0.6 of the lower rate
    taps = np.kaiser(_TAPS, 0.1102 * (attenuation_db - 8.7)) * np.sinc((np.arange(_TAPS) - (_TAPS - 1) / 2) / 2)
    taps = (taps / taps.sum()).astype(np.float32)
    taps.setflags(write=False)
    return taps


def _held(x: jax.Array, left: int, right: int, mask: jax.Array | None) -> jax.Array:
    """(B, left + T + right, C), in which the first and last sample of each clip stand for all beside it."""
    if mask is not None:
        repeats, steps = x.shape[1] // mask.shape[1], jnp.arange(x.shape[1])[None, :, None]
        first = (jnp.argmax(mask, axis=1) * repeats)[:, None, None]
        last = (x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1) * repeats)[:, None, None]
        x = jnp.where(steps < first, jnp.take_along_axis(x, first, axis=1), x)
        x = jnp.where(steps > last, jnp.take_along_axis(x, last, axis=1), x)
    return jnp.pad(x, ((0, 0), (left, right), (0, 0)), mode="edge")


def _filtered(x: jax.Array, taps: np.ndarray, first: int, length: int) -> jax.Array:
    """The sum of (B, length, C) from sample first + i of `x` on, each times tap i."""
    parts = [x[:, first + i : first + i + length] * jnp.asarray(tap, x.dtype) for i, tap in enumerate(taps)]
    return functools.reduce(jnp.add, parts)
