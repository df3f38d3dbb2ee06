"""Sound for the page: how long and how finely it can be coded, at which loudness it plays, and the coding itself."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from zoo import audio
from zoo.audio.loudness import loudness_lufs
from zoo.errors import ZooError

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
OPUS_KBPS = (6.0, 256.0)  # per channel, what libsndfile's compression level spans
EXCERPT_S = 10.0
SHORTEST_S = 3.0
BEST_KBPS = 80.0  # per channel: more is inaudible
LEAST_KBPS = 48.0  # per channel: less is
IMAGE_BYTES = 24_000  # what a spectrogram may take
FADE_S = 0.005
PEAK = 0.98
GAIN_LIMIT_DB = 20.0  # of matched loudness: a system that gives next to nothing is not raised to noise


@dataclass(frozen=True)
class Plan:
    """How the page's sound is coded: at most `seconds` of each clip, at `kbps` for each channel."""

    seconds: float
    kbps: float


def plan(n_versions: int, channels: int, n_bytes: float) -> Plan:
    """The best coding with which `n_versions` sounds and their spectrograms fit into a page of `n_bytes`.

    Rate goes first, down to 48 kbps for each channel, then length, down to 3 s; below that not everything fits.
    """
    room = max(n_bytes * 3 / 4 / max(n_versions, 1) - IMAGE_BYTES, 0.0)  # base64 takes 4 bytes for 3
    kbps = float(np.clip(np.floor(room * 8 / 1000 / EXCERPT_S / channels), LEAST_KBPS, BEST_KBPS))
    seconds = float(np.clip(np.floor(room * 80 / 1000 / kbps / channels) / 10, SHORTEST_S, EXCERPT_S))
    return Plan(seconds, kbps)


def excerpt(original: np.ndarray, sample_rate: int, seconds: float) -> slice:
    """The loudest stretch of `seconds` of (T, C), on a grid of 0.1 s; all of it when it is not longer."""
    length = round(seconds * sample_rate)
    if len(original) <= length:
        return slice(0, len(original))
    energy = np.concatenate([[0.0], np.cumsum(np.sum(np.square(original, dtype=np.float64), axis=1))])
    starts = np.arange(0, len(original) - length + 1, max(1, sample_rate // 10))
    start = int(starts[np.argmax(energy[starts + length] - energy[starts])])
    return slice(start, start + length)


def matching_gain_db(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Decibels by which `estimate` is to be raised to sound as loud as `reference`, within 20; 0 if one is silent."""
    gain_db = loudness_lufs(reference, sample_rate) - loudness_lufs(estimate, sample_rate)
    return float(np.clip(gain_db, -GAIN_LIMIT_DB, GAIN_LIMIT_DB)) if np.isfinite(gain_db) else 0.0


def faded(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Fades the first and last 5 ms of (T, C), so that neither a start nor a loop clicks."""
    n = min(round(FADE_S * sample_rate), len(samples) // 2)
    ramp = np.ones((len(samples), 1), np.float32)
    if n:
        ramp[:n, 0] = 0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n)
        ramp[-n:, 0] = ramp[:n, 0][::-1]
    return samples * ramp


def encode(samples: np.ndarray, sample_rate: int, kbps: float) -> bytes:
    """An Ogg Opus file of (T, C), more than two channels mixed down, at `kbps` for each channel.

    Raises ZooError where libsndfile cannot write Opus.
    """
    import soundfile

    low, high = OPUS_KBPS
    fed = audio.mix_channels(samples, min(samples.shape[1], 2))
    rate = sample_rate if sample_rate in OPUS_RATES else 48_000
    fed = np.clip(audio.resample(fed, sample_rate, rate), -1.0, 1.0)
    level = float(np.clip(1 - (kbps - low) / (high - low), 0.0, 1.0))
    file = io.BytesIO()
    try:
        soundfile.write(file, fed, rate, format="OGG", subtype="OPUS", compression_level=level)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise ZooError(f"the report's sound cannot be coded as Opus: {error}") from None
    return file.getvalue()
