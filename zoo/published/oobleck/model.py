"""Oobleck, the waveform VAE of Stable Audio (Evans et al., 2024): a DAC-like stack between audio and Gaussian latents.

Residual units and strided convolutions as in DAC, with a Snake whose frequency and depth are learnt apart, and strides
that are all even, so that F frames are F · hop_length samples both ways. What was published has no codes: its latents
feed a diffusion model. Here they are the posterior's means, and `Grid` makes codes of them all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn.layers import Conv1d, ConvTranspose1d, Dtype, Layers, Module, Network, Residual, snake
from zoo.published.oobleck.grid import GRID_STEPS, Grid

DILATIONS = (1, 3, 9)


class SnakeBeta(Module):
    """The activation x + sin²(eᵃ·x) / eᵇ with a and b learnt per channel (BigVGAN: Lee et al., 2023)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        beta = self.param("beta", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return snake(x.astype(self.dtype), jnp.exp(alpha), 1.0 / (jnp.exp(beta) + 1e-9))


class ResidualUnit(Residual):
    """Snake, dilated convolution, Snake, pointwise convolution, and the residual."""

    dilation: int
    dtype: Dtype = jnp.float32
    causal: bool = False

    def layers(self) -> Layers:
        yield SnakeBeta(self.dtype, name="snake_in")
        yield Conv1d(None, 7, dilation=self.dilation, dtype=self.dtype, causal=self.causal, name="dilated")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(dtype=self.dtype, masked=False, name="pointwise")


class Encoder(Network):
    """Audio (B, F · hop_length, channels) -> the posterior's mean (B, F, latent_dim)."""

    latent_dim: int
    width: int
    multiples: Sequence[int]
    strides: Sequence[int]
    dtype: Dtype
    with_scale: bool = False
    """whether what its deviation is made of follows the mean"""

    def layers(self) -> Layers:
        yield Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")
        for i, (multiple, stride) in enumerate(zip(self.multiples, self.strides)):
            for j, dilation in enumerate(DILATIONS):
                yield ResidualUnit(dilation, self.dtype, name=f"unit_{i}_{j}")
            yield SnakeBeta(self.dtype, name=f"snake_{i}")
            yield Conv1d(self.width * multiple, 2 * stride, stride=stride, dtype=self.dtype, name=f"down_{i}")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(2 * self.latent_dim, 3, dtype=self.dtype, name="conv_out")
        yield lambda x: x.astype(jnp.float32) if self.with_scale else x[..., : self.latent_dim].astype(jnp.float32)

    def posterior(self, audio: jax.Array, mask: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation, (B, F, latent_dim) each, of audio (B, F · hop_length, channels)."""
        both = self.clone(with_scale=True, parent=None, name=None).apply(self.variables, audio, mask)
        mean, scale = jnp.split(jnp.asarray(both), 2, axis=-1)
        return mean, jax.nn.softplus(scale) + 1e-4


class Decoder(Network):
    channels: int
    width: int
    multiples: Sequence[int]
    strides: Sequence[int]
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width * self.multiples[-1], 7, dtype=self.dtype, name="conv_in")
        for i in range(len(self.strides)):
            at = len(self.strides) - 1 - i
            width = self.width * (self.multiples[at - 1] if at else 1)
            yield SnakeBeta(self.dtype, name=f"snake_{i}")
            yield ConvTranspose1d(width, self.strides[at], dtype=self.dtype, name=f"up_{i}")
            for j, dilation in enumerate(DILATIONS):
                yield ResidualUnit(dilation, self.dtype, name=f"unit_{i}_{j}")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(self.channels, 7, use_bias=False, dtype=self.dtype, name="conv_out")


def oobleck(
    *,
    sample_rate: int = 44_100,
    channels: int = 2,
    latent_dim: int = 64,
    encoder_width: int = 128,
    decoder_width: int = 128,
    multiples: tuple[int, ...] = (1, 2, 4, 8, 16),
    strides: tuple[int, ...] = (2, 4, 4, 8, 8),
    grid_steps: tuple[float, ...] = GRID_STEPS,
    codebook_size: int = 255,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The VAE of Stable Audio Open; `multiples` of the widths and `strides` from the waveform to the latent.

    Levels are `grid_steps` of the means, in deviations of the prior. Raises ValueError for an odd stride, with which
    the published decoder would give fewer samples than it was given.
    """
    if len(multiples) != len(strides):
        raise ValueError(f"multiples {multiples} and strides {strides} must be equally many")
    if any(stride % 2 for stride in strides):
        raise ValueError(f"strides {strides} must be even")
    hop = int(np.prod(strides))
    encoder = Encoder(latent_dim, encoder_width, multiples, strides, dtype)
    decoder = Decoder(channels, decoder_width, multiples, strides, dtype)
    return Codec.from_parts(
        encoder,
        Grid(latent_dim, grid_steps, codebook_size),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        channels=channels,
    )
