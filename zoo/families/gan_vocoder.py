"""GAN-vocoder codec: a frame-rate encoder, residual VQ, a ConvNeXt decoder with an inverse-STFT head.

    audio → complex STFT → ConvNeXt → residual VQ → ConvNeXt → magnitude and phase → inverse STFT

The backbone and the head are those of Vocos (Siuzdak, 2023), the quantiser DAC's (Kumar et al., 2023). All work is
done at the frame rate, so it is matrix products throughout: fast on any backend.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from zoo.codec import Codec
from zoo.nn import dsp
from zoo.nn.bottlenecks import ResidualVQ
from zoo.nn.layers import Conv1d, ConvNeXtBlock, Dtype, LayerNorm, Layers, Network, Transform, apply_mask


class Backbone(Network):
    """Embedding and ConvNeXt blocks at constant resolution: (B, F, C) -> (B, F, width)."""

    width: int
    n_blocks: int
    kernel_size: int = 7
    dtype: Dtype = jnp.float32
    causal: bool = False

    def layers(self) -> Layers:
        yield Conv1d(self.width, self.kernel_size, dtype=self.dtype, causal=self.causal, name="embed")
        yield LayerNorm(dtype=self.dtype, name="norm_in")
        for i in range(self.n_blocks):
            block = (3 * self.width, self.kernel_size, 1.0 / self.n_blocks, self.dtype, self.causal)
            yield ConvNeXtBlock(*block, name=f"block_{i}")
        yield LayerNorm(dtype=self.dtype, name="norm_out")


class Encoder(Network):
    latent_dim: int
    n_fft: int
    hop_length: int
    width: int
    n_blocks: int
    dtype: Dtype
    causal: bool = False

    def layers(self) -> Layers:
        yield Transform(self._features, lambda frames: frames.analysed(*dsp.stft_window(self.n_fft, self.hop_length)))
        yield Backbone(self.width, self.n_blocks, 7, self.dtype, self.causal, name="backbone")
        yield Conv1d(self.latent_dim, dtype=self.dtype, masked=False, name="head")

    def _features(self, audio: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Magnitudes to the power 0.3 with their phase, and their logarithm: loud and soft on one scale."""
        spectrum = dsp.stft(audio.swapaxes(1, 2), self.n_fft, self.hop_length, padding="same")  # (B, C, F, K)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag) + 1e-7
        scale = power**-0.35
        features = jnp.concatenate([spectrum.real * scale, spectrum.imag * scale, 0.2 * jnp.log(power) + 1.5], -1)
        batch, channels, frames, size = features.shape
        return features.transpose(0, 2, 1, 3).reshape(batch, frames, channels * size)


class Decoder(Network):
    channels: int
    n_fft: int
    hop_length: int
    width: int
    n_blocks: int
    dtype: Dtype
    causal: bool = False

    def layers(self) -> Layers:
        yield Backbone(self.width, self.n_blocks, 7, self.dtype, self.causal, name="backbone")
        yield Conv1d(self.channels * 3 * self._bins, dtype=self.dtype, masked=False, name="head")
        yield Transform(self._audio, lambda samples: samples.synthesised(*dsp.stft_window(self.n_fft, self.hop_length)))

    @property
    def _bins(self) -> int:
        return self.n_fft // 2 + 1

    def _audio(self, head: jax.Array, mask: jax.Array | None) -> jax.Array:
        head = head.astype(jnp.float32).reshape(*head.shape[:2], self.channels, 3, self._bins)
        head = head.transpose(0, 2, 3, 1, 4)  # (B, C, 3, F, K)
        magnitude = jnp.exp(jnp.minimum(head[:, :, 0] - 1.0, 6.0))
        # phase as a direction (a, b) / |(a, b)|: no wrapping, and defined by its gradient everywhere
        real, imag = head[:, :, 1], head[:, :, 2]
        scale = magnitude * jax.lax.rsqrt(jnp.square(real) + jnp.square(imag) + 1e-4)
        spectrum = jax.lax.complex(real * scale, imag * scale)
        frame_mask = None if mask is None else mask[:, None]
        audio = dsp.istft(spectrum, self.n_fft, self.hop_length, mask=frame_mask)
        return apply_mask(audio.swapaxes(1, 2), mask)


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
    encoder = Encoder(
        latent_dim,
        n_fft,
        hop_length=hop_length,
        width=encoder_width,
        n_blocks=encoder_blocks,
        dtype=dtype,
        causal=causal,
    )
    decoder = Decoder(
        channels, n_fft, hop_length=hop_length, width=decoder_width, n_blocks=decoder_blocks, dtype=dtype, causal=causal
    )
    return Codec.from_parts(
        encoder,
        ResidualVQ(latent_dim, n_codebooks, codebook_size, code_dim, quantiser_dropout),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop_length,
        channels=channels,
    )
