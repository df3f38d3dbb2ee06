"""What a prior has to be better than: latents that are only normal, and noise that only has the right spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.generating import ReadyPrior, latents
from zoo.prior import STATISTICS

NORMAL, STANDARD, NOISE = (
    "normal latents, the data's mean and deviation",
    "normal latents, N(0, 1)",
    "noise, the data's spectrum",
)


def normal_latents(prior: ReadyPrior, n: int, n_samples: int, seed: int, *, standard: bool) -> list[np.ndarray]:
    """n decoded sounds (n_samples, C) of independent normal latents: N(0, 1), or with each dimension's own moments."""
    n_frames = prior.codec.module.n_frames(n_samples)
    statistics = {name: np.asarray(x) for name, x in prior.variables["params"][STATISTICS].items()}
    mean = statistics["mean"]
    spread = np.sqrt(np.square(statistics["basis"] * statistics["scale"] * statistics["deviation"]).sum(axis=1))
    if standard:
        mean, spread = np.zeros_like(mean), np.ones_like(spread)
    found = []
    for i in range(n):
        drawn = np.random.default_rng([seed, i]).standard_normal((n_frames, len(mean)))
        found.append(latents.decode(prior.codec, (mean + spread * drawn).astype(np.float32), n_samples))
    return found


def coloured_noise(pieces: Sequence[np.ndarray], n: int, seed: int) -> list[np.ndarray]:
    """n pieces (T, C) of noise with the mean power spectrum of real ones, all (T, C), and their mean power."""
    n_samples, channels = pieces[0].shape
    power = np.mean([np.square(np.abs(np.fft.rfft(piece, axis=0))) for piece in pieces], axis=0)
    found = []
    for i in range(n):
        white = np.random.default_rng([seed, i]).standard_normal((n_samples, channels))
        spectrum = np.fft.rfft(white, axis=0) * np.sqrt(power / n_samples)
        found.append(np.clip(np.fft.irfft(spectrum, n_samples, axis=0), -1, 1).astype(np.float32))
    return found
