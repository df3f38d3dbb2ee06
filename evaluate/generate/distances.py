"""Distances between two sets of vectors, and how far each depends on how many there are.

Fréchet's distance between normal distributions (Heusel et al., 2017; Kilgour et al., 2019, of audio) is biased: of two
samples of one distribution it is about proportional to 1/N. Extrapolated to infinitely many vectors (Chong and Forsyth,
2020) it is not; nor is the kernel distance (Bińkowski et al., 2018), whose estimator may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_SIZES, N_REPEATS = 6, 8
"""of the subsets from which the distance of infinitely many is extrapolated"""


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet's distance between normal distributions with the means and covariances of vectors (N, V) and (M, V).

    |μ − μ'|² + tr(Σ + Σ' − 2 (Σ Σ')^½), the root by the eigenvalues of Σ^½ Σ' Σ^½.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    ours, theirs = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(ours)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    between = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ theirs @ root), 0)).sum()
    mean = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(mean + np.trace(ours) + np.trace(theirs) - 2 * between)


@dataclass(frozen=True)
class Extrapolated:
    """A distance at the number of vectors that there are, and without the bias of that number."""

    at_n: float
    unbiased: float


def frechet_extrapolated(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Extrapolated:
    """`frechet` of all vectors, and at 1/N = 0 on a line through those of random subsets of both, by least squares.

    Subsets hold from a third of the vectors to all of them.
    """
    rng = np.random.default_rng(seed)
    n = min(len(a), len(b))
    sizes = np.unique(np.linspace(max(n / 3, min(n, a.shape[1] + 2)), n, N_SIZES).astype(int))
    inverse, found = [], []
    for size in sizes:
        for _ in range(N_REPEATS):
            parts = (x[rng.permutation(len(x))[:size]] for x in (a, b))
            inverse.append(1 / size)
            found.append(frechet(*parts))
    whole = frechet(a, b)
    if len(sizes) < 2:
        return Extrapolated(whole, float("nan"))
    return Extrapolated(whole, float(np.polyfit(inverse, found, 1)[1]))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate of the squared maximum mean discrepancy under the kernel (x·y / V + 1)³."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        values: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
        return values

    def within(x: np.ndarray) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance (N,) of each vector of a (N, V) to the nearest of b (M, V)."""
    square = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0)).min(axis=1)


def diversity(a: np.ndarray) -> float:
    """Mean Euclidean distance between two different vectors of a set (N, V)."""
    square = np.square(a).sum(axis=1)
    distances = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * a @ a.T, 0))
    return float(distances.sum() / (len(a) * (len(a) - 1)))


def share(plain: float, found: float, real: float) -> float:
    """How much of the way from the distance of a plain prior to that of real sounds a distance has come."""
    return (plain - found) / (plain - real) if plain != real else float("nan")
