"""The procedural noises: what they are, and that they are always the same."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.denoise.noises import KINDS, noise
from zoo.errors import ZooError

RATE = 16_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_noise_is_a_pure_function_of_its_arguments(kind: str) -> None:
    made = noise(kind, 3, 8000, RATE, 2, seed=5)
    assert made.dtype == np.float32
    assert made.shape == (8000, 2)
    assert np.array_equal(made, noise(kind, 3, 8000, RATE, 2, seed=5))
    others = [noise(kind, 4, 8000, RATE, 2, seed=5), noise(kind, 3, 8000, RATE, 2, seed=6)]
    assert all(abs(np.corrcoef(made[:, 0], other[:, 0])[0, 1]) < 0.95 for other in others)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "rate", "channels"), [(RATE // 10, RATE, 1), (4410, 44_100, 3), (500, 4_000, 1)])
def test_every_format_has_power_one_about_the_mean(kind: str, n: int, rate: int, channels: int) -> None:
    made = noise(kind, 0, n, rate, channels).astype(np.float64)
    assert np.abs(made.mean(axis=0)).max() < 1e-5
    assert np.mean(made**2) == pytest.approx(1.0, rel=1e-5)
    assert (np.std(made, axis=0) > 0.05).all()


def test_hum_is_lines_at_the_mains_and_the_same_in_all_channels() -> None:
    made = noise("hum", 1, 4 * RATE, RATE, 2)
    assert np.array_equal(made[:, 0], made[:, 1])
    power = np.abs(np.fft.rfft(made[:, 0] * np.hanning(len(made)))) ** 2
    hz = np.arange(len(power)) * RATE / len(made)
    shares = {mains: power[np.abs(hz - mains * np.rint(hz / mains)) < 0.01 * hz + 2].sum() for mains in (50.0, 60.0)}
    assert max(shares.values()) > 0.95 * power.sum()


@pytest.mark.parametrize("kind", ["hiss", "rain", "wind"])
def test_diffuse_noise_is_independent_in_each_channel(kind: str) -> None:
    made = noise(kind, 2, 2 * RATE, RATE, 2)
    assert abs(np.corrcoef(np.diff(made, axis=0).T)[0, 1]) < 0.15


def test_wind_is_lower_than_rain() -> None:
    def centroid_hz(kind: str) -> float:
        power = np.abs(np.fft.rfft(noise(kind, 0, RATE, RATE)[:, 0])) ** 2
        return float((np.arange(len(power)) * power).sum() / power.sum())

    assert centroid_hz("wind") < 400 < 1000 < centroid_hz("rain")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ZooError, match="unknown kind of noise 'sneeze'; there are hiss, hum"):
        noise("sneeze", 0, 100, RATE)
