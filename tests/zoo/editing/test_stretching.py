"""Time and pitch of waveforms: exact lengths, pitches and places, however the audio comes, at constant memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from zoo import editing
from zoo.editing.overlap_add import ShortOverlapAdd
from zoo.editing.phase_vocoder import PhaseVocoder, regions
from zoo.editing.separation import Separator
from zoo.editing.stretching import PitchShifter, Stretcher
from zoo.errors import ZooError

RATE = 16_000


def tone(hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hz * t))[:, None].astype(np.float32)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def frequency(audio: np.ndarray, rate: int = RATE) -> float:
    """The strongest one in the middle half, Hz."""
    middle = audio[len(audio) // 4 : 3 * len(audio) // 4, 0]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 19))
    return float(np.argmax(spectrum)) * rate / (1 << 19)


def run(process, audio: np.ndarray, cuts: list[int]) -> np.ndarray:
    return np.concatenate([*(process.push(block) for block in np.split(audio, cuts)), process.finish()])


def test_both_parts_add_up_and_are_told_apart():
    audio = tone(440)
    audio[8000:8100] += noise(100, 1, seed=3)
    separator = Separator(RATE, 1)
    first, rest = separator.push(audio), separator.finish()
    harmonic = np.concatenate([first.harmonic, rest.harmonic])
    percussive = np.concatenate([first.percussive, rest.percussive])
    np.testing.assert_allclose(harmonic + percussive, audio, atol=1e-6)
    assert np.square(percussive[2000:7000]).mean() < 1e-4 * np.square(audio[2000:7000]).mean()
    assert np.square(percussive[8000:8100]).mean() > 0.7 * 0.04


@pytest.mark.parametrize("process", [PhaseVocoder, ShortOverlapAdd])
def test_a_factor_of_one_is_the_identity(process):
    audio = noise(9000, 2)
    np.testing.assert_allclose(run(process(1.0, RATE, 2), audio, [100, 5000]), audio, atol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_tone_keeps_its_pitch_and_level(factor):
    audio = tone(441.7)
    stretched = editing.stretch(audio, RATE, factor)
    assert stretched.shape == (round(len(audio) * factor), 1)
    assert stretched.dtype == np.float32
    assert 1200 * abs(np.log2(frequency(stretched) / 441.7)) < 0.5
    middle = stretched[len(stretched) // 4 : 3 * len(stretched) // 4]
    assert np.sqrt(np.square(middle).mean()) == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("factor", [0.7, 1.5, 2.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_constant_and_the_highest_frequency_keep_their_level(factor, sign):
    audio = (0.5 * sign ** np.arange(RATE))[:, None].astype(np.float32)
    stretched = run(PhaseVocoder(factor, RATE, 1), audio, [])
    middle = stretched[len(stretched) // 4 : 3 * len(stretched) // 4]
    np.testing.assert_allclose(middle if sign > 0 else np.abs(middle), 0.5, atol=1e-5)


@pytest.mark.parametrize("hz", [2, 5])
def test_what_is_too_low_to_be_heard_hardly_loses_level(hz):
    audio = tone(hz, 4.0)
    stretched = editing.stretch(audio, RATE, 1.5)
    middle = stretched[len(stretched) // 4 : 3 * len(stretched) // 4]
    assert np.sqrt(np.square(middle).mean()) == pytest.approx(0.4 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("semitones", [-7, -0.5, 3, 12])
def test_a_shift_moves_the_pitch_alone(semitones):
    audio = tone(441.7)
    shifted = editing.pitch(audio, RATE, semitones)
    assert shifted.shape == audio.shape
    assert 1200 * abs(np.log2(frequency(shifted) / 441.7) - semitones / 12) < 0.5


@pytest.mark.parametrize("factor", [0.6, 1.5, 2.0])
def test_strokes_come_when_they_must_and_stay_short(factor):
    audio = np.zeros((2 * RATE, 1), np.float32)
    places = [4000, 12_345, 21_003]
    for place in places:
        audio[place : place + 64] = noise(64, 1, seed=place)
    stretched = np.square(editing.stretch(audio, RATE, factor)[:, 0])
    reach = round(0.02 * RATE)
    inside = 0.0
    for place in places:
        centre = round((place + 32) * factor)
        near = stretched[centre - reach : centre + reach].sum()
        assert near > 0.5 * np.square(audio[place : place + 64]).sum() * min(factor, 1)
        inside += near
    assert inside > 0.95 * stretched.sum()


def test_channels_stay_where_they_are():
    left = tone(300) + 0.3 * tone(1234)
    audio = np.concatenate([left, 0.5 * left, -left], axis=1)
    stretched = editing.stretch(audio, RATE, 1.4)
    np.testing.assert_allclose(stretched[:, 1], 0.5 * stretched[:, 0], atol=1e-5)
    np.testing.assert_allclose(stretched[:, 2], -stretched[:, 0], atol=1e-5)


@pytest.mark.parametrize("make", [lambda: Stretcher(1.3, RATE, 2), lambda: PitchShifter(-2, RATE, 2)])
def test_blocks_of_any_size_give_what_one_gives(make):
    audio = noise(RATE + 77, 2)
    cuts = sorted(np.random.default_rng(0).integers(0, len(audio), 7).tolist())
    whole = run(make(), audio, [])
    np.testing.assert_allclose(run(make(), audio, cuts), whole, atol=1e-6)


def test_shapes_and_very_short_clips():
    for n in (1, 2, 100):
        assert editing.stretch(noise(n), RATE, 1.7).shape == (round(n * 1.7),)
        assert editing.pitch(noise(n, 2), RATE, 5).shape == (n, 2)
    assert editing.stretch(noise(2, 500, 1), RATE, 0.3).shape == (2, 150, 1)
    np.testing.assert_array_equal(editing.stretch(np.zeros(3000, np.float32), RATE, 0.7), np.zeros(2100))
    np.testing.assert_allclose(editing.pitch(tone(440, 0.2), RATE, 0), tone(440, 0.2), atol=1e-6)


def test_memory_does_not_depend_on_the_length():
    peaks = []
    for seconds in (10, 30):
        stretcher = Stretcher(1.25, 8000, 1)
        tracemalloc.start()
        n = sum(len(stretcher.push(noise(8000, 1, seed=i))) for i in range(seconds)) + len(stretcher.finish())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n == seconds * 10_000
    assert peaks[1] < 1.1 * peaks[0]


def test_blocks_of_pcm_are_scaled_as_audio_is():
    audio = np.round(noise(4000, 1) * 8191).astype(np.int16)
    stretcher = Stretcher(1.3, RATE, 1)
    stretched = np.concatenate([stretcher.push(audio[:3000, 0]), stretcher.push(audio[3000:]), stretcher.finish()])
    np.testing.assert_array_equal(stretched, editing.stretch(audio, RATE, 1.3))


def test_regions_of_a_spectrum_end_midway_between_peaks():
    power = np.zeros(100)
    power[[20, 50]] = 5
    power[21] = 4
    np.testing.assert_array_equal(regions(power), [0, 35])
    np.testing.assert_array_equal(regions(np.zeros(10)), [0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: editing.stretch(noise(10), RATE, 0), "factor 0 is not between 0.1 and 10"),
        (lambda: editing.stretch(noise(10), RATE, float("nan")), "factor nan"),
        (lambda: editing.stretch(noise(10), RATE, 1e9), "factor 1e"),
        (lambda: editing.pitch(noise(10), RATE, 99), "99 semitones are not between -36 and 36"),
        (lambda: editing.stretch(np.zeros(0, np.float32), RATE, 2), "not empty"),
        (lambda: editing.equalise(noise(10), RATE, "9000:3"), "frequency must lie between"),
        (lambda: editing.equalise(noise(10), RATE, 3), "eq must be a text such as 200:-3"),
        (lambda: Stretcher(1.3, RATE, 0), "channels must be at least 1"),
        (lambda: Stretcher(1.3, 0, 1), "sample_rate 0"),
        (lambda: Stretcher(1.3, RATE, 2).push(noise(10, 2).T), r"a block must be \(m, 2\), got .*give block.T"),
        (lambda: PitchShifter(3, RATE, 1).push(np.full(9, np.nan, np.float32)), "NaN or infinity, first at sample 0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ZooError, match=words):
        call()
