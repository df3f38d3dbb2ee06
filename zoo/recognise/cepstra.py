"""What has described sounds before codecs: statistics of cepstra and mel spectra, as vectors of clips."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from zoo import features

SAMPLE_RATE = 22_050
"""Hz, the usual one for these features; all other parameters are zoo.features' own, which are librosa's"""
SETS = ("mfcc", "log_mel")


@dataclass(frozen=True)
class Cepstra:
    """Clips to `zoo.features.statistics` of their cepstra, or log-mel spectra: an extractor as embedders are."""

    sets: tuple[str, ...] = SETS
    sample_rate: int = SAMPLE_RATE
    channels: int = 1

    def __call__(self, audio: np.ndarray, n_samples: np.ndarray) -> dict[str, np.ndarray]:
        """Vectors (B, V) of every set for clips (B, T, 1), of which the first `n_samples` (B,) samples count."""
        found = features.extract(audio[..., 0], self.sample_rate, self.sets, n_samples)
        counts = features.n_frames(np.asarray(n_samples))
        return {
            name: np.asarray(features.statistics(frames, jnp.asarray(counts)).vector())
            for name, frames in found.items()
        }
