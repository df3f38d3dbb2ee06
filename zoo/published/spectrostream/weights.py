"""Configurations and weights of SpectroStream as its authors have them: hyper-parameters and the key map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from zoo.published.keymap import PLAIN, VECTOR, Entry, KeyMap, Layout
from zoo.published.spectrostream.layers import Down, Up, resampling_kernel
from zoo.published.spectrostream.model import PARTS, Spec, downward, spectrostream, upward


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `spectrostream` takes, of the fields of magenta_rt's SpectroStream.Config.

    Raises KeyError, TypeError or ValueError for one not understood.
    """
    quantizer = config.get("quantizer") or {}
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    values |= {ours: quantizer.get(theirs, _DEFAULTS[ours]) for ours, theirs in _QUANTIZER.items()}
    values |= {name: int(values[name]) for name in ("sample_rate", "kernel_size")}
    values["strides"] = [[int(down), int(across)] for down, across in values["strides"]]
    if any(int(factor) != factor for factor in values["growth"]):
        raise ValueError(f"mults {values['growth']!r} are not supported, only whole numbers")
    values["growth"] = [int(factor) for factor in values["growth"]]
    values["channels"] = int(config.get("num_channels", PARTS * _DEFAULTS["channels"])) // PARTS
    n = len(values["strides"])
    # their blocks are the strides and, one more, the unit next to the latents; −1 is that one
    first_joint = int(config.get("channel_recombo_block", -1 - _DEFAULTS["n_joint"]))
    values["n_joint"] = n - first_joint % (n + 1)
    for key, value in _needed(values).items():
        if config.get(key, value) != value:
            raise ValueError(f"{key} {config[key]!r} is not supported, only {value!r}")
    if quantizer.get("embedding_dim", values["latent_dim"]) != values["latent_dim"]:
        raise ValueError(f"embedding_dim {quantizer['embedding_dim']} is not num_features {values['latent_dim']}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The fields of magenta_rt's SpectroStream.Config that make a model, its quantizer's among them."""
    h = _DEFAULTS | hyperparameters
    n = len(h["strides"])
    quantizer = {theirs: h[ours] for ours, theirs in _QUANTIZER.items()} | {"embedding_dim": h["latent_dim"]}
    return {
        **{theirs: h[ours] for ours, theirs in _CONFIG.items()},
        "ratios": [list(strides) for strides in h["strides"]],
        "mults": list(h["growth"]),
        "channel_recombo_block": n - h["n_joint"],
        **_needed(h),
        "quantizer": quantizer,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key map of encoder.safetensors and decoder.safetensors together."""
    return {"original": KeyMap(tuple(_entries(_DEFAULTS | hyperparameters)))}


_DEFAULTS = {name: value for name, value in (spectrostream.__kwdefaults__ or {}).items() if name != "dtype"}
_CONFIG = {
    "sample_rate": "audio_sample_rate",
    "n_fft": "stft_frame_length",
    "strides": "ratios",
    "growth": "mults",
    "kernel_size": "encoder_base_conv_size",
    "encoder_width": "encoder_base_conv_depth",
    "decoder_width": "decoder_base_conv_depth",
    "latent_dim": "num_features",
}
_QUANTIZER = {"n_codebooks": "num_quantizers", "codebook_size": "num_embeddings"}
_DENSE = Layout("DENSE", lambda kernel: kernel[0], lambda kernel: (kernel[None],))
"""(1, 1, I, O) -> (1, I, O)"""


def _needed(h: dict[str, Any]) -> dict[str, Any]:
    """What else a configuration says, if it is of a model with these hyper-parameters."""
    return {
        "stft_frame_step": h["n_fft"] // 2,
        "stft_fft_length": h["n_fft"],
        "num_bins": h["n_fft"] // 2,
        "num_channels": PARTS * h["channels"],
        "channel_splits": h["channels"],
        "dilations": None,
        "is_resnet": True,
        "causal": True,
        "decoder_base_conv_size": h["kernel_size"],
        "encoder_lookahead": 0,
        "decoder_lookahead": 1,
    }


def _entries(h: dict[str, Any]) -> Iterator[Entry]:
    codec = spectrostream(**h)
    spec, decoder_spec = codec.encoder.spec, codec.decoder.spec
    n = len(spec.strides)
    yield from _conv("encoder/apart/conv_in", "encoder/base_conv_first")
    for i, down in enumerate(downward(spec, range(n), jnp.float32)):
        yield from _unit(f"encoder/{_place(spec, i)}{down.name}", f"encoder/encoder_{i}", down)
    yield from _unit("encoder/bottleneck", "encoder/bottleneck")
    yield from _head("encoder", "encoder/output_convs", "conv1x1_last")
    yield Entry("bottleneck/codebooks", ("params/quantizer/embedding",), PLAIN)
    yield from _head("decoder", "decoder/input_layer", "conv1x1_first")
    yield from _unit("decoder/bottleneck", "decoder/input_layers_residual_unit")
    for i, up in enumerate(upward(decoder_spec, range(n), jnp.float32)):
        yield from _unit(f"decoder/{_place(spec, n - 1 - i)}{up.name}", f"decoder/decoder_{i}", up)
    yield from _conv("decoder/apart/conv_out", "decoder/output_layer/base_conv_last")


def _place(spec: Spec, i: int) -> str:
    return "apart/" if i < spec.n_apart else ""


def _unit(path: str, key: str, unit: Down | Up | None = None) -> Iterator[Entry]:
    """The entries of a unit; None is one that changes nothing but numbers."""
    strides = unit.strides if unit else (1, 1)
    height, width = resampling_kernel(strides)
    transposed = isinstance(unit, Up) and strides != (1, 1)
    resample = f"conv2dtranspose_{height}x{width}" if transposed else f"conv2d_{height}x{width}_a"
    yield from _conv(f"{path}/conv", f"{key}/conv2d_3x3")
    yield from _conv(f"{path}/resample", f"{key}/{resample}")
    if unit and unit.channels != unit.features:
        yield from _conv(f"{path}/shortcut", f"{key}/shortcut_layer/conv1x1")


def _head(path: str, key: str, linear: str) -> Iterator[Entry]:
    """The entries of the layers between a vector and bins of frequency."""
    yield from _conv(f"{path}/linear", f"{key}/{linear}", _DENSE)
    yield from _conv(f"{path}/expand", f"{key}/shortcut_layer/conv1x1_b1", _DENSE)
    yield from _conv(f"{path}/project", f"{key}/shortcut_layer/conv1x1_b2", _DENSE)


def _conv(path: str, key: str, layout: Layout = PLAIN) -> Iterator[Entry]:
    yield Entry(f"{path}/kernel", (f"params/{key}/conv/kernel",), layout)
    yield Entry(f"{path}/bias", (f"params/{key}/conv/bias",), VECTOR)
