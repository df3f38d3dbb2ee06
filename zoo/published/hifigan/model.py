"""HiFi-GAN (Kong et al., 2020): transposed convolutions, and after each the mean of residual blocks of several kernels.

It decodes only. Its latents are what it was trained on: mel spectra, or, as the decoder of a VITS (Kim et al., 2021)
such as Piper's voices, the 192 dimensions between text and audio.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn.bottlenecks import Identity
from zoo.nn.layers import Conv1d, ConvTranspose1d, Dtype, Layers, Network, Residual, Sum
from zoo.published.parts.halves import NoEncoder

SLOPE, LAST_SLOPE = 0.1, 0.01
"""of leaky ReLUs: of all, and of that before the last convolution"""


class Unit(Residual):
    """Leaky ReLU and a dilated convolution, with `pairs` the same again undilated, and the residual."""

    kernel_size: int
    dilation: int
    pairs: bool
    dtype: Dtype

    def layers(self) -> Layers:
        yield functools.partial(nn.leaky_relu, negative_slope=SLOPE)
        yield Conv1d(None, self.kernel_size, dilation=self.dilation, dtype=self.dtype, name="dilated")
        if self.pairs:
            yield functools.partial(nn.leaky_relu, negative_slope=SLOPE)
            yield Conv1d(None, self.kernel_size, dtype=self.dtype, name="undilated")


class Decoder(Network):
    """Latents (B, F, D) to audio (B, F · hop_length, 1)."""

    width: int
    rates: tuple[int, ...]
    kernel_sizes: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    pairs: bool
    last_bias: bool
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")
        for i, rate in enumerate(self.rates):
            yield functools.partial(nn.leaky_relu, negative_slope=SLOPE)
            yield ConvTranspose1d(self.width >> (i + 1), rate, dtype=self.dtype, name=f"up_{i}")
            yield Sum(*(self._branch(i, j) for j in range(len(self.kernel_sizes))))
            yield lambda x: x / len(self.kernel_sizes)
        yield functools.partial(nn.leaky_relu, negative_slope=LAST_SLOPE)
        yield Conv1d(1, 7, use_bias=self.last_bias, dtype=self.dtype, name="conv_out")
        yield jnp.tanh

    @nn.nowrap
    def _branch(self, i: int, j: int) -> list[Any]:
        """The units of a stage with the j-th of the kernel sizes."""
        return [
            Unit(self.kernel_sizes[j], dilation, self.pairs, self.dtype, name=f"unit_{i}_{j}_{m}")
            for m, dilation in enumerate(self.dilations[j])
        ]


def hifigan(
    *,
    sample_rate: int = 22_050,
    latent_dim: int = 192,
    width: int = 256,
    rates: tuple[int, ...] = (8, 8, 4),
    kernel_sizes: tuple[int, ...] = (3, 5, 7),
    dilations: tuple[tuple[int, ...], ...] = ((1, 2), (2, 6), (3, 12)),
    pairs: bool = False,
    last_bias: bool = False,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The vocoder, by default that of Piper's voices of medium quality; `pairs` is the authors' residual block "1".

    It has no encoder, and no codes. Raises ValueError where the hyper-parameters do not fit together.
    """
    if len(dilations) != len(kernel_sizes):
        raise ValueError(f"dilations {dilations} and kernel_sizes {kernel_sizes} must be equally many")
    if any(rate % 2 for rate in rates) or width % 2 ** len(rates):
        raise ValueError(f"rates {rates} must be even, and width {width} be halved by each of them")
    if any(size % 2 == 0 for size in kernel_sizes):
        raise ValueError(f"kernel_sizes {kernel_sizes} must be odd")
    hop = int(np.prod(rates))
    decoder = Decoder(
        width,
        tuple(rates),
        tuple(kernel_sizes),
        tuple(tuple(each) for each in dilations),
        pairs=pairs,
        last_bias=last_bias,
        dtype=dtype,
    )
    return Codec.from_parts(NoEncoder(latent_dim, hop), Identity(), decoder, sample_rate=sample_rate, hop_length=hop)
