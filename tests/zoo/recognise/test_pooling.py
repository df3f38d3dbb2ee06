"""Statistics of sequences: closed forms, phases, and what lies behind a clip's end."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from zoo.recognise import pooling


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_bins_are_means_and_mean_squares_and_the_last_may_be_shorter():
    x = np.array([1.0, -1.0, 3.0, 5.0, 2.0, 99.0], np.float32)[None, :, None]
    found = pooling.bins(jnp.asarray(x), jnp.array([5]), 2)
    np.testing.assert_allclose(found.value[0, :, 0], [0, 4, 2])
    np.testing.assert_allclose(found.power[0, :, 0], [1, 17, 4])
    np.testing.assert_array_equal(found.weight[0], [2, 2, 1])


def test_levels_do_not_depend_on_signs_and_silence_has_a_floor():
    x = frames(1, 40, 3)
    signs = np.sign(frames(1, 40, 3, seed=1))
    one, other = (pooling.bins(jnp.asarray(y), jnp.array([40]), 4) for y in (x, signs * x))
    np.testing.assert_allclose(one.power, other.power, rtol=1e-6)
    assert not np.allclose(one.value, other.value)
    assert np.isclose(float(pooling.level(jnp.float32(0.0))), 0.5 * np.log(10.0**-6))


def test_what_lies_behind_the_end_changes_nothing_not_even_nan():
    x = frames(2, 37, 3)
    padded = np.pad(x, ((0, 0), (0, 27), (0, 0)), constant_values=np.nan)
    alone, filled = (pooling.bins(jnp.asarray(y), jnp.array([37, 37]), 4) for y in (x, padded))
    one = pooling.statistics(alone.value, alone.weight)
    np.testing.assert_allclose(pooling.statistics(filled.value, filled.weight), one, rtol=1e-5, atol=1e-6)


def test_statistics_are_those_of_numpy():
    x = frames(1, 32, 2)
    found = np.asarray(pooling.statistics(jnp.asarray(x), jnp.ones((1, 32))))[0]
    steps = np.diff(x[0], axis=0)
    coarse = x[0].reshape(8, 4, 2).mean(axis=1)
    np.testing.assert_allclose(found[0:2], x[0].mean(0), rtol=1e-4)
    np.testing.assert_allclose(found[2:4], x[0].std(0), rtol=1e-4)
    np.testing.assert_allclose(found[4:6], x[0].max(0), rtol=1e-4)
    np.testing.assert_allclose(found[6:8], np.sqrt(np.square(steps).mean(0)), rtol=1e-4)
    np.testing.assert_allclose(found[8:10], steps.max(0), rtol=1e-4)
    np.testing.assert_allclose(found[10:12], coarse.std(0), rtol=1e-4)
    np.testing.assert_allclose(found[-1], np.cov(x[0].T, bias=True)[0, 1], rtol=1e-3)


def test_a_single_bin_does_not_change():
    found = np.asarray(pooling.statistics(jnp.full((1, 1, 2), 3.0), jnp.ones((1, 1))))[0]
    np.testing.assert_array_equal(found[:10], [3, 3, 0, 0, 3, 3, 0, 0, 0, 0])
    assert np.isfinite(found).all()
