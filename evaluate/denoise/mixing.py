"""Clean clips and noise at exact ratios, and which noise each clip gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from evaluate.denoise import noises, recordings
from zoo.errors import ZooError


class Source(Protocol):
    """A noise that can be drawn at any length, rate in Hz and number of channels: float32 (n_samples, channels)."""

    @property
    def name(self) -> str: ...

    def draw(self, index: int, n_samples: int, sample_rate: int, channels: int, *, seed: int = 0) -> np.ndarray: ...


@dataclass(frozen=True)
class Procedural:
    """A kind of `noises.KINDS`."""

    name: str

    def draw(self, index: int, n_samples: int, sample_rate: int, channels: int, *, seed: int = 0) -> np.ndarray:
        """Number `index` of the kind's noises."""
        return noises.noise(self.name, index, n_samples, sample_rate, channels, seed=seed)


def sources(kinds: Sequence[str] = (), folder: str | Path | None = None) -> list[Source]:
    """The procedural kinds that are named, by default all of them, "none" for none; then the recordings of a folder.

    Raises ZooError for a kind that is none, and for a folder without a noise that can be used.
    """
    names = [name for words in kinds for name in words.split(",")]
    if unknown := [name for name in names if name not in (*noises.KINDS, "none")]:
        raise ZooError(f"unknown kind of noise {unknown[0]!r}; there are {', '.join(noises.KINDS)}, none")
    chosen = [name for name in noises.KINDS if not names or name in names]
    found: list[Source] = [Procedural(name) for name in chosen]
    if folder is not None:
        found += recordings.find(folder)
    if not found:
        raise ZooError("no noise is left: without a procedural kind, name a folder of recordings")
    return found


def assigned(n_sources: int, index: int, seed: int = 0) -> int:
    """Which of `n_sources` clip number `index` gets: of each run of so many clips, each gets another, shuffled anew."""
    turn, place = divmod(index, n_sources)
    return int(np.random.default_rng([seed, turn, n_sources]).permutation(n_sources)[place])


def drawn(
    found: Sequence[Source], index: int, n_samples: int, sample_rate: int, channels: int, *, seed: int = 0
) -> tuple[Source, np.ndarray]:
    """The noise that clip number `index` gets, and a stretch of it: float32 (n_samples, channels)."""
    source = found[assigned(len(found), index, seed)]
    return source, source.draw(index, n_samples, sample_rate, channels, seed=seed)


def mix(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> tuple[np.ndarray, np.ndarray]:
    """The clean clip and its mix with noise scaled to an SNR in dB, float32 (T, C) both.

    Power is that of the whole clip about each channel's mean, all channels together, and the noise's own mean is taken
    off. Where either would go beyond full scale, both are scaled down together. Raises ZooError where one is constant.
    """
    centred = noise.astype(np.float64) - noise.mean(axis=0, dtype=np.float64, keepdims=True)
    signal_power, noise_power = power(clean), power(centred)
    if not (signal_power > 0 and noise_power > 0):
        raise ZooError("a constant has no power to mix by")
    noisy = clean + centred * np.sqrt(signal_power / noise_power) * 10 ** (-snr_db / 20)
    scale = 1 / max(1.0, float(np.abs(noisy).max()), float(np.abs(clean).max()))
    return (clean * scale).astype(np.float32), (noisy * scale).astype(np.float32)


def power(samples: np.ndarray) -> float:
    """Mean square of (T, C) about each channel's mean."""
    return float(np.mean(np.var(samples, axis=0, dtype=np.float64)))
