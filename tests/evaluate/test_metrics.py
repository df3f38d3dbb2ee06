"""Metrics against closed forms and against scipy in float64; padding, batches, silence and bad input."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from evaluate import metrics
from zoo.errors import ZooError
from zoo.nn import dsp

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 24000
TIMES = np.arange(RATE) / RATE  # one second


def noise(*shape, seed=0, scale=0.1):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@cache
def compiled(name):
    return jax.jit(metrics.METRICS[name].function, static_argnums=3)


def measure(name, x, y, n_samples=None, sample_rate=RATE):
    """One metric of mono (T,) or (T, C) signals as a float."""
    x, y = (jnp.asarray(np.reshape(z, (1, len(z), -1)), jnp.float32) for z in (x, y))
    lengths = jnp.array([x.shape[1] if n_samples is None else n_samples])
    return float(compiled(name)(x, y, lengths, sample_rate)[0])


def sine(frequency_hz, amplitude=0.5, phase=0.0):
    return amplitude * np.sin(2 * np.pi * frequency_hz * TIMES + phase)


# --- waveform ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 2])
def test_snr_of_a_scaled_copy(n_channels):
    x = noise(RATE, n_channels)
    assert measure("snr_db", x, 0.9 * x) == pytest.approx(20.0, abs=1e-4)
    assert measure("segmental_snr_db", x, 0.9 * x) == pytest.approx(20.0, abs=1e-4)


def test_snr_and_si_sdr_of_a_sine_in_orthogonal_sine():
    # an error of amplitude 0.05 at right angles to a signal of 0.5: 20 dB; a gain of 0.5 costs SNR only:
    # its error is 0.25 of the signal's own energy, plus 0.25 of the other error's
    signal, error = sine(440.0), sine(1000.0, 0.05, 1.0)
    assert measure("snr_db", signal, signal + error) == pytest.approx(20.0, abs=1e-3)
    assert measure("si_sdr_db", signal, signal + error) == pytest.approx(20.0, abs=1e-3)
    assert measure("si_sdr_db", signal, 0.5 * (signal + error)) == pytest.approx(20.0, abs=1e-3)
    expected = 10 * np.log10(1 / (0.25 + 0.25 * 0.01))
    assert measure("snr_db", signal, 0.5 * (signal + error)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("gain", [-3.0, 0.01, 0.5, 4.0])
def test_si_sdr_ignores_gain_and_offset(gain):
    x = noise(5000)
    y = x + noise(5000, seed=1)
    expected = measure("si_sdr_db", x, y)
    assert abs(expected) < 1.0
    assert measure("si_sdr_db", x, gain * y) == pytest.approx(expected, abs=1e-4)
    assert measure("si_sdr_db", x + 0.3, gain * y - 0.2) == pytest.approx(expected, abs=1e-3)


def test_si_sdr_takes_channels_together():
    # one gain for both channels: a copy whose right channel alone is halved is not a scaled copy
    x = noise(4000, 2)
    y = x * np.array([1.0, 0.5], np.float32)
    target = x.astype(np.float64) - x.mean()
    estimate = y.astype(np.float64) - y.mean()
    target *= np.vdot(target, estimate) / np.vdot(target, target)
    expected = 10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2))
    assert measure("si_sdr_db", x, y) == pytest.approx(expected, abs=1e-4)
    assert measure("si_sdr_db", x, 0.5 * x) == 100.0


def test_segmental_snr_clamps_each_segment_and_leaves_silence_out():
    segment = 480  # 20 ms
    x = noise(8 * segment)
    y = x.copy()
    y[: 2 * segment] *= 0.9  # 20 dB
    y[2 * segment : 4 * segment] *= 101.0  # -40 dB, counts as -10
    # segments 4 to 7 are copies: 35 dB each
    assert measure("segmental_snr_db", x, y) == pytest.approx((2 * 20 - 2 * 10 + 4 * 35) / 8, abs=1e-3)
    x[6 * segment :] *= 1e-3  # -80 dBFS: no longer counted, whatever the estimate holds there
    assert measure("segmental_snr_db", x, y) == pytest.approx((2 * 20 - 2 * 10 + 2 * 35) / 6, abs=1e-3)


def test_segmental_snr_counts_a_partial_last_segment_at_its_own_level():
    x = noise(480 + 10, scale=0.0012)  # just above -60 dBFS, in ten samples as well as in a whole segment
    x[480:] = 0.0012
    y = x.copy()
    y[:480] *= 0.9
    y[480:] *= 2.0
    assert measure("segmental_snr_db", x, y) == pytest.approx((20.0 + 0.0) / 2, abs=1e-3)


# --- spectral ---------------------------------------------------------------------------------------------------------


def magnitudes(x, n_fft):
    """(T,) -> (F, bins) float64 by scipy."""
    padded = np.pad(x.astype(np.float64), n_fft // 2)
    window = scipy.signal.get_window("hann", n_fft)
    *_, spec = scipy.signal.stft(
        padded, window=window, nperseg=n_fft, noverlap=3 * n_fft // 4, boundary=None, padded=False
    )
    return np.abs(spec.T) * window.sum()


def reference_distance(x, y, mels, clamp):
    total = 0.0
    for n_fft, n_mels in ((2048, 150), (512, 80)):
        a, b = magnitudes(x, n_fft), magnitudes(y, n_fft)
        if mels:
            filters = dsp.mel_filterbank(RATE, n_fft, n_mels).astype(np.float64)
            a, b = a @ filters, b @ filters
        if clamp == "power":
            logs = [np.log10(np.maximum(m**2, 1e-5)) for m in (a, b)]
        else:
            logs = [np.log10(np.maximum(m, 1e-5) ** 2) for m in (a, b)]
        total += np.mean(np.abs(logs[0] - logs[1])) + np.mean(np.abs(a - b))
    return total


@pytest.mark.parametrize("n_samples", [300, 5000, 12288])
@pytest.mark.parametrize("scale", [0.1, 1e-4])
def test_spectral_distances_are_scipys(n_samples, scale):
    # at the smaller scale most of the spectrum lies between the two clamps
    x, y = noise(n_samples, scale=scale), noise(n_samples, seed=1, scale=scale)
    for name, mels, clamp in (
        ("stft", False, "power"),
        ("stft_dac", False, "magnitude"),
        ("mel", True, "power"),
        ("mel_dac", True, "magnitude"),
    ):
        assert measure(name, x, y) == pytest.approx(reference_distance(x, y, mels, clamp), rel=1e-4), name


def test_channels_are_averaged_in_spectral_metrics():
    x, y = noise(6000, 2), noise(6000, 2, seed=1)
    for name in ("stft", "mel", "lsd_db", "segmental_snr_db"):
        alone = [measure(name, x[:, c], y[:, c]) for c in range(2)]
        assert alone[0] != alone[1]
        assert measure(name, x, y) == pytest.approx(np.mean(alone), rel=1e-5)


def test_a_gain_of_two_gives_the_log_terms_exactly():
    x = noise(RATE, scale=3.0)  # so loud that no mel band falls to the clamp
    for name, filters in (
        ("stft", lambda n_fft: np.eye(n_fft // 2 + 1)),
        ("mel", lambda n_fft: dsp.mel_filterbank(RATE, n_fft, {2048: 150, 512: 80}[n_fft])),
    ):
        linear = sum(np.mean(magnitudes(x, n_fft) @ filters(n_fft)) for n_fft in (2048, 512))
        # log10(2²) in each window
        assert measure(name, x, 2 * x) - linear == pytest.approx(2 * np.log10(4), abs=1e-5 * linear), name


def test_clamps_differ_below_a_magnitude_of_a_300th():
    x = noise(RATE, scale=1e-6)  # magnitudes around 3e-5: below 10^-2.5, where power is clamped, above 1e-5
    linear = sum(np.mean(magnitudes(x, n)) for n in (2048, 512))
    assert measure("stft", x, 2 * x) == pytest.approx(linear, rel=1e-3)
    assert measure("stft_dac", x, 2 * x) > linear + 0.8


@pytest.mark.parametrize("gain_db", [10.0, -6.0, 0.5])
def test_lsd_of_a_gain_is_the_gain(gain_db):
    x = noise(RATE)
    assert measure("lsd_db", x, x * 10 ** (gain_db / 20)) == pytest.approx(abs(gain_db), abs=1e-2)


def test_lsd_is_scipys_with_a_floor_80_db_below_the_reference():
    x, y = sine(3000.0) + noise(RATE, scale=1e-5), sine(3000.0, 0.4) + noise(RATE, seed=1, scale=1e-3)
    a, b = magnitudes(x.astype(np.float32), 2048), magnitudes(y.astype(np.float32), 2048)
    floor = np.max(a) * 1e-4
    assert np.mean(a < floor) > 0.3
    levels = [20 * np.log10(np.maximum(m, floor)) for m in (a, b)]
    expected = np.mean(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=-1)))
    assert measure("lsd_db", x, y) == pytest.approx(expected, rel=1e-4)


def low_passed(x, cutoff_hz, sample_rate):
    spectrum = np.fft.rfft(x)
    spectrum[np.fft.rfftfreq(len(x), 1 / sample_rate) >= cutoff_hz] = 0.0
    return np.fft.irfft(spectrum, len(x)).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [16000, 24000, 44100])
@pytest.mark.parametrize("cutoff_hz", [500.0, 2000.0, 5500.0, 7500.0])
def test_bandwidth_of_low_passed_noise_is_its_cutoff(cutoff_hz, sample_rate):
    x = noise(sample_rate)
    assert measure("bandwidth_hz", x, low_passed(x, cutoff_hz, sample_rate), sample_rate=sample_rate) == cutoff_hz


def test_bandwidth_ends_where_the_reference_does():
    x = low_passed(noise(RATE), 8000.0, RATE)
    # the first band above the edge still holds the window's side lobes
    assert measure("bandwidth_hz", x, noise(RATE, seed=1)) in (8000.0, 8500.0)
    assert measure("bandwidth_hz", x, x) in (8000.0, 8500.0)


def test_bandwidth_allows_a_loss_of_less_than_10_db():
    x = noise(RATE)
    low = low_passed(x, 4000.0, RATE)
    for loss_db, expected in ((9.5, RATE / 2), (12.0, 4000.0)):
        assert measure("bandwidth_hz", x, low + (x - low) * 10 ** (-loss_db / 20)) == expected


def test_bandwidth_is_capped_at_half_an_odd_sample_rate():
    x = noise(11025)
    assert measure("bandwidth_hz", x, x, sample_rate=11025) == 11025 / 2


# --- all together -----------------------------------------------------------------------------------------------------

LENGTHS = [9000, 1, 700, 4096]


def batch():
    x, y = noise(4, 9000, 2), noise(4, 9000, 2, seed=1)
    return x, (0.8 * x + 0.3 * y).astype(np.float32)


def test_padding_and_batch_composition_do_not_count():
    x, y = batch()
    for i, n in enumerate(LENGTHS):  # whatever lies beyond a clip: NaN, or far too loud
        x[i, n:], y[i, n:] = np.nan, 1e3
    together = metrics.compute(x, y, LENGTHS, RATE)
    assert list(together) == list(metrics.METRICS)
    for i, n in enumerate(LENGTHS):
        alone = metrics.compute(x[i : i + 1, :n], y[i : i + 1, :n], [n], RATE)
        for name, value in alone.items():
            assert value.dtype == np.float32
            assert together[name].shape == (4,)
            assert np.isfinite(value).all(), name
            np.testing.assert_allclose(together[name][i], value[0], rtol=1e-5, atol=1e-5, err_msg=f"{name}, clip {i}")


def test_order_of_the_batch_does_not_count():
    x, y = batch()
    order = [2, 0, 3, 1]
    straight = metrics.compute(x, y, LENGTHS, RATE)
    shuffled = metrics.compute(x[order], y[order], np.array(LENGTHS)[order], RATE)
    for name in metrics.METRICS:
        np.testing.assert_allclose(shuffled[name], straight[name][order], rtol=1e-6, err_msg=name)


def test_identical_signals():
    x, _ = batch()
    x[3] = 0.0  # silence against silence as well
    values = metrics.compute(x, x, LENGTHS, RATE)
    for name in ("stft", "mel", "stft_dac", "mel_dac", "lsd_db"):
        np.testing.assert_array_equal(values[name], 0.0, err_msg=name)
    for name, best in (("snr_db", 100.0), ("si_sdr_db", 100.0), ("segmental_snr_db", 35.0)):
        # a clip of one sample in two channels still has a mean and a deviation
        np.testing.assert_array_equal(values[name], best, err_msg=name)
    np.testing.assert_array_equal(values["bandwidth_hz"], [12000.0, 12000.0, 12000.0, 0.0])


def test_silence_and_nothing_at_all_are_finite():
    x, silence = noise(4, 3000, 1), np.zeros((4, 3000, 1), np.float32)
    lengths = [3000, 300, 1, 0]
    silent_reference = metrics.compute(silence, x, lengths, RATE)
    silent_estimate = metrics.compute(x, silence, lengths, RATE)
    for values in (silent_reference, silent_estimate):
        for name, value in values.items():
            assert np.isfinite(value).all(), name
    # the clip without samples equals its reference
    np.testing.assert_array_equal(silent_reference["snr_db"], [-100.0, -100.0, -100.0, 100.0])
    np.testing.assert_array_equal(silent_reference["segmental_snr_db"], [-10.0, -10.0, -10.0, 35.0])
    np.testing.assert_array_equal(silent_reference["bandwidth_hz"], 0.0)
    np.testing.assert_array_equal(silent_reference["si_sdr_db"][:2], -100.0)
    np.testing.assert_allclose(silent_estimate["snr_db"][:3], 0.0, atol=1e-5)
    np.testing.assert_array_equal(silent_estimate["si_sdr_db"][:2], -100.0)
    np.testing.assert_array_equal(silent_estimate["bandwidth_hz"], 0.0)


def test_a_constant_reference_is_silence_to_si_sdr():
    assert measure("si_sdr_db", np.full(7777, 0.3), noise(7777)) == -100.0


def test_a_nan_in_the_estimate_is_never_a_good_score():
    x = noise(1, 4000, 1)
    y = x.copy()
    y[0, 2000] = np.nan
    values = metrics.compute(x, y, [4000], RATE)
    assert values.pop("bandwidth_hz")[0] == 0.0
    for name, value in values.items():
        assert np.isnan(value[0]), name


def test_long_clips_lose_no_precision():
    n = 60 * RATE
    x, error = noise(n), noise(n, seed=1, scale=0.02)
    y = x + error
    expected = 10 * np.log10(np.sum(x.astype(np.float64) ** 2) / np.sum((x.astype(np.float64) - y) ** 2))
    assert measure("snr_db", x, y) == pytest.approx(expected, abs=1e-4)
    target = x.astype(np.float64) - x.mean(dtype=np.float64)
    estimate = y.astype(np.float64) - y.mean(dtype=np.float64)
    target *= np.dot(target, estimate) / np.dot(target, target)
    expected = 10 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2))
    assert measure("si_sdr_db", x, y) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "lengths", "culprit"),
    [
        ((2, 100), (2, 100), [100, 100], "two \\(B, T, C\\) arrays"),
        ((2, 100, 1), (2, 99, 1), [99, 99], "\\(2, 99, 1\\)"),
        ((2, 0, 1), (2, 0, 1), [0, 0], "\\(2, 0, 1\\)"),
        ((2, 100, 1), (2, 100, 1), [100], "2 lengths"),
        ((2, 100, 1), (2, 100, 1), [100, 101], "from 0 to 100"),
    ],
)
def test_bad_shapes_are_named(x_shape, y_shape, lengths, culprit):
    with pytest.raises(ZooError, match=culprit):
        metrics.compute(np.zeros(x_shape), np.zeros(y_shape), lengths, RATE)


def test_unknown_clamp_is_named():
    with pytest.raises(ZooError, match="'both'"):
        metrics.stft_distance(jnp.zeros((1, 9, 1)), jnp.zeros((1, 9, 1)), jnp.array([9]), clamp="both")  # type: ignore[arg-type]
