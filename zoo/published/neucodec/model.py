"""NeuCodec (Julian et al., 2025) and X-Codec2 (Ye et al., 2025): speech at 50 frames a second, one code to a frame.

What a file decodes to is known when its last packet is there: the decoder's norms and attention reach over the whole
clip, and memory grows with the clip's length.

Decoding alone, without the encoders, of which the semantic one is most of the model.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Reach
from zoo.nn.layers import Dtype
from zoo.published.neucodec.decoder import N_GROUPS, OVERLAP, Decoder, DecoderSpec
from zoo.published.neucodec.fsq import JointFSQ
from zoo.published.parts.halves import NoEncoder


def neucodec(
    *,
    sample_rate: int = 24_000,
    input_rate: int = 16_000,
    ratios: tuple[int, ...] = (2, 2, 4, 4, 5),
    joint_dim: int = 2048,
    levels: tuple[int, ...] = (4,) * 8,
    width: int = 1024,
    hidden: int = 4096,
    n_layers: int = 12,
    n_heads: int = 16,
    head_dim: int = 64,
    norm_eps: float = 1e-6,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec, by default NeuCodec as published; `width` to `norm_eps` are the decoder's.

    A frame is the product of `ratios` in samples at `input_rate` (Hz). Raises ValueError where these do not fit
    together.
    """
    if width % N_GROUPS:
        raise ValueError(f"width {width} is no multiple of {N_GROUPS}")
    hop, rest = divmod(int(np.prod(ratios)) * sample_rate, input_rate)
    if rest or (OVERLAP - 1) * hop % 2:
        raise ValueError(f"a frame of ratios {ratios} must be an even number of samples at sample_rate {sample_rate}")
    if min(levels) < 2 or np.prod([float(n) for n in levels]) > 2**20:
        raise ValueError(f"levels {levels} must be two or more each, and 2^20 codes or fewer together")
    spec = DecoderSpec(joint_dim, width, hidden, n_layers, n_heads, head_dim, norm_eps, hop)
    return Codec(
        NoEncoder(len(levels), hop),
        JointFSQ(tuple(levels)),
        Decoder(spec, dtype),
        sample_rate,
        hop,
        encoder_context=Reach(0, 0),
        decoder_context=Reach(0, 0),
        decodes_whole=True,
    )
