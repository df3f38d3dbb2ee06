"""Vocos (Siuzdak, 2023): ConvNeXt blocks at the frame rate and an inverse STFT, on mel spectra or on EnCodec's codes.

On mels it is a vocoder: the "encoder" is the log-mel spectrogram, there are no codes. Windows are centred on multiples
of the hop, the signal is mirrored at its ends. Clips are padded with zeros to whole hops first, so that n hops give
n + 1 frames; the published code leaves what is beyond the last whole hop out of its output.

On codes, encoder and codes are EnCodec's at 24 kHz; Vocos has its own entries for them, and layer norms that know the
bitrate. Those know four bitrates, of 2, 4, 8 and 16 codebooks; a level in between uses the norms of the next higher.
The bitrate reaches the decoder as the last numbers of the latent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Reach
from zoo.nn import dsp
from zoo.nn.bottlenecks import Identity
from zoo.nn.layers import Dtype
from zoo.published.keymap import CONV, DENSE_AS_CONV, DEPTHWISE, PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.parts.seanet import Seanet, SeanetEncoder
from zoo.published.parts.seanet_keys import Spelling, seanet_entries
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


def needs(**hyperparameters: Any) -> dict[str, str]:
    """Models whose weights it takes besides its own, by the prefix that their keys are to be given."""
    return {ENCODEC_PREFIX: ENCODEC} if _complete(hyperparameters)["condition_codebooks"] else {}


def with_encodec(weights: Mapping[str, np.ndarray], encodec: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint on EnCodec's codes, and those of EnCodec's own under names that `key_maps` knows."""
    return {**weights, **{f"{ENCODEC_PREFIX}{key}": array for key, array in encodec.items()}}


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


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The authors' config.yaml as a dictionary; raises ValueError where it has no word for a model."""
    h = _complete(hyperparameters)
    counts = h["condition_codebooks"]
    names = ("latent_dim", "n_filters", "ratios", "n_lstm", "codebook_size")
    if counts and {**h, "ratios": tuple(h["ratios"])} != {**h, **{name: _complete({})[name] for name in names}}:
        raise ValueError(f"the authors' configuration cannot say other {', '.join(names)} than EnCodec's at 24 kHz")
    backbone = {
        "input_channels": h["latent_dim"] if counts else h["n_mels"],
        "dim": h["width"],
        "intermediate_dim": h["hidden"],
        "num_layers": h["n_blocks"],
    }
    shared = {"n_fft": h["n_fft"], "hop_length": h["hop_length"], "padding": "same" if counts else "center"}
    if counts:
        backbone["adanorm_num_embeddings"] = len(counts)
        name = "EncodecFeatures"
        features = {"encodec_model": "encodec_24khz", "bandwidths": [BITS_PER_S * count / 1000 for count in counts]}
    else:
        name = "MelSpectrogramFeatures"
        features = {"sample_rate": h["sample_rate"], "n_mels": h["n_mels"], **shared}
    return {
        "feature_extractor": {"class_path": f"vocos.feature_extractors.{name}", "init_args": features},
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": backbone},
        "head": {"class_path": "vocos.heads.ISTFTHead", "init_args": {"dim": h["width"], **shared}},
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """Of the authors' checkpoints; on EnCodec's codes also of those with EnCodec's own beside, see `with_encodec`."""
    h = _complete(hyperparameters)
    counts = h["condition_codebooks"]
    entries = [*_decoder(h)]
    window = _constant("head.istft.window", dsp.hann_window(h["n_fft"]))
    if not counts:
        filters = dsp.mel_filterbank(h["sample_rate"], h["n_fft"], h["n_mels"], htk=True)
        features = "feature_extractor.mel_spec."
        constants = (
            window,
            _constant(f"{features}spectrogram.window", dsp.hann_window(h["n_fft"])),
            _constant(f"{features}mel_scale.fb", filters),
        )
        return {"original": KeyMap(tuple(entries), written=constants)}
    shape = (counts[-1], h["codebook_size"], h["latent_dim"])
    stacked = Layout("STACKED", lambda rows: rows.reshape(shape), lambda entries: (entries.reshape(-1, shape[-1]),))
    entries.append(Entry("bottleneck/entries", ("feature_extractor.codebook_weights",), stacked))
    own = "feature_extractor.encodec."
    maps = {}
    for name, prefix, numbered, spelling, books in (
        ("original", own, "model", "original", "quantizer.vq.layers.{}._codebook.embed"),
        (
            "with EnCodec of transformers",
            ENCODEC_PREFIX,
            "layers",
            "transformers",
            "quantizer.layers.{}.codebook.embed",
        ),
        ("with EnCodec of its authors", ENCODEC_PREFIX, "model", "original", "quantizer.vq.layers.{}._codebook.embed"),
    ):
        maps[name] = KeyMap(
            (*entries, *_encodec(h, prefix, numbered, spelling, books)),  # type: ignore[arg-type]
            # what decodes its codes, and the codebooks that Vocos does not know
            ignored=(
                rf"^{re.escape(prefix)}(decoder|quantizer)\.",
                *([rf"^{re.escape(own)}"] if prefix != own else []),
            ),
            weight_norm="legacy",
            weight_norm_keys=(rf"^{re.escape(own)}",),
            written=(window,),
        )
    return maps


def _complete(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """With the builder's own values for those that are not given."""
    return {**(vocos.__kwdefaults__ or {}), **hyperparameters}


def _arguments(config: dict[str, Any], part: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """What a part of the configuration is made with; raises ValueError if it is none of the classes."""
    name = str(config[part]["class_path"]).rpartition(".")[2]
    if name not in classes:
        raise ValueError(f"{part} is {name}; supported: {', '.join(classes)}")
    arguments: dict[str, Any] = config[part].get("init_args") or {}
    return arguments


def _decoder(h: dict[str, Any]) -> list[Entry]:
    names = ("scale", "shift") if h["condition_codebooks"] else None
    entries = [
        *_layer("decoder/embed", "backbone.embed", CONV),
        *_norm("decoder/norm_in", "backbone.norm", names),
        *_norm("decoder/norm_out", "backbone.final_layer_norm", None),
        *_layer("decoder/head", "head.out", DENSE_AS_CONV),
    ]
    for i in range(h["n_blocks"]):
        path, key = f"decoder/block_{i}", f"backbone.convnext.{i}"
        entries += _layer(f"{path}/DepthwiseConv1d_0", f"{key}.dwconv", DEPTHWISE)
        entries += _norm(f"{path}/LayerNorm_0", f"{key}.norm", names)
        entries += _layer(f"{path}/expand", f"{key}.pwconv1", DENSE_AS_CONV)
        entries += _layer(f"{path}/project", f"{key}.pwconv2", DENSE_AS_CONV)
        entries.append(Entry(f"{path}/layer_scale", (f"{key}.gamma",), VECTOR))
    return entries


def _encodec(h: dict[str, Any], prefix: str, numbered: str, spelling: Spelling, books: str) -> list[Entry]:
    spec = Seanet(h["latent_dim"], h["n_filters"], tuple(h["ratios"]), n_lstm=h["n_lstm"])
    entries = seanet_entries(spec, spec.encoder_rows(), "encoder", f"{prefix}encoder.{numbered}", spelling)
    return entries + [
        Entry("bottleneck/codebooks", (prefix + books.format(q),), PLAIN, q)
        for q in range(h["condition_codebooks"][-1])
    ]


def _layer(path: str, key: str, layout: Layout) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]


def _norm(path: str, key: str, names: tuple[str, str] | None) -> list[Entry]:
    """A layer norm; a conditioned one has tables called `names`, one row for each condition."""
    scale, bias = ("weight", "bias") if names is None else (f"{name}.weight" for name in names)
    return [Entry(f"{path}/scale", (f"{key}.{scale}",), PLAIN), Entry(f"{path}/bias", (f"{key}.{bias}",), PLAIN)]


def _constant(key: str, value: np.ndarray) -> Entry:
    """A tensor that follows from the hyper-parameters; written because the reference expects it."""
    return Entry("decoder/head/bias", (key,), Layout("CONSTANT", lambda array: array, lambda _: (value,)))
