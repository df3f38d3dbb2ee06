"""Features of signals for which they can be said beforehand, and statistics against numpy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import zoo

RATE = 16_000
INNER = slice(4, -4)
"""frames that lie wholly inside the clip"""


@pytest.fixture
def tone(quick) -> dict[str, np.ndarray]:
    """Features of 880 Hz with an amplitude of 0.5."""
    audio = 0.5 * np.sin(2 * np.pi * 880 * np.arange(RATE) / RATE)
    found = zoo.features.extract(audio, RATE)
    return {name: np.asarray(values) for name, values in found.items()}


def test_a_tone(tone):
    assert tone["spectral_centroid"][INNER] == pytest.approx(880, rel=0.01)
    assert (tone["spectral_bandwidth"][INNER] < 60).all()
    assert tone["spectral_rolloff"][INNER] == pytest.approx(880, abs=RATE / 2048)
    assert (tone["spectral_flatness"][INNER] < 1e-6).all()
    assert tone["zero_crossing_rate"][INNER] == pytest.approx(2 * 880 / RATE, abs=1 / 2048)
    assert tone["rms"][INNER] == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert (tone["chroma"][INNER].argmax(axis=-1) == 9).all()  # A
    assert tone["chroma"].max(axis=-1) == pytest.approx(1)
    assert tone["onset_strength"][8:-6].max() < 0.1


def test_silence_is_finite(quick):
    found = zoo.features.extract(np.zeros(RATE, np.float32), RATE)
    assert all(np.isfinite(values).all() for values in found.values())
    assert (found["log_mel"] == -100).all()
    assert np.asarray(found["spectral_flatness"]) == pytest.approx(1, abs=1e-5)
    for name in ("chroma", "spectral_centroid", "spectral_bandwidth", "spectral_rolloff", "rms", "onset_strength"):
        assert not found[name].any()


def test_any_hop_length_and_number_of_coefficients(quick):
    audio = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    speech = zoo.features.mfcc(audio, RATE, n_mfcc=13, n_mels=40, n_fft=400, hop_length=160, f_min=20, f_max=7600)
    assert speech.shape == (101, 13)
    rates = zoo.features.extract(audio, RATE, ("rms", "zero_crossing_rate"), n_fft=400, hop_length=160)
    window = audio[50 * 160 - 200 : 50 * 160 + 200]
    assert rates["rms"][50, 0] == pytest.approx(np.sqrt(np.mean(window**2)), rel=1e-5)
    crossings = np.sum(np.signbit(window[1:]) != np.signbit(window[:-1]))
    assert rates["zero_crossing_rate"][50, 0] == pytest.approx(crossings / 400, rel=1e-5)


def test_deltas_are_slopes(quick):
    ramp = np.arange(30)[:, None] * np.array([[2.0, -0.5]])
    assert np.asarray(zoo.features.delta(ramp)) == pytest.approx(np.broadcast_to([2.0, -0.5], (30, 2)), abs=1e-5)
    batch = np.stack([ramp, ramp, ramp])
    found = np.asarray(zoo.features.delta(batch, np.array([30, 9, 8])))
    assert found[1, :9] == pytest.approx(np.broadcast_to([2.0, -0.5], (9, 2)), abs=1e-5)
    assert not found[1, 9:].any()
    assert not found[2].any()  # too short for a line through nine frames


def test_statistics_are_numpys(quick):
    frames = np.random.default_rng(1).standard_normal((3, 40, 5)).astype(np.float32)
    n_frames = np.array([40, 17, 1])
    deltas = np.asarray(zoo.features.delta(frames, n_frames))
    padded = np.where(np.arange(40)[None, :, None] < n_frames[:, None, None], frames, np.nan)
    found = zoo.features.statistics(padded, n_frames)
    for i, n in enumerate(n_frames):
        own = frames[i, :n]
        expected = [own.mean(0), own.std(0), own.min(0), own.max(0), deltas[i, :n].mean(0), deltas[i, :n].std(0)]
        assert np.asarray(found.vector()[i]) == pytest.approx(np.concatenate(expected), abs=1e-5)
    assert len(jax.tree.leaves(found)) == 6
    assert zoo.features.statistics(frames[0]).vector().shape == (30,)
