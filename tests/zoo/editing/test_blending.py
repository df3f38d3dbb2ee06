"""Sums with weights, of audio and of latents: closed forms, and one line for what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest

from zoo import editing
from zoo.editing import blending
from zoo.errors import ZooError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(50, 2), (3, 50, 8)])
def test_a_mix_is_the_weighted_sum_and_as_long_as_the_longest(shape):
    a, b = noise(*shape), noise(*shape, seed=1)[..., :30, :]
    mixed = editing.mix([a, b], [0.7, 0.3])
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed[..., :30, :], 0.7 * a[..., :30, :] + 0.3 * b, atol=1e-6)
    np.testing.assert_allclose(mixed[..., 30:, :], 0.7 * a[..., 30:, :], atol=1e-6)
    np.testing.assert_allclose(editing.mix([a, a]), a, atol=1e-6)


def test_a_morph_goes_from_one_to_the_other():
    a, b = noise(2, 11, 4), noise(2, 14, 4, seed=1)
    course = editing.morph(a, b)
    assert course.shape == a.shape
    np.testing.assert_array_equal(course[:, 0], a[:, 0])
    np.testing.assert_allclose(course[:, 5], (a[:, 5] + b[:, 5]) / 2, atol=1e-6)
    np.testing.assert_allclose(course[:, 10], b[:, 10], atol=1e-6)
    np.testing.assert_allclose(editing.morph(a, b, 0.25), 0.75 * a + 0.25 * b[:, :11], atol=1e-6)
    np.testing.assert_array_equal(editing.morph(a[:, :1], b), a[:, :1])


def test_a_splice_keeps_both_sides_as_they_are():
    a, b = noise(100, 1), noise(80, 1, seed=1)
    joined = editing.splice(a, b, 40, fade=10, start=5)
    assert joined.shape == (40 + 75, 1)
    np.testing.assert_array_equal(joined[:40], a[:40])
    np.testing.assert_array_equal(joined[50:], b[15:])
    np.testing.assert_array_equal(editing.splice(a, b, 100, fade=10), np.concatenate([a, b]))
    np.testing.assert_array_equal(editing.splice(a, b, 0), b)


def test_a_fade_into_the_same_sound_is_not_heard_and_into_another_keeps_the_power():
    a = noise(4000, 2)
    np.testing.assert_allclose(editing.crossfade(a, a), a, atol=1e-6)
    faded = editing.crossfade(a, noise(4000, 2, seed=1))
    for part in np.split(faded, 4):
        assert np.mean(np.square(part)) == pytest.approx(0.04, rel=0.1)
    falling, rising = blending.fade_gains(9, 0.0)
    np.testing.assert_allclose(falling**2 + rising**2, 1, atol=1e-6)
    falling, rising = blending.fade_gains(9, 1.0)
    np.testing.assert_allclose(falling + rising, 1, atol=1e-6)


def test_gain_is_in_decibels():
    a = noise(20, 1)
    np.testing.assert_allclose(editing.gain(a, -20), a / 10, rtol=1e-6)
    np.testing.assert_array_equal(editing.gain(a, 0), a)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: editing.mix([a, a], [1.0]), "1 weights do not match 2 inputs"),
        (lambda a: editing.mix([a], [float("nan")]), "weight nan is not between"),
        (lambda a: editing.mix([a], 1.0), "weights must be one for each part"),
        (lambda a: editing.mix([]), "nothing to mix"),
        (lambda a: editing.mix([a, a[:, :1]]), r"part 1 has shape \(50, 1\)"),
        (lambda a: editing.mix([a[:0]]), "not empty"),
        (lambda a: editing.morph(a, a, 1.5), "amount must lie between 0"),
        (lambda a: editing.morph(a, a, [0.0, 1.0]), "one for each of 50 steps"),
        (lambda a: editing.splice(a, a, 51), "cannot splice at 51: the first part ends at 50"),
        (lambda a: editing.splice(a, a, 5, start=50), "cannot go on at 50"),
        (lambda a: editing.splice(a, a, "5"), "at must be a number, got '5'"),
        (lambda a: editing.splice(a, a, 5, fade=0.5), "fade must be a whole number, got 0.5"),
        (lambda a: editing.morph(a, a, "0.5"), "amount must be an array of numbers"),
        (lambda a: editing.crossfade(a, a[1:]), r"of one shape, got \(50, 2\) and \(49, 2\)"),
        (lambda a: editing.gain(a, 200), "gain 200 dB is not between"),
        (lambda a: editing.gain(a, float("nan")), "gain nan dB"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ZooError, match=words):
        call(noise(50, 2))
