"""Mel spectrograms and their cepstra."""

from __future__ import annotations

import jax
import numpy as np

from zoo.errors import ZooError
from zoo.features.analysis import Analysis, product


def mel_spectrogram(clips: Analysis) -> jax.Array:
    return clips.mel


def log_mel(clips: Analysis) -> jax.Array:
    return clips.log_mel


def mfcc(clips: Analysis) -> jax.Array:
    """The orthonormal DCT-II of the log-mel spectrogram, its first n_mfcc coefficients."""
    n_mels, n_mfcc = clips.settings.n_mels, clips.settings.n_mfcc
    if n_mfcc > n_mels:
        raise ZooError(f"n_mfcc {n_mfcc} is more than n_mels {n_mels}")
    k, m = np.arange(n_mfcc)[None, :], np.arange(n_mels)[:, None]
    basis = np.sqrt(2.0 / n_mels) * np.cos(np.pi * k * (2 * m + 1) / (2 * n_mels))
    basis[:, 0] /= np.sqrt(2.0)
    return product(clips.log_mel, basis.astype(np.float32))
