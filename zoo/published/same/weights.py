"""Configurations and weights of SAME-S as published: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.bitstream.entropy import EntropyModel
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published.keymap import CONV, DENSE_AS_CONV, LINEAR, VECTOR, Entry, KeyMap, Layout
from zoo.published.oobleck.grid import GRID_STEPS, normal_entropy
from zoo.published.same.model import same

KINDS = ("same", "taae_v2")
"""how a model_config.json spells the encoder's and the decoder's type"""
_THERE = {
    "differential": True, "dyt": True, "variable_stride": False, "chunk_midpoint_shift": False, "sliding_window": None,
    "conformer": False, "layer_scale": False, "feat_scale": False, "mapping_bias": True, "conv_mapping": False,
    "chunk_size": 128, "dim_heads": 128, "ff_mult": 3,
}  # fmt: skip
"""What a model_config.json leaves out of encoder and decoder."""
_SUPPORTED = {
    "differential": True, "dyt": True, "variable_stride": True, "chunk_midpoint_shift": True, "sliding_window": None,
    "conformer": False, "layer_scale": False, "feat_scale": False, "mapping_bias": True,
}  # fmt: skip


def default_entropy(symbols: SymbolFormat) -> EntropyModel:
    """Tables for independent latents that are N(0, 1), on GRID_STEPS; the published weights come with none."""
    return normal_entropy(symbols, GRID_STEPS)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `same` takes, of a model_config.json of stable-audio-tools: of the autoencoder, or of what holds it.

    Raises KeyError, TypeError or ValueError for a config of another autoencoder.
    """
    model = config["model"] if "encoder" in config["model"] else config["model"]["pretransform"]["config"]
    encoder, decoder = (_part(model[name]) for name in ("encoder", "decoder"))
    patches, norm = model["pretransform"], model["bottleneck"]
    if (patches["type"], norm["type"]) != ("patched", "softnorm"):
        raise ValueError(f"pretransform and bottleneck are {patches['type']} and {norm['type']}, not patched, softnorm")
    if not norm["config"].get("auto_scale") or norm["config"].get("noise_augment_dim", 0):
        raise ValueError("a bottleneck without auto_scale, or with noise_augment_dim, is not supported")
    for name in ("channels", "c_mults", "strides", "transformer_depths", "latent_dim", "dim_heads", "ff_mult"):
        if encoder[name] != decoder[name]:
            raise ValueError(f"encoder and decoder differ in {name}")
    (multiple,), (stride,), (depth,) = encoder["c_mults"], encoder["strides"], encoder["transformer_depths"]
    channels, size = int(patches["config"]["channels"]), int(patches["config"]["patch_size"])
    width = int(encoder["channels"]) * int(multiple)
    agree = {
        "chunk_size of the encoder": (encoder["chunk_size"], 2 * stride),
        "chunk_size of the decoder": (decoder["chunk_size"], 2 * stride),
        "conv_mapping of the encoder": (encoder["conv_mapping"], False),
        "conv_mapping of the decoder": (decoder["conv_mapping"], True),
        "in_channels": (encoder["in_channels"], channels * size),
        "out_channels": (decoder["out_channels"], channels * size),
        "sinusoidal_blocks": (max(decoder.get("sinusoidal_blocks", [0])), 0),
    }
    for name, (have, wanted) in agree.items():
        if have != wanted:
            raise ValueError(f"{name}: {have!r} where {wanted!r} is expected")
    return {
        "sample_rate": int(config["sample_rate"]),
        "channels": channels,
        "patch_size": size,
        "stride": int(stride),
        "width": width,
        "depth": int(depth),
        "head_dim": min(int(encoder["dim_heads"]), width),
        "hidden": int(width * encoder["ff_mult"]),
        "latent_dim": int(encoder["latent_dim"]),
    }


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The model_config.json of stable-audio-tools; raises ValueError where it has no word for a model."""
    h = (same.__kwdefaults__ or {}) | hyperparameters
    part: dict[str, Any] = {
        "channels": h["width"],
        "c_mults": [1],
        "strides": [h["stride"]],
        "transformer_depths": [h["depth"]],
        "latent_dim": h["latent_dim"],
        "dim_heads": h["head_dim"],
        "ff_mult": h["hidden"] / h["width"],
        "chunk_size": 2 * h["stride"],
        **{name: value for name, value in _SUPPORTED.items() if value != _THERE[name]},
    }
    if int(h["width"] * part["ff_mult"]) != h["hidden"]:
        raise ValueError(f"hidden {h['hidden']} is no multiple of width {h['width']} that can be written")
    features = h["channels"] * h["patch_size"]
    return {
        "model_type": "autoencoder",
        "sample_rate": h["sample_rate"],
        "audio_channels": h["channels"],
        "model": {
            "pretransform": {"type": "patched", "config": {"channels": h["channels"], "patch_size": h["patch_size"]}},
            "encoder": {"type": KINDS[0], "config": {"in_channels": features, **part}},
            "decoder": {
                "type": KINDS[0],
                "config": {"out_channels": features, "conv_mapping": True, "sinusoidal_blocks": [0], **part},
            },
            "bottleneck": {
                "type": "softnorm",
                "config": {"dim": h["latent_dim"], "noise_regularize": True, "auto_scale": True, "freeze": True},
            },
            "latent_dim": h["latent_dim"],
            "downsampling_ratio": h["patch_size"] * h["stride"],
            "io_channels": h["channels"],
        },
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of the authors' autoencoder, and of their whole models, which hold it."""
    h = (same.__kwdefaults__ or {}) | hyperparameters
    own, whole = (_key_map(h, prefix) for prefix in ("", "pretransform.model."))
    others = (r"^(?!pretransform\.model\.)", *whole.ignored)
    return {
        "original autoencoder": own,
        "original": KeyMap(whole.entries, others, whole.weight_norm, written=whole.written),
    }


