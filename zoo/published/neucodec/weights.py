"""Configurations and weights of NeuCodec and X-Codec2 as transformers has them: hyper-parameters and key maps."""

from __future__ import annotations

from typing import Any

from zoo.published.keymap import CONV, DENSE_AS_CONV, LINEAR, PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.neucodec.decoder import N_BLOCKS
from zoo.published.neucodec.model import neucodec

NEUCODEC, XCODEC2 = "neucodec", "xcodec2"
"""values of `model_type`"""


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `neucodec` takes, of transformers' NeuCodecConfig or Xcodec2Config.

    Raises KeyError, TypeError or ValueError for one not understood.
    """
    kind = config.get("model_type", NEUCODEC)
    if kind not in (NEUCODEC, XCODEC2):
        raise ValueError(f"model_type {kind!r} is neither {NEUCODEC!r} nor {XCODEC2!r}")
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    values |= {ours: [int(n) for n in values[ours]] for ours in ("ratios", "levels")}
    if kind == XCODEC2:
        values["sample_rate"] = values["input_rate"] = int(config.get("sampling_rate", 16_000))
    else:
        values["sample_rate"] = int(config.get("output_sampling_rate", _DEFAULTS["sample_rate"]))
        values["input_rate"] = int(config.get("input_sampling_rate", _DEFAULTS["input_rate"]))
    needed = {"hidden_act": "silu", "attention_bias": False, "num_key_value_heads": values["n_heads"]}
    for key, value in needed.items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} {config[key]!r} is not supported, only {value!r}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' NeuCodecModel, or Xcodec2Model where what goes in and out has one rate."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    config |= {_CONFIG[ours]: list(h[ours]) for ours in ("ratios", "levels")}
    if h["sample_rate"] == h["input_rate"]:
        config |= {"architectures": ["Xcodec2Model"], "model_type": XCODEC2, "sampling_rate": h["sample_rate"]}
    else:
        config |= {"architectures": ["NeuCodecModel"], "model_type": NEUCODEC}
        config |= {"input_sampling_rate": h["input_rate"], "output_sampling_rate": h["sample_rate"]}
    return config | {"hidden_act": "silu", "attention_bias": False, "num_key_value_heads": h["n_heads"]}


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key map of transformers' checkpoints; those of the encoders are passed over."""
    h = _DEFAULTS | hyperparameters
    return {"transformers": KeyMap(tuple(_decoder(h)), (r"^(semantic|acoustic_encoder|fc_encoder)", r"\.project_in\."))}


_CONFIG = {
    "ratios": "downsampling_ratios",
    "joint_dim": "quantization_dim",
    "levels": "quantization_levels",
    "width": "hidden_size",
    "hidden": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "head_dim": "head_dim",
    "norm_eps": "rms_norm_eps",
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


def _layer(path: str, key: str, layout: Layout, *, bias: bool = True) -> list[Entry]:
    kernel = Entry(f"{path}/kernel", (f"{key}.weight",), layout)
    return [kernel, Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)] if bias else [kernel]


def _norm(path: str, key: str) -> list[Entry]:
    return [
        Entry(f"{path}/{ours}", (f"{key}.{name}",), PLAIN) for ours, name in (("scale", "weight"), ("bias", "bias"))
    ]
