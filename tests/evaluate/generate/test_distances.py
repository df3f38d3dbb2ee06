"""Distances between sets of vectors against closed forms, and that what is called unbiased is."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.generate import distances
from evaluate.generate.features import Projection


def drawn(n: int, dims: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).standard_normal((n, dims))


def test_frechet_is_that_of_the_moments():
    a, b = drawn(200_000, 3, 0), drawn(200_000, 3, 1, shift=0.5, scale=2.0)
    # |μ − μ'|² + Σ (σ − σ')²
    assert distances.frechet(a, b) == pytest.approx(3 * 0.25 + 3 * 1.0, rel=0.02)
    turned = a @ np.linalg.qr(drawn(3, 3, 2))[0]
    assert distances.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert distances.frechet(turned * [1, 2, 3], turned * [3, 2, 1]) > 1


def test_the_bias_of_few_is_seen_and_taken_off():
    found = [distances.frechet_extrapolated(drawn(150, 8, i), drawn(150, 8, 100 + i), seed=i) for i in range(12)]
    at_n = np.mean([one.at_n for one in found])
    unbiased = np.mean([one.unbiased for one in found])
    assert at_n > 0.2
    assert abs(unbiased) < at_n / 5


def test_the_kernel_distance_has_no_bias():
    same = [distances.kernel_distance(drawn(60, 5, i), drawn(60, 5, 500 + i)) for i in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert distances.kernel_distance(drawn(60, 5, 0), drawn(60, 5, 1, shift=1.0)) > 10 * np.std(same)


def test_nearest_and_diversity():
    a, b = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 1.0], [30.0, 0.0]])
    np.testing.assert_allclose(distances.nearest(a, b), [1.0, np.sqrt(18)])
    assert distances.diversity(a) == pytest.approx(5.0)
    assert distances.share(10.0, 4.0, 0.0) == pytest.approx(0.6)


def test_components_are_of_the_reference():
    vectors = drawn(500, 6, 0) * [1, 10, 100, 0.1, 1, 0] + 5
    projection = Projection.of(vectors, 6)
    assert np.isfinite(projection(vectors)).all()
    np.testing.assert_allclose(np.cov(projection(vectors), rowvar=False).sum(), 5, rtol=0.2)
