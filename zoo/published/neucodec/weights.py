"""Configurations and weights of NeuCodec and X-Codec2 as transformers has them: hyper-parameters and key maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.published.keymap import CONV, DENSE_AS_CONV, DEPTHWISE, LINEAR, PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.neucodec.decoder import N_BLOCKS
from zoo.published.neucodec.filterbank import PER_FRAME
from zoo.published.neucodec.model import neucodec
from zoo.published.oobleck.model import DILATIONS

NEUCODEC, XCODEC2 = "neucodec", "xcodec2"
"""values of `model_type`"""


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `neucodec` takes, of transformers' NeuCodecConfig or Xcodec2Config.

    Raises KeyError, TypeError or ValueError for one not understood.
    """
    kind = config.get("model_type", NEUCODEC)
    if kind not in (NEUCODEC, XCODEC2):
        raise ValueError(f"model_type {kind!r} is neither {NEUCODEC!r} nor {XCODEC2!r}")
    semantic = config.get("semantic_model_config") or {}
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    values |= {ours: semantic.get(theirs, _DEFAULTS[ours]) for ours, theirs in _SEMANTIC.items()}
    values["n_mels"] = int(semantic.get("feature_projection_input_dim", PER_FRAME * _DEFAULTS["n_mels"])) // PER_FRAME
    values |= {"centred": kind == XCODEC2, "has_encoder": bool(config.get("has_encoder", True))}
    values |= {ours: [int(n) for n in values[ours]] for ours in ("ratios", "levels")}
    if kind == XCODEC2:
        values["sample_rate"] = values["input_rate"] = int(config.get("sampling_rate", 16_000))
    else:
        values["sample_rate"] = int(config.get("output_sampling_rate", _DEFAULTS["sample_rate"]))
        values["input_rate"] = int(config.get("input_sampling_rate", _DEFAULTS["input_rate"]))
    needed = {
        "hidden_act": "silu",
        "attention_bias": False,
        "num_key_value_heads": values["n_heads"],
        "quantization_dim": values["width"] + values["semantic_width"],
    }
    for settings, wanted in ((config, needed), (semantic, _SEMANTIC_NEEDED)):
        for key, value in wanted.items():
            if settings.get(key, value) != value:
                raise ValueError(f"{key} {settings[key]!r} is not supported, only {value!r}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' NeuCodecModel, or Xcodec2Model where mel energies are centred.

    `has_encoder`, which theirs always have, is ours. Raises ValueError where they have no word for a model.
    """
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    config |= {_CONFIG[ours]: list(h[ours]) for ours in ("ratios", "levels")}
    config["semantic_model_config"] = {theirs: h[ours] for ours, theirs in _SEMANTIC.items()} | _SEMANTIC_NEEDED
    config["semantic_model_config"]["feature_projection_input_dim"] = PER_FRAME * h["n_mels"]
    config |= {} if h["has_encoder"] else {"has_encoder": False}
    if h["centred"]:
        if h["sample_rate"] != h["input_rate"]:
            raise ValueError("transformers' configuration has no word for centred mel energies at another sample_rate")
        config |= {"architectures": ["Xcodec2Model"], "model_type": XCODEC2, "sampling_rate": h["sample_rate"]}
    else:
        config |= {"architectures": ["NeuCodecModel"], "model_type": NEUCODEC}
        config |= {"input_sampling_rate": h["input_rate"], "output_sampling_rate": h["sample_rate"]}
    return config | {
        "hidden_act": "silu",
        "attention_bias": False,
        "num_key_value_heads": h["n_heads"],
        "quantization_dim": h["width"] + h["semantic_width"],
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key map of transformers' checkpoints; without encoders, theirs are passed over."""
    h = _DEFAULTS | hyperparameters
    if not h["has_encoder"]:
        ignored = r"^(semantic|acoustic_encoder|fc_encoder)", r"^quantizer\.project_in\."
        return {"transformers": KeyMap(tuple(_decoder(h)), ignored)}
    unheard = np.zeros(h["semantic_width"], np.float32)  # stands for masked frames, which only training has
    constant = Layout("CONSTANT", lambda array: array, lambda _: (unheard,))
    written = Entry("encoder/fc/bias", ("semantic_encoder.masked_spec_embed",), constant)
    return {"transformers": KeyMap((*_decoder(h), *_acoustic(h), *_semantic(h)), written=(written,))}


_CONFIG = {
    "ratios": "downsampling_ratios",
    "levels": "quantization_levels",
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "head_dim": "head_dim",
    "norm_eps": "rms_norm_eps",
    "encoder_width": "encoder_hidden_size",
}
_SEMANTIC = {
    "semantic_width": "hidden_size",
    "semantic_hidden": "intermediate_size",
    "semantic_layers": "num_hidden_layers",
    "semantic_heads": "num_attention_heads",
    "semantic_kernel_size": "conv_depthwise_kernel_size",
    "semantic_left": "left_max_position_embeddings",
    "semantic_right": "right_max_position_embeddings",
    "semantic_norm_eps": "layer_norm_eps",
}
_SEMANTIC_NEEDED = {
    "model_type": "wav2vec2-bert",
    "hidden_act": "swish",
    "position_embeddings_type": "relative_key",
    "add_adapter": False,
}
_DEFAULTS = {name: value for name, value in (neucodec.__kwdefaults__ or {}).items() if name != "dtype"}


def _decoder(h: dict[str, Any]) -> list[Entry]:
    theirs = "acoustic_decoder"
    entries = [
        *_layer("decoder/project", "quantizer.project_out", DENSE_AS_CONV),
        *_layer("decoder/fc", f"{theirs}.fc", DENSE_AS_CONV),
        *_layer("decoder/embed", f"{theirs}.embed", CONV),
        *_norm("decoder/norm_out", f"{theirs}.norm"),
        *_layer("decoder/head", f"{theirs}.head.linear", DENSE_AS_CONV),
    ]
    for side in ("prior", "post"):
        for i in range(N_BLOCKS):
            path, key = f"decoder/{side}_{i}", f"{theirs}.{side}_net.{i}"
            for j in (1, 2):
                entries += _norm(f"{path}/norm_{j}", f"{key}.norm{j}")
                entries += _layer(f"{path}/conv_{j}", f"{key}.conv{j}", CONV)
    for i in range(h["n_layers"]):
        path, key = f"decoder/layer_{i}", f"{theirs}.layers.{i}"
        for ours, name in (("norm_attention", "input_layernorm"), ("norm_mlp", "post_attention_layernorm")):
            entries.append(Entry(f"{path}/{ours}/scale", (f"{key}.{name}.weight",), VECTOR))
        for ours, name in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o")):
            entries.append(Entry(f"{path}/{ours}", (f"{key}.self_attn.{name}_proj.weight",), LINEAR))
        for ours, name in (("expand", "fc1"), ("project", "fc2")):
            entries.append(Entry(f"{path}/{ours}", (f"{key}.mlp.{name}.weight",), LINEAR))
    return entries


def _acoustic(h: dict[str, Any]) -> list[Entry]:
    ours, theirs = "encoder/acoustic", "acoustic_encoder"
    entries = [
        *_layer(f"{ours}/conv_in", f"{theirs}.conv1", CONV),
        *_snake(f"{ours}/snake_out", f"{theirs}.snake1"),
        *_layer(f"{ours}/conv_out", f"{theirs}.conv2", CONV),
        *_layer("encoder/fc", "fc_encoder", DENSE_AS_CONV),
        *_layer("encoder/project", "quantizer.project_in", DENSE_AS_CONV),
    ]
    for i in range(len(h["ratios"])):
        block = f"{theirs}.block.{i}"
        for j in range(len(DILATIONS)):
            path, key = f"{ours}/unit_{i}_{j}", f"{block}.res_unit{j + 1}"
            entries += _snake(f"{path}/snake_in", f"{key}.snake1")
            entries += _layer(f"{path}/dilated", f"{key}.conv1", CONV)
            entries += _snake(f"{path}/snake_out", f"{key}.snake2")
            entries += _layer(f"{path}/pointwise", f"{key}.conv2", CONV)
        entries += _snake(f"{ours}/snake_{i}", f"{block}.snake1")
        entries += _layer(f"{ours}/down_{i}", f"{block}.conv1", CONV)
    return entries


def _semantic(h: dict[str, Any]) -> list[Entry]:
    ours, theirs = "encoder/semantic", "semantic_encoder"
    entries = [
        *_norm(f"{ours}/norm_in", f"{theirs}.feature_projection.layer_norm"),
        *_layer(f"{ours}/project", f"{theirs}.feature_projection.projection", DENSE_AS_CONV),
        *_layer(f"{ours}/adapter_in", "semantic_adapter.conv1", CONV, bias=False),
        *_layer(f"{ours}/adapter/conv_1", "semantic_adapter.conv2", CONV),
        *_layer(f"{ours}/adapter/conv_2", "semantic_adapter.conv3", CONV),
        *_layer(f"{ours}/adapter_out", "semantic_adapter.conv4", CONV, bias=False),
    ]
    for i in range(h["semantic_layers"]):
        path, key = f"{ours}/layer_{i}", f"{theirs}.encoder.layers.{i}"
        for j in (1, 2):
            entries += _norm(f"{path}/dense_{j}/norm", f"{key}.ffn{j}_layer_norm")
            entries += _layer(f"{path}/dense_{j}/expand", f"{key}.ffn{j}.intermediate_dense", DENSE_AS_CONV)
            entries += _layer(f"{path}/dense_{j}/project", f"{key}.ffn{j}.output_dense", DENSE_AS_CONV)
        entries += _norm(f"{path}/attention/norm", f"{key}.self_attn_layer_norm")
        for name in ("q", "k", "v", "out"):
            entries += _layer(f"{path}/attention/{name}", f"{key}.self_attn.linear_{name}", DENSE_AS_CONV)
        distances = (f"{key}.self_attn.distance_embedding.weight",)
        entries.append(Entry(f"{path}/attention/distances", distances, PLAIN))
        conv, module = f"{path}/convolution", f"{key}.conv_module"
        entries += _norm(f"{conv}/norm", f"{module}.layer_norm")
        entries += _layer(f"{conv}/expand", f"{module}.pointwise_conv1", CONV, bias=False)
        entries += _layer(f"{conv}/depthwise", f"{module}.depthwise_conv", DEPTHWISE, bias=False)
        entries += _norm(f"{conv}/norm_out", f"{module}.depthwise_layer_norm")
        entries += _layer(f"{conv}/project", f"{module}.pointwise_conv2", CONV, bias=False)
        entries += _norm(f"{path}/norm_out", f"{key}.final_layer_norm")
    return entries


def _snake(path: str, key: str) -> list[Entry]:
    return [Entry(f"{path}/act/{name}", (f"{key}.act.{name}",), VECTOR) for name in ("alpha", "beta")]


def _layer(path: str, key: str, layout: Layout, *, bias: bool = True) -> list[Entry]:
    kernel = Entry(f"{path}/kernel", (f"{key}.weight",), layout)
    return [kernel, Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)] if bias else [kernel]


def _norm(path: str, key: str) -> list[Entry]:
    return [
        Entry(f"{path}/{ours}", (f"{key}.{name}",), PLAIN) for ours, name in (("scale", "weight"), ("bias", "bias"))
    ]
