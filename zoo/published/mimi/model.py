"""Mimi (Défossez et al., 2024): causal SEANet and transformers, 12.5 frames a second, a split residual VQ.

The transformers work on two steps to a frame. One codebook of each frame is taught what is said (semantic), the other
31 how it sounds (acoustic); both look at the same latent. All of it is causal: the transformers' keys and values are
carried from chunk to chunk, and a frame can be given out as soon as its last sample is in.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec, Reach
from zoo.nn.layers import Conv1d, Dtype, Network, Span, apply_mask, asking, inputs_of, per_channel, run
from zoo.published.keymap import CONV, DEPTHWISE, Entry, KeyMap
from zoo.published.mimi.split_vq import SplitRVQ, rvq_entries
from zoo.published.mimi.transformer import Transformer, TransformerSpec, transformer_entries
from zoo.published.parts.seanet import NO_REACH, Seanet, SeanetDecoder, SeanetEncoder
from zoo.published.parts.seanet_keys import Spelling, seanet_entries

STEPS = 2
"""of the transformers to a frame"""


class Encoder(Network):
    """Audio (B, F · hop, channels) -> latents (B, F, D): SEANet, transformer, and a convolution of stride 2."""

    seanet: Seanet
    transformer: TransformerSpec
    dtype: Dtype

    def layers(self, context: Reach = NO_REACH, first: int = 0) -> list[Any]:
        """The layers; for windows with so many frames beside the chunk, whose steps are whole from `first` on."""
        options: dict[str, Any] = {"use_bias": False, "causal": True, "edge": "replicate", "dtype": self.dtype}
        return [
            SeanetEncoder(self.seanet, self.dtype, name="seanet"),
            _transformer(self.transformer, first, context, self.dtype),
            Conv1d(self.seanet.latent_dim, 2 * STEPS, stride=STEPS, **options, name="down"),
        ]

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        context = Reach.of_encoder(self, STEPS * self.seanet.hop_length)
        first = STEPS * context.before + _after_transformer(self, Span(0, 0)).first
        return run(self.layers(context, first), audio, mask)


class Decoder(Network):
    """Latents (B, F, D) -> audio (B, F · hop, channels), the mirror image of `Encoder`."""

    seanet: Seanet
    transformer: TransformerSpec
    dtype: Dtype

    def layers(self, context: Reach = NO_REACH, first: int = 0) -> list[Any]:
        """The layers; for windows with so many frames beside the chunk, whose steps are whole from `first` on."""
        return [
            Upsample(self.dtype, name="up"),
            _transformer(self.transformer, first, context, self.dtype),
            SeanetDecoder(self.seanet, self.dtype, name="seanet"),
        ]

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        hop = STEPS * self.seanet.hop_length
        context = Reach.of_decoder(self, hop)
        first = STEPS * context.before + _after_transformer(self, Span(0, hop - 1)).first
        return run(self.layers(context, first), latent, mask)


@asking
def _after_transformer(network: Encoder | Decoder, span: Span) -> Span:
    """The transformer's outputs on which the network's outputs `span` depend."""
    return inputs_of(network.layers()[2:], span)


class Upsample(nn.Module):
    """Causal depthwise transposed convolution of masked (B, F, C), of stride 2 and twice as many taps, without bias."""

    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return span.synthesised(2 * STEPS, STEPS, 0)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, channels = x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (2 * STEPS, channels), jnp.float32)
        x = jnp.pad(apply_mask(x, mask).astype(self.dtype), ((0, 0), (1, 0), (0, 0)))
        taps = [per_channel(tap, self.dtype) for tap in kernel]
        steps = [x[:, 1:] * taps[step] + x[:, :-1] * taps[step + STEPS] for step in range(STEPS)]
        return jnp.stack(steps, axis=2).reshape(batch, STEPS * frames, channels)


def mimi(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    latent_dim: int = 512,
    n_filters: int = 64,
    ratios: tuple[int, ...] = (8, 6, 5, 4),
    kernel_size: int = 7,
    last_kernel_size: int = 3,
    residual_kernel_size: int = 3,
    n_residual: int = 1,
    dilation_growth: int = 2,
    compress: int = 2,
    conv_shortcut: bool = False,
    n_layers: int = 8,
    n_heads: int = 8,
    head_dim: int = 64,
    hidden: int = 2048,
    window: int = 250,
    rope_theta: float = 10_000.0,
    norm_eps: float = 1e-5,
    layer_scale: float = 0.01,
    n_codebooks: int = 32,
    n_semantic: int = 1,
    codebook_size: int = 2048,
    code_dim: int = 256,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """Mimi, by default as published; `window` is in steps of half a frame, `hidden` the width of the dense layers.

    Raises ValueError where these do not fit together.
    """
    if n_filters % compress:
        raise ValueError(f"compress {compress} does not divide n_filters {n_filters}")
    if not 0 < n_semantic < n_codebooks:
        raise ValueError(f"n_semantic {n_semantic} is not between 1 and {n_codebooks - 1}, one less than n_codebooks")
    if head_dim % 2 or window < 2:
        raise ValueError(f"head_dim {head_dim} must be even, and window {window} two or more")
    seanet = Seanet(
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
        edge="zero",
        conv_shortcut=conv_shortcut,
        n_lstm=0,
    )
    transformer = TransformerSpec(n_layers, n_heads, head_dim, hidden, window, rope_theta, norm_eps, layer_scale)
    encoder, decoder = Encoder(seanet, transformer, dtype), Decoder(seanet, transformer, dtype)
    hop = STEPS * seanet.hop_length
    return Codec(
        encoder=encoder,
        bottleneck=SplitRVQ(latent_dim, n_codebooks, n_semantic, codebook_size, code_dim),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        encoder_context=Reach.of_encoder(encoder, hop),
        decoder_context=Reach.of_decoder(decoder, hop),
        channels=channels,
        recurrent=True,
    )


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `mimi` takes, of transformers' MimiConfig; KeyError, TypeError or ValueError for one not understood."""
    values = {ours: config.get(theirs, _DEFAULTS[ours]) for ours, theirs in _CONFIG.items()}
    ratios = values["ratios"] = [int(ratio) for ratio in values["ratios"] or _DEFAULTS["ratios"]]
    values["head_dim"] = config.get("head_dim") or values["latent_dim"] // values["n_heads"]
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    values["rope_theta"] = float(rope.get("rope_theta", config.get("rope_theta", _DEFAULTS["rope_theta"])))
    step_rate_hz = math.ceil(values["sample_rate"] / math.prod(ratios))
    frame_rate_hz = config.get("frame_rate") or values["sample_rate"] / (STEPS * math.prod(ratios))
    needed = {
        "model_type": "mimi",
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu",
        "attention_bias": False,
        "num_key_value_heads": values["n_heads"],
        "upsample_groups": values["latent_dim"],
        "vector_quantization_hidden_dimension": values["code_dim"],
    }
    found = {"frame_rate": int(step_rate_hz / frame_rate_hz), "rope_type": rope.get("rope_type", "default")}
    found |= {key: config.get(key, value) for key, value in needed.items()}
    for key, value in (needed | {"frame_rate": STEPS, "rope_type": "default"}).items():
        if found[key] != value:
            raise ValueError(f"a Mimi whose {key} is {config.get(key, found[key])!r} is not supported")
    if values["code_dim"] == values["latent_dim"]:
        raise ValueError("a Mimi whose codebooks have as many dimensions as its latents is not supported")
    return values


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of transformers' MimiModel."""
    h = _DEFAULTS | hyperparameters
    config = {theirs: h[ours] for ours, theirs in _CONFIG.items()}
    return config | {
        "architectures": ["MimiModel"],
        "model_type": "mimi",
        "upsampling_ratios": list(h["ratios"]),
        "head_dim": h["head_dim"],
        "rope_theta": h["rope_theta"],
        "frame_rate": h["sample_rate"] / (STEPS * math.prod(h["ratios"])),
        "num_key_value_heads": h["n_heads"],
        "upsample_groups": h["latent_dim"],
        "vector_quantization_hidden_dimension": h["code_dim"],
        "use_causal_conv": True,
        "pad_mode": "constant",
        "trim_right_ratio": 1.0,
        "hidden_act": "gelu",
        "attention_bias": False,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """Of transformers' checkpoints, and of the authors' (`tokenizer-….safetensors` of Moshi)."""
    h = _DEFAULTS | hyperparameters
    hub: tuple[Spelling, tuple[str, ...]] = "transformers", (
        "encoder.layers", "decoder.layers", "encoder_transformer.layers", "decoder_transformer.layers",
        "downsample.conv.weight", "upsample.conv.weight",
        "quantizer.semantic_residual_vector_quantizer", "quantizer.acoustic_residual_vector_quantizer",
    )  # fmt: skip
    authors: tuple[Spelling, tuple[str, ...]] = "original", (
        "encoder.model", "decoder.model", "encoder_transformer.transformer.layers",
        "decoder_transformer.transformer.layers",
        "downsample.conv.conv.conv.weight", "upsample.convtr.convtr.convtr.weight",
        "quantizer.rvq_first", "quantizer.rvq_rest",
    )  # fmt: skip
    return {spelling: _key_map(h, spelling, *keys) for spelling, keys in (hub, authors)}


_CONFIG = {
    "sample_rate": "sampling_rate",
    "channels": "audio_channels",
    "latent_dim": "hidden_size",
    "n_filters": "num_filters",
    "ratios": "upsampling_ratios",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "n_residual": "num_residual_layers",
    "dilation_growth": "dilation_growth_rate",
    "compress": "compress",
    "conv_shortcut": "use_conv_shortcut",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "window": "sliding_window",
    "norm_eps": "norm_eps",
    "layer_scale": "layer_scale_initial_scale",
    "n_codebooks": "num_quantizers",
    "n_semantic": "num_semantic_quantizers",
    "codebook_size": "codebook_size",
    "code_dim": "codebook_dim",
}
_DEFAULTS = {name: value for name, value in (mimi.__kwdefaults__ or {}).items() if name != "dtype"}


def _key_map(h: dict[str, Any], spelling: Spelling, *keys: str) -> KeyMap:
    encoder, decoder, encoder_transformer, decoder_transformer, down, up, first, rest = keys
    codec = mimi(**h)
    seanet, transformer = codec.encoder.seanet, codec.encoder.transformer
    entries = [
        *seanet_entries(seanet, seanet.encoder_rows(), "encoder/seanet", encoder, spelling),
        *seanet_entries(seanet, seanet.decoder_rows(), "decoder/seanet", decoder, spelling),
        *transformer_entries(transformer, "encoder/transformer", encoder_transformer, spelling),
        *transformer_entries(transformer, "decoder/transformer", decoder_transformer, spelling),
        Entry("encoder/down/kernel", (down,), CONV),
        Entry("decoder/up/kernel", (up,), DEPTHWISE),
    ]
    n_acoustic = h["n_codebooks"] - h["n_semantic"]
    semantic, filled = rvq_entries("bottleneck/semantic", first, h["n_semantic"], spelling)
    acoustic, filled_too = rvq_entries("bottleneck/acoustic", rest, n_acoustic, spelling)
    return KeyMap((*entries, *semantic, *acoustic), written=(*filled, *filled_too))


def _transformer(spec: TransformerSpec, first: int, context: Reach, dtype: Dtype) -> Transformer:
    beside = context.before + context.after
    return Transformer(spec, STEPS, first, context.before, beside, dtype, name="transformer")
