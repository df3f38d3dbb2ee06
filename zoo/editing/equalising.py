"""An equaliser for arrays, of audio and of latents."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo import arguments, given
from zoo.audio.arrays import as_audio
from zoo.audio.equaliser import Equaliser, parse_bands
from zoo.coding.clips import as_batch
from zoo.editing.latent_filter import LatentFilter, fit_filter
from zoo.ready import ReadyCodec


def equalise(audio: Any, sample_rate: int, eq: str) -> np.ndarray:
    """Audio (T,), (T, C) or (B, T, C), float32 of the same shape, through bells such as "200:-3,3000:+2" (Hz and dB).

    Raises ZooError for audio that `zoo.audio.arrays.as_audio` does not take, and for bands that make no sense.
    """
    samples, rate, bands = as_audio(audio), arguments.sample_rate(sample_rate), parse_bands(eq)
    done = [Equaliser(bands, rate, clip.shape[1]).push(clip) for clip in as_batch(samples)]
    return np.stack(done).reshape(samples.shape)


def fit_equaliser(codec: ReadyCodec, eq: str, sample_rate: int | None = None) -> LatentFilter:
    """The filter of a codec's latents that stands for an equaliser such as "200:-3,3000:+2".

    Fitted by least squares to clips of the embedded generator, as they are and equalised. `sample_rate` (Hz), by
    default the codec's, is that of the audio for which the equaliser is meant: bands above half of the codec's rate do
    nothing. Raises ZooError for bands that make no sense.
    """
    codec, bands = given.codec(codec), parse_bands(eq)
    Equaliser(bands, codec.sample_rate if sample_rate is None else sample_rate, 1)  # refuses what cannot be
    within = [band for band in bands if band.frequency_hz < codec.sample_rate / 2]

    def equalised(audio: np.ndarray) -> np.ndarray:
        return Equaliser(within, codec.sample_rate, audio.shape[1]).push(audio)

    return fit_filter(codec, equalised)
