"""Where SEANet's parameters stand in the checkpoints of EnCodec and Mimi."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from zoo.published.keymap import CONV, CONV_TRANSPOSE, LINEAR, VECTOR, Entry, Layout
from zoo.published.parts.seanet import Row, Seanet

Spelling = Literal["transformers", "original"]
"""how a checkpoint spells the modules' names"""
HUB_NAMES = {
    "sample_rate": "sampling_rate",
    "channels": "audio_channels",
    "latent_dim": "hidden_size",
    "n_filters": "num_filters",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "n_residual": "num_residual_layers",
    "dilation_growth": "dilation_growth_rate",
    "compress": "compress",
    "conv_shortcut": "use_conv_shortcut",
    "codebook_size": "codebook_size",
}
"""hyper-parameters of a codec with SEANet: our name → that in transformers' config.json"""


def seanet_entries(
    spec: Seanet, rows: Sequence[Row], path: str, keys: str, spelling: Spelling = "transformers"
) -> list[Entry]:
    """Entries of an encoder's or decoder's layers: parameters under `path` ("encoder"), checkpoint keys under `keys`.

    `keys` is what stands before the number of a layer: "encoder.layers" in transformers' spelling, whose convolutions
    are `N.conv.weight`; "encoder.model" in that of the authors, `N.conv.conv.weight` and `N.convtr.convtr.weight`.
    """
    entries: list[Entry] = []
    for row in rows:
        ours, theirs = f"{path}/{row.name}", f"{keys}.{row.index}"
        if row.kind == "lstm":
            for i in range(spec.n_lstm):
                lstm = f"{theirs}.lstm"
                entries.append(Entry(f"{ours}/kernel_{i}", (f"{lstm}.weight_ih_l{i}",), LINEAR))
                entries.append(Entry(f"{ours}/recurrent_{i}", (f"{lstm}.weight_hh_l{i}",), LINEAR))
                entries.append(Entry(f"{ours}/bias_{i}", (f"{lstm}.bias_ih_l{i}", f"{lstm}.bias_hh_l{i}"), TWO_BIASES))
        elif row.kind == "unit":
            modules = {"dilated": "block.1", "pointwise": "block.3"}
            if spec.conv_shortcut:
                modules["shortcut"] = "shortcut"
            for name, module in modules.items():
                entries += _conv_entries(spec, f"{ours}/{name}", f"{theirs}.{module}", CONV, spelling)
        else:
            entries += _conv_entries(spec, ours, theirs, CONV_TRANSPOSE if row.kind == "up" else CONV, spelling)
    return entries


def _sum_biases(of_input: np.ndarray, of_state: np.ndarray) -> np.ndarray:
    return of_input + of_state


TWO_BIASES = Layout("TWO_BIASES", _sum_biases, lambda bias: (bias, np.zeros_like(bias)))
"""(4·C,) and (4·C,) -> their sum"""


def _conv_entries(spec: Seanet, path: str, module: str, layout: Layout, spelling: Spelling) -> list[Entry]:
    name = "convtr" if layout is CONV_TRANSPOSE else "conv"
    conv, norm = f"{module}.conv", f"{module}.norm"
    if spelling == "original":
        conv, norm = f"{module}.{name}.{name}", f"{module}.{name}.norm"
    entries = [
        Entry(f"{path}/conv/kernel", (f"{conv}.weight",), layout),
        Entry(f"{path}/conv/bias", (f"{conv}.bias",), VECTOR),
    ]
    if spec.norm == "time_group_norm":
        entries.append(Entry(f"{path}/norm/scale", (f"{norm}.weight",), VECTOR))
        entries.append(Entry(f"{path}/norm/bias", (f"{norm}.bias",), VECTOR))
    return entries
