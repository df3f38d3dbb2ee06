"""Denoising by a codec: audio through its encoder and decoder, without a bottleneck in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo.audio import resample
from zoo.audio.arrays import as_audio
from zoo.coding.channels import ChannelLayout
from zoo.coding.clips import to_model
from zoo.ready import ReadyCodec


def denoise(codec: ReadyCodec, audio: Any, sample_rate: int | None = None, *, mix: float = 1.0) -> np.ndarray:
    """The audio as the codec's decoder gives it back, float32 and shaped as `audio` (T,) or (T, C)."""
    samples, rate = as_audio(audio), codec.sample_rate if sample_rate is None else sample_rate
    length = to_model(samples, rate, codec.module).shape[1]
    decoded = codec.decode_latents(codec.encode_latents(samples, rate), length)
    layout = ChannelLayout(1 if samples.ndim == 1 else samples.shape[1], codec.channels, mid_side=False)
    wet = resample(layout.join(decoded), codec.sample_rate, rate, n_samples=len(samples)).reshape(samples.shape)
    return np.asarray(mix * wet + (1 - mix) * samples, np.float32)
