"""Descript Audio Codec: strided residual convolutions with Snake, and a residual VQ (Kumar et al., 2023).

A decoder whose strides are odd is published a sample short: a transposed convolution of stride s drops ceil(s / 2)
samples on both sides, so that n frames give n·s − 1 samples, and what follows sees an end that much earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn.bottlenecks import ResidualVQ
from zoo.nn.layers import (
    Conv1d,
    ConvTranspose1d,
    Dtype,
    Layers,
    Network,
    ResidualUnit,
    Snake,
    Steps,
    Transform,
    apply_mask,
    windowed,
)

DILATIONS = (1, 3, 9)


class EncoderStage(Network):
    """Residual units and a strided convolution; the first stage begins with a convolution of the waveform."""

    features: int
    rate: int
    first: bool
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        rate, dtype = self.rate, self.dtype
        if self.first:
            yield Conv1d(self.features // 2, 7, dtype=dtype, name="conv_in")
        for j, dilation in enumerate(DILATIONS):
            yield ResidualUnit(dilation, dtype=dtype, name=f"unit_{j}")
        yield Snake(dtype=dtype, name="snake")
        yield Conv1d(self.features, 2 * rate, rate, left=_margin(rate), dtype=dtype, name="down")


class Up(ConvTranspose1d):
    """A transposed convolution that ends clips a sample early where its stride is odd."""

    @nn.nowrap
    def mask_after(self, mask: jax.Array | None, length: int) -> jax.Array | None:
        # whether the clip goes on after the last sample of a step is known from the next one, which is needed anyway
        return _mask_after(self.stride, mask, length)


class DecoderStage(Network):
    """A transposed convolution and residual units; the last stage ends with a convolution to the waveform."""

    features: int
    rate: int
    last: bool
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        yield Snake(dtype=self.dtype, name="snake")
        yield Up(self.features, self.rate, left=_margin(self.rate), dtype=self.dtype, name="up")
        for j, dilation in enumerate(DILATIONS):
            yield ResidualUnit(dilation, dtype=self.dtype, name=f"unit_{j}")
        if self.last:
            yield Snake(dtype=self.dtype, name="snake_out")
            yield Conv1d(1, 7, dtype=self.dtype, name="conv_out")
            yield Transform(lambda x, mask: apply_mask(jnp.tanh(x.astype(jnp.float32)), mask), lambda span: span)

    @nn.nowrap
    def mask_after(self, mask: jax.Array | None, length: int) -> jax.Array | None:
        return _mask_after(self.rate, mask, length)


class Encoder(Network):
    latent_dim: int
    width: int
    rates: Sequence[int]
    dtype: Dtype

    def layers(self) -> Layers:
        for i, rate in enumerate(self.rates):
            width = self.width * 2**i
            stage = EncoderStage(2 * width, rate, i == 0, self.dtype, name=f"stage_{i}")
            yield windowed(stage, Steps(rate, 1), _window(width))
        yield Snake(dtype=self.dtype, name="snake_out")
        yield Conv1d(self.latent_dim, 3, dtype=self.dtype, name="conv_out")


class Decoder(Network):
    width: int
    rates: Sequence[int]
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")
        for i, rate in enumerate(self.rates):
            width = self.width // 2 ** (i + 1)
            stage = DecoderStage(width, rate, i == len(self.rates) - 1, self.dtype, name=f"stage_{i}")
            yield windowed(stage, Steps(1, rate), _window(width))


def _mask_after(rate: int, mask: jax.Array | None, length: int) -> jax.Array | None:
    """Mask of a stage's outputs, `length` of them: if the rate is odd, a clip has one less than its inputs · rate."""
    if rate % 2 == 0:
        return mask
    if mask is None:
        return (jnp.arange(length) < length - 1)[None]
    wide = jnp.repeat(mask, length // mask.shape[1], axis=1)
    return wide & jnp.pad(wide[:, 1:], ((0, 0), (0, 1)))


def dac(
    *,
    sample_rate: int = 44_100,
    encoder_width: int = 64,
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8),
    decoder_width: int = 1536,
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2),
    latent_dim: int = 1024,
    n_codebooks: int = 9,
    codebook_size: int = 1024,
    code_dim: int = 8,
    quantiser_dropout: float = 0.5,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec of 44.1 kHz; levels are numbers of codebooks. The widths are those at the waveform and the latent.

    Raises ValueError where the rates of encoder and decoder make different hops.
    """
    hop = int(np.prod(encoder_rates))
    if hop != int(np.prod(decoder_rates)):
        raise ValueError(f"encoder_rates {encoder_rates} and decoder_rates {decoder_rates} differ in their product")
    if decoder_width % 2 ** len(decoder_rates):
        raise ValueError(f"decoder_width {decoder_width} cannot be halved {len(decoder_rates)} times")
    encoder = Encoder(latent_dim, encoder_width, encoder_rates, dtype)
    decoder = Decoder(decoder_width, decoder_rates, dtype)
    return Codec.from_parts(
        encoder,
        ResidualVQ(latent_dim, n_codebooks, codebook_size, code_dim, quantiser_dropout, input_bias=True),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
    )


def _window(width: int) -> int:
    """Samples to compute at once: few enough to stay in a core's cache, enough for matrix products at full speed."""
    return max(2304, 2304 * 192 // width)


def _margin(rate: int) -> int:
    """Samples on the left that a strided convolution pads, and a transposed one drops."""
    return -(-rate // 2)
