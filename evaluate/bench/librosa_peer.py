"""librosa's features with its defaults, as `zoo.features` has them: by name, frames first.

`separate` calls a function for each, as its users do; `shared` transforms once and gives the spectrogram to all.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

Computed = dict[str, np.ndarray]


def is_installed() -> bool:
    return importlib.util.find_spec("librosa") is not None


@contextmanager
def _quiet() -> Iterator[Any]:
    import librosa

    with warnings.catch_warnings():
        # of clips shorter than a frame, and of silence
        warnings.simplefilter("ignore", UserWarning)
        yield librosa


def separate(samples: np.ndarray, sample_rate: int, names: Sequence[str]) -> Computed:
    """Features of (T,), each from the waveform."""
    with _quiet() as librosa:
        feature, sound = librosa.feature, {"y": samples, "sr": sample_rate}
        functions: Mapping[str, Callable[[], np.ndarray]] = {
            "mel_spectrogram": lambda: feature.melspectrogram(**sound),
            "log_mel": lambda: librosa.power_to_db(feature.melspectrogram(**sound)),
            "mfcc": lambda: feature.mfcc(**sound),
            "chroma": lambda: feature.chroma_stft(**sound),
            "spectral_centroid": lambda: feature.spectral_centroid(**sound),
            "spectral_bandwidth": lambda: feature.spectral_bandwidth(**sound),
            "spectral_rolloff": lambda: feature.spectral_rolloff(**sound),
            "spectral_flatness": lambda: feature.spectral_flatness(y=samples),
            "zero_crossing_rate": lambda: feature.zero_crossing_rate(samples),
            "rms": lambda: feature.rms(y=samples),
            "onset_strength": lambda: librosa.onset.onset_strength(**sound)[None],
            "tempo": lambda: feature.tempo(**sound)[0],
        }
        return {name: np.transpose(functions[name]()) for name in names}


def shared(samples: np.ndarray, sample_rate: int, names: Sequence[str]) -> Computed:
    """Features of (T,), from one spectrogram, one log-mel spectrogram and one onset strength."""
    with _quiet() as librosa:
        feature, sr = librosa.feature, sample_rate
        magnitude = np.abs(librosa.stft(samples, n_fft=2048, hop_length=512))
        power = magnitude**2
        mel = feature.melspectrogram(S=power, sr=sr)
        log_mel = librosa.power_to_db(mel)
        onsets = librosa.onset.onset_strength(S=log_mel, sr=sr)
        functions: Mapping[str, Callable[[], np.ndarray]] = {
            "mel_spectrogram": lambda: mel,
            "log_mel": lambda: log_mel,
            "mfcc": lambda: feature.mfcc(S=log_mel),
            "chroma": lambda: feature.chroma_stft(S=power, sr=sr),
            "spectral_centroid": lambda: feature.spectral_centroid(S=magnitude, sr=sr),
            "spectral_bandwidth": lambda: feature.spectral_bandwidth(S=magnitude, sr=sr),
            "spectral_rolloff": lambda: feature.spectral_rolloff(S=magnitude, sr=sr),
            "spectral_flatness": lambda: feature.spectral_flatness(S=magnitude),
            "zero_crossing_rate": lambda: feature.zero_crossing_rate(samples),
            "rms": lambda: feature.rms(y=samples),
            "onset_strength": lambda: onsets[None],
            "tempo": lambda: feature.tempo(onset_envelope=onsets, sr=sr)[0],
        }
        return {name: np.transpose(functions[name]()) for name in names}
