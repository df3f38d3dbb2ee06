"""Of which family a configuration file is that others wrote."""

from __future__ import annotations

from typing import Any

_STABLE_AUDIO_TOOLS = ("autoencoder", "diffusion_autoencoder", "diffusion_uncond", "diffusion_cond")
"""kinds of its model_config.json that have or are an autoencoder"""


def family_of(config: dict[str, Any]) -> str | None:
    """Which family a configuration is of: by the name its library gives, or by arguments that only it has."""
    named = {
        "dac": "dac",
        "encodec": "encodec",
        "mimi": "mimi",
        "AutoencoderOobleck": "oobleck",
        "wavtokenizer": "wavtokenizer",
        "pocket_tts_audio_tokenizer": "pocket_tts_audio_tokenizer",
        "qwen3_tts_tokenizer_12hz": "qwen3_tts",
        "vibevoice_acoustic_tokenizer": "vibevoice",
        "neucodec": "neucodec",
        "xcodec2": "neucodec",
    }
    for key in ("_class_name", "model_type"):
        if isinstance(name := config.get(key), str) and name in named:
            return named[name]
    if isinstance(model := config.get("model"), dict) and config.get("model_type") in _STABLE_AUDIO_TOOLS:
        inner = model if "encoder" in model else model.get("pretransform", {}).get("config", {})
        return "same" if inner.get("encoder", {}).get("type") in ("same", "taae_v2") else "oobleck"
    if {"upsample_rates", "resblock"} <= config.keys() or "dec.conv_pre.weight" in config.get("convolutions", ()):
        return "hifigan"
    if {"feature_extractor", "backbone", "head"} <= config.keys():
        return "vocos"
    if {"stft_frame_step", "encoder_base_conv_depth"} <= config.keys():
        return "spectrostream"
    if {"vq_strides", "encoder_rates"} <= config.keys():
        return "snac"
    if {"encoder_rates", "n_codebooks"} <= config.keys():
        return "dac"
    if {"encoder_hidden_size", "channel_multiples"} <= config.keys():
        return "oobleck"
    return None
