"""Autoregressive extrapolation (Burg, 1967): how a signal would go on if it stayed as it was.

What classical restorers fill gaps with (Kauppinen and Roth, 2002): from both sides, cross-faded.
"""

from __future__ import annotations

import numpy as np

ORDER = 1024
CONTEXT, LEAST_CONTEXT = 8, 4096
"""samples from which coefficients are found: for each of them, and at least"""


def coefficients(signal: np.ndarray, order: int) -> np.ndarray:
    """Burg's prediction coefficients a (order,) of a signal (T,), nearest first: x[n] ≈ Σ a[k]·x[n − 1 − k].

    All poles lie within the unit circle, so that what is extrapolated does not grow. Errors are weighted by a Hann
    window (Swingler, 1979), without which the frequencies of tones come out a little wrong. Silence has zeros; there
    are at most T − 1 of them that are not.
    """
    x = np.asarray(signal, np.float64)
    forward, backward = x[1:].copy(), x[:-1].copy()
    polynomial = np.zeros(order + 1)
    polynomial[0] = 1.0
    floor = 1e-12 * float(x @ x)  # what is left of a signal that is predicted exactly is rounding
    for k in range(1, min(order, len(x) - 1) + 1):
        weight = np.square(np.sin(np.pi * (np.arange(len(forward)) + 0.5) / len(forward)))
        power = float(weight @ (np.square(forward) + np.square(backward)))
        if power <= floor:
            break
        reflection = -2.0 * float(weight @ (forward * backward)) / power
        polynomial[: k + 1] += reflection * polynomial[: k + 1][::-1]
        forward, backward = (
            forward[1:] + reflection * backward[1:],
            backward[:-1] + reflection * forward[:-1],
        )
    return -polynomial[1:]


def extrapolate(signal: np.ndarray, n_samples: int, order: int = ORDER) -> np.ndarray:
    """The `n_samples` (n,) that follow a signal (T,), float64, by coefficients of its end."""
    known = np.asarray(signal, np.float64)[-max(CONTEXT * order, LEAST_CONTEXT) :]
    order = min(order, max(len(known) // 3, 1))
    if not len(known):
        return np.zeros(n_samples)
    reversed_a = coefficients(known, order)[::-1]
    out = np.concatenate([np.zeros(order), known[-order:], np.zeros(n_samples)])
    for n in range(len(out) - n_samples, len(out)):
        out[n] = reversed_a @ out[n - order : n]
    return out[len(out) - n_samples :]


def fill(before: np.ndarray, after: np.ndarray, n_samples: int, order: int = ORDER) -> np.ndarray:
    """The gap (n,) between two signals (T,) and (T',), extrapolated from both and cross-faded by a raised cosine."""
    if not len(after):
        return extrapolate(before, n_samples, order)
    backwards = extrapolate(after[::-1], n_samples, order)[::-1]
    if not len(before):
        return backwards
    share = fade(n_samples)
    return (1 - share) * extrapolate(before, n_samples, order) + share * backwards


def fade(n_samples: int) -> np.ndarray:
    """Weights (n,) that rise from 0 to 1 as a raised cosine."""
    return 0.5 - 0.5 * np.cos(np.pi * (np.arange(n_samples) + 0.5) / max(n_samples, 1))
