"""What the reference implementations are given to code: sounds whose codes vary, and their weights as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def weights_of(model: Any) -> dict[str, np.ndarray]:
    """The weights of a module of torch by their names."""
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def swelling(n_samples: int, seed: int) -> np.ndarray:
    """Tones that come and go over noise, (T, 1)."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, None]
    swell = np.clip(np.sin(t * rng.uniform(1e-4, 1e-3, 5) + rng.uniform(0, 6, 5)), 0.1, None)
    tones = (swell * np.sin(t * rng.uniform(0.005, 0.5, 5) + rng.uniform(0, 6, 5))).sum(axis=1, keepdims=True)
    return (0.1 * tones + 0.03 * rng.standard_normal((n_samples, 1))).astype(np.float32)


def jumping(n_samples: int, channels: int, seed: int) -> np.ndarray:
    """Noise whose loudness and a tone whose pitch jump about, (T, C)."""
    rng = np.random.default_rng(seed)
    loudness, pitch = np.repeat(rng.uniform(0, 1, (2, n_samples // 40 + 1)), 40, axis=1)[:, :n_samples]
    samples = loudness**2 * rng.standard_normal((channels, n_samples)) + np.sin(np.cumsum(pitch))
    return (samples.T / 4).astype(np.float32)
