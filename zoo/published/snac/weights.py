"""Configurations and weights of SNAC as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.published.keymap import CONV, CONV_TRANSPOSE, DEPTHWISE, SNAKE, VECTOR, Entry, KeyMap, Layout
from zoo.published.snac.local_attention import attention_entries, constant_entries
from zoo.published.snac.model import DILATIONS, snac
from zoo.published.snac.multiscale_vq import quantiser_entries


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """Reads the `config.json` of a published SNAC; raises KeyError or ValueError for one that is not understood."""
    values = {ours: config[theirs] for ours, theirs in _CONFIG.items()}
    unknown = sorted(set(config) - set(_CONFIG.values()) - {"depthwise", "latent_dim"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    if config.get("depthwise") is not True:
        raise ValueError("only models with depthwise convolutions are known")
    latent_dim = values["encoder_dim"] * 2 ** len(values["encoder_rates"])
    if config.get("latent_dim") not in (None, latent_dim):
        raise ValueError(f"latent_dim {config['latent_dim']} is not what the encoder gives, {latent_dim}")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The `config.json` that goes with `snac(**hyperparameters)`."""
    h = _complete(hyperparameters)
    values = {theirs: list(h[ours]) if isinstance(h[ours], tuple) else h[ours] for ours, theirs in _CONFIG.items()}
    return values | {"depthwise": True}


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of checkpoints of `snac(**hyperparameters)`: the authors' own layout is the only one."""
    h = _complete(hyperparameters)
    n_down, n_up, noise = len(h["encoder_rates"]), len(h["decoder_rates"]), bool(h["noise"])
    attends = 1 if h["attn_window_size"] else 0  # a layer more, after the encoder's stages and before the decoder's
    entries = [
        *_conv("encoder/conv_in", "encoder.block.0", CONV),
        *_conv("encoder/conv_out", f"encoder.block.{1 + n_down + attends}", DEPTHWISE),
        *_conv("decoder/conv_in", "decoder.model.0", DEPTHWISE),
        *_conv("decoder/expand", "decoder.model.1", CONV),
        Entry("decoder/snake_out/alpha", (f"decoder.model.{2 + attends + n_up}.alpha",), SNAKE),
        *_conv("decoder/conv_out", f"decoder.model.{3 + attends + n_up}", CONV),
        *quantiser_entries(len(h["vq_strides"])),
    ]
    for i in range(n_down):
        entries += _down(i, f"encoder.block.{1 + i}.block")
    for i in range(n_up):
        entries += _up(i, f"decoder.model.{2 + attends + i}.block", noise)
    attention = {"encoder": f"encoder.block.{1 + n_down}", "decoder": "decoder.model.2"} if attends else {}
    constants: list[Entry] = []
    for part, key in attention.items():
        entries += attention_entries(f"{part}/attention", key)
        constants += constant_entries(f"{part}/attention", key)
    return {"original": KeyMap(tuple(entries), weight_norm="parametrized", written=tuple(constants))}


def _complete(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Fills in the builder's own values for those that are not given."""
    return dict(snac.__kwdefaults__ or {}) | hyperparameters


def _conv(path: str, key: str, layout: Layout) -> Iterator[Entry]:
    yield Entry(f"{path}/kernel", (f"{key}.weight",), layout)
    yield Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)


def _unit(path: str, key: str) -> Iterator[Entry]:
    yield Entry(f"{path}/snake_in/alpha", (f"{key}.0.alpha",), SNAKE)
    yield from _conv(f"{path}/dilated", f"{key}.1", DEPTHWISE)
    yield Entry(f"{path}/snake_out/alpha", (f"{key}.2.alpha",), SNAKE)
    yield from _conv(f"{path}/pointwise", f"{key}.3", CONV)


def _down(i: int, key: str) -> Iterator[Entry]:
    for j in range(len(DILATIONS)):
        yield from _unit(f"encoder/unit_{i}_{j}", f"{key}.{j}.block")
    yield Entry(f"encoder/snake_{i}/alpha", (f"{key}.{len(DILATIONS)}.alpha",), SNAKE)
    yield from _conv(f"encoder/down_{i}", f"{key}.{len(DILATIONS) + 1}", CONV)


def _up(i: int, key: str, noise: bool) -> Iterator[Entry]:
    yield Entry(f"decoder/snake_{i}/alpha", (f"{key}.0.alpha",), SNAKE)
    yield from _conv(f"decoder/up_{i}", f"{key}.1", CONV_TRANSPOSE)
    if noise:
        yield Entry(f"decoder/noise_{i}/kernel", (f"{key}.2.linear.weight",), CONV)
    for j in range(len(DILATIONS)):
        yield from _unit(f"decoder/unit_{i}_{j}", f"{key}.{j + 2 + noise}.block")


_CONFIG = {
    "sample_rate": "sampling_rate",
    "encoder_dim": "encoder_dim",
    "encoder_rates": "encoder_rates",
    "decoder_dim": "decoder_dim",
    "decoder_rates": "decoder_rates",
    "attn_window_size": "attn_window_size",
    "codebook_size": "codebook_size",
    "codebook_dim": "codebook_dim",
    "vq_strides": "vq_strides",
    "noise": "noise",
}
