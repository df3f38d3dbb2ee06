"""The 12 Hz tokeniser of Qwen3-TTS (Qwen Team, 2026): Mimi's encoder, and a causal decoder of a kind of its own.

The encoder is Mimi's, with the first 16 of its codebooks. What their codes stand for is the decoder's to say, which has
entries and projections of its own; then come a convolution, a transformer at the frame rate, two times twice the rate
with a ConvNeXt block each, and a stack of transposed convolutions and residual units with Snakes, as in BigVGAN. All of
it is causal: a frame can be given out as soon as its last sample is in.

Two things differ from the authors' package on long clips. The encoder's attention reaches back ten seconds, as its
configuration says; the version of transformers that their package pins looks at all that came before, unless it uses
FlashAttention. And the decoder is one pass, or chunks that give the same, where theirs begins anew every 300 frames
(24 s) with 25 frames of run-in.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn.layers import Conv1d, ConvNeXtBlock, ConvTranspose1d, Dtype, Module, Network, RMSNorm, Span, per_channel
from zoo.published.mimi.model import STEPS, Encoder
from zoo.published.mimi.split_vq import SplitRVQ
from zoo.published.mimi.transformer import Transformer, TransformerSpec
from zoo.published.oobleck.model import DILATIONS, ResidualUnit, SnakeBeta
from zoo.published.parts.seanet import Seanet


class Decoder(Network):
    """Latents (B, F, D) -> audio (B, F · hop, 1) in [-1, 1]."""

    transformer: TransformerSpec
    transformer_dim: int
    latent_dim: int
    """of what goes in and out of the transformer"""
    upsampling_ratios: tuple[int, ...]
    rates: tuple[int, ...]
    width: int
    dtype: Dtype

    @property
    def hop_length(self) -> int:
        return int(np.prod(self.upsampling_ratios + self.rates))

    def layers(self) -> list[Any]:
        width, dtype = self.latent_dim, self.dtype
        causal: dict[str, Any] = {"causal": True, "dtype": dtype}
        layers = [
            Conv1d(width, 3, **causal, name="pre"),
            Conv1d(self.transformer_dim, dtype=dtype, masked=False, name="project_in"),
            Transformer(self.transformer, dtype=dtype, name="transformer"),
            RMSNorm(dtype, self.transformer.norm_eps, name="norm"),
            Conv1d(width, dtype=dtype, masked=False, name="project_out"),
        ]
        for i, ratio in enumerate(self.upsampling_ratios):
            layers.append(Upsample(ratio, dtype, name=f"upsample_{i}"))
            layers.append(ConvNeXtBlock(4 * width, dtype=dtype, causal=True, exact_gelu=True, name=f"block_{i}"))
        layers.append(Conv1d(self.width, 7, **causal, name="conv_in"))
        for i, rate in enumerate(self.rates):
            layers.append(SnakeBeta(dtype, name=f"snake_{i}"))
            layers.append(ConvTranspose1d(self.width >> (i + 1), rate, dtype=dtype, left=0, name=f"up_{i}"))
            layers += [ResidualUnit(dilation, **causal, name=f"unit_{i}_{j}") for j, dilation in enumerate(DILATIONS)]
        head = Conv1d(1, 7, **causal, name="conv_out")
        return [*layers, SnakeBeta(dtype, name="snake_out"), head, lambda x: jnp.clip(x, -1, 1)]


class Upsample(Module):
    """Transposed convolution (B, F, C) -> (B, F · ratio, C) with as many taps as the ratio: frames do not overlap."""

    ratio: int
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        return span.synthesised(self.ratio, self.ratio, 0)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, channels = x.shape
        shape = (self.ratio, channels, channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        y = x.astype(self.dtype) @ kernel.transpose(1, 0, 2).reshape(channels, -1)
        return y.reshape(batch, frames * self.ratio, channels) + per_channel(bias, self.dtype)


def qwen3_tts(
    *,
    sample_rate: int = 24_000,
    latent_dim: int = 512,
    n_filters: int = 64,
    ratios: tuple[int, ...] = (8, 6, 5, 4),
    kernel_size: int = 7,
    last_kernel_size: int = 3,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    conv_shortcut: bool = False,
    n_layers: int = 8,
    n_heads: int = 8,
    head_dim: int = 64,
    hidden: int = 2048,
    window: int = 250,
    rope_theta: float = 10_000.0,
    norm_eps: float = 1e-5,
    layer_scale: float = 0.01,
    n_codebooks: int = 16,
    n_semantic: int = 1,
    codebook_size: int = 2048,
    code_dim: int = 256,
    decoder_latent_dim: int = 1024,
    decoder_dim: int = 512,
    decoder_n_layers: int = 8,
    decoder_n_heads: int = 16,
    decoder_head_dim: int = 64,
    decoder_hidden: int = 1024,
    decoder_window: int = 72,
    decoder_rope_theta: float = 10_000.0,
    decoder_norm_eps: float = 1e-5,
    decoder_layer_scale: float = 0.01,
    upsampling_ratios: tuple[int, ...] = (2, 2),
    decoder_rates: tuple[int, ...] = (8, 5, 4, 3),
    decoder_width: int = 1536,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The tokeniser, by default as published.

    From `latent_dim` to `code_dim` hyper-parameters are those of Mimi. The decoder's transformer has width
    `decoder_dim` and a window in frames; its stack of convolutions begins with `decoder_width` channels, of which each
    of `decoder_rates` leaves half. Raises ValueError where these do not fit together.
    """
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    if not 0 < n_semantic < n_codebooks:
        raise ValueError(f"n_semantic {n_semantic} is not between 1 and {n_codebooks - 1}, one less than n_codebooks")
    if head_dim % 2 or decoder_head_dim % 2 or min(window, decoder_window) < 2:
        raise ValueError("head_dim and decoder_head_dim must be even, window and decoder_window two or more")
    if decoder_width % (1 << len(decoder_rates)):
        raise ValueError(f"decoder_width {decoder_width} cannot be halved {len(decoder_rates)} times")
    seanet = Seanet(
        latent_dim,
        n_filters,
        ratios=tuple(ratios),
        kernel_size=kernel_size,
        last_kernel_size=last_kernel_size,
        residual_kernel_size=residual_kernel_size,
        n_residual=n_residual,
        dilation_growth=dilation_growth,
        compress=compress,
        edge="zero",
        conv_shortcut=conv_shortcut,
        n_lstm=0,
    )
    encoder = Encoder(
        seanet,
        TransformerSpec(
            n_layers, n_heads, head_dim, hidden, window, rope_theta, norm_eps=norm_eps, layer_scale=layer_scale
        ),
        dtype,
    )
    decoder = Decoder(
        TransformerSpec(
            decoder_n_layers,
            decoder_n_heads,
            decoder_head_dim,
            decoder_hidden,
            decoder_window,
            decoder_rope_theta,
            norm_eps=decoder_norm_eps,
            layer_scale=decoder_layer_scale,
            swiglu=True,
        ),
        decoder_dim,
        decoder_latent_dim,
        tuple(upsampling_ratios),
        tuple(decoder_rates),
        decoder_width,
        dtype,
    )
    hop = STEPS * seanet.hop_length
    if decoder.hop_length != hop:
        raise ValueError(f"ratios {ratios} make frames of {hop} samples, and the decoder's of {decoder.hop_length}")
    return Codec.from_parts(
        encoder,
        SplitRVQ(latent_dim, n_codebooks, n_semantic, codebook_size, code_dim, apart=True),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        recurrent=True,
    )
