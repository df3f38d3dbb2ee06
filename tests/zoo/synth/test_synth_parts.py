"""What the procedural generator is built from, against closed forms and direct computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.synth import core, instruments, music, room, voice

RATE = 24000


def _rng(index: int = 0) -> core.Rng:
    return core.generator(0, index, False)


def _power(x: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 150), st.integers(8000, 48000), st.integers(0, 10**6))
def test_tones_equal_the_sum_of_decaying_sinusoids(n: int, k: int, rate: int, index: int) -> None:
    rng = _rng(index)
    hz, amplitude = rng.uniform(20.0, 0.47 * rate, k), rng.uniform(0.1, 1.0, k)
    decay, phase = rng.uniform(-1.0, 60.0, k), rng.random(k)
    t = np.arange(n)[:, None] / rate
    want = (amplitude * np.exp(-decay * t) * np.cos(2 * np.pi * (hz * t + phase))).sum(axis=1)
    got = core.tones(hz, amplitude, decay, phase, n, rate)
    np.testing.assert_allclose(got, want, atol=2e-5 * np.sqrt(k) * np.exp(n / rate))


def test_partials_above_nyquist_are_dropped_and_the_rest_is_rate_independent() -> None:
    hz = np.array([1000.0, 5000.0, 11000.0, 13000.0, 30000.0])
    ones, zeros = np.ones(5), np.zeros(5)
    low = core.tones(hz, ones, ones, zeros, 12000, 24000)
    high = core.tones(hz[:3], ones[:3], ones[:3], zeros[:3], 24000, 48000)
    np.testing.assert_allclose(low, high[::2], atol=1e-4)
    assert not core.tones(hz[3:], ones[3:], ones[3:], zeros[3:], 4000, 24000).any()


def test_wavetable_has_only_its_harmonics() -> None:
    f0, count = 1500, 7
    table = core.cycle(np.ones(count), _rng().random(count))
    x = core.oscillate(table, np.arange(RATE) * (f0 / RATE))
    np.testing.assert_allclose(np.mean(x**2), 1.0, rtol=1e-3)
    power = np.abs(np.fft.rfft(x)) ** 2
    harmonics = f0 * np.arange(1, count + 1)
    np.testing.assert_allclose(power[harmonics] / power[f0], 1.0, rtol=1e-3)
    assert power.sum() - power[harmonics].sum() < 1e-6 * power.sum()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 200), st.integers(1, 60), st.integers(0, 10**6))
def test_ramp_is_linear_interpolation(n: int, hop: int, points: int, index: int) -> None:
    values = _rng(index).standard_normal(points, dtype=np.float32)
    want = np.interp(np.arange(n), np.arange(points) * float(hop), values)
    np.testing.assert_allclose(core.ramp(values, hop, n), want, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.integers(1, 40), st.lists(st.integers(-60, 120), min_size=1, max_size=8))
def test_scatter_and_bus_cut_at_the_edges(n: int, length: int, starts: list[int]) -> None:
    rows = _rng().standard_normal((len(starts), length), dtype=np.float32)
    wide = np.zeros(400, np.float32)
    for start, row in zip(starts, rows):
        wide[150 + start : 150 + start + length] += row
    out, bus = np.zeros(n, np.float32), core.Bus(np.zeros((1, n), np.float32), RATE)
    core.scatter(out, np.array(starts), rows)
    for start, row in zip(starts, rows):
        bus.add(row, start=start)
    np.testing.assert_array_equal(out, wide[150 : 150 + n])
    np.testing.assert_array_equal(bus.data[0], out)


def test_panning_keeps_power() -> None:
    for pan in (-1.0, -0.3, 0.0, 1.0):
        bus = core.Bus(np.zeros((2, 8), np.float32), RATE)
        bus.add(np.ones(8, np.float32), pan=pan)
        np.testing.assert_allclose((bus.data**2).sum(axis=0), 2.0, rtol=1e-5)


def test_noises_follow_their_spectra() -> None:
    x = core.white(_rng(1), 2**18)
    np.testing.assert_allclose([x.mean(), x.std()], [0.0, 1.0], atol=0.01)
    assert np.abs(np.correlate(x, x[100:-100], "valid")[:99]).max() < 0.02 * len(x)
    knots, gains = np.array([100.0, 1000.0, 10000.0]), np.array([0.0, -6.0, -40.0])
    n = 2**17
    y = core.shaped(_rng(2), n, core.curve(n, RATE, knots, gains))
    np.testing.assert_allclose(y.std(), 1.0, rtol=0.01)
    hz, power = np.fft.rfftfreq(n, 1 / RATE), np.abs(np.fft.rfft(y)) ** 2
    level = [10 * np.log10(power[(hz > 0.98 * f) & (hz < 1.02 * f)].mean()) for f in (1000.0, 3162.3, 10000.0)]
    np.testing.assert_allclose(np.diff(level), [-17.0, -17.0], atol=1.0)
    magnitude = np.zeros((400, 121), np.float32)
    magnitude[100:200, 30:61] = 2.0
    z = core.noise_frames(_rng(3), magnitude, 400 * 120)
    inside = z[105 * 120 : 195 * 120]
    np.testing.assert_allclose(np.mean(inside**2), 4.0 * 31 / 120, rtol=0.1)
    power = _power(inside)
    hz = np.fft.rfftfreq(len(inside), 1 / RATE)
    assert power[(hz > 2900) & (hz < 6100)].sum() > 0.98 * power.sum()
    assert not z[: 98 * 120].any()


@given(st.integers(1, 10**6))
def test_fast_length_is_the_next_smooth_even_number(n: int) -> None:
    size = core.fast_length(n)
    assert size >= n
    assert size % 2 == 0
    rest = size
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert size <= max(2, 1.3 * n + 2)


@pytest.mark.parametrize(("f0", "rate"), [(110.0, 24000), (220.0, 16000), (151.3, 44100), (400.0, 24000)])
def test_voice_has_harmonics_of_f0_and_peaks_at_its_formants(f0: float, rate: int) -> None:
    frames = 2 * rate // voice.frame_length(rate) + 4
    rest = voice.Tracks.rest(frames)
    tracks = voice.Tracks(
        np.full(frames, f0), np.tile([730.0, 1090.0, 2440.0], (frames, 1)), np.ones(frames), *(np.zeros((2, frames))),
        rest.hiss_hz, rest.hiss_width_hz,
    )  # fmt: skip
    who = voice.Speaker(f0, 1.0, 4000.0, 1.0, 0.0, 0.0, 0.0, 1.0, False)
    x = voice.render(tracks, who, _rng(), 2 * rate, rate)[rate // 4 : rate // 4 + rate]
    np.testing.assert_allclose(np.sqrt(np.mean(x**2)), 1.0, rtol=0.15)
    power = _power(x)
    # frames are a whole number of samples, so the pitch is exact only where 5 ms is one
    harmonics = np.arange(1, int(5000 / f0)) * f0

    def around(hz: np.ndarray) -> np.ndarray:
        reach = 4
        return np.array([power[int(h) - reach : int(h) + reach + 2].max() for h in hz])

    at, between = 10 * np.log10(around(harmonics)), 10 * np.log10(around(harmonics[:-1] + f0 / 2))
    assert np.all(np.minimum(at[:-1], at[1:]) - between > 30.0)
    if f0 < 160.0:
        envelope = np.interp(np.arange(200.0, 4000.0, 10.0), harmonics, at)
        grid = np.arange(200.0, 4000.0, 10.0)
        assert abs(grid[np.argmax(envelope)] - 730.0) < 0.75 * f0 or abs(grid[np.argmax(envelope)] - 1090.0) < 0.75 * f0
        valley = envelope[(grid > 1500) & (grid < 2100)].min()
        assert envelope[(grid > 2300) & (grid < 2600)].max() > valley + 4.0


def test_whisper_has_no_pitch() -> None:
    frames = RATE // voice.frame_length(RATE) + 4
    rest = voice.Tracks.rest(frames)
    tracks = voice.Tracks(
        rest.f0_hz, rest.formants_hz, np.ones(frames), np.full(frames, 0.3), rest.hiss, rest.hiss_hz, rest.hiss_width_hz
    )
    spoken, whispered = (
        voice.render(tracks, voice.Speaker(120.0, 1.0, 3000.0, 1.0, 0.0, 0.0, 0.0, 1.0, w), _rng(), RATE, RATE)
        for w in (False, True)
    )

    def periodicity(x: np.ndarray) -> float:
        lag = RATE // 120
        return float(np.dot(x[lag:], x[:-lag]) / np.dot(x, x))

    assert periodicity(spoken) > 0.8
    assert periodicity(whispered) < 0.5


def test_drums_have_transients_and_a_kick_falls_in_pitch() -> None:
    jumps = []
    for i in range(10):
        rng = _rng(i)
        bus = core.Bus(np.zeros((1, 2 * RATE), np.float32), RATE)
        grid = music.Grid(0.125, rng.uniform(0.0, 64.0), 50.0, music.SCALES[0], music.PROGRESSIONS[0], 16, 0.0)
        music.PARTS["drums"](bus, rng, grid, 2.0, 1.0, 0.0)
        level = 10 * np.log10(np.mean(bus.data.reshape(-1, 120) ** 2, axis=1) + 1e-6)
        jumps.append(np.diff(level).max())
    assert np.median(jumps) > 15.0
    for i in range(5):
        x = instruments.kick(_rng(i), 48000)
        # skip the click, then count samples between rising zero crossings
        up = np.flatnonzero((x[:-1] <= 0) & (x[1:] > 0))
        periods = np.diff(up[up > 48000 * 0.03])
        assert periods[-1] >= periods[0]
        assert 30.0 < 48000 / periods[-1] < 90.0


def test_a_note_entered_late_continues_its_own_decay() -> None:
    k = np.arange(1.0, 9.0)
    timbre = instruments.Timbre(k, k**-0.5, 1.0 + k, 0.002, 0.1, 0.0, 0.5)
    hz, velocity = 220.0, 0.7
    for age_s in (0.0, 0.5, 1.0):
        x = timbre.note(_rng(), hz, velocity, age_s, 1.5, RATE, RATE)
        t = age_s + np.arange(6000) / RATE
        amplitude = (velocity * k ** (-0.5 - 0.5 * (1.0 - velocity)))[:, None] * np.exp(-(1.0 + k)[:, None] * t)
        np.testing.assert_allclose(
            np.mean(x[480:6000] ** 2), 0.5 * np.mean(amplitude[:, 480:] ** 2) * len(k), rtol=0.05
        )
    damped = timbre.note(_rng(), hz, velocity, 0.0, 0.4, RATE, RATE)
    held = timbre.note(_rng(), hz, velocity, 0.0, 9.0, RATE, RATE)
    np.testing.assert_array_equal(damped[:9000], held[:9000])
    after = int(0.6 * RATE)  # two release times later: e^(-3.6)
    np.testing.assert_allclose(damped[after] / held[after], np.exp(-3.6), rtol=1e-3)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.5])
def test_room_decays_by_sixty_decibels_in_its_reverberation_time(seconds: float) -> None:
    response = room.impulse_response(_rng(4), 2 * RATE, RATE, seconds)
    np.testing.assert_allclose(np.sum(response**2), 1.0, rtol=1e-3)
    energy = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] + 1e-12)  # Schroeder's backward integral
    tail = energy - energy[int(0.08 * RATE)]
    a, b = np.argmax(tail < -5.0), np.argmax(tail < -25.0)
    assert 0.45 * seconds < 3.0 * (b - a) / RATE < 1.15 * seconds  # treble dies sooner, so a little shorter at first


def test_compression_reduces_dynamics_but_adds_no_frequency() -> None:
    t = np.arange(2 * RATE) / RATE
    quiet_loud = np.where(t < 1.0, 0.05, 0.5) * np.sin(2 * np.pi * 1000 * t)
    out = room.compress(quiet_loud.astype(np.float32)[None], RATE, 0.6)[0]
    before = 20 * np.log10(0.5 / 0.05)
    after = 10 * np.log10(np.mean(out[30000:] ** 2) / np.mean(out[:18000] ** 2))
    assert after < 0.7 * before
    power = _power(out[26000:])
    hz = np.fft.rfftfreq(len(out[26000:]), 1 / RATE)
    assert power[np.abs(hz - 1000) > 200].sum() < 1e-6 * power.sum()
