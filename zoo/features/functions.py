"""The features one by one: librosa's, transposed, of padded batches of clips."""

from __future__ import annotations

from typing import Any

import jax

from zoo.features.extraction import extract


def _one(name: str, audio: Any, sample_rate: int, n_samples: Any, **parameters: Any) -> jax.Array:
    return extract(audio, sample_rate, (name,), n_samples, **parameters)[name]


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
    return _one(
        "mel_spectrogram", audio, sample_rate, n_samples,
        n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, f_min=f_min, f_max=f_max,
    )  # fmt: skip


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
    return _one(
        "log_mel", audio, sample_rate, n_samples,
        n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, f_min=f_min, f_max=f_max, top_db=top_db,
    )  # fmt: skip


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
    return _one(
        "mfcc", audio, sample_rate, n_samples,
        n_mfcc=n_mfcc, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, f_min=f_min, f_max=f_max,
    )  # fmt: skip


def chroma(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    n_chroma: int = 12,
    tuning: float | None = None,
    n_fft: int = 2048,
    hop_length: int = 512,
) -> jax.Array:
    """Power in pitch classes from C on, the largest of each frame being 1: audio (..., T) → (..., F, n_chroma).

    `librosa.feature.chroma_stft`, transposed. `tuning` is in fractions of a pitch class above A = 440 Hz; None
    estimates it for each clip, in steps of 0.01: where a clip has two tunings about equally often, as noise does,
    rounding may choose the other one.
    """
    return _one(
        "chroma", audio, sample_rate, n_samples, n_chroma=n_chroma, tuning=tuning, n_fft=n_fft, hop_length=hop_length
    )


def spectral_centroid(
    audio: Any, sample_rate: int, n_samples: Any = None, *, n_fft: int = 2048, hop_length: int = 512
) -> jax.Array:
    """Mean frequency in Hz, weighted by magnitude, 0 for silence: audio (..., T) → (..., F, 1).

    `librosa.feature.spectral_centroid`, transposed.
    """
    return _one("spectral_centroid", audio, sample_rate, n_samples, n_fft=n_fft, hop_length=hop_length)


def spectral_bandwidth(
    audio: Any, sample_rate: int, n_samples: Any = None, *, n_fft: int = 2048, hop_length: int = 512
) -> jax.Array:
    """Standard deviation of frequency in Hz, weighted by magnitude: audio (..., T) → (..., F, 1).

    `librosa.feature.spectral_bandwidth`, transposed.
    """
    return _one("spectral_bandwidth", audio, sample_rate, n_samples, n_fft=n_fft, hop_length=hop_length)


def spectral_rolloff(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    roll_percent: float = 0.85,
    n_fft: int = 2048,
    hop_length: int = 512,
) -> jax.Array:
    """Frequency in Hz of the bin up to which `roll_percent` of the magnitude lies: audio (..., T) → (..., F, 1).

    `librosa.feature.spectral_rolloff`, transposed. Where two bins are as good up to rounding, it may be the other one.
    """
    return _one(
        "spectral_rolloff", audio, sample_rate, n_samples,
        roll_percent=roll_percent, n_fft=n_fft, hop_length=hop_length,
    )  # fmt: skip


def spectral_flatness(
    audio: Any, sample_rate: int, n_samples: Any = None, *, n_fft: int = 2048, hop_length: int = 512
) -> jax.Array:
    """Geometric over arithmetic mean of the power, near 0 for a tone, 1 for silence: audio (..., T) → (..., F, 1).

    `librosa.feature.spectral_flatness`, transposed.
    """
    return _one("spectral_flatness", audio, sample_rate, n_samples, n_fft=n_fft, hop_length=hop_length)


def zero_crossing_rate(
    audio: Any, sample_rate: int, n_samples: Any = None, *, n_fft: int = 2048, hop_length: int = 512
) -> jax.Array:
    """Share of a frame's `n_fft` samples at which the sign changes: audio (..., T) → (..., F, 1).

    `librosa.feature.zero_crossing_rate`, transposed. It does not depend on the sample rate.
    """
    return _one("zero_crossing_rate", audio, sample_rate, n_samples, n_fft=n_fft, hop_length=hop_length)


def rms(audio: Any, sample_rate: int, n_samples: Any = None, *, n_fft: int = 2048, hop_length: int = 512) -> jax.Array:
    """Root mean square of a frame's `n_fft` samples: audio (..., T) → (..., F, 1).

    `librosa.feature.rms`, transposed. It does not depend on the sample rate.
    """
    return _one("rms", audio, sample_rate, n_samples, n_fft=n_fft, hop_length=hop_length)


def onset_strength(
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
    """Mean rise of the mel bands from frame to frame, in decibels: audio (..., T) → (..., F, 1).

    `librosa.onset.onset_strength` with a last axis. Raises ZooError like `mel_spectrogram`.
    """
    return _one(
        "onset_strength", audio, sample_rate, n_samples,
        n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, f_min=f_min, f_max=f_max,
    )  # fmt: skip


def tempo(
    audio: Any,
    sample_rate: int,
    n_samples: Any = None,
    *,
    start_bpm: float = 120.0,
    n_fft: int = 2048,
    hop_length: int = 512,
) -> jax.Array:
    """Beats per minute of each clip, at most 320, looked for around `start_bpm`: audio (..., T) → (...).

    `librosa.feature.tempo`: the best lag of the mean of a tempogram over 8 s. Silence has the tempo nearest to
    `start_bpm`. Where two lags are as good up to rounding, it may be the other one.
    """
    return _one("tempo", audio, sample_rate, n_samples, start_bpm=start_bpm, n_fft=n_fft, hop_length=hop_length)
