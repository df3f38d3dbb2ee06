"""Signals that features are compared on, made here of sines, clicks and noise with fixed seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Signal:
    samples: np.ndarray
    sample_rate: int


def _noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def _chord(n: int, sample_rate: int) -> np.ndarray:
    """Four harmonic notes that decay, all 0.3 semitones sharp, above a little noise."""
    t = np.arange(n) / sample_rate
    notes = [220.0, 277.18, 329.63, 440.0]
    partials = [
        np.sin(2 * np.pi * note * 2 ** (0.3 / 12) * k * t) / k * np.exp(-2 * k * t)
        for note in notes
        for k in range(1, 6)
    ]
    return 0.1 * np.sum(partials, axis=0) + 1e-4 * _noise(n, 1)


def _sweep(n: int, sample_rate: int) -> np.ndarray:
    t = np.arange(n) / sample_rate
    return 0.3 * np.sin(2 * np.pi * (100 * t + 8000 * t**2)) + 1e-3 * _noise(n, 2)


def _beats(n: int, sample_rate: int, bpm: float) -> np.ndarray:
    t = np.arange(n) / sample_rate
    return 0.5 * np.exp(-40 * (t % (60 / bpm))) * _noise(n, 3) + 1e-3 * _noise(n, 4)


def _steps(n: int) -> np.ndarray:
    """Noise in steps from -100 dB to full scale and back to silence, so that what is quiet is cut off."""
    gain = np.repeat([1e-5, 1e-3, 1.0, 0.03, 0.0], -(-n // 5))[:n]
    return 0.3 * gain * _noise(n, 5)


SIGNALS: Mapping[str, Signal] = {
    name: Signal(samples.astype(np.float32), sample_rate)
    for name, samples, sample_rate in [
        ("noise", 0.1 * _noise(9_000, 0) + 0.02, 22_050),
        ("chord", _chord(22_050, 22_050), 22_050),
        ("sweep", _sweep(22_050, 44_100), 44_100),
        ("steps", _steps(12_345), 22_050),
        ("short", 0.1 * _noise(700, 6), 22_050),
        ("silence", np.zeros(3_000), 22_050),
        ("vanishing", 1e-33 * _noise(3_000, 7), 22_050),  # what decoders leave of silence
    ]
}
RHYTHMS: Mapping[str, Signal] = {
    name: Signal(samples.astype(np.float32), sample_rate)
    for name, samples, sample_rate in [
        ("beats_140", _beats(220_500, 22_050, 140.0), 22_050),
        ("beats_90", _beats(160_000, 16_000, 90.0), 16_000),
        ("short", 0.1 * _noise(700, 6), 22_050),
        ("silence", np.zeros(30_000), 22_050),
    ]
}
