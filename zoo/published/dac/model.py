"""Descript Audio Codec: strided residual convolutions with Snake, and a residual VQ (Kumar et al., 2023).

A decoder whose strides are odd is published a sample short: a transposed convolution of stride s drops ceil(s / 2)
samples on both sides, so that n frames give n·s − 1 samples, and what follows hears an end that much earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Context
from zoo.nn.bottlenecks import ResidualVQ
from zoo.nn.layers import (
    PER_TENTH,
    Conv1d,
    ConvTranspose1d,
    Dtype,
    ResidualUnit,
    Snake,
    Span,
    Steps,
    apply_mask,
    in_windows,
)
from zoo.published.keymap import CONV, CONV_TRANSPOSE, POINTWISE, SNAKE, VECTOR, Entry, KeyMap, Layout

DILATIONS = (1, 3, 9)
TENTHS = Layout("TENTHS", lambda entries: entries / np.float32(PER_TENTH), lambda t: (np.float32(PER_TENTH) * t,))
"""a codebook, kept in tenths"""


class EncoderStage(nn.Module):
    """Residual units and a strided convolution; the first stage begins with a convolution of the waveform."""

    features: int
    rate: int
    first: bool
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        span = Conv1d(1, 2 * self.rate, self.rate, left=_margin(self.rate)).inputs(span)
        for dilation in reversed(DILATIONS):
            span = ResidualUnit(dilation).inputs(span)
        return Conv1d(1, 7).inputs(span) if self.first else span

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        rate, dtype = self.rate, self.dtype
        if self.first:
            x = Conv1d(self.features // 2, 7, dtype=dtype, name="conv_in")(x, mask)
        for j, dilation in enumerate(DILATIONS):
            x = ResidualUnit(dilation, dtype=dtype, name=f"unit_{j}")(x, mask)
        x = Snake(dtype=dtype, name="snake")(x)
        return Conv1d(self.features, 2 * rate, rate, left=_margin(rate), dtype=dtype, name="down")(x, mask)


class DecoderStage(nn.Module):
    """A transposed convolution and residual units; the last stage ends with a convolution to the waveform."""

    features: int
    rate: int
    last: bool
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        span = Conv1d(1, 7).inputs(span) if self.last else span
        for dilation in reversed(DILATIONS):
            span = ResidualUnit(dilation).inputs(span)
        # whether the clip goes on after the last sample of a step is known from the next one, heard anyway
        return ConvTranspose1d(1, self.rate, left=_margin(self.rate)).inputs(span)

    @nn.nowrap
    def mask_after(self, mask: jax.Array | None, length: int) -> jax.Array | None:
        """Mask of the outputs, `length` of them: if the rate is odd, a clip has one less than its inputs · rate."""
        if self.rate % 2 == 0:
            return mask
        if mask is None:
            return (jnp.arange(length) < length - 1)[None]
        wide = jnp.repeat(mask, length // mask.shape[1], axis=1)
        return wide & jnp.pad(wide[:, 1:], ((0, 0), (0, 1)))

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        rate, dtype = self.rate, self.dtype
        x = Snake(dtype=dtype, name="snake")(x)
        x = ConvTranspose1d(self.features, rate, left=_margin(rate), dtype=dtype, name="up")(x, mask)
        mask = self.mask_after(mask, x.shape[1])
        for j, dilation in enumerate(DILATIONS):
            x = ResidualUnit(dilation, dtype=dtype, name=f"unit_{j}")(x, mask)
        if not self.last:
            return x
        x = Snake(dtype=dtype, name="snake_out")(x)
        x = Conv1d(1, 7, dtype=dtype, name="conv_out")(x, mask)
        return apply_mask(jnp.tanh(x.astype(jnp.float32)), mask)


class Encoder(nn.Module):
    latent_dim: int
    width: int
    rates: Sequence[int]
    dtype: Dtype

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        span = Conv1d(1, 3).inputs(frames)
        for i in reversed(range(len(self.rates))):
            span = EncoderStage(1, self.rates[i], i == 0).inputs(span)
        return span

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        x = audio
        for i, rate in enumerate(self.rates):
            width = self.width * 2**i
            stage = EncoderStage(2 * width, rate, i == 0, self.dtype, name=f"stage_{i}")
            x = in_windows(stage, x, mask, Steps(rate, 1), _window(width))
        x = Snake(dtype=self.dtype, name="snake_out")(x)
        return Conv1d(self.latent_dim, 3, dtype=self.dtype, name="conv_out")(x, mask)


class Decoder(nn.Module):
    width: int
    rates: Sequence[int]
    dtype: Dtype

    @nn.nowrap
    def inputs(self, samples: Span) -> Span:
        for i in reversed(range(len(self.rates))):
            samples = DecoderStage(1, self.rates[i], i == len(self.rates) - 1).inputs(samples)
        return Conv1d(1, 7).inputs(samples)

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        x = Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")(latent, mask)
        for i, rate in enumerate(self.rates):
            width = self.width // 2 ** (i + 1)
            stage = DecoderStage(width, rate, i == len(self.rates) - 1, self.dtype, name=f"stage_{i}")
            x = in_windows(stage, x, mask, Steps(1, rate), _window(width))
            mask = stage.mask_after(mask, x.shape[1])
        return x


def dac(
    *,
    sample_rate: int = 44_100,
    encoder_width: int = 64,
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8),
    decoder_width: int = 1536,
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2),
    latent_dim: int = 1024,
    n_codebooks: int = 9,
    codebook_size: int = 1024,
    code_dim: int = 8,
    quantiser_dropout: float = 0.5,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec of 44.1 kHz; levels are numbers of codebooks. The widths are those at the waveform and the latent.

    Raises ValueError where the rates of encoder and decoder make different hops.
    """
    hop = int(np.prod(encoder_rates))
    if hop != int(np.prod(decoder_rates)):
        raise ValueError(f"encoder_rates {encoder_rates} and decoder_rates {decoder_rates} differ in their product")
    if decoder_width % 2 ** len(decoder_rates):
        raise ValueError(f"decoder_width {decoder_width} cannot be halved {len(decoder_rates)} times")
    encoder = Encoder(latent_dim, encoder_width, encoder_rates, dtype)
    decoder = Decoder(decoder_width, decoder_rates, dtype)
    return Codec(
        encoder=encoder,
        bottleneck=ResidualVQ(latent_dim, n_codebooks, codebook_size, code_dim, quantiser_dropout, input_bias=True),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        encoder_context=Context.of_encoder(encoder, hop),
        decoder_context=Context.of_decoder(decoder, hop),
    )


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
    """Of transformers' checkpoints and the authors' own."""
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
    """With the builder's own values for those that are not given."""
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
    """Of the residual quantiser, called alike in both layouts."""
    key = f"quantizer.quantizers.{q}"
    return [
        Entry("bottleneck/project_in", (f"{key}.in_proj.weight",), POINTWISE, q),
        Entry("bottleneck/bias_in", (f"{key}.in_proj.bias",), VECTOR, q),
        Entry("bottleneck/codebooks_tenths", (f"{key}.codebook.weight",), TENTHS, q),
        Entry("bottleneck/project_out", (f"{key}.out_proj.weight",), POINTWISE, q),
        Entry("bottleneck/bias", (f"{key}.out_proj.bias",), VECTOR, q),
    ]


def _window(width: int) -> int:
    """Samples to compute at once: few enough to stay in a core's cache, enough for matrix products at full speed."""
    return max(2304, 2304 * 192 // width)


def _margin(rate: int) -> int:
    """Samples on the left that a strided convolution pads, and a transposed one drops."""
    return -(-rate // 2)
