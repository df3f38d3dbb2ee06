"""Features equal librosa's, whose values `make_golden.py` has stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.features.signals import SIGNALS

GOLDEN = dict(np.load(Path(__file__).with_name("golden.npz")))
TOLERANCE = 1e-4
"""Largest difference, as a share of the largest magnitude that librosa gives for the signal."""


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    scale = np.abs(expected).max()
    return float(np.abs(found - expected).max() / (scale if scale > 0 else 1.0))


@pytest.mark.parametrize("name", SIGNALS)
def test_mel_features_are_librosas(name):
    signal = SIGNALS[name]
    for feature in ("mel_spectrogram", "log_mel", "mfcc"):
        if (key := f"{feature}/{name}") in GOLDEN:
            found = np.asarray(getattr(zoo.features, feature)(signal.samples, signal.sample_rate))
            assert deviation(found, GOLDEN[key]) < TOLERANCE, feature
