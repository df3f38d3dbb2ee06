"""Sounds of two classes, and a small codec's embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import write
from tests.conftest import in_haste
from tests.zoo.conftest import RATE, make
from zoo.recognise import embedding
from zoo.recognise.embedding import Embedder


def sine(seed: int, n: int = RATE // 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n)[:, None] / RATE
    return (rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * rng.uniform(200, 1500) * t)).astype(np.float32)


def noise(seed: int, n: int = RATE // 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.02, 0.2) * rng.standard_normal((n, 1))).astype(np.float32)


def write_classes(root: Path, n: int = 6) -> Path:
    """Two folders of so many half seconds."""
    for i in range(n):
        write(root / "sine" / f"{i}.wav", sine(i))
        write(root / "noise" / f"{i}.wav", noise(100 + i))
    return root


@pytest.fixture(autouse=True)
def little(quick, monkeypatch) -> None:
    """Programs are compiled in haste, and few reference sounds are enough."""
    monkeypatch.setattr(embedding, "N_REFERENCES", 8)


@pytest.fixture(scope="session")
def small() -> Embedder:
    """The embedder of the small VAE."""
    with pytest.MonkeyPatch.context() as patch, in_haste():
        patch.setattr(embedding, "N_REFERENCES", 8)
        return embedding.embedder(make("vae"))
