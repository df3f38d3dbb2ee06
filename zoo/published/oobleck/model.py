"""Oobleck, the waveform VAE of Stable Audio (Evans et al., 2024): a DAC-like stack between audio and Gaussian latents.

Residual units and strided convolutions as in DAC, with a Snake whose frequency and depth are learnt apart, and strides
that are all even, so that F frames are F · hop_length samples both ways. What was published has no codes: its latents
feed a diffusion model. Here they are the posterior's means, and `Grid` makes codes of them all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.bitstream.entropy import EntropyModel
from zoo.codec import Codec, Reach
from zoo.nn.bottlenecks import SymbolFormat
from zoo.nn.layers import Conv1d, ConvTranspose1d, Dtype, Layers, Network, Residual, run, snake
from zoo.published.keymap import CONV, CONV_TRANSPOSE, SNAKE, VECTOR, Entry, KeyMap, Layout
from zoo.published.oobleck.grid import GRID_STEPS, Grid, normal_entropy

DILATIONS = (1, 3, 9)


class SnakeBeta(nn.Module):
    """x + sin²(eᵃ·x) / eᵇ with a and b learnt per channel (BigVGAN: Lee et al., 2023)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        beta = self.param("beta", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return snake(x.astype(self.dtype), jnp.exp(alpha), 1.0 / (jnp.exp(beta) + 1e-9))


class ResidualUnit(Residual):
    """Snake, dilated convolution, Snake, pointwise convolution, and the residual."""

    dilation: int
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        yield SnakeBeta(self.dtype, name="snake_in")
        yield Conv1d(None, 7, dilation=self.dilation, dtype=self.dtype, name="dilated")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(dtype=self.dtype, masked=False, name="pointwise")


class Encoder(Network):
    latent_dim: int
    width: int
    multiples: Sequence[int]
    strides: Sequence[int]
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width, 7, dtype=self.dtype, name="conv_in")
        for i, (multiple, stride) in enumerate(zip(self.multiples, self.strides)):
            for j, dilation in enumerate(DILATIONS):
                yield ResidualUnit(dilation, self.dtype, name=f"unit_{i}_{j}")
            yield SnakeBeta(self.dtype, name=f"snake_{i}")
            yield Conv1d(self.width * multiple, 2 * stride, stride=stride, dtype=self.dtype, name=f"down_{i}")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(2 * self.latent_dim, 3, dtype=self.dtype, name="conv_out")

    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return self.posterior(audio, mask)[0]

    @nn.compact
    def posterior(self, audio: jax.Array, mask: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation, (B, F, latent_dim) each, of audio (B, F · hop_length, channels)."""
        mean, scale = jnp.split(run(self.layers(), audio, mask).astype(jnp.float32), 2, axis=-1)
        return mean, jax.nn.softplus(scale) + 1e-4


class Decoder(Network):
    channels: int
    width: int
    multiples: Sequence[int]
    strides: Sequence[int]
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.width * self.multiples[-1], 7, dtype=self.dtype, name="conv_in")
        for i in range(len(self.strides)):
            at = len(self.strides) - 1 - i
            width = self.width * (self.multiples[at - 1] if at else 1)
            yield SnakeBeta(self.dtype, name=f"snake_{i}")
            yield ConvTranspose1d(width, self.strides[at], dtype=self.dtype, name=f"up_{i}")
            for j, dilation in enumerate(DILATIONS):
                yield ResidualUnit(dilation, self.dtype, name=f"unit_{i}_{j}")
        yield SnakeBeta(self.dtype, name="snake_out")
        yield Conv1d(self.channels, 7, use_bias=False, dtype=self.dtype, name="conv_out")


def oobleck(
    *,
    sample_rate: int = 44_100,
    channels: int = 2,
    latent_dim: int = 64,
    encoder_width: int = 128,
    decoder_width: int = 128,
    multiples: tuple[int, ...] = (1, 2, 4, 8, 16),
    strides: tuple[int, ...] = (2, 4, 4, 8, 8),
    grid_steps: tuple[float, ...] = GRID_STEPS,
    codebook_size: int = 255,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The VAE of Stable Audio Open; `multiples` of the widths and `strides` from the waveform to the latent.

    Levels are `grid_steps` of the means, in deviations of the prior. Raises ValueError for an odd stride, with which
    the published decoder would give fewer samples than it was given.
    """
    if len(multiples) != len(strides):
        raise ValueError(f"multiples {multiples} and strides {strides} must be equally many")
    if any(stride % 2 for stride in strides):
        raise ValueError(f"strides {strides} must be even")
    hop = int(np.prod(strides))
    encoder = Encoder(latent_dim, encoder_width, multiples, strides, dtype)
    decoder = Decoder(channels, decoder_width, multiples, strides, dtype)
    return Codec(
        encoder=encoder,
        bottleneck=Grid(latent_dim, grid_steps, codebook_size),
        decoder=decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        encoder_context=Reach.of_encoder(encoder, hop),
        decoder_context=Reach.of_decoder(decoder, hop),
        channels=channels,
    )


def default_entropy(symbols: SymbolFormat) -> EntropyModel:
    """Tables for independent latents that are N(0, 1), on GRID_STEPS; the published weights come with none."""
    return normal_entropy(symbols, GRID_STEPS)


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `oobleck` takes, of a config.json of diffusers or a model_config.json of stable-audio-tools.

    Raises KeyError, TypeError or ValueError for a config that is neither, or of another autoencoder.
    """
    if "model" in config:
        return _from_authors(config)
    latent_dim, encoded = int(config["decoder_input_channels"]), int(config["encoder_hidden_size"])
    if encoded != 2 * latent_dim:
        raise ValueError(f"an encoder that gives {encoded} channels has no mean and scale of {latent_dim}")
    return {
        "sample_rate": int(config["sampling_rate"]),
        "channels": int(config["audio_channels"]),
        "latent_dim": latent_dim,
        "encoder_width": encoded,
        "decoder_width": int(config["decoder_channels"]),
        "multiples": [int(multiple) for multiple in config["channel_multiples"]],
        "strides": [int(stride) for stride in config["downsampling_ratios"]],
    }


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The config.json of diffusers' AutoencoderOobleck; raises ValueError where it has no word for a model."""
    h = _complete(hyperparameters)
    if h["encoder_width"] != 2 * h["latent_dim"]:
        raise ValueError(f"AutoencoderOobleck cannot have encoder_width other than {2 * h['latent_dim']}")
    return {
        "_class_name": "AutoencoderOobleck",
        "audio_channels": h["channels"],
        "channel_multiples": list(h["multiples"]),
        "decoder_channels": h["decoder_width"],
        "decoder_input_channels": h["latent_dim"],
        "downsampling_ratios": list(h["strides"]),
        "encoder_hidden_size": h["encoder_width"],
        "sampling_rate": h["sample_rate"],
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """Of diffusers' checkpoints; the authors' whole models, of which the VAE is a part; and the authors' VAE alone."""
    n = len(_complete(hyperparameters)["strides"])
    return {
        "diffusers": KeyMap(tuple(_diffusers(n)), weight_norm="legacy"),
        "original": KeyMap(
            tuple(_authors(n, "pretransform.model.")), (r"^(?!pretransform\.model\.)",), weight_norm="legacy"
        ),
        "original autoencoder": KeyMap(tuple(_authors(n, "")), weight_norm="legacy"),
    }


def _from_authors(config: dict[str, Any]) -> dict[str, Any]:
    model = config["model"]
    model = model["pretransform"]["config"] if "pretransform" in model else model
    kinds = model["encoder"]["type"], model["decoder"]["type"], model["bottleneck"]["type"]
    if kinds != ("oobleck", "oobleck", "vae"):
        raise ValueError(f"encoder, decoder and bottleneck must be oobleck, oobleck and vae, not {', '.join(kinds)}")
    encoder, decoder = model["encoder"]["config"], model["decoder"]["config"]
    for name in ("c_mults", "strides"):
        if encoder[name] != decoder[name]:
            raise ValueError(f"encoder and decoder differ in {name}")
    switches = ("antialias_activation", "use_nearest_upsample")
    if not (encoder["use_snake"] and decoder["use_snake"]) or decoder.get("final_tanh", True):
        raise ValueError("only Oobleck with Snake and without a final tanh is supported")
    if any(part.get(name) for part in (encoder, decoder) for name in switches):
        raise ValueError(f"{' and '.join(switches)} are not supported")
    if encoder["latent_dim"] != 2 * decoder["latent_dim"]:
        raise ValueError(f"latent_dim {encoder['latent_dim']} of the encoder is not twice {decoder['latent_dim']}")
    return {
        "sample_rate": int(config["sample_rate"]),
        "channels": int(model["io_channels"]),
        "latent_dim": int(decoder["latent_dim"]),
        "encoder_width": int(encoder["channels"]),
        "decoder_width": int(decoder["channels"]),
        "multiples": [int(multiple) for multiple in encoder["c_mults"]],
        "strides": [int(stride) for stride in encoder["strides"]],
    }


def _complete(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """With the builder's own values for those that are not given."""
    return {**(oobleck.__kwdefaults__ or {}), **hyperparameters}


def _diffusers(n: int) -> list[Entry]:
    unit = ("snake1", "conv1", "snake2", "conv2")
    entries: list[Entry] = []
    for part in ("encoder", "decoder"):
        entries += _conv(f"{part}/conv_in", f"{part}.conv1")
        entries += _snake(f"{part}/snake_out", f"{part}.snake1")
        entries += _conv(f"{part}/conv_out", f"{part}.conv2", bias=part == "encoder")
        for i in range(n):
            entries += _snake(f"{part}/snake_{i}", f"{part}.block.{i}.snake1")
            for j in range(len(DILATIONS)):
                entries += _unit(f"{part}/unit_{i}_{j}", f"{part}.block.{i}.res_unit{j + 1}", unit)
        for i in range(n):
            if part == "encoder":
                entries += _conv(f"encoder/down_{i}", f"encoder.block.{i}.conv1")
            else:
                entries += _conv(f"decoder/up_{i}", f"decoder.block.{i}.conv_t1", CONV_TRANSPOSE)
    return entries


def _authors(n: int, prefix: str) -> list[Entry]:
    entries: list[Entry] = []
    for part in ("encoder", "decoder"):
        key = f"{prefix}{part}.layers"
        entries += _conv(f"{part}/conv_in", f"{key}.0")
        entries += _snake(f"{part}/snake_out", f"{key}.{n + 1}", VECTOR)
        entries += _conv(f"{part}/conv_out", f"{key}.{n + 2}", bias=part == "encoder")
        # units come before the convolution that changes the rate, or after it
        snake, conv, first = (3, 4, 0) if part == "encoder" else (0, 1, 2)
        for i in range(n):
            block = f"{key}.{i + 1}.layers"
            entries += _snake(f"{part}/snake_{i}", f"{block}.{snake}", VECTOR)
            for j in range(len(DILATIONS)):
                names = tuple(f"layers.{k}" for k in range(4))
                entries += _unit(f"{part}/unit_{i}_{j}", f"{block}.{first + j}", names, VECTOR)
            if part == "encoder":
                entries += _conv(f"encoder/down_{i}", f"{block}.{conv}")
            else:
                entries += _conv(f"decoder/up_{i}", f"{block}.{conv}", CONV_TRANSPOSE)
    return entries


def _conv(path: str, key: str, layout: Layout = CONV, *, bias: bool = True) -> list[Entry]:
    kernel = Entry(f"{path}/kernel", (f"{key}.weight",), layout)
    return [kernel, Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)] if bias else [kernel]


def _snake(path: str, key: str, layout: Layout = SNAKE) -> list[Entry]:
    return [Entry(f"{path}/{name}", (f"{key}.{name}",), layout) for name in ("alpha", "beta")]


def _unit(path: str, key: str, names: tuple[str, ...], layout: Layout = SNAKE) -> list[Entry]:
    snake_in, dilated, snake_out, pointwise = (f"{key}.{name}" for name in names)
    return [
        *_snake(f"{path}/snake_in", snake_in, layout),
        *_conv(f"{path}/dilated", dilated),
        *_snake(f"{path}/snake_out", snake_out, layout),
        *_conv(f"{path}/pointwise", pointwise),
    ]
