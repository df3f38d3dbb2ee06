"""Bjøntegaard rates against scipy's interpolation and closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from evaluate.bjontegaard import BdRate, delta_rate, pchip_integral


def same(a: BdRate, b: BdRate) -> None:
    """Asserts that all fields are equal, those that are not a number too."""
    np.testing.assert_equal(dataclasses.astuple(a), dataclasses.astuple(b))


@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_the_integral_is_that_of_scipy(n: int, seed: int, monotone: bool) -> None:
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.01, 3.0, n))
    # a walk up and down has flat steps and turns, which the slopes treat apart
    y = np.cumsum(rng.integers(0 if monotone else -2, 3, n) * rng.uniform(0.1, 2.0, n))
    low, high = np.sort(rng.uniform(x[0], x[-1], 2))
    reference = PchipInterpolator(x, y)
    for limits in ((low, high), (x[0], x[-1])):
        assert pchip_integral(x, y, *limits) == pytest.approx(reference.integrate(*limits), rel=1e-10, abs=1e-10)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 2**32 - 1))
def test_a_delta_rate_is_that_of_scipy(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = [np.cumsum(rng.uniform(0.5, 5.0, k)) for k in (n, m)]
    qualities = [np.cumsum(rng.uniform(0.2, 3.0, k)) for k in (n, m)]
    low, high = max(q[0] for q in qualities), min(q[-1] for q in qualities)
    found = delta_rate(rates[0], qualities[0], rates[1], qualities[1])
    if low >= high:
        assert found.percent is None
        return
    anchor, test = (PchipInterpolator(q, np.log10(r)).integrate(low, high) for r, q in zip(rates, qualities))
    assert found.percent == pytest.approx(100 * (10 ** ((test - anchor) / (high - low)) - 1), rel=1e-8, abs=1e-8)


def test_a_constant_saving_is_found_whatever_the_shape_of_the_curve() -> None:
    rates, qualities = np.array([6.0, 12.0, 24.0, 48.0]), np.array([2.0, 5.0, 7.0, 7.5])
    found = delta_rate(rates, qualities, 0.8 * rates, qualities)
    assert found.percent == pytest.approx(-20.0)
    assert found.remark == ""
    assert found.reversed().percent == pytest.approx(25.0)
    # order of points does not matter
    mixed = [2, 0, 3, 1]
    same(delta_rate(rates[mixed], qualities[mixed], 0.8 * rates, qualities), found)


def test_a_point_that_nobody_would_choose_changes_nothing() -> None:
    rates, qualities = np.array([6.0, 12.0, 24.0, 48.0]), np.array([2.0, 5.0, 7.0, 7.5])
    worse_rates, worse_qualities = np.append(rates, [13.0, 12.0, 60.0]), np.append(qualities, [4.9, 3.0, 7.5])
    expected = delta_rate(rates, qualities, 0.9 * rates, qualities)
    same(delta_rate(worse_rates, worse_qualities, 0.9 * rates, qualities), expected)


@pytest.mark.parametrize(
    ("rates", "qualities", "reason"),
    [
        ([8.0], [3.0], "the test has only 1 point where"),
        ([8.0, 16.0], [3.0, 2.0], "the test has only 1 point where"),
        ([8.0, 16.0], [9.0, 10.0], "no common quality"),
        ([8.0, 16.0], [7.0, 10.0], "no common quality"),
        ([8.0, 16.0], [3.0, math.nan], "the test has a point without a value"),
    ],
)
def test_curves_that_cannot_be_compared_say_why(rates: list[float], qualities: list[float], reason: str) -> None:
    anchor = np.array([6.0, 12.0, 24.0, 48.0]), np.array([2.0, 5.0, 6.0, 7.0])
    found = delta_rate(*anchor, np.array(rates), np.array(qualities))
    assert found.percent is None
    assert reason in found.remark
    assert reason.replace("test", "anchor") in found.reversed().remark


def test_few_points_and_little_overlap_are_remarked_on() -> None:
    anchor = np.array([6.0, 12.0, 24.0, 48.0]), np.array([2.0, 5.0, 6.0, 7.0])
    found = delta_rate(*anchor, np.array([4.0, 8.0, 16.0]), np.array([6.0, 8.0, 12.0]))
    assert found.percent is not None
    assert found.remark == "3 points, fewer than the classic 4; the curves share 10% of their range of quality"
