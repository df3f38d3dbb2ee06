"""What stands between encoder and decoder: Identity, FSQ, Gaussian (KL) and residual VQ, all a `Bottleneck` (base.py).

Every bottleneck yields integer symbols, so that a bitrate can always be counted from coded bytes:

    quantised = bottleneck(latent, mask, keys=keys, level=level)   # training (keys given) or evaluation
    codes     = quantised.codes                                    # int32 (B, F, Q), code q in [0, codebook_sizes[q])
    latent    = bottleneck.dequantise(codes, level)                # what the decoder gets

`level` is the operating point, an int32 scalar or (B,) from 0 (lowest rate) to n_levels - 1: the number of codebooks
of a residual VQ, the grid step of a Gaussian one. `keys` are one PRNG key per example: noise is a function of the
example and never of how a batch is spread over devices. `mask` (B, F) leaves frames out of losses and metrics.

Gradients pass straight through all of them, in evaluation too: a loss on decoded audio moves what was encoded.
"""

from zoo.nn.bottlenecks.base import (
    Bottleneck,
    CodebookLevels,
    CodebookUse,
    Identity,
    LearntCodebooks,
    Quantised,
    SymbolFormat,
    check_keys,
    check_level,
    straight_through,
)
from zoo.nn.bottlenecks.kmeans import first_largest
from zoo.nn.bottlenecks.residual_vq import ResidualVQ
from zoo.nn.bottlenecks.scalar import FSQ, Gaussian

__all__ = [
    "FSQ",
    "Bottleneck",
    "CodebookLevels",
    "CodebookUse",
    "Gaussian",
    "Identity",
    "LearntCodebooks",
    "Quantised",
    "ResidualVQ",
    "SymbolFormat",
    "check_keys",
    "check_level",
    "first_largest",
    "straight_through",
]
