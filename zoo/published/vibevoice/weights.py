"""Configurations and weights of VibeVoice's tokeniser as published: hyper-parameters from and to files, key maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.bitstream.entropy import EntropyModel
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published.keymap import CONV, CONV_TRANSPOSE, DENSE_AS_CONV, DEPTHWISE, VECTOR, Entry, KeyMap, Layout
from zoo.published.oobleck.grid import GRID_STEPS, normal_entropy
from zoo.published.vibevoice.model import vibevoice

MODEL_TYPE = "vibevoice_acoustic_tokenizer"


def default_entropy(symbols: SymbolFormat) -> EntropyModel:
    """Tables for independent latents that are N(0, DEVIATION²), on GRID_STEPS; the published weights come with none."""
    return normal_entropy(symbols, GRID_STEPS)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `vibevoice` takes, of transformers' VibeVoiceAcousticTokenizerConfig; ValueError for one not understood."""
    found = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    found |= {name: [int(value) for value in found[name]] for name in ("strides", "depths")}
    if config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"a VibeVoice whose hidden_act is {config['hidden_act']!r} is not supported")
    return found


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' VibeVoiceAcousticTokenizerModel."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    return config | {
        "architectures": ["VibeVoiceAcousticTokenizerModel"],
        "model_type": MODEL_TYPE,
        "downsampling_ratios": list(h["strides"]),
        "depths": list(h["depths"]),
        "hidden_act": "gelu",
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key map of transformers' checkpoints."""
    return {"transformers": KeyMap(tuple(_transformers((_DEFAULTS | hyperparameters)["depths"])))}


_DEFAULTS = {name: value for name, value in (vibevoice.__kwdefaults__ or {}).items() if name != "dtype"}
_CONFIG = {
    "sample_rate": "sampling_rate",
    "channels": "channels",
    "latent_dim": "hidden_size",
    "width": "num_filters",
    "strides": "downsampling_ratios",
    "depths": "depths",
    "kernel_size": "kernel_size",
    "expansion": "ffn_expansion",
    "norm_eps": "rms_norm_eps",
    "layer_scale": "layer_scale_init_value",
}


def _transformers(depths: Sequence[int]) -> list[Entry]:
    n = len(depths) - 1
    entries: list[Entry] = []
    for part in ("encoder", "decoder"):
        for at in range(n + 1):
            i = at if part == "encoder" else n - at  # the decoder's stages begin at the latents
            place = f"{part}.conv_layers.{at - 1}" if at else f"{part}.stem"
            if at == 0:
                entries += _layer(f"{part}/conv_in", f"{place}.conv.conv")
            elif part == "encoder":
                entries += _layer(f"encoder/down_{i}", f"{place}.conv.conv")
            else:
                entries += _layer(f"decoder/up_{i}", f"{place}.convtr.convtr", CONV_TRANSPOSE)
            for j in range(depths[i]):
                entries += _block(part, i, j, f"{place}.stage.{j}")
        entries += _layer(f"{part}/conv_out", f"{part}.head.conv")
    return entries


def _block(part: str, i: int, j: int, key: str) -> list[Entry]:
    """Entries of both halves of a block."""
    mixer, dense = f"{part}/mixer_{i}_{j}", f"{part}/dense_{i}_{j}"
    return [
        Entry(f"{mixer}/norm/scale", (f"{key}.norm.weight",), VECTOR),
        *_layer(f"{mixer}/conv", f"{key}.mixer.conv", DEPTHWISE),
        Entry(f"{mixer}/layer_scale", (f"{key}.gamma",), VECTOR),
        Entry(f"{dense}/norm/scale", (f"{key}.ffn_norm.weight",), VECTOR),
        *_layer(f"{dense}/expand", f"{key}.ffn.linear1", DENSE_AS_CONV),
        *_layer(f"{dense}/project", f"{key}.ffn.linear2", DENSE_AS_CONV),
        Entry(f"{dense}/layer_scale", (f"{key}.ffn_gamma",), VECTOR),
    ]


def _layer(path: str, key: str, layout: Layout = CONV) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]
