"""Configurations and weights of HiFi-GAN as others publish them: hyper-parameters and key maps."""

from __future__ import annotations

import itertools
from typing import Any

from zoo.published.hifigan.model import hifigan
from zoo.published.keymap import CONV, CONV_TRANSPOSE, VECTOR, Entry, KeyMap, Layout

VOICE = "dec."
"""before the keys of a vocoder that is a part of a VITS"""


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `hifigan` takes, of the authors' config.json, or of what an ONNX file says of its convolutions.

    Raises KeyError, TypeError or ValueError for a config that is neither, or of another vocoder.
    """
    if "convolutions" in config:
        return _of_convolutions(config)
    values = hub_config() | config
    rates, kernels = list(values["upsample_rates"]), list(values["upsample_kernel_sizes"])
    if kernels != [2 * rate for rate in rates]:
        raise ValueError(f"upsample_kernel_sizes {kernels} are not twice upsample_rates {rates}")
    if str(values["resblock"]) not in ("1", "2"):
        raise ValueError(f"resblock {values['resblock']!r} is neither '1' nor '2'")
    return {
        "sample_rate": int(values["sampling_rate"]),
        "latent_dim": int(values["num_mels"]),
        "width": int(values["upsample_initial_channel"]),
        "rates": rates,
        "kernel_sizes": list(values["resblock_kernel_sizes"]),
        "dilations": [list(each) for each in values["resblock_dilation_sizes"]],
        "pairs": str(values["resblock"]) == "1",
        "last_bias": bool(values["conv_post_bias"]),
    }


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The authors' config.json; `conv_post_bias`, which theirs always have, is ours."""
    h = _DEFAULTS | hyperparameters
    return {
        "resblock": "1" if h["pairs"] else "2",
        "upsample_rates": list(h["rates"]),
        "upsample_kernel_sizes": [2 * rate for rate in h["rates"]],
        "upsample_initial_channel": h["width"],
        "resblock_kernel_sizes": list(h["kernel_sizes"]),
        "resblock_dilation_sizes": [list(each) for each in h["dilations"]],
        "num_mels": h["latent_dim"],
        "sampling_rate": h["sample_rate"],
        "conv_post_bias": h["last_bias"],
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of the authors' generators, and of those that are a part of a VITS, in torch or ONNX."""
    h = _DEFAULTS | hyperparameters
    return {
        "original": KeyMap(tuple(_entries(h, "")), weight_norm="legacy"),
        "voice": KeyMap(tuple(_entries(h, VOICE)), (r"^(?!dec\.)",)),
    }


_DEFAULTS = {name: value for name, value in (hifigan.__kwdefaults__ or {}).items() if name != "dtype"}


def _of_convolutions(config: dict[str, Any]) -> dict[str, Any]:
    found = config["convolutions"]
    numbered = list(itertools.takewhile(lambda i: f"{VOICE}ups.{i}.weight" in found, itertools.count()))
    ups = [found[f"{VOICE}ups.{i}.weight"] for i in numbered]
    if not ups:
        raise ValueError("there are no transposed convolutions")
    pairs = f"{VOICE}resblocks.0.convs1.0.weight" in found
    kernel_sizes, dilations = [], []
    for j in itertools.count():
        block = f"{VOICE}resblocks.{j}.{'convs1' if pairs else 'convs'}"
        keys = itertools.takewhile(found.__contains__, (f"{block}.{m}.weight" for m in itertools.count()))
        units = [found[key] for key in keys]
        if not units or units[0]["shape"][0] != ups[0]["shape"][1]:  # those of the next stage
            break
        kernel_sizes.append(units[0]["shape"][2])
        dilations.append([unit["dilations"][0] for unit in units])
    rates = [up["strides"][0] for up in ups]
    if [up["shape"][2] for up in ups] != [2 * rate for rate in rates]:
        raise ValueError(f"the transposed convolutions of strides {rates} have other kernels than twice as long ones")
    width, latent_dim, _ = found[f"{VOICE}conv_pre.weight"]["shape"]
    return {
        "sample_rate": config.get("sample_rate", _DEFAULTS["sample_rate"]),
        "latent_dim": latent_dim,
        "width": width,
        "rates": rates,
        "kernel_sizes": kernel_sizes,
        "dilations": dilations,
        "pairs": pairs,
        "last_bias": bool(config.get("last_bias", False)),
    }


def _entries(h: dict[str, Any], prefix: str) -> list[Entry]:
    entries = [
        *_conv("decoder/conv_in", f"{prefix}conv_pre"),
        *_conv("decoder/conv_out", f"{prefix}conv_post", bias=h["last_bias"]),
    ]
    n = len(h["kernel_sizes"])
    for i in range(len(h["rates"])):
        entries += _conv(f"decoder/up_{i}", f"{prefix}ups.{i}", CONV_TRANSPOSE)
        for j, dilations in enumerate(h["dilations"]):
            for m in range(len(dilations)):
                path, key = f"decoder/unit_{i}_{j}_{m}", f"{prefix}resblocks.{i * n + j}"
                entries += _conv(f"{path}/dilated", f"{key}.{'convs1' if h['pairs'] else 'convs'}.{m}")
                if h["pairs"]:
                    entries += _conv(f"{path}/undilated", f"{key}.convs2.{m}")
    return entries


def _conv(path: str, key: str, layout: Layout = CONV, *, bias: bool = True) -> list[Entry]:
    kernel = Entry(f"{path}/kernel", (f"{key}.weight",), layout)
    return [kernel, Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)] if bias else [kernel]
