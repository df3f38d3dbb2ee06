"""Gaps in signals of which it is known what was in them: tones go on, noise is as loud as it was."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from zoo.generating import burg, steering
from zoo.generating.gaps import Gap

RATE = 24_000


def filled(clip: np.ndarray, gap: Gap, generated: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """The gap of a clip (T,), with a small order of prediction, so that tests are quick."""
    predicted = clip.copy()
    predicted[gap.start : gap.stop] = burg.fill(clip[: gap.start], clip[gap.stop :], gap.length, order=64)
    noise = np.random.default_rng(seed).standard_normal(len(clip))
    return steering.steer(predicted, gap, RATE, noise, generated)


def level_db(x: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(x))))


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_tones_go_on_as_they_were(seconds):
    t = np.arange(RATE) / RATE
    clip = sum(np.sin(2 * np.pi * f * t + f) for f in (217.0, 1250.0, 5003.0))
    gap = Gap(10_000, 10_000 + round(seconds * RATE), RATE)
    lost = clip[gap.start : gap.stop]
    assert level_db(filled(clip, gap) - lost) < level_db(lost) - 35


@pytest.mark.parametrize(("start", "stop"), [(10_000, 14_800), (10_000, 10_480), (0, 2_000), (22_000, 24_000)])
def test_noise_keeps_its_power_and_its_spectrum(start, stop):
    white = np.random.default_rng(1).standard_normal(RATE)
    clip = 0.1 * (white + np.roll(white, 1))  # 3 dB louder than white noise, nothing at half the sample rate
    gap = Gap(start, stop, RATE)
    found = filled(clip, gap)
    expected = level_db(clip)
    # the median of a cell's power is 1.6 dB below its mean; extrapolation leaves less than a tenth of it
    assert expected - 3 < level_db(found) < expected + 1
    assert level_db(burg.fill(clip[:start], clip[stop:], stop - start, order=64)) < expected - 8
    spectrum = np.square(np.abs(np.fft.rfft(found)))
    low, high = (10 * np.log10(part.mean()) for part in np.array_split(spectrum, 4)[::3])
    assert 10 < low - high < 25


def test_noise_that_changes_changes_evenly():
    loud = np.where(np.arange(RATE) < 12_000, 0.3, 0.003)
    clip = loud * np.random.default_rng(2).standard_normal(RATE)
    found = filled(clip, Gap(10_800, 13_200, RATE))
    levels = [level_db(part) for part in np.array_split(found, 4)]
    assert levels == sorted(levels, reverse=True)
    assert all(-15 < after - before < -5 for before, after in pairwise(levels))


def test_silence_stays_silent():
    np.testing.assert_allclose(filled(np.zeros(RATE), Gap(10_000, 12_000, RATE)), 0, atol=1e-6)


def test_far_from_what_is_known_all_is_generated():
    clip, generated = 0.1 * np.random.default_rng(3).standard_normal((2, 2 * RATE))
    gap = Gap(10_000, 34_000, len(clip))
    assert steering.needs_generated(gap, RATE)
    found, beyond = filled(clip, gap, generated), round(steering.FAR_S * RATE) + steering.window_size(RATE)
    np.testing.assert_allclose(found[beyond:-beyond], generated[gap.start + beyond : gap.stop - beyond], atol=1e-9)
    near = round(steering.NEAR_S * RATE) - steering.window_size(RATE)
    np.testing.assert_allclose(found[:near], filled(clip, gap)[:near], atol=1e-3)
    # and it is neither louder nor softer on the way
    assert all(abs(level_db(part) + 20) < 3.5 for part in np.array_split(found, 20))


def test_where_too_little_is_known_nothing_is_steered():
    clip, generated = 0.1 * np.random.default_rng(4).standard_normal((2, 1000))
    gap = Gap(100, 900, 1000)
    assert not steering.needs_generated(gap, RATE)
    assert steering.needs_generated(Gap(100, 9000, 9100), RATE)
    np.testing.assert_array_equal(filled(clip, gap, generated), generated[100:900])
    np.testing.assert_array_equal(filled(clip, gap), burg.fill(clip[:100], clip[900:], 800, order=64))
