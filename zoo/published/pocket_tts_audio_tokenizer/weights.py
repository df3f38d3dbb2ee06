"""Configurations and weights of Pocket TTS's audio tokenizer as others publish them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zoo.bitstream.entropy import EntropyModel
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published.keymap import CONV, DEPTHWISE, Entry, KeyMap
from zoo.published.mimi.transformer import transformer_entries
from zoo.published.oobleck.grid import GRID_STEPS, normal_entropy
from zoo.published.parts.seanet_keys import HUB_NAMES, Spelling, seanet_entries
from zoo.published.pocket_tts_audio_tokenizer.model import pocket_tts_audio_tokenizer


def default_entropy(symbols: SymbolFormat) -> EntropyModel:
    """Tables for independent latents that are N(0, 1), on GRID_STEPS; the published weights come with none."""
    return normal_entropy(symbols, GRID_STEPS)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What the builder takes, of transformers' PocketTTSAudioTokenizerConfig.

    Raises KeyError, TypeError or ValueError for one not understood.
    """
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    values["ratios"] = [int(ratio) for ratio in values["ratios"] or _DEFAULTS["ratios"]]
    values["head_dim"] = config.get("head_dim") or values["width"] // values["n_heads"]
    rope = config.get("rope_parameters") or {}
    values["rope_theta"] = float(rope.get("rope_theta", config.get("rope_theta", _DEFAULTS["rope_theta"])))
    for half in ("encoder", "decoder"):  # null for one that was dropped
        values[f"has_{half}"] = config.get(f"{half}_config", "") is not None
    needed = {
        "model_type": "pocket_tts_audio_tokenizer",
        "audio_channels": 1,
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu_pytorch_tanh",
        "attention_bias": False,
        "num_key_value_heads": values["n_heads"],
        "upsample_groups": values["width"],
    }
    found = {"rope_type": rope.get("rope_type", "default")} | {key: config.get(key, needed[key]) for key in needed}
    for key, value in (needed | {"rope_type": "default"}).items():
        if found[key] != value:
            raise ValueError(f"{key} {found[key]!r} is not supported, only {value!r}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' PocketTTSAudioTokenizerModel."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    config |= {f"{half}_config": None for half in ("encoder", "decoder") if not h[f"has_{half}"]}
    return config | {
        "architectures": ["PocketTTSAudioTokenizerModel"],
        "model_type": "pocket_tts_audio_tokenizer",
        "audio_channels": 1,
        "upsampling_ratios": list(h["ratios"]),
        "head_dim": h["head_dim"],
        "rope_parameters": {"rope_theta": h["rope_theta"], "rope_type": "default"},
        "num_key_value_heads": h["n_heads"],
        "upsample_groups": h["width"],
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu_pytorch_tanh",
        "attention_bias": False,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of transformers' checkpoints, and of the authors' (`model.safetensors` of Pocket TTS).

    The authors keep the tokenizer in one file with the language model, which is passed over.
    """
    h = _DEFAULTS | hyperparameters
    return {
        "transformers": KeyMap(tuple(_entries(h, "transformers")), () if h["has_decoder"] else (r"^latent_proj\.",)),
        "original": KeyMap(tuple(_entries(h, "original")), (r"^(?!mimi\.)",)),
    }


_CONFIG = {
    ours: theirs for ours, theirs in HUB_NAMES.items() if ours not in ("channels", "latent_dim", "codebook_size")
}
_CONFIG |= {
    "width": "hidden_size",
    "latent_dim": "latent_dim",
    "latent_stride": "latent_stride",
    "ratios": "upsampling_ratios",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "window": "sliding_window",
    "norm_eps": "norm_eps",
    "layer_scale": "layer_scale_initial_scale",
}
_KEYS: dict[Spelling, dict[str, str]] = {
    "transformers": {
        "encoder": "encoder.encoder_seanet.layers",
        "encoder_transformer": "encoder.encoder_transformer.layers",
        "down": "encoder.downsample.conv.weight",
        "project": "latent_proj.weight",
        "up": "decoder.upsample.conv.weight",
        "decoder_transformer": "decoder.decoder_transformer.layers",
        "decoder": "decoder.decoder_seanet.layers",
    },
    "original": {
        "encoder": "mimi.encoder.model",
        "encoder_transformer": "mimi.encoder_transformer.transformer.layers",
        "down": "mimi.downsample.conv.conv.weight",
        "project": "mimi.quantizer.output_proj.weight",
        "up": "mimi.upsample.convtr.convtr.weight",
        "decoder_transformer": "mimi.decoder_transformer.transformer.layers",
        "decoder": "mimi.decoder.model",
    },
}
_DEFAULTS = {
    name: value for name, value in (pocket_tts_audio_tokenizer.__kwdefaults__ or {}).items() if name != "dtype"
}


def _entries(h: dict[str, Any], spelling: Spelling) -> list[Entry]:
    keys, codec = _KEYS[spelling], pocket_tts_audio_tokenizer(**h)
    entries: list[Entry] = []
    if h["has_encoder"]:
        seanet, transformer = codec.encoder.seanet, codec.encoder.transformer
        entries += seanet_entries(seanet, seanet.encoder_rows(), "encoder/seanet", keys["encoder"])
        entries += transformer_entries(transformer, "encoder/transformer", keys["encoder_transformer"], spelling)
        entries.append(Entry("encoder/down/kernel", (keys["down"],), CONV))
    if h["has_decoder"]:
        seanet, transformer = codec.decoder.seanet, codec.decoder.transformer
        entries.append(Entry("decoder/project/kernel", (keys["project"],), CONV))
        entries.append(Entry("decoder/up/kernel", (keys["up"],), DEPTHWISE))
        entries += transformer_entries(transformer, "decoder/transformer", keys["decoder_transformer"], spelling)
        entries += seanet_entries(seanet, seanet.decoder_rows(), "decoder/seanet", keys["decoder"])
    return entries if spelling == "transformers" else [_as_authors(entry) for entry in entries]


def _as_authors(entry: Entry) -> Entry:
    """The same entry under the keys that the authors have for two kinds of layers, unlike those of Mimi."""
    (key,) = entry.keys
    key = key.replace("self_attn.in_proj_weight", "self_attn.in_proj.weight")
    if entry.path.startswith("decoder/seanet/up_"):
        key = key.replace(".conv.", ".convtr.")
    return replace(entry, keys=(key,))
