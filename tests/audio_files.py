"""Sounds and small audio files, for the tests that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 8000


def noise(n: int, channels: int = 1, *, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """White noise, (n, channels)."""
    return (np.random.default_rng(seed).standard_normal((n, channels)) * level).astype(np.float32)


def write(path: Path, samples: np.ndarray, sample_rate: int = RATE, **options: Any) -> None:
    """Writes a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate, **options)


def write_tree(root: Path) -> Path:
    """Four files of mixed rates, channels and formats."""
    write(root / "music" / "a.flac", noise(44100, 2, seed=1), 44100)
    write(root / "music" / "deep" / "b.ogg", noise(20000, 1, seed=2), 22050)
    write(root / "speech" / "c.wav", noise(9000, 1, seed=3), 8000)
    write(root / "d.wav", noise(30000, 2, seed=4), 48000, subtype="FLOAT")
    return root
