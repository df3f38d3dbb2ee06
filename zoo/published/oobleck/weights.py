"""Configurations and weights of Oobleck as others publish them: hyper-parameters from and to files, and key maps."""

from __future__ import annotations

from typing import Any

from zoo.bitstream.entropy import EntropyModel
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published.keymap import CONV, CONV_TRANSPOSE, SNAKE, VECTOR, Entry, KeyMap, Layout
from zoo.published.oobleck.grid import GRID_STEPS, normal_entropy
from zoo.published.oobleck.model import DILATIONS, oobleck


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
    """The key maps of diffusers' checkpoints, of the authors' whole models, and of the authors' VAE alone."""
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
    """Fills in the builder's own values for those that are not given."""
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
