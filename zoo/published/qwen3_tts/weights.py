"""Configurations and weights of Qwen3-TTS's tokeniser as published: hyper-parameters from and to files, key maps."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any

from zoo.published import mimi
from zoo.published.keymap import (
    CONV,
    CONV_TRANSPOSE,
    DENSE_AS_CONV,
    DEPTHWISE,
    POINTWISE,
    VECTOR,
    Entry,
    KeyMap,
    Layout,
)
from zoo.published.mimi.split_vq import rvq_entries
from zoo.published.mimi.transformer import transformer_entries
from zoo.published.oobleck.model import DILATIONS
from zoo.published.parts.seanet_keys import seanet_entries
from zoo.published.qwen3_tts.model import qwen3_tts

MODEL_TYPE = "qwen3_tts_tokenizer_12hz"


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What `qwen3_tts` takes, of the authors' config.json; KeyError, TypeError or ValueError for one not understood."""
    encoder = dict(config["encoder_config"])
    of_mimi = mimi.hyperparameters({"frame_rate": encoder.pop("_frame_rate", None), **encoder})
    found = {name: of_mimi[name] for name in _DEFAULTS if name in of_mimi}
    decoder = config["decoder_config"]
    found |= {ours: decoder.get(theirs, _DEFAULTS[ours]) for ours, theirs in _DECODER.items()}
    found |= {name: list(found[name]) for name in ("ratios", "upsampling_ratios", "decoder_rates")}
    found["decoder_head_dim"] = decoder.get("head_dim") or found["decoder_dim"] // found["decoder_n_heads"]
    found["n_codebooks"] = int(config.get("encoder_valid_num_quantizers", _DEFAULTS["n_codebooks"]))
    hop = 2 * math.prod(found["ratios"])
    agree = {
        "audio_channels": (of_mimi["channels"], 1),
        "num_quantizers of the decoder": (decoder.get("num_quantizers", 16), found["n_codebooks"]),
        "num_semantic_quantizers of the decoder": (1, found["n_semantic"]),
        "codebook_size of the decoder": (decoder.get("codebook_size", 2048), found["codebook_size"]),
        "codebook_dim of the decoder": (decoder.get("codebook_dim", 512), found["latent_dim"]),
        "codebook_dim of the encoder": (2 * found["code_dim"], found["latent_dim"]),
        "num_key_value_heads": (decoder.get("num_key_value_heads", 16), found["decoder_n_heads"]),
        "attention_bias": (decoder.get("attention_bias", False), False),
        "hidden_act": (decoder.get("hidden_act", "silu"), "silu"),
        "input_sample_rate": (config.get("input_sample_rate", 24_000), found["sample_rate"]),
        "output_sample_rate": (config.get("output_sample_rate", 24_000), found["sample_rate"]),
        "encode_downsample_rate": (config.get("encode_downsample_rate", hop), hop),
        "decode_upsample_rate": (config.get("decode_upsample_rate", hop), hop),
    }
    if of_mimi["n_codebooks"] < found["n_codebooks"]:
        raise ValueError(f"an encoder of {of_mimi['n_codebooks']} codebooks has no {found['n_codebooks']} valid ones")
    for name, (have, wanted) in agree.items():
        if have != wanted:
            raise ValueError(f"{name}: {have!r} where {wanted!r} is expected")
    return found


def hub_config(**hyperparameters: Any) -> dict[str, Any]:
    """The authors' config.json; its encoder has no more codebooks than are used."""
    h = _DEFAULTS | hyperparameters
    hop = 2 * math.prod(h["ratios"])
    encoder = {name: value for name, value in h.items() if name in inspect.signature(mimi.mimi).parameters}
    decoder = {theirs: h[ours] for ours, theirs in _DECODER.items()}
    return {
        "architectures": ["Qwen3TTSTokenizerV2Model"],
        "model_type": MODEL_TYPE,
        "encoder_config": mimi.hub_config(**encoder),
        "decoder_config": decoder
        | {
            "upsampling_ratios": list(h["upsampling_ratios"]),
            "upsample_rates": list(h["decoder_rates"]),
            "num_quantizers": h["n_codebooks"],
            "codebook_size": h["codebook_size"],
            "codebook_dim": h["latent_dim"],
            "num_key_value_heads": h["decoder_n_heads"],
            "attention_bias": False,
            "hidden_act": "silu",
        },
        "encoder_valid_num_quantizers": h["n_codebooks"],
        "input_sample_rate": h["sample_rate"],
        "output_sample_rate": h["sample_rate"],
        "encode_downsample_rate": hop,
        "decode_upsample_rate": hop,
    }


def key_maps(**hyperparameters: Any) -> dict[str, KeyMap]:
    """The key map of the authors' checkpoints, whose encoder is that of transformers' MimiModel."""
    h = _DEFAULTS | hyperparameters
    codec = qwen3_tts(**h)
    seanet = codec.encoder.seanet
    entries = [
        *seanet_entries(seanet, seanet.encoder_rows(), "encoder/seanet", "encoder.encoder.layers"),
        *transformer_entries(codec.encoder.transformer, "encoder/transformer", "encoder.encoder_transformer.layers"),
        Entry("encoder/down/kernel", ("encoder.downsample.conv.weight",), CONV),
        *transformer_entries(codec.decoder.transformer, "decoder/transformer", "decoder.pre_transformer.layers"),
        *_decoder(len(h["upsampling_ratios"]), len(h["decoder_rates"])),
    ]
    written: list[Entry] = []
    n_acoustic = h["n_codebooks"] - h["n_semantic"]
    for half, asked, meant, n in (
        ("semantic", "encoder.quantizer.semantic_residual_vector_quantizer", "rvq_first", h["n_semantic"]),
        ("acoustic", "encoder.quantizer.acoustic_residual_vector_quantizer", "rvq_rest", n_acoustic),
    ):
        found, unused = _codebooks(f"bottleneck/{half}", asked, f"decoder.quantizer.{meant}", n)
        entries += found
        written += unused
    others = "|".join(str(q) for q in range(n_acoustic))
    beyond = rf"^encoder\.quantizer\.acoustic_residual_vector_quantizer\.layers\.(?!({others})\.)"
    return {"original": KeyMap(tuple(entries), (beyond,), written=tuple(written))}


