"""Configurations and weights of DAC as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.nn.layers import (
    PER_TENTH,
)
from zoo.published.dac.model import DILATIONS, dac
from zoo.published.keymap import CONV, CONV_TRANSPOSE, POINTWISE, SNAKE, VECTOR, Entry, KeyMap, Layout

TENTHS = Layout("TENTHS", lambda entries: entries / np.float32(PER_TENTH), lambda t: (np.float32(PER_TENTH) * t,))
"""a codebook, kept in tenths"""


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `dac` takes, of a config.json of transformers or the authors' own arguments.

    Raises KeyError, TypeError or ValueError for a config that is neither.
    """
    ours = "encoder_rates" in config
    rates = [int(rate) for rate in config["encoder_rates" if ours else "downsampling_ratios"]]
    up = config.get("decoder_rates" if ours else "upsampling_ratios")
    width = int(config["encoder_dim" if ours else "encoder_hidden_size"])
    latent_dim = config.get("latent_dim" if ours else "hidden_size")
    code_dims = config["codebook_dim"]
    code_dims = {int(dim) for dim in code_dims} if isinstance(code_dims, Sequence) else {int(code_dims)}
    if len(code_dims) > 1:
        raise ValueError(f"codebooks of different dimensions, {sorted(code_dims)}, are not supported")
    return {
        "sample_rate": int(config["sample_rate" if ours else "sampling_rate"]),
        "encoder_width": width,
        "encoder_rates": rates,
        "decoder_width": int(config["decoder_dim" if ours else "decoder_hidden_size"]),
        "decoder_rates": rates[::-1] if up is None else [int(rate) for rate in up],
        "latent_dim": width * 2 ** len(rates) if latent_dim is None else int(latent_dim),
        "n_codebooks": int(config["n_codebooks"]),
        "codebook_size": int(config["codebook_size"]),
        "code_dim": code_dims.pop(),
        "quantiser_dropout": float(config.get("quantizer_dropout", 0.0)),
    }


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' DacModel."""
    h = _complete(hyperparameters)
    return {
        "architectures": ["DacModel"],
        "model_type": "dac",
        "sampling_rate": h["sample_rate"],
        "encoder_hidden_size": h["encoder_width"],
        "downsampling_ratios": list(h["encoder_rates"]),
        "decoder_hidden_size": h["decoder_width"],
        "upsampling_ratios": list(h["decoder_rates"]),
        "hidden_size": h["latent_dim"],
        "hop_length": int(np.prod(h["encoder_rates"])),
        "n_codebooks": h["n_codebooks"],
        "codebook_size": h["codebook_size"],
        "codebook_dim": h["code_dim"],
        "quantizer_dropout": h["quantiser_dropout"],
        "commitment_loss_weight": 0.25,
        "codebook_loss_weight": 1.0,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of transformers' checkpoints and of the authors' own."""
    h = _complete(hyperparameters)
    n_down, n_up = len(h["encoder_rates"]), len(h["decoder_rates"])
    first, last = "encoder/stage_0", f"decoder/stage_{n_up - 1}"
    hub = [
        *_conv(f"{first}/conv_in", "encoder.conv1"),
        *_snake("encoder/snake_out", "encoder.snake1"),
        *_conv("encoder/conv_out", "encoder.conv2"),
        *_conv("decoder/conv_in", "decoder.conv1"),
        *_snake(f"{last}/snake_out", "decoder.snake1"),
        *_conv(f"{last}/conv_out", "decoder.conv2"),
    ]
    authors = [
        *_conv(f"{first}/conv_in", "encoder.block.0"),
        *_snake("encoder/snake_out", f"encoder.block.{n_down + 1}"),
        *_conv("encoder/conv_out", f"encoder.block.{n_down + 2}"),
        *_conv("decoder/conv_in", "decoder.model.0"),
        *_snake(f"{last}/snake_out", f"decoder.model.{n_up + 1}"),
        *_conv(f"{last}/conv_out", f"decoder.model.{n_up + 2}"),
    ]
    for i in range(n_down):
        hub += _snake(f"encoder/stage_{i}/snake", f"encoder.block.{i}.snake1")
        hub += _conv(f"encoder/stage_{i}/down", f"encoder.block.{i}.conv1")
        authors += _snake(f"encoder/stage_{i}/snake", f"encoder.block.{i + 1}.block.3")
        authors += _conv(f"encoder/stage_{i}/down", f"encoder.block.{i + 1}.block.4")
        for j in range(len(DILATIONS)):
            hub += _unit(f"encoder/stage_{i}/unit_{j}", f"encoder.block.{i}.res_unit{j + 1}", _HUB_UNIT)
            authors += _unit(f"encoder/stage_{i}/unit_{j}", f"encoder.block.{i + 1}.block.{j}.block", _AUTHORS_UNIT)
    for i in range(n_up):
        hub += _snake(f"decoder/stage_{i}/snake", f"decoder.block.{i}.snake1")
        hub += _conv(f"decoder/stage_{i}/up", f"decoder.block.{i}.conv_t1", CONV_TRANSPOSE)
        authors += _snake(f"decoder/stage_{i}/snake", f"decoder.model.{i + 1}.block.0")
        authors += _conv(f"decoder/stage_{i}/up", f"decoder.model.{i + 1}.block.1", CONV_TRANSPOSE)
        for j in range(len(DILATIONS)):
            hub += _unit(f"decoder/stage_{i}/unit_{j}", f"decoder.block.{i}.res_unit{j + 1}", _HUB_UNIT)
            authors += _unit(f"decoder/stage_{i}/unit_{j}", f"decoder.model.{i + 1}.block.{j + 2}.block", _AUTHORS_UNIT)
    quantiser = [entry for q in range(h["n_codebooks"]) for entry in _stage(q)]
    return {
        "transformers": KeyMap((*hub, *quantiser)),
        "original": KeyMap((*authors, *quantiser), weight_norm="legacy"),
    }


_HUB_UNIT = ("snake1", "conv1", "snake2", "conv2")


_AUTHORS_UNIT = ("0", "1", "2", "3")


def _complete(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Fills in the builder's own values for those that are not given."""
    defaults = {name: value for name, value in (dac.__kwdefaults__ or {}).items() if name != "dtype"}
    return defaults | hyperparameters


def _conv(path: str, key: str, layout: Layout = CONV) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]


def _snake(path: str, key: str) -> list[Entry]:
    return [Entry(f"{path}/alpha", (f"{key}.alpha",), SNAKE)]


def _unit(path: str, key: str, names: tuple[str, ...]) -> list[Entry]:
    snake_in, dilated, snake_out, pointwise = (f"{key}.{name}" for name in names)
    return [
        *_snake(f"{path}/snake_in", snake_in),
        *_conv(f"{path}/dilated", dilated),
        *_snake(f"{path}/snake_out", snake_out),
        *_conv(f"{path}/pointwise", pointwise),
    ]


def _stage(q: int) -> list[Entry]:
    """The entries of the residual quantiser, called alike in both layouts."""
    key = f"quantizer.quantizers.{q}"
    return [
        Entry("bottleneck/project_in", (f"{key}.in_proj.weight",), POINTWISE, q),
        Entry("bottleneck/bias_in", (f"{key}.in_proj.bias",), VECTOR, q),
        Entry("bottleneck/codebooks_tenths", (f"{key}.codebook.weight",), TENTHS, q),
        Entry("bottleneck/project_out", (f"{key}.out_proj.weight",), POINTWISE, q),
        Entry("bottleneck/bias", (f"{key}.out_proj.bias",), VECTOR, q),
    ]
