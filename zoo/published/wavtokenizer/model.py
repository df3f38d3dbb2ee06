"""WavTokenizer (Ji et al., 2024): EnCodec's encoder, one codebook, and Vocos's decoder behind an attention.

The encoder is not causal; its LSTM goes on from chunk to chunk. The decoder normalises over all of a clip, and every
frame attends to every other: what a file decodes to is known when its last packet is there. It was made for clips of
some seconds, and memory grows with a clip's length.

The encoder mirrors a clip at its ends. Clips are padded with zeros to whole hops first, which the published code leaves
to its user: the codes of the last five frames may be others for one that does not.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec, Reach
from zoo.nn.layers import Dtype, Layers, Network
from zoo.published.parts.euclidean import EuclideanRVQ
from zoo.published.parts.seanet import Seanet, SeanetEncoder
from zoo.published.vocos import vocoder
from zoo.published.wavtokenizer.whole import Attention, GroupNorm, NormedResidual

OVERLAP = 4
"""hops to a window of the inverse STFT"""


class Mixing(Network):
    """Two residual blocks, attention, two residual blocks, and a norm, between frames of the whole clip."""

    n_groups: int
    dtype: Dtype

    def layers(self) -> Layers:
        for i in range(5):
            block = Attention if i == 2 else NormedResidual
            yield block(self.n_groups, dtype=self.dtype, name=f"block_{i}")
        yield GroupNorm(self.n_groups, dtype=self.dtype, name="norm_out")


class Decoder(vocoder.Decoder):
    """Latents (B, F, D) to audio (B, F · hop_length, 1); of the conditions that its norms know the first is in use."""

    n_groups: int = 32

    @nn.nowrap
    def with_condition(self, latent: jax.Array) -> vocoder.Signals:
        """The features as they are, and the first condition for all of them."""
        return latent, jax.nn.one_hot(jnp.zeros(latent.shape[:2], jnp.int32), self.n_conditions, dtype=latent.dtype)

    @nn.nowrap
    def mixing(self) -> Layers:
        """What mixes frames of the whole clip."""
        yield Mixing(self.n_groups, self.dtype, name="mixing")


def wavtokenizer(
    *,
    sample_rate: int = 24_000,
    latent_dim: int = 512,
    n_filters: int = 32,
    ratios: tuple[int, ...] = (6, 5, 5, 4),
    kernel_size: int = 7,
    last_kernel_size: int = 7,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    conv_shortcut: bool = True,
    n_lstm: int = 2,
    codebook_size: int = 4096,
    width: int = 768,
    hidden: int = 2304,
    n_blocks: int = 12,
    n_conditions: int = 4,
    n_groups: int = 32,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec, by default as published at 40 codes a second; `width` to `n_groups` are the decoder's.

    Raises ValueError where these do not fit together.
    """
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    if width % n_groups:
        raise ValueError(f"n_groups {n_groups} does not divide width {width}")
    if n_conditions < 1:
        raise ValueError(f"n_conditions {n_conditions} must be one or more")
    spec = Seanet(
        latent_dim,
        n_filters,
        ratios=tuple(ratios),
        kernel_size=kernel_size,
        last_kernel_size=last_kernel_size,
        residual_kernel_size=residual_kernel_size,
        n_residual=n_residual,
        dilation_growth=dilation_growth,
        compress=compress,
        causal=False,
        conv_shortcut=conv_shortcut,
        n_lstm=n_lstm,
    )
    hop = spec.hop_length
    if (OVERLAP - 1) * hop % 2:
        raise ValueError(f"ratios {ratios} must have an even product, or windows have no middle")
    encoder = SeanetEncoder(spec, dtype)
    return Codec(
        encoder,
        EuclideanRVQ(latent_dim, 1, codebook_size),
        Decoder(OVERLAP * hop, hop, width, hidden, n_blocks, n_conditions, dtype, n_groups),
        sample_rate,
        hop,
        encoder_context=Reach.of_encoder(encoder, hop),
        decoder_context=Reach(0, 0),
        recurrent=n_lstm > 0,
        decodes_whole=True,
    )
