"""Configurations and weights of WavTokenizer as others publish them: hyper-parameters and key maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.nn import dsp
from zoo.published.keymap import CONV, DENSE_AS_CONV, DEPTHWISE, PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.parts.seanet_keys import HUB_NAMES, Spelling, seanet_entries
from zoo.published.wavtokenizer.model import OVERLAP, wavtokenizer


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `wavtokenizer` takes, of transformers' WavTokenizerConfig.

    Raises KeyError, TypeError or ValueError for one not understood.
    """
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    values["ratios"] = [int(ratio) for ratio in values["ratios"]]
    needed = {
        "model_type": "wavtokenizer",
        "audio_channels": 1,
        "use_causal_conv": False,
        "pad_mode": "reflect",
        "norm_type": "weight_norm",
        "codebook_dim": values["latent_dim"],
        "norm_eps": 1e-6,
    }
    for key, value in needed.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} {config[key]!r} is not supported, only {value!r}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' WavTokenizerModel."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    return config | {
        "architectures": ["WavTokenizerModel"],
        "model_type": "wavtokenizer",
        "upsampling_ratios": list(h["ratios"]),
        "audio_channels": 1,
        "use_causal_conv": False,
        "pad_mode": "reflect",
        "norm_type": "weight_norm",
        "codebook_dim": h["latent_dim"],
        "norm_eps": 1e-6,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of transformers' checkpoints, and of the authors' (a `.ckpt` with the discriminators beside)."""
    h = _DEFAULTS | hyperparameters
    authors = "feature_extractor.encodec."
    window = dsp.hann_window(OVERLAP * int(np.prod(h["ratios"])))
    constant = Layout("CONSTANT", lambda array: array, lambda _: (window,))
    return {
        "transformers": KeyMap(
            tuple(_entries(h, "transformers", "encoder_model.encoder.layers", _BOOK, "head.linear")),
            weight_norm="parametrized",
            weight_norm_keys=(r"^encoder_model\.encoder\.",),
            written=tuple(_running(_BOOK)),
        ),
        "original": KeyMap(
            tuple(_entries(h, "original", f"{authors}encoder.model", f"{authors}{_AUTHORS_BOOK}", "head.out")),
            # what training needs, and the half of EnCodec that is not in use
            ignored=(r"^(?!feature_extractor\.|backbone\.|head\.)", rf"^{authors}decoder\."),
            weight_norm="legacy",
            weight_norm_keys=(rf"^{authors}encoder\.",),
            written=(
                Entry("decoder/head/bias", ("head.istft.window",), constant),
                *_running(f"{authors}{_AUTHORS_BOOK}"),
            ),
        ),
    }


_CONFIG = {ours: theirs for ours, theirs in HUB_NAMES.items() if ours != "channels"} | {
    "ratios": "upsampling_ratios",
    "n_lstm": "num_lstm_layers",
    "width": "decoder_hidden_size",
    "hidden": "decoder_intermediate_size",
    "n_blocks": "decoder_num_layers",
    "n_conditions": "adanorm_num_embeddings",
    "n_groups": "decoder_attention_num_groups",
}
_DEFAULTS = {name: value for name, value in (wavtokenizer.__kwdefaults__ or {}).items() if name != "dtype"}
_BOOK = "encoder_model.quantizer.codebook."
_AUTHORS_BOOK = "quantizer.vq.layers.0._codebook."
_ONCE_EACH = Layout("ONCE_EACH", lambda counts: counts, lambda entries: (np.ones(len(entries), np.float32),))
"""how often each entry was used of late, such that the running sum of what chose it is the entry"""
_INITED = Layout("INITED", lambda flag: flag, lambda entries: (np.ones(1, np.float32),))


def _entries(h: dict[str, Any], spelling: Spelling, encoder: str, book: str, head: str) -> list[Entry]:
    spec = wavtokenizer(**h).encoder.spec
    entries = [
        *seanet_entries(spec, spec.encoder_rows(), "encoder", encoder, spelling),
        Entry("bottleneck/codebooks", (f"{book}embed",), PLAIN, 0),
        *_layer("decoder/embed", "backbone.embed", CONV),
        *_norm("decoder/mixing/norm_out", "backbone.pos_net.5"),
        *_norm("decoder/norm_in", "backbone.norm", ("scale.weight", "shift.weight")),
        *_norm("decoder/norm_out", "backbone.final_layer_norm"),
        *_layer("decoder/head", head, DENSE_AS_CONV),
    ]
    for i in range(5):
        path, key = f"decoder/mixing/block_{i}", f"backbone.pos_net.{i}"
        if i == 2:
            entries += _norm(f"{path}/norm", f"{key}.norm")
            for name in ("q", "k", "v", "out"):
                entries += _layer(f"{path}/{name}", f"{key}.{'proj_out' if name == 'out' else name}", CONV)
        else:
            for j in (1, 2):
                entries += _norm(f"{path}/norm_{j}", f"{key}.norm{j}")
                entries += _layer(f"{path}/conv_{j}", f"{key}.conv{j}", CONV)
    for i in range(h["n_blocks"]):
        path, key = f"decoder/block_{i}", f"backbone.convnext.{i}"
        entries += _layer(f"{path}/DepthwiseConv1d_0", f"{key}.dwconv", DEPTHWISE)
        entries += _norm(f"{path}/LayerNorm_0", f"{key}.norm", ("scale.weight", "shift.weight"))
        entries += _layer(f"{path}/expand", f"{key}.pwconv1", DENSE_AS_CONV)
        entries += _layer(f"{path}/project", f"{key}.pwconv2", DENSE_AS_CONV)
        entries.append(Entry(f"{path}/layer_scale", (f"{key}.gamma",), VECTOR))
    return entries


def _running(book: str) -> list[Entry]:
    """What training keeps beside the codebook."""
    running = (("inited", _INITED), ("cluster_size", _ONCE_EACH), ("embed_avg", PLAIN))
    return [Entry("bottleneck/codebooks", (book + name,), layout, 0) for name, layout in running]


def _layer(path: str, key: str, layout: Layout) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]


def _norm(path: str, key: str, names: tuple[str, str] = ("weight", "bias")) -> list[Entry]:
    return [Entry(f"{path}/{ours}", (f"{key}.{name}",), PLAIN) for ours, name in zip(("scale", "bias"), names)]
