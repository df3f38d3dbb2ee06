"""Crops with recorded noises and with what other codecs leave: of each example its own, wherever it is read."""

import numpy as np
import pytest

from train.data import CorruptedCrops, SyntheticCrops
from zoo.errors import ZooError

RATE, N = 24_000, 12_000


def clean(**more) -> SyntheticCrops:
    return SyntheticCrops(**{"segment_samples": N, "sample_rate": RATE, "channels": 1, "seed": 3, **more})


def test_a_batch_is_the_same_crops_and_more():
    source = CorruptedCrops(clean(), noise=clean(seed=9), coding=1.0)
    batch = source.batch([5, 6])
    np.testing.assert_array_equal(batch["audio"], clean().batch([5, 6])["audio"])
    np.testing.assert_array_equal(batch["noise"], clean(seed=9).batch([5, 6])["audio"])
    np.testing.assert_array_equal(batch["index"], [5, 6])
    np.testing.assert_array_equal(source.batch([6])["coded"][0], batch["coded"][1])
    np.testing.assert_array_equal(source[5]["audio"], batch["audio"][0])


def test_what_was_coded_is_close_and_in_its_place():
    batch = CorruptedCrops(clean(), coding=1.0, coding_kbps=(48.0, 48.0)).batch(range(4))
    for audio, coded in zip(batch["audio"][..., 0], batch["coded"][..., 0]):
        error = np.square(coded - audio).mean() / np.square(audio).mean()
        assert 0 < error < 0.3
        lags = range(-40, 41)
        middle = slice(100, N - 100)
        best = min(lags, key=lambda lag: float(np.square(audio - np.roll(coded, -lag))[middle].sum()))
        assert abs(best) <= 1


def test_as_many_are_coded_as_were_asked_for():
    batch = CorruptedCrops(clean(segment_samples=2400), coding=0.3).batch(range(60))
    share = np.mean([np.any(a != c) for a, c in zip(batch["audio"], batch["coded"])])
    assert 0.1 < share < 0.5
    assert "coded" not in CorruptedCrops(clean()).batch([0])


def test_a_run_knows_other_noises_from_its_own(tmp_path):
    import soundfile

    from train.data import FileCrops

    soundfile.write(tmp_path / "rain.wav", np.random.default_rng(0).standard_normal(RATE) * 0.1, RATE)
    noise = FileCrops(tmp_path, segment_samples=N, sample_rate=RATE, channels=1)
    assert CorruptedCrops(clean(), noise=noise).inventory() == {"//noise/rain.wav": RATE}


def test_rates_that_no_codec_has_are_refused():
    with pytest.raises(ZooError, match="neither MP3 nor Opus has a rate between 1 and 2 kbps"):
        CorruptedCrops(clean(), coding=0.1, coding_kbps=(1.0, 2.0))