def _part(part: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the encoder or the decoder; raises ValueError for one of another kind."""
    if part["type"] not in KINDS:
        raise ValueError(f"an autoencoder of type {part['type']} is not supported")
    arguments: dict[str, Any] = _THERE | part["config"]
    for name, wanted in _SUPPORTED.items():
        if arguments[name] != wanted:
            have = arguments[name]
            raise ValueError(f"a SAME whose {name} is {have!r} is not supported: only SAME-S, where it is {wanted!r}")
    return arguments


def _key_map(h: dict[str, Any], prefix: str) -> KeyMap:
    encoder, decoder, norm = f"{prefix}encoder.layers", f"{prefix}decoder.layers", f"{prefix}bottleneck"
    std = f"{norm}.running_std"
    resamplers = ("encoder", f"{encoder}.0"), ("decoder", f"{decoder}.3")
    entries = [
        *_layer("encoder/project", f"{encoder}.2", DENSE_AS_CONV),
        Entry("encoder/norm/scale", (f"{norm}.scaling_factor", std), _DIVIDED),
        Entry("encoder/norm/bias", (f"{norm}.bias", std), _DIVIDED),
        Entry("decoder/project/kernel", (f"{decoder}.1.weight", std), _MULTIPLIED),
        Entry("decoder/project/bias", (f"{decoder}.1.bias",), VECTOR),
    ]
    written = [_constant(f"{norm}.noise_scaling_factor", np.zeros((1, 0, 1), np.float32))]
    turned = h["head_dim"] // 2
    frequencies = (1.0 / 10_000 ** (np.arange(0, turned, 2) / turned)).astype(np.float32)
    for part, key in resamplers:
        entries += _layer(f"{part}/mapping", f"{key}.mapping", CONV)
        entries.append(Entry(f"{part}/resampler/token", (f"{key}.new_tokens",), _TOKEN))
        for i in range(h["depth"]):
            layer = f"{key}.transformers.{i}"
            entries += _transformer_layer(f"{part}/resampler/layer_{i}", layer)
            written.append(_constant(f"{layer}.rope.inv_freq", frequencies))
    return KeyMap(tuple(entries), weight_norm="legacy", written=tuple(written))


def _transformer_layer(path: str, key: str) -> list[Entry]:
    entries = [
        Entry(f"{path}/qkv", (f"{key}.self_attn.to_qkv.weight",), LINEAR),
        Entry(f"{path}/out", (f"{key}.self_attn.to_out.weight",), LINEAR),
        Entry(f"{path}/expand", (f"{key}.ff.ff.0.proj.weight",), LINEAR),
        Entry(f"{path}/expand_bias", (f"{key}.ff.ff.0.proj.bias",), VECTOR),
        Entry(f"{path}/project", (f"{key}.ff.ff.2.weight",), LINEAR),
        Entry(f"{path}/project_bias", (f"{key}.ff.ff.2.bias",), VECTOR),
    ]
    for ours, theirs in (
        ("norm_attention", "pre_norm"),
        ("norm_mlp", "ff_norm"),
        ("norm_query", "self_attn.q_norm"),
        ("norm_key", "self_attn.k_norm"),
    ):
        entries += [Entry(f"{path}/{ours}/{p}", (f"{key}.{theirs}.{p}",), VECTOR) for p in ("alpha", "gamma", "beta")]
    return entries


def _layer(path: str, key: str, layout: Layout) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]


def _constant(key: str, value: np.ndarray) -> Entry:
    """A tensor that the torch model insists on; it follows from the hyper-parameters."""
    return Entry("decoder/project/bias", (key,), Layout("CONSTANT", lambda array: array, lambda _: (value,)))


_ONE = np.ones(1, np.float32)
"""what the deviation of latents is written as: it is a part of what stands before and after them"""
_DIVIDED = Layout("DIVIDED", lambda x, std: x.reshape(x.shape[1]) / std, lambda x: (x[None, :, None], _ONE))
"""(1, C, 1), by a deviation (1,) -> (C,)"""
_MULTIPLIED = Layout("MULTIPLIED", lambda x, std: x.T[None] * std, lambda kernel: (kernel[0].T, _ONE))
"""(O, I), with a deviation (1,) -> (1, I, O)"""
_TOKEN = Layout("TOKEN", lambda x: x.reshape(x.shape[2]), lambda x: (x[None, None],))
"""(1, 1, C) -> (C,)"""
