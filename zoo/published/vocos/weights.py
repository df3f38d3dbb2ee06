"""Configurations and weights of Vocos as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo.nn import dsp
from zoo.published.keymap import CONV, DENSE_AS_CONV, DEPTHWISE, PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.parts.seanet import Seanet
from zoo.published.parts.seanet_keys import Spelling, seanet_entries
from zoo.published.vocos.model import BITS_PER_S, ENCODEC, ENCODEC_PREFIX, _complete


def needs(**hyperparameters: Any) -> dict[str, str]:
    """Models whose weights it takes besides its own, by the prefix that their keys are to be given."""
    return {ENCODEC_PREFIX: ENCODEC} if _complete(hyperparameters)["condition_codebooks"] else {}


def with_encodec(weights: Mapping[str, np.ndarray], encodec: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint on EnCodec's codes, and those of EnCodec's own under names that `key_maps` knows."""
    return {**weights, **{f"{ENCODEC_PREFIX}{key}": array for key, array in encodec.items()}}


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
    """The key maps of the authors' checkpoints, also of those with EnCodec's own beside (see `with_encodec`)."""
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
