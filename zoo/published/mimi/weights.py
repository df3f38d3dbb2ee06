"""Configurations and weights of Mimi as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

import math
from typing import Any

from zoo.published.keymap import CONV, DEPTHWISE, Entry, KeyMap
from zoo.published.mimi.model import STEPS, mimi
from zoo.published.mimi.split_vq import rvq_entries
from zoo.published.mimi.transformer import transformer_entries
from zoo.published.parts.seanet_keys import HUB_NAMES, Spelling, seanet_entries


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `mimi` takes, of transformers' MimiConfig; KeyError, TypeError or ValueError for one not understood."""
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    ratios = values["ratios"] = [int(ratio) for ratio in values["ratios"] or _DEFAULTS["ratios"]]
    values["head_dim"] = config.get("head_dim") or values["latent_dim"] // values["n_heads"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    values["rope_theta"] = float(rope.get("rope_theta", config.get("rope_theta", _DEFAULTS["rope_theta"])))
    step_rate_hz = math.ceil(values["sample_rate"] / math.prod(ratios))
    frame_rate_hz = config.get("frame_rate") or values["sample_rate"] / (STEPS * math.prod(ratios))
    needed = {
        "model_type": "mimi",
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu",
        "attention_bias": False,
        "num_key_value_heads": values["n_heads"],
        "upsample_groups": values["latent_dim"],
        "vector_quantization_hidden_dimension": values["code_dim"],
    }
    found = {"frame_rate": int(step_rate_hz / frame_rate_hz), "rope_type": rope.get("rope_type", "default")}
    found |= {key: config.get(key, value) for key, value in needed.items()}
    for key, value in (needed | {"frame_rate": STEPS, "rope_type": "default"}).items():
        if found[key] != value:
            raise ValueError(f"a Mimi whose {key} is {config.get(key, found[key])!r} is not supported")
    if values["code_dim"] == values["latent_dim"]:
        raise ValueError("a Mimi whose codebooks have as many dimensions as its latents is not supported")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' MimiModel."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    return config | {
        "architectures": ["MimiModel"],
        "model_type": "mimi",
        "upsampling_ratios": list(h["ratios"]),
        "head_dim": h["head_dim"],
        "rope_theta": h["rope_theta"],
        "frame_rate": h["sample_rate"] / (STEPS * math.prod(h["ratios"])),
        "num_key_value_heads": h["n_heads"],
        "upsample_groups": h["latent_dim"],
        "vector_quantization_hidden_dimension": h["code_dim"],
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu",
        "attention_bias": False,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of transformers' checkpoints, of its models' own names, which a `state_dict()` has, and of the
    authors' (`tokenizer-….safetensors` of Moshi)."""
    h = _DEFAULTS | hyperparameters
    hub: tuple[Spelling, tuple[str, ...]] = "transformers", (
        "encoder.layers", "decoder.layers", "encoder_transformer.layers", "decoder_transformer.layers",
        "downsample.conv.weight", "upsample.conv.weight",
        "quantizer.semantic_residual_vector_quantizer", "quantizer.acoustic_residual_vector_quantizer",
    )  # fmt: skip
    own: tuple[Spelling, tuple[str, ...]] = "transformers", (
        "encoder.encoder_seanet.layers", "decoder.decoder_seanet.layers",
        "encoder.encoder_transformer.layers", "decoder.decoder_transformer.layers",
        "encoder.downsample.conv.weight", "decoder.upsample.conv.weight", *hub[1][6:],
    )  # fmt: skip
    authors: tuple[Spelling, tuple[str, ...]] = "original", (
        "encoder.model", "decoder.model", "encoder_transformer.transformer.layers",
        "decoder_transformer.transformer.layers",
        "downsample.conv.conv.conv.weight", "upsample.convtr.convtr.convtr.weight",
        "quantizer.rvq_first", "quantizer.rvq_rest",
    )  # fmt: skip
    maps = {"transformers": hub, "state_dict of transformers": own, "original": authors}
    return {name: _key_map(h, spelling, *keys) for name, (spelling, keys) in maps.items()}


_CONFIG = HUB_NAMES | {
    "ratios": "upsampling_ratios",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "window": "sliding_window",
    "norm_eps": "norm_eps",
    "layer_scale": "layer_scale_initial_scale",
    "n_codebooks": "num_quantizers",
    "n_semantic": "num_semantic_quantizers",
    "code_dim": "codebook_dim",
}


_DEFAULTS = {name: value for name, value in (mimi.__kwdefaults__ or {}).items() if name != "dtype"}


def _key_map(h: dict[str, Any], spelling: Spelling, *keys: str) -> KeyMap:
    encoder, decoder, encoder_transformer, decoder_transformer, down, up, first, rest = keys
    codec = mimi(**h)
    seanet, transformer = codec.encoder.seanet, codec.encoder.transformer
    entries = [
        *seanet_entries(seanet, seanet.encoder_rows(), "encoder/seanet", encoder, spelling),
        *seanet_entries(seanet, seanet.decoder_rows(), "decoder/seanet", decoder, spelling),
        *transformer_entries(transformer, "encoder/transformer", encoder_transformer, spelling),
        *transformer_entries(transformer, "decoder/transformer", decoder_transformer, spelling),
        Entry("encoder/down/kernel", (down,), CONV),
        Entry("decoder/up/kernel", (up,), DEPTHWISE),
    ]
    n_acoustic = h["n_codebooks"] - h["n_semantic"]
    semantic, filled = rvq_entries("bottleneck/semantic", first, h["n_semantic"], spelling)
    acoustic, filled_too = rvq_entries("bottleneck/acoustic", rest, n_acoustic, spelling)
    return KeyMap((*entries, *semantic, *acoustic), written=(*filled, *filled_too))
