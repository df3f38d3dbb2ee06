"""Mimi (Défossez et al., 2024): causal SEANet and transformers, 12.5 frames a second, a split residual VQ.

The transformers work on two steps to a frame. One codebook of each frame is taught what is said (semantic), the other
31 how it sounds (acoustic); both look at the same latent. All of it is causal: the transformers' keys and values are
carried from chunk to chunk, and a frame can be given out as soon as its last sample is in.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec
from zoo.nn.layers import Conv1d, Dtype, Layers, Module, Network, Span, apply_mask, per_channel
from zoo.published.mimi.split_vq import SplitRVQ
from zoo.published.mimi.transformer import Transformer, TransformerSpec
from zoo.published.parts.seanet import Seanet, SeanetDecoder, SeanetEncoder

STEPS = 2
"""of Mimi's transformers to a frame"""


class Encoder(Network):
    """Audio (B, F · hop, channels) -> latents (B, F, D): SEANet, transformer, and a convolution that keeps frames."""

    seanet: Seanet
    transformer: TransformerSpec
    dtype: Dtype
    steps: int = STEPS
    """of the transformer to a frame"""
    latent_dim: int | None = None
    """None = SEANet's"""

    def layers(self) -> Layers:
        options: dict[str, Any] = {"use_bias": False, "causal": True, "edge": "replicate", "dtype": self.dtype}
        steps, latent_dim = self.steps, self.latent_dim or self.seanet.latent_dim
        yield SeanetEncoder(self.seanet, self.dtype, name="seanet")
        yield Transformer(self.transformer, steps, self.dtype, name="transformer")
        yield Conv1d(latent_dim, 2 * steps, stride=steps, **options, name="down")


class Decoder(Network):
    """Latents (B, F, D) -> audio (B, F · hop, channels), the mirror image of `Encoder`."""

    seanet: Seanet
    transformer: TransformerSpec
    dtype: Dtype
    steps: int = STEPS
    projected: bool = False
    """whether latents have other dimensions than SEANet's, and are projected to these first"""

    def layers(self) -> Layers:
        if self.projected:
            yield Conv1d(self.seanet.latent_dim, use_bias=False, masked=False, dtype=self.dtype, name="project")
        yield Upsample(self.steps, self.dtype, name="up")
        yield Transformer(self.transformer, self.steps, self.dtype, name="transformer")
        yield SeanetDecoder(self.seanet, self.dtype, name="seanet")


class Upsample(Module):
    """Causal depthwise transposed convolution of masked (B, F, C), of some stride and twice as many taps, no bias."""

    stride: int = STEPS
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.synthesised(2 * self.stride, self.stride, 0)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        (batch, frames, channels), stride = x.shape, self.stride
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (2 * stride, channels), jnp.float32)
        x = jnp.pad(apply_mask(x, mask).astype(self.dtype), ((0, 0), (1, 0), (0, 0)))
        taps = [per_channel(tap, self.dtype) for tap in kernel]
        steps = [x[:, 1:] * taps[step] + x[:, :-1] * taps[step + stride] for step in range(stride)]
        return jnp.stack(steps, axis=2).reshape(batch, stride * frames, channels)


def mimi(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
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
    n_codebooks: int = 32,
    n_semantic: int = 1,
    codebook_size: int = 2048,
    code_dim: int = 256,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """Mimi, by default as published; `window` is in steps of half a frame, `hidden` the width of the dense layers.

    Raises ValueError where these do not fit together.
    """
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    if not 0 < n_semantic < n_codebooks:
        raise ValueError(f"n_semantic {n_semantic} is not between 1 and {n_codebooks - 1}, one less than n_codebooks")
    if head_dim % 2 or window < 2:
        raise ValueError(f"head_dim {head_dim} must be even, and window {window} two or more")
    seanet = Seanet(
        latent_dim,
        n_filters,
        ratios=tuple(ratios),
        channels=channels,
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
    transformer = TransformerSpec(
        n_layers,
        n_heads,
        head_dim=head_dim,
        hidden=hidden,
        window=window,
        rope_theta=rope_theta,
        norm_eps=norm_eps,
        layer_scale=layer_scale,
    )
    encoder, decoder = Encoder(seanet, transformer, dtype), Decoder(seanet, transformer, dtype)
    hop = STEPS * seanet.hop_length
    return Codec.from_parts(
        encoder,
        SplitRVQ(latent_dim, n_codebooks, n_semantic, codebook_size, code_dim),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        channels=channels,
        recurrent=True,
    )
