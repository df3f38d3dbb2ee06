"""Vectors of sounds in which sets of them are compared: another codec's, or those of cepstra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluate import cli
from zoo import loading
from zoo.console.terminal import printable
from zoo.errors import ZooError
from zoo.recognise import clips, embedding
from zoo.recognise.cepstra import Cepstra
from zoo.recognise.clips import Extractor

DIMENSIONS = 24
"""principal components of the reference's vectors: many more would ask for thousands of sounds"""


@dataclass(frozen=True, eq=False)
class Features:
    """What makes vectors of sounds, and what it is called."""

    name: str
    extractor: Extractor
    part: str
    """the set of the extractor's vectors that is taken"""

    def __call__(self, sounds: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """Vectors (N, V) of sounds (T, C)."""
        return np.stack([clips.vectors(self.extractor, sound, sample_rate)[self.part] for sound in sounds])


def create(ckpt: str | None, codec_hash: str) -> Features:
    """Those of the codec `ckpt`, or without one those of cepstra; raises ZooError for the prior's own codec.

    In its own codec's features a prior would look better than it is.
    """
    if ckpt is None:
        return Features("cepstra (zoo.features.mfcc and its statistics)", Cepstra(("mfcc",)), "mfcc")
    codec = loading.load(ckpt)
    if codec.digest.hex() == codec_hash:
        raise ZooError(f"--features {ckpt} is the prior's own codec: name another one, which it was not trained with")
    embedder = embedding.embedder(codec)
    part = next(name for name in ("layers", "latent") if name in embedder.calibrations)
    return Features(f"{part} of {printable(cli.run_folder(codec).resolve().name)}", embedder, part)


@dataclass(frozen=True, eq=False)
class Projection:
    """From vectors to their principal components after each number was divided by its deviation over a reference."""

    mean: np.ndarray
    deviation: np.ndarray
    basis: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, dimensions: int = DIMENSIONS) -> Projection:
        """That of reference vectors (N, V)."""
        found = np.asarray(vectors, np.float64)
        mean, deviation = found.mean(axis=0), found.std(axis=0)
        deviation = np.where(deviation > 1e-6 * max(float(np.max(deviation)), 1e-12), deviation, np.inf)
        standard = (found - mean) / deviation
        _, _, rows = np.linalg.svd(standard, full_matrices=False)
        return cls(mean, deviation, rows[:dimensions].T)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Components (N, K)."""
        x = (np.asarray(vectors, np.float64) - self.mean) / self.deviation
        return x @ self.basis
