"""What a prior models of a codec: its latents before quantisation (of a VAE the means), in one direction and the other.

Where codes are numbers on a grid, or there are none, the decoder takes such latents as they are. Where codes are names
(codebooks), it knows nothing but their embeddings: what is generated is quantised, at the default level, before.
"""

from __future__ import annotations

import numpy as np

from zoo.coding.encode import LatentEncoder
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

_CHUNK_S = 2.0


def latent_encoder(codec: ReadyCodec) -> LatentEncoder:
    """Blocks of a clip at the codec's rate and with its channels to latents (1, n, D)."""
    return LatentEncoder(
        codec.engine, codec.sample_rate, codec.channels, codec.engine.packet_frames(_CHUNK_S), mid_side=False
    )


def encode(codec: ReadyCodec, clip: np.ndarray) -> np.ndarray:
    """Latents (F, D) of a clip (T, C) at the codec's rate and with its channels."""
    encoder = latent_encoder(codec)
    return np.concatenate([*encoder.push(clip), *encoder.finish()], axis=1)[0]


def decode(codec: ReadyCodec, latents: np.ndarray, n_samples: int) -> np.ndarray:
    """Audio (n_samples, C) of latents (F, D)."""
    found = latents[None]
    if _has_names(codec):
        size = codec.engine.packet_frames(_CHUNK_S)
        found = np.concatenate(
            [_embedded(codec, found[:, i : i + size], size) for i in range(0, found.shape[1], size)], axis=1
        )
    return codec.engine.decode_latents(found, n_samples)[0]


def latent_dim(codec: ReadyCodec) -> int:
    """Their width; raises ZooError for a codec whose frames cannot be had one by one."""
    module = codec.module
    if module.frame_multiple > 1:
        raise ZooError("a prior needs a codec whose frames can be had one by one; this one has groups of them")
    return int(encode(codec, np.zeros((4 * module.hop_length, module.channels), np.float32)).shape[1])


def _has_names(codec: ReadyCodec) -> bool:
    return bool(codec.symbols.codebook_sizes) and not codec.symbols.ordered


def _embedded(codec: ReadyCodec, latents: np.ndarray, size: int) -> np.ndarray:
    level = codec.default_level
    return codec.engine.dequantise(codec.engine.quantise(latents, level, size), level, size)
