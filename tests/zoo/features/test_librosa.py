"""Features equal librosa's with its defaults, whose values `make_golden.py` has stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.features.signals import RHYTHMS, SIGNALS, Signal
from zoo.features.extraction import FRAMED

GOLDEN = dict(np.load(Path(__file__).with_name("golden.npz")))
TOLERANCE = 1e-4
"""Largest difference, as a share of the largest magnitude that librosa gives for the signal."""


def batches(signals: Mapping[str, Signal]) -> Iterator[tuple[list[str], int, np.ndarray, np.ndarray]]:
    """Names, sample rate, padded clips and lengths: one batch, and so one program, for each sample rate."""
    by_rate = sorted(signals, key=lambda name: signals[name].sample_rate)
    for sample_rate, group in groupby(by_rate, key=lambda name: signals[name].sample_rate):
        members = list(group)
        lengths = np.array([len(signals[name].samples) for name in members])
        audio = np.full((len(members), lengths.max()), np.nan, np.float32)  # padding may hold anything
        for row, name in enumerate(members):
            audio[row, : lengths[row]] = signals[name].samples
        yield members, sample_rate, audio, lengths


def computed(signals: Mapping[str, Signal], names: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """signal → feature → its own frames."""
    found = {}
    for members, sample_rate, audio, lengths in batches(signals):
        features = zoo.features.extract(audio, sample_rate, names, lengths)
        for row, name in enumerate(members):
            own = {key: np.asarray(values)[row] for key, values in features.items()}
            n_frames = zoo.features.n_frames(lengths[row])
            found[name] = {key: values[:n_frames] if key in FRAMED else values for key, values in own.items()}
    return found


@pytest.fixture(scope="module")
def features() -> dict[str, dict[str, np.ndarray]]:
    return computed(SIGNALS, tuple(FRAMED))


def check(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= TOLERANCE * (scale if scale > 0 else 1.0)


@pytest.mark.parametrize("feature", FRAMED)
def test_a_feature_is_librosas(features, feature):
    stored = [key for key in GOLDEN if key.startswith(f"{feature}/") and "rhythm" not in key]
    assert len(stored) >= 2
    for key in stored:
        check(features[key.split("/")[1]][feature], GOLDEN[key])


def test_deltas_are_librosas(features):
    stored = [key for key in GOLDEN if key.startswith("delta/")]
    assert len(stored) == 4
    for key in stored:
        check(np.asarray(zoo.features.delta(features[key.split("/")[1]]["mfcc"])), GOLDEN[key])


def test_rhythm_is_librosas(quick):
    for name, found in computed(RHYTHMS, ("onset_strength", "tempo")).items():
        check(found["onset_strength"], GOLDEN[f"onset_strength/rhythm_{name}"])
        check(found["tempo"], GOLDEN[f"tempo/rhythm_{name}"])


def test_the_stored_values_tell_signals_apart():
    # a tuning that is not 0, clips cut off below their loudest band, and two tempi: or much above would pass unseen
    assert GOLDEN["log_mel/steps"].max() - GOLDEN["log_mel/steps"].min() == pytest.approx(80.0, abs=1e-3)
    assert GOLDEN["tempo/rhythm_beats_140"] == pytest.approx(140, rel=0.03)
    assert GOLDEN["tempo/rhythm_beats_90"] == pytest.approx(90, rel=0.03)
    chord = SIGNALS["chord"]
    untuned = zoo.features.chroma(chord.samples, chord.sample_rate, tuning=0.0)
    assert np.abs(untuned - GOLDEN["chroma/chord"]).max() > 0.05
