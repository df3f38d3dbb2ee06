"""NeuCodec (Julian et al., 2025) and X-Codec2 (Ye et al., 2025): speech at 50 frames a second, one code to a frame.

Both have two encoders, whose features are quantised together: convolutions on the waveform (of BigCodec), and the first
16 layers of w2v-BERT 2.0 on mel energies, which have most of the weights. The decoder is a transformer, and an inverse
STFT. Norms and attention reach over the whole clip, in either direction: codes are there when a clip has ended, audio
when the last packet is there, and memory grows with the clip's length.

NeuCodec's encoder is for 16 kHz, its decoder for 24 kHz. It is a codec of 24 kHz here, whose encoder resamples
(`filterbank.resampled`), and clips are padded with zeros to whole frames first: the published code has no frame for
what is beyond the last whole one. X-Codec2 has a sample of silence after each clip, and so a frame more where the clip
fills its last one, as published.

A model without encoders (`has_encoder`) decodes the codes of others, of a language model say.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Reach
from zoo.nn.layers import Dtype
from zoo.published.neucodec.decoder import N_GROUPS, OVERLAP, Decoder, DecoderSpec
from zoo.published.neucodec.encoder import Encoder, EncoderSpec
from zoo.published.neucodec.fsq import JointFSQ
from zoo.published.neucodec.semantic import SemanticSpec
from zoo.published.parts.halves import NoEncoder


def neucodec(
    *,
    sample_rate: int = 24_000,
    input_rate: int = 16_000,
    ratios: tuple[int, ...] = (2, 2, 4, 4, 5),
    levels: tuple[int, ...] = (4,) * 8,
    width: int = 1024,
    hidden: int = 4096,
    n_layers: int = 12,
    n_heads: int = 16,
    head_dim: int = 64,
    norm_eps: float = 1e-6,
    encoder_width: int = 48,
    n_mels: int = 80,
    semantic_width: int = 1024,
    semantic_hidden: int = 4096,
    semantic_layers: int = 16,
    semantic_heads: int = 16,
    semantic_kernel_size: int = 31,
    semantic_left: int = 64,
    semantic_right: int = 8,
    semantic_norm_eps: float = 1e-5,
    centred: bool = False,
    has_encoder: bool = True,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec, by default NeuCodec as published; `width` to `norm_eps` are the decoder's.

    A frame is the product of `ratios` in samples at `input_rate` (Hz). With `centred`, mel energies are in the middle
    of their frame, and a sample of silence follows each clip, as X-Codec2 has it. Raises ValueError where these do not
    fit together.
    """
    if width % N_GROUPS:
        raise ValueError(f"width {width} is no multiple of {N_GROUPS}")
    if semantic_width % semantic_heads:
        raise ValueError(f"semantic_heads {semantic_heads} does not divide semantic_width {semantic_width}")
    samples = int(np.prod(ratios))
    hop, rest = divmod(samples * sample_rate, input_rate)
    if rest or (OVERLAP - 1) * hop % 2:
        raise ValueError(f"a frame of ratios {ratios} must be an even number of samples at sample_rate {sample_rate}")
    if has_encoder and samples % 4:
        raise ValueError(f"ratios {ratios} must have a product that is a multiple of 4")
    if min(levels) < 2 or np.prod([float(n) for n in levels]) > 2**20:
        raise ValueError(f"levels {levels} must be two or more each, and 2^20 codes or fewer together")
    decoder = DecoderSpec(width + semantic_width, width, hidden, n_layers, n_heads, head_dim, norm_eps, hop)
    semantic = SemanticSpec(
        n_mels,
        semantic_width,
        semantic_hidden,
        semantic_layers,
        semantic_heads,
        semantic_kernel_size,
        semantic_left,
        semantic_right,
        semantic_norm_eps,
    )
    spec = EncoderSpec(sample_rate, input_rate, tuple(ratios), encoder_width, width, semantic, tuple(levels), centred)
    encoder: Any = Encoder(spec, dtype) if has_encoder else NoEncoder(len(levels), hop)
    return Codec(
        encoder,
        JointFSQ(tuple(levels)),
        Decoder(decoder, dtype),
        sample_rate,
        hop,
        encoder_context=Reach(0, 0),
        decoder_context=Reach(0, 0),
        tail=int(centred and has_encoder),  # codes of others may stand for whole frames
        decodes_whole=True,
        encodes_whole=has_encoder,
    )
