"""GAN-vocoder codec: a frame-rate encoder, residual VQ, a ConvNeXt decoder with an inverse-STFT head.

    audio → complex STFT → ConvNeXt → residual VQ → ConvNeXt → magnitude and phase → inverse STFT

The backbone and the head are those of Vocos (Siuzdak, 2023), the quantiser DAC's (Kumar et al., 2023). All work is
done at the frame rate, so it is matrix products throughout: fast on any backend.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec, Context
from zoo.nn import dsp
from zoo.nn.bottlenecks import ResidualVQ
from zoo.nn.layers import Conv1d, ConvNeXtBlock, Dtype, LayerNorm, Span, apply_mask


class Backbone(nn.Module):
    """Embedding and ConvNeXt blocks at constant resolution: (B, F, C) -> (B, F, width)."""

    width: int
    n_blocks: int
    kernel_size: int = 7
    dtype: Dtype = jnp.float32
    causal: bool = False

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        for _ in range(self.n_blocks):
            span = ConvNeXtBlock(1, self.kernel_size, causal=self.causal).inputs(span)
        return Conv1d(1, self.kernel_size, causal=self.causal).inputs(span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        x = Conv1d(self.width, self.kernel_size, dtype=self.dtype, causal=self.causal, name="embed")(x, mask)
        x = LayerNorm(dtype=self.dtype, name="norm_in")(x)
        for i in range(self.n_blocks):
            block = (3 * self.width, self.kernel_size, 1.0 / self.n_blocks, self.dtype, self.causal)
            x = ConvNeXtBlock(*block, name=f"block_{i}")(x, mask)
        return LayerNorm(dtype=self.dtype, name="norm_out")(x)


class Encoder(nn.Module):
    latent_dim: int
    n_fft: int
    hop_length: int
    width: int
    n_blocks: int
    dtype: Dtype
    causal: bool = False

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        frames = Backbone(self.width, self.n_blocks, causal=self.causal).inputs(frames)
        return frames.analysed(*_window(self.n_fft, self.hop_length))

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        spectrum = dsp.stft(audio.swapaxes(1, 2), self.n_fft, self.hop_length, padding="same")  # (B, C, F, K)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag) + 1e-7
        # magnitudes to the power 0.3 with their phase, and their logarithm: loud and soft on one scale
        scale = power**-0.35
        features = jnp.concatenate([spectrum.real * scale, spectrum.imag * scale, 0.2 * jnp.log(power) + 1.5], -1)
        batch, channels, frames, size = features.shape
        features = features.transpose(0, 2, 1, 3).reshape(batch, frames, channels * size)
        x = Backbone(self.width, self.n_blocks, 7, self.dtype, self.causal, name="backbone")(features, mask)
        return Conv1d(self.latent_dim, dtype=self.dtype, name="head")(x)


class Decoder(nn.Module):
    channels: int
    n_fft: int
    hop_length: int
    width: int
    n_blocks: int
    dtype: Dtype
    causal: bool = False

    @nn.nowrap
    def inputs(self, samples: Span) -> Span:
        frames = samples.synthesised(*_window(self.n_fft, self.hop_length))
        return Backbone(self.width, self.n_blocks, causal=self.causal).inputs(frames)

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, _ = latent.shape
        x = Backbone(self.width, self.n_blocks, 7, self.dtype, self.causal, name="backbone")(latent, mask)
        bins = self.n_fft // 2 + 1
        head = Conv1d(self.channels * 3 * bins, dtype=self.dtype, name="head")(x).astype(jnp.float32)
        head = head.reshape(batch, frames, self.channels, 3, bins).transpose(0, 2, 3, 1, 4)  # (B, C, 3, F, K)
        magnitude = jnp.exp(jnp.minimum(head[:, :, 0] - 1.0, 6.0))
        # phase as a direction (a, b) / |(a, b)|: no wrapping, and defined by its gradient everywhere
        real, imag = head[:, :, 1], head[:, :, 2]
        scale = magnitude * jax.lax.rsqrt(jnp.square(real) + jnp.square(imag) + 1e-4)
        spectrum = jax.lax.complex(real * scale, imag * scale)
        frame_mask = None if mask is None else mask[:, None]
        audio = dsp.istft(spectrum, self.n_fft, self.hop_length, mask=frame_mask)
        return apply_mask(audio.swapaxes(1, 2), mask)


def _window(n_fft: int, hop_length: int) -> tuple[int, int, int]:
    """Size, hop and left margin of the STFT's windows, without the first sample of each: its Hann weight is zero."""
    return n_fft - 1, hop_length, (n_fft - hop_length) // 2 - 1


def gan_vocoder(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    n_fft: int = 640,
    hop_length: int = 320,
    latent_dim: int = 128,
    encoder_width: int = 256,
    encoder_blocks: int = 4,
    decoder_width: int = 384,
    decoder_blocks: int = 6,
    n_codebooks: int = 8,
    codebook_size: int = 1024,
    code_dim: int = 8,
    quantiser_dropout: float = 0.25,
    causal: bool = False,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """STFT encoder, residual VQ, ConvNeXt decoder and inverse STFT; levels are numbers of codebooks.

    At most n_codebooks·log2(codebook_size)·sample_rate / hop_length bits per second: 6 kbps by default, less after
    entropy coding. If `causal`, the convolutions look at nothing to come: what is left of latency is one STFT window.
    """
    encoder = Encoder(latent_dim, n_fft, hop_length, encoder_width, encoder_blocks, dtype, causal)
    decoder = Decoder(channels, n_fft, hop_length, decoder_width, decoder_blocks, dtype, causal)
    return Codec(
        encoder=encoder,
        bottleneck=ResidualVQ(latent_dim, n_codebooks, codebook_size, code_dim, quantiser_dropout),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=hop_length,
        encoder_context=Context.of_encoder(encoder, hop_length),
        decoder_context=Context.of_decoder(decoder, hop_length),
        channels=channels,
    )
