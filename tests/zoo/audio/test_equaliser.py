"""The equaliser: gains where they were asked for, and nothing of how the signal was cut."""

import numpy as np
import pytest

from zoo.audio.equaliser import Band, Equaliser, parse_bands
from zoo.errors import ZooError

RATE = 48_000


def gain_db(bands: tuple[Band, ...], frequency_hz: float) -> float:
    """Of a long tone, after the filters have settled."""
    t = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * frequency_hz * t)[:, None].astype(np.float32)
    out = Equaliser(bands, RATE, 1).push(tone)
    return 20 * float(np.log10(np.abs(out[RATE // 2 :]).max() / np.abs(tone[RATE // 2 :]).max()))


def test_bands_have_their_gain_at_their_centre_and_none_far_away():
    bands = parse_bands("200:-3,3000:+2")
    assert gain_db(bands, 200) == pytest.approx(-3, abs=0.05)
    assert gain_db(bands, 3000) == pytest.approx(2, abs=0.05)
    assert gain_db(bands, 20) == pytest.approx(0, abs=0.1)
    assert gain_db(bands, 20_000) == pytest.approx(0, abs=0.1)


def test_a_bell_has_half_its_gain_half_an_octave_away():
    for edge in (2**-0.5, 2**0.5):
        assert gain_db((Band(1000.0, 12.0),), 1000 * edge) == pytest.approx(6, abs=0.15)
    assert gain_db(parse_bands("1000:12:8"), 1000 * 2**0.5) < 1.5


def test_cuts_change_nothing():
    audio = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    bands = parse_bands("100:6,9000:-12")
    whole = Equaliser(bands, RATE, 2).push(audio)
    cut = Equaliser(bands, RATE, 2)
    parts = [cut.push(part) for part in np.split(audio, [0, 1, 77, 78, 3000])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_gain_and_its_negative_cancel():
    audio = np.random.default_rng(1).standard_normal((3000, 1)).astype(np.float32)
    back = Equaliser(parse_bands("700:9,700:-9"), RATE, 1).push(audio)
    np.testing.assert_allclose(back, audio, atol=1e-5)


def test_without_bands_nothing_happens():
    audio = np.ones((10, 1), np.float32)
    assert Equaliser((), RATE, 1).push(audio) is audio


@pytest.mark.parametrize("text", ["", "200", "200:-3,", "a:b", "200:1:2:3"])
def test_other_words_are_refused(text):
    with pytest.raises(ZooError, match="a band is HZ:DB or HZ:DB:Q"):
        parse_bands(text)


@pytest.mark.parametrize("text", ["0:3", "24000:3", "-5:3", "nan:3", "100:41", "100:nan", "100:3:0", "100:3:inf"])
def test_values_without_sense_are_refused(text):
    with pytest.raises(ZooError, match="eq "):
        Equaliser(parse_bands(text), RATE, 1)
