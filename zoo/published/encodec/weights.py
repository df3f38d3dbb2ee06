"""Configurations and weights of EnCodec as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from zoo.bitstream.entropy import EntropyModel, template
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published.encodec.model import _PAD_MODES, encodec
from zoo.published.keymap import PLAIN, Entry, KeyMap, Layout
from zoo.published.parts.seanet_keys import HUB_NAMES, Spelling, seanet_entries


def default_entropy(symbols: SymbolFormat) -> EntropyModel:
    """Coder that takes all codes for equally likely, but expects the zeros after a segment's loudness.

    In sixteenths of a bit: anything but zero after a zero costs sixteen bits; so 47 bits a segment instead of 1200.
    """
    arrays = {name: np.zeros(array.shape, array.dtype) for name, array in template(symbols).items()}
    if symbols.subframes > 1 and arrays["frame_costs"].shape[1] > 2:
        # contexts: a zero, the last byte of a loudness between 2^-31 and 8, and all other bytes
        arrays["frame_clusters"][0, 0] = 1
        arrays["frame_clusters"][0, 0x30:0x42] = 2
        arrays["frame_costs"][0, 1:3, 1:256] = np.array([[255], [9 * 16]])
    return EntropyModel(symbols, arrays)


_SAME_NAMES = HUB_NAMES | {
    "causal": "use_causal_conv",
    "n_lstm": "num_lstm_layers",
}


_TORCH_DEFAULTS: dict[str, Any] = {
    "target_bandwidths": [1.5, 3.0, 6.0, 12.0, 24.0],
    "sampling_rate": 24_000,
    "audio_channels": 1,
    "normalize": False,
    "chunk_length_s": None,
    "overlap": None,
    "hidden_size": 128,
    "num_filters": 32,
    "num_residual_layers": 1,
    "upsampling_ratios": [8, 5, 4, 2],
    "norm_type": "weight_norm",
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_growth_rate": 2,
    "use_causal_conv": True,
    "pad_mode": "reflect",
    "compress": 2,
    "num_lstm_layers": 2,
    "trim_right_ratio": 1.0,
    "codebook_size": 1024,
    "codebook_dim": None,
    "use_conv_shortcut": True,
}
"""of transformers' EncodecConfig: what a config.json leaves out"""


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `encodec` takes, of a config.json of transformers.

    Raises KeyError, TypeError or ValueError for a config that is none, or that no published model has.
    """
    if config.get("model_type", "encodec") != "encodec" or not any(key in config for key in _TORCH_DEFAULTS):
        raise ValueError("no config of EnCodec")
    values = _TORCH_DEFAULTS | config
    segmented = values["chunk_length_s"] is not None
    consistent = {
        "normalize": segmented,
        "norm_type": "time_group_norm" if segmented else "weight_norm",
        "trim_right_ratio": 1.0,
        "codebook_dim": values["hidden_size"],
    }
    for key, wanted in consistent.items():
        if values[key] != wanted and not (key == "codebook_dim" and values[key] is None):
            raise ValueError(
                f"{key} {values[key]!r} is not supported where chunk_length_s is {values['chunk_length_s']}"
            )
    found = {ours: values[theirs] for ours, theirs in _SAME_NAMES.items()}
    found["ratios"] = tuple(int(ratio) for ratio in values["upsampling_ratios"])
    found["edge"] = _PAD_MODES[values["pad_mode"]]
    bits_per_s = _bits_per_s(found["sample_rate"], found["ratios"], found["codebook_size"])
    found["n_codebooks"] = int(1000 * values["target_bandwidths"][-1] // bits_per_s)
    if segmented:
        found |= {"segment_s": values["chunk_length_s"], "overlap": values["overlap"]}
    return found


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' EncodecModel; the inverse of the function `hyperparameters`."""
    values = _complete(hyperparameters)
    segmented = values["segment_s"] is not None
    config = _TORCH_DEFAULTS | {theirs: values[ours] for ours, theirs in _SAME_NAMES.items()}
    config |= {
        "model_type": "encodec",
        "architectures": ["EncodecModel"],
        "upsampling_ratios": list(values["ratios"]),
        "pad_mode": {ours: theirs for theirs, ours in _PAD_MODES.items()}[values["edge"]],
        "codebook_dim": values["latent_dim"],
        "normalize": segmented,
        "norm_type": "time_group_norm" if segmented else "weight_norm",
        "chunk_length_s": values["segment_s"],
        "overlap": values["overlap"] if segmented else None,
    }
    bits_per_s = _bits_per_s(values["sample_rate"], values["ratios"], values["codebook_size"])
    n = values["n_codebooks"]
    halves = [max(n >> shift, 1) for shift in range(4, -1, -1)]
    config["target_bandwidths"] = [_bandwidth(count, bits_per_s) for count in sorted(set(halves))]
    return config


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key maps of transformers' EncodecModel, and of the authors' checkpoints."""
    values = _complete(hyperparameters)
    segmented = values["segment_s"] is not None
    module = encodec(**hyperparameters)
    spec = module.encoder.spec
    at = "{}/segment" if segmented else "{}"

    def entries(numbered: str, spelling: Spelling) -> list[Entry]:
        encoder, decoder = spec.encoder_rows(), spec.decoder_rows()
        return [
            *seanet_entries(spec, encoder, at.format("encoder"), f"encoder.{numbered}", spelling),
            *seanet_entries(spec, decoder, at.format("decoder"), f"decoder.{numbered}", spelling),
        ]

    def codebooks(pattern: str, layout: Layout) -> list[Entry]:
        path = "bottleneck/codebooks"
        return [Entry(path, (pattern.format(q),), layout, index=q) for q in range(values["n_codebooks"])]

    maps = {}
    for name, numbered, spelling, books, weight_norm in (
        ("transformers", "layers", "transformers", "quantizer.layers.{}.codebook.", "parametrized"),
        ("original", "model", "original", "quantizer.vq.layers.{}._codebook.", "legacy"),
    ):
        running = (("inited", _INITED), ("cluster_size", _ONCE_EACH), ("embed_avg", PLAIN))
        maps[name] = KeyMap(
            entries=(*entries(numbered, spelling), *codebooks(books + "embed", PLAIN)),  # type: ignore[arg-type]
            weight_norm=None if segmented else weight_norm,
            written=tuple(entry for key, layout in running for entry in codebooks(books + key, layout)),
        )
    return maps


_INITED = Layout("INITED", lambda flag: flag, lambda entries: (np.ones(1, np.float32),))
"""a codebook that needs no initialisation"""


_ONCE_EACH = Layout("ONCE_EACH", lambda counts: counts, lambda entries: (np.ones(len(entries), np.float32),))
"""how often each entry was used of late, such that the running sum of what chose it is the entry"""


def _complete(values: dict[str, Any]) -> dict[str, Any]:
    """Fills in the defaults of `encodec`."""
    return {name: values.get(name, default) for name, default in (encodec.__kwdefaults__ or {}).items()}


def _bits_per_s(sample_rate: int, ratios: tuple[int, ...], codebook_size: int) -> int:
    """The bits per second of a codebook, as the reference counts: frames in a second are rounded up."""
    return math.ceil(sample_rate / math.prod(ratios)) * math.ceil(math.log2(codebook_size))


def _bandwidth(n_codebooks: int, bits_per_s: int) -> float:
    """Kilobits per second of which the reference, which rounds down, makes so many codebooks."""
    bandwidth = n_codebooks * bits_per_s / 1000
    while int(1000 * bandwidth // bits_per_s) < n_codebooks:
        bandwidth = math.nextafter(bandwidth, math.inf)
    return bandwidth
