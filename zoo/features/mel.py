"""Mel spectrograms and cepstra as librosa has them, of padded batches of clips."""

from __future__ import annotations

from typing import Any

import jax

from zoo.features.extraction import extract


def mel_spectrogram(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    n_mels: int = 128,
    n_fft: int = 2048,
    hop_length: int = 512,
    f_min: float = 0.0,
    f_max: float | None = None,
) -> jax.Array:
    """Power in mel bands (Slaney's scale, filters of unit area): audio (..., T) → (..., F, n_mels).

    `librosa.feature.melspectrogram`, transposed. Raises ZooError for bands that hold no bin of the spectrum.
    """
    parameters = {"n_mels": n_mels, "n_fft": n_fft, "hop_length": hop_length, "f_min": f_min, "f_max": f_max}
    # no cepstra are asked for, whose number would have to fit
    return extract(audio, sample_rate, "mel_spectrogram", n_samples, n_mfcc=1, **parameters)["mel_spectrogram"]


def log_mel(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    n_mels: int = 128,
    n_fft: int = 2048,
    hop_length: int = 512,
    f_min: float = 0.0,
    f_max: float | None = None,
    top_db: float | None = 80.0,
) -> jax.Array:
    """Power in mel bands in decibels: audio (..., T) → (..., F, n_mels).

    `librosa.power_to_db(librosa.feature.melspectrogram(...))`, transposed: relative to a power of 1, no lower than
    -100 dB, and no more than `top_db` below the loudest band of the clip itself. Raises ZooError like
    `mel_spectrogram`.
    """
    parameters = {"n_mels": n_mels, "n_fft": n_fft, "hop_length": hop_length, "f_min": f_min, "f_max": f_max}
    return extract(audio, sample_rate, "log_mel", n_samples, n_mfcc=1, top_db=top_db, **parameters)["log_mel"]


def mfcc(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    n_mfcc: int = 20,
    n_mels: int = 128,
    n_fft: int = 2048,
    hop_length: int = 512,
    f_min: float = 0.0,
    f_max: float | None = None,
) -> jax.Array:
    """Mel-frequency cepstral coefficients: audio (..., T) → (..., F, n_mfcc).

    `librosa.feature.mfcc`, transposed: the orthonormal DCT-II of `log_mel`. Raises ZooError for more coefficients
    than bands, and like `mel_spectrogram`.
    """
    parameters = {"n_mels": n_mels, "n_fft": n_fft, "hop_length": hop_length, "f_min": f_min, "f_max": f_max}
    return extract(audio, sample_rate, "mfcc", n_samples, n_mfcc=n_mfcc, **parameters)["mfcc"]
