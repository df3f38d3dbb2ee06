"""EnCodec (Défossez et al., 2022): SEANet, LSTM and residual VQ; 24 kHz, 32 kHz (MusicGen's), 48 kHz stereo.

The 24 kHz codec is causal and goes on from chunk to chunk, its LSTM's state is carried. At the beginning of a clip its
causal convolutions mirror what is yet to come, so that a packet has at least seven frames.

The 48 kHz codec normalises over time, and so was published to work on segments of a second that overlap by a hundredth,
each divided by its loudness. No other chunks can give its codes: here a frame is a segment, 47,520 samples after the
one before. Its latent is the 150 latents of the network and the loudness, and so are its codes: the first of 17
codebooks holds bytes, four for the loudness as float32 and zeros after, the others 150 codes each.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo.bitstream.entropy import EntropyModel, template
from zoo.codec import Codec, Reach
from zoo.nn.bottlenecks import SymbolFormat
from zoo.nn.layers import Dtype
from zoo.published.encodec.segments import SCALE_BYTES, SegmentDecoder, SegmentEncoder, SegmentRVQ
from zoo.published.keymap import PLAIN, Entry, KeyMap, Layout
from zoo.published.parts.euclidean import EuclideanRVQ
from zoo.published.parts.seanet import Seanet, SeanetDecoder, SeanetEncoder
from zoo.published.parts.seanet_keys import Spelling, seanet_entries


def encodec(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    latent_dim: int = 128,
    n_filters: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    kernel_size: int = 7,
    last_kernel_size: int = 7,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    causal: bool = True,
    edge: str = "reflect",
    conv_shortcut: bool = True,
    n_lstm: int = 2,
    n_codebooks: int = 32,
    codebook_size: int = 1024,
    segment_s: float | None = None,
    overlap: float = 0.01,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec of 24 kHz; levels are numbers of codebooks.

    With `segment_s` it works on segments of so many seconds that overlap by that share of them, normalised over time,
    as that of 48 kHz. Raises ValueError where these do not fit together.
    """
    if edge not in _PAD_MODES.values():
        raise ValueError(f"edge {edge!r} is none of {', '.join(_PAD_MODES.values())}")
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    segmented = segment_s is not None
    spec = Seanet(
        latent_dim,
        n_filters,
        tuple(ratios),
        channels,
        kernel_size,
        last_kernel_size,
        residual_kernel_size,
        n_residual,
        dilation_growth,
        compress,
        causal,
        edge,  # type: ignore[arg-type]
        "time_group_norm" if segmented else "none",
        conv_shortcut,
        n_lstm,
        remembers=not segmented,
    )
    if segment_s is not None:
        return _segmented(spec, sample_rate, n_codebooks, codebook_size, segment_s, overlap, dtype)
    encoder, decoder = SeanetEncoder(spec, dtype), SeanetDecoder(spec, dtype)
    return Codec(
        encoder=encoder,
        bottleneck=EuclideanRVQ(latent_dim, n_codebooks, codebook_size),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=spec.hop_length,
        encoder_context=Reach.of_encoder(encoder, spec.hop_length),
        decoder_context=Reach.of_decoder(decoder, spec.hop_length),
        channels=channels,
        recurrent=n_lstm > 0,
        min_first_frames=spec.min_first_frames(),
    )


def _segmented(
    spec: Seanet,
    sample_rate: int,
    n_codebooks: int,
    codebook_size: int,
    segment_s: float,
    overlap: float,
    dtype: Dtype,
) -> Codec:
    length, hop = _segments(sample_rate, segment_s, overlap)
    n_steps = length // spec.hop_length
    if length % spec.hop_length or not length // 2 <= hop <= length or n_steps < SCALE_BYTES:
        raise ValueError(
            f"segments of {length} samples every {hop}: they must be a whole number of {spec.hop_length}, at least "
            f"{SCALE_BYTES}, and overlap by at most half"
        )
    encoder, decoder = SegmentEncoder(spec, length, hop, dtype), SegmentDecoder(spec, length, hop, dtype)
    return Codec(
        encoder=encoder,
        bottleneck=SegmentRVQ(spec.latent_dim, n_codebooks, codebook_size, n_steps),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        encoder_context=Reach.of_encoder(encoder, hop),
        decoder_context=Reach.of_decoder(decoder, hop),
        channels=spec.channels,
    )


def _segments(sample_rate: int, segment_s: float, overlap: float) -> tuple[int, int]:
    """Samples in a segment, and from one's beginning to the next one's, rounded as the reference does."""
    length = int(segment_s * sample_rate)
    return length, max(1, int((1.0 - overlap) * length))


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


_PAD_MODES = {"reflect": "reflect", "constant": "zero", "replicate": "replicate"}
_SAME_NAMES = {
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
    "causal": "use_causal_conv",
    "conv_shortcut": "use_conv_shortcut",
    "n_lstm": "num_lstm_layers",
    "codebook_size": "codebook_size",
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
    """Of transformers' EncodecModel, and of the authors' checkpoints."""
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
    """With the defaults of `encodec`."""
    return {name: values.get(name, default) for name, default in (encodec.__kwdefaults__ or {}).items()}


def _bits_per_s(sample_rate: int, ratios: tuple[int, ...], codebook_size: int) -> int:
    """Of a codebook, as the reference counts: frames in a second are rounded up."""
    return math.ceil(sample_rate / math.prod(ratios)) * math.ceil(math.log2(codebook_size))


def _bandwidth(n_codebooks: int, bits_per_s: int) -> float:
    """Kilobits per second of which the reference, which rounds down, makes so many codebooks."""
    bandwidth = n_codebooks * bits_per_s / 1000
    while int(1000 * bandwidth // bits_per_s) < n_codebooks:
        bandwidth = math.nextafter(bandwidth, math.inf)
    return bandwidth
