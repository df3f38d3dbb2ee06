"""Vocos (Siuzdak, 2023): ConvNeXt blocks at the frame rate and an inverse STFT, on mel spectra or on EnCodec's codes.

On mels it is a vocoder: the "encoder" is the log-mel spectrogram, there are no codes. Windows are centred on multiples
of the hop, the signal is mirrored at its ends. Clips are padded with zeros to whole hops first, so that n hops give
n + 1 frames; the published code leaves what is beyond the last whole hop out of its output.

On codes, encoder and codes are EnCodec's at 24 kHz; Vocos has its own entries for them, and layer norms that know the
bitrate. Those know four bitrates, of 2, 4, 8 and 16 codebooks; a level in between uses the norms of the next higher.
The bitrate reaches the decoder as the last numbers of the latent.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from zoo.codec import Codec, Reach
from zoo.nn.bottlenecks import Identity
from zoo.nn.layers import Dtype
from zoo.published.parts.seanet import Seanet, SeanetEncoder
from zoo.published.vocos.vocoder import ConditionedVQ, Decoder, MelSpectrogram

ENCODEC = "facebook/encodec_24khz"
"""whose encoder and codebooks the checkpoint on EnCodec's codes does without"""


BITS_PER_S = 750
"""of one of its codebooks"""


ENCODEC_PREFIX = "encodec."


_MELS = {"sample_rate": 24_000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"}
"""of the authors' MelSpectrogramFeatures: what a configuration leaves out"""


def vocos(
    *,
    sample_rate: int = 24_000,
    n_fft: int = 1024,
    hop_length: int = 256,
    n_mels: int = 100,
    width: int = 512,
    hidden: int = 1536,
    n_blocks: int = 8,
    condition_codebooks: tuple[int, ...] = (),
    latent_dim: int = 128,
    n_filters: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    n_lstm: int = 2,
    codebook_size: int = 1024,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The vocoder of mel spectra; or, with `condition_codebooks`, that of EnCodec's codes.

    These are the numbers of codebooks that its norms know, the last one is that of all; levels are numbers of
    codebooks. `latent_dim` to `codebook_size` are EnCodec's, and for a vocoder of mels mean nothing. Raises ValueError
    where these do not fit together.
    """
    decoder = Decoder(n_fft, hop_length, width, hidden, n_blocks, len(condition_codebooks), dtype)
    shared: dict[str, Any] = {
        "decoder": decoder,
        "sample_rate": sample_rate,
        "hop_length": hop_length,
        "decoder_context": Reach.of_decoder(decoder, hop_length),
    }
    if n_fft % hop_length or (n_fft - hop_length) % 2:
        raise ValueError(f"n_fft {n_fft} must be a multiple of hop_length {hop_length}, and their difference even")
    if not condition_codebooks:
        if n_fft % (2 * hop_length) or hop_length % 2:
            raise ValueError(f"n_fft {n_fft} must be a multiple of twice hop_length {hop_length}, which must be even")
        encoder: Any = MelSpectrogram(sample_rate, n_fft, hop_length, n_mels)
        context = Reach.of_encoder(encoder, hop_length)
        return Codec(encoder, Identity(), encoder_context=context, lead=hop_length // 2, **shared)
    if list(condition_codebooks) != sorted(set(condition_codebooks)) or condition_codebooks[0] < 1:
        raise ValueError(f"condition_codebooks {condition_codebooks} must rise")
    spec = Seanet(latent_dim, n_filters, tuple(ratios), n_lstm=n_lstm)
    if spec.hop_length != hop_length:
        raise ValueError(f"hop_length {hop_length} is not the product of ratios {ratios}")
    encoder = SeanetEncoder(spec, dtype)
    return Codec(
        encoder,
        ConditionedVQ(latent_dim, condition_codebooks, codebook_size),
        encoder_context=Reach.of_encoder(encoder, hop_length),
        recurrent=n_lstm > 0,
        min_first_frames=spec.min_first_frames(),
        **shared,
    )


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `vocos` takes, of a config.yaml of the authors.

    Raises KeyError, TypeError or ValueError for a config that is none, or of other parts than the published ones.
    """
    features = _arguments(config, "feature_extractor", ("MelSpectrogramFeatures", "EncodecFeatures"))
    backbone = _arguments(config, "backbone", ("VocosBackbone",))
    head = _arguments(config, "head", ("ISTFTHead",))
    on_codes = config["feature_extractor"]["class_path"].endswith("EncodecFeatures")
    found: dict[str, Any] = {
        "n_fft": int(head["n_fft"]),
        "hop_length": int(head["hop_length"]),
        "width": int(backbone["dim"]),
        "hidden": int(backbone["intermediate_dim"]),
        "n_blocks": int(backbone["num_layers"]),
    }
    agree = {"dim of backbone and head": (backbone["dim"], head["dim"])}
    if on_codes:
        bandwidths = [float(kbps) for kbps in features.get("bandwidths", (1.5, 3.0, 6.0, 12.0))]
        found |= {
            "sample_rate": 24_000,
            "condition_codebooks": [max(1, int(1000 * kbps // BITS_PER_S)) for kbps in bandwidths],
        }
        agree |= {
            "encodec_model": (features.get("encodec_model", "encodec_24khz"), "encodec_24khz"),
            "padding": (head.get("padding", "same"), "same"),
            "adanorm_num_embeddings": (backbone["adanorm_num_embeddings"], len(bandwidths)),
            "input_channels": (backbone["input_channels"], 128),
        }
    else:
        values: dict[str, Any] = {**_MELS, **features}
        found |= {"sample_rate": int(values["sample_rate"]), "n_mels": int(values["n_mels"])}
        agree |= {
            "padding": ((values["padding"], head.get("padding", "same")), ("center", "center")),
            "n_fft and hop_length of features and head": (
                (values["n_fft"], values["hop_length"]), (head["n_fft"], head["hop_length"]),
            ),
            "adanorm_num_embeddings": (backbone.get("adanorm_num_embeddings"), None),
            "input_channels": (backbone["input_channels"], values["n_mels"]),
        }  # fmt: skip
    for name, (have, wanted) in agree.items():
        if have != wanted:
            raise ValueError(f"{name}: {have!r} where {wanted!r} is expected")
    return found


def _complete(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Fills in the builder's own values for those that are not given."""
    return {**(vocos.__kwdefaults__ or {}), **hyperparameters}


def _arguments(config: dict[str, Any], part: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """What a part of the configuration is made with; raises ValueError if it is none of the classes."""
    name = str(config[part]["class_path"]).rpartition(".")[2]
    if name not in classes:
        raise ValueError(f"{part} is {name}; supported: {', '.join(classes)}")
    arguments: dict[str, Any] = config[part].get("init_args") or {}
    return arguments
