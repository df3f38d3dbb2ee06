"""The audio tokenizer of Pocket TTS (Continuous Audio Language Models: Rouard et al., 2025).

A Mimi without codebooks: its latents are 32 numbers, 12.5 times a second, which a language model of audio predicts. The
transformers work on 16 steps to a frame. As in Mimi all of it is causal, and keys and values are carried from chunk to
chunk. What was published has no codes; as for Oobleck, `Grid` makes codes of latents all the same.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from zoo.codec import Codec
from zoo.nn.layers import Dtype
from zoo.published.mimi.model import Decoder, Encoder
from zoo.published.mimi.transformer import TransformerSpec
from zoo.published.oobleck.grid import GRID_STEPS, Grid
from zoo.published.parts.halves import NoDecoder, NoEncoder
from zoo.published.parts.seanet import Seanet


def pocket_tts_audio_tokenizer(
    *,
    sample_rate: int = 24_000,
    width: int = 512,
    latent_dim: int = 32,
    latent_stride: int = 16,
    n_filters: int = 64,
    ratios: tuple[int, ...] = (6, 5, 4),
    kernel_size: int = 7,
    last_kernel_size: int = 3,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    conv_shortcut: bool = False,
    n_layers: int = 2,
    n_heads: int = 8,
    head_dim: int = 64,
    hidden: int = 2048,
    window: int = 250,
    rope_theta: float = 10_000.0,
    norm_eps: float = 1e-5,
    layer_scale: float = 0.01,
    has_encoder: bool = True,
    has_decoder: bool = True,
    grid_steps: tuple[float, ...] = GRID_STEPS,
    codebook_size: int = 255,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec, by default as published; `width` is that of the transformers, of `latent_stride` steps to a frame.

    Levels are `grid_steps` of the latents. A model published as one half only cannot do what the other one would: that
    raises ZooError. Raises ValueError where the hyper-parameters do not fit together.
    """
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    if head_dim % 2 or window < 2:
        raise ValueError(f"head_dim {head_dim} must be even, and window {window} two or more")
    if not (has_encoder or has_decoder):
        raise ValueError("has_encoder and has_decoder are both false, which leaves nothing")
    seanet = Seanet(
        width,
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
    transformer = TransformerSpec(
        n_layers,
        n_heads,
        head_dim=head_dim,
        hidden=hidden,
        window=window,
        rope_theta=rope_theta,
        gelu_by_tanh=True,
        norm_eps=norm_eps,
        layer_scale=layer_scale,
    )
    hop, parts = latent_stride * seanet.hop_length, (seanet, transformer, dtype, latent_stride)
    encoder: Any = Encoder(*parts, latent_dim) if has_encoder else NoEncoder(latent_dim, hop)
    decoder: Any = Decoder(*parts, projected=True) if has_decoder else NoDecoder(seanet.channels, hop)
    return Codec.from_parts(
        encoder,
        Grid(latent_dim, grid_steps, codebook_size),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        recurrent=True,
    )
