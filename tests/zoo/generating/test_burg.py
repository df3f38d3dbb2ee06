"""Burg's extrapolation, on signals of which it is known how they go on."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.generating import burg


def tones(n: int, *cycles: float) -> np.ndarray:
    t = np.arange(n)
    return sum(np.sin(2 * np.pi * f * t + i) for i, f in enumerate(cycles))


def test_tones_go_on_as_they_were():
    whole = tones(3000, 0.013, 0.031, 0.21)
    found = burg.extrapolate(whole[:2000], 1000, order=32)
    assert 20 * np.log10(np.std(whole[2000:]) / np.std(found - whole[2000:])) > 60


def test_coefficients_are_those_of_the_process():
    rng = np.random.default_rng(0)
    x = np.zeros(60_000)
    noise = rng.standard_normal(len(x))
    for n in range(2, len(x)):
        x[n] = 1.5 * x[n - 1] - 0.8 * x[n - 2] + noise[n]
    np.testing.assert_allclose(burg.coefficients(x, 4), [1.5, -0.8, 0, 0], atol=0.02)


def test_what_is_extrapolated_does_not_grow():
    x = np.random.default_rng(1).standard_normal(500) * np.linspace(0, 1, 500) ** 4
    found = burg.extrapolate(x, 20_000, order=100)
    assert np.abs(found[-1000:]).max() <= np.abs(found[:1000]).max() < 10 * np.abs(x).max()


def test_a_gap_in_tones_is_closed():
    whole = tones(4000, 0.02, 0.083)
    found = burg.fill(whole[:1800], whole[2200:], 400, order=64)
    np.testing.assert_allclose(found, whole[1800:2200], atol=0.02)


@pytest.mark.parametrize("before", [0, 1, 5])
def test_little_or_nothing_known_is_no_failure(before):
    found = burg.fill(np.ones(before), np.zeros(0), 10)
    assert found.shape == (10,)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(burg.extrapolate(np.zeros(100), 5), 0)