_DEFAULTS = {name: value for name, value in (qwen3_tts.__kwdefaults__ or {}).items() if name != "dtype"}
_DECODER = {
    "decoder_latent_dim": "latent_dim",
    "decoder_dim": "hidden_size",
    "decoder_n_layers": "num_hidden_layers",
    "decoder_n_heads": "num_attention_heads",
    "decoder_head_dim": "head_dim",
    "decoder_hidden": "intermediate_size",
    "decoder_window": "sliding_window",
    "decoder_rope_theta": "rope_theta",
    "decoder_norm_eps": "rms_norm_eps",
    "decoder_layer_scale": "layer_scale_initial_scale",
    "upsampling_ratios": "upsampling_ratios",
    "decoder_rates": "upsample_rates",
    "decoder_width": "decoder_dim",
}


def _codebooks(path: str, asked: str, meant: str, n: int) -> tuple[list[Entry], list[Entry]]:
    """Entries of a `ProjectedRVQ`: the encoder's codebooks are `asked`, and the decoder has what codes `meant`.

    Both have what the other one uses as well, which is only written.
    """
    encoder, flags = rvq_entries(path, asked, n, "transformers")
    decoder, _ = rvq_entries(path, meant, n, "original")
    decoder = [dataclasses.replace(entry, path=entry.path.replace("/codebooks", "/entries")) for entry in decoder]
    used = [entry for entry in encoder if not entry.path.endswith("/project_out")]
    used += [entry for entry in decoder if not entry.path.endswith("/project_in")]
    unused = [
        Entry(f"{path}/project_out", (f"{asked}.output_proj.weight",), POINTWISE),
        Entry(f"{path}/project_in", (f"{meant}.input_proj.weight",), POINTWISE),
    ]
    return used, unused + flags


def _decoder(n_upsamplings: int, n_rates: int) -> list[Entry]:
    """Entries of all but the transformer's layers."""
    entries = [
        *_layer("decoder/pre", "decoder.pre_conv.conv"),
        *_layer("decoder/project_in", "decoder.pre_transformer.input_proj", DENSE_AS_CONV),
        Entry("decoder/norm/scale", ("decoder.pre_transformer.norm.weight",), VECTOR),
        *_layer("decoder/project_out", "decoder.pre_transformer.output_proj", DENSE_AS_CONV),
    ]
    for i in range(n_upsamplings):
        entries += _layer(f"decoder/upsample_{i}", f"decoder.upsample.{i}.0.conv", CONV_TRANSPOSE)
        path, key = f"decoder/block_{i}", f"decoder.upsample.{i}.1"
        entries += _layer(f"{path}/DepthwiseConv1d_0", f"{key}.dwconv.conv", DEPTHWISE)
        entries.append(Entry(f"{path}/LayerNorm_0/scale", (f"{key}.norm.weight",), VECTOR))
        entries.append(Entry(f"{path}/LayerNorm_0/bias", (f"{key}.norm.bias",), VECTOR))
        entries += _layer(f"{path}/expand", f"{key}.pwconv1", DENSE_AS_CONV)
        entries += _layer(f"{path}/project", f"{key}.pwconv2", DENSE_AS_CONV)
        entries.append(Entry(f"{path}/layer_scale", (f"{key}.gamma",), VECTOR))
    entries += _layer("decoder/conv_in", "decoder.decoder.0.conv")
    for i in range(n_rates):
        block = f"decoder.decoder.{i + 1}.block"
        entries += _snake(f"decoder/snake_{i}", f"{block}.0")
        entries += _layer(f"decoder/up_{i}", f"{block}.1.conv", CONV_TRANSPOSE)
        for j in range(len(DILATIONS)):
            path, key = f"decoder/unit_{i}_{j}", f"{block}.{j + 2}"
            entries += _snake(f"{path}/snake_in", f"{key}.act1")
            entries += _layer(f"{path}/dilated", f"{key}.conv1.conv")
            entries += _snake(f"{path}/snake_out", f"{key}.act2")
            entries += _layer(f"{path}/pointwise", f"{key}.conv2.conv")
    entries += _snake("decoder/snake_out", f"decoder.decoder.{n_rates + 1}")
    return entries + _layer("decoder/conv_out", f"decoder.decoder.{n_rates + 2}.conv")


def _layer(path: str, key: str, layout: Layout = CONV) -> list[Entry]:
    return [Entry(f"{path}/kernel", (f"{key}.weight",), layout), Entry(f"{path}/bias", (f"{key}.bias",), VECTOR)]


def _snake(path: str, key: str) -> list[Entry]:
    return [Entry(f"{path}/{name}", (f"{key}.{name}",), VECTOR) for name in ("alpha", "beta")]
