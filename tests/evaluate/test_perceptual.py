"""Perceptual metrics: known scores, monotony, rates and channels, what is not defined, missing libraries."""

import runpy
import sys
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal

from evaluate import perceptual
from zoo import audio
from zoo.errors import ZooError

RATE = 16000
MODULES = {"visqol": "visqol", "pesq": "pesq", "stoi": "pystoi", "estoi": "pystoi"}
IDENTITY = {
    "visqol": 4.7321,  # castanets_identity of the C++ program's conformance tests
    "pesq": 0.999 + 4 / (1 + np.exp(-1.3669 * 4.5 + 3.8224)),  # ITU-T P.862.2 of a raw score of 4.5
    "stoi": 1.0,
    "estoi": 1.0,
}
every_metric = pytest.mark.parametrize("name", list(MODULES))


def babble(seconds=1.2, rate=RATE, channels=1, seed=0):
    """Something like speech, (T, C): a gliding voice and breath in syllables, other in each channel."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    columns = []
    for c in range(channels):
        pitch = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * (0.9 + 0.3 * c) * t)) / rate
        weights = rng.uniform(0.1, 1.0, 40) / np.arange(1, 41)
        voice = sum(w * np.sin((k + 1) * pitch + rng.uniform(0, 6)) for k, w in enumerate(weights))
        syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + c), 0.0, 1.0) ** 2
        shape = np.fft.rfft(rng.standard_normal(len(t)))
        shape /= np.sqrt(np.maximum(np.fft.rfftfreq(len(t), 1 / rate), 50.0) / 50.0)
        breath = np.fft.irfft(shape, len(t))
        columns.append(0.15 * (voice + 2.0 * breath) * (syllables + 0.03))
    return np.stack(columns, axis=1).astype(np.float32)


def noisy(x, snr_db, seed=1):
    noise = np.random.default_rng(seed).standard_normal(x.shape)
    return (x + noise * np.sqrt(np.mean(x**2)) * 10 ** (-snr_db / 20)).astype(np.float32)


def measure(name, x, y, rate=RATE):
    pytest.importorskip(MODULES[name])
    return perceptual.compute(x, y, rate, names=[name])[name]


# --- scores -----------------------------------------------------------------------------------------------------------


@every_metric
def test_identity_reaches_the_known_top(name):
    x = babble()
    assert measure(name, x, x) == pytest.approx(IDENTITY[name], abs=5e-5)
    assert perceptual.METRICS[name].identity == pytest.approx(IDENTITY[name], abs=5e-5)


@every_metric
def test_scores_fall_with_noise_and_stay_in_range(name):
    x = babble()
    metric = perceptual.METRICS[name]
    # below some 5 dB neither ViSQOL nor PESQ keeps the order of artificial noise
    scores = [measure(name, x, noisy(x, snr_db)) for snr_db in (60, 40, 25, 10)]
    assert all(better > worse for better, worse in pairwise(scores))
    assert metric.identity - 0.01 < scores[0] <= metric.identity + 5e-5
    assert scores[-1] > metric.lowest


def test_scores_are_the_libraries_own():
    """At a metric's own rate nothing stands between the samples and the library."""
    pypesq, pystoi = pytest.importorskip("pesq"), pytest.importorskip("pystoi")
    x = babble()
    y = noisy(x, 12)
    assert measure("pesq", x, y) == pytest.approx(pypesq.pesq(16000, x[:, 0], y[:, 0], "wb"), abs=1e-5)
    expected = pystoi.stoi(x[:, 0], y[:, 0], 10000)
    assert measure("stoi", x, y, 10000) == pytest.approx(expected, abs=1e-5)
    expected = pystoi.stoi(x[:, 0], y[:, 0], 10000, extended=True)
    assert measure("estoi", x, y, 10000) == pytest.approx(expected, abs=1e-5)
    # pystoi's own resampler, made like Octave's, beside ours
    assert measure("stoi", x, y) == pytest.approx(pystoi.stoi(x[:, 0], y[:, 0], RATE), abs=1e-3)


@pytest.mark.parametrize(("name", "abs_"), [("pesq", 0.02), ("stoi", 1e-3), ("estoi", 2e-3)])
def test_the_sample_rate_of_the_clip_does_not_matter(name, abs_):
    x = babble()
    y = noisy(x, 15)
    x44, y44 = (audio.resample(z, RATE, 44100) for z in (x, y))
    assert measure(name, x44, y44, 44100) == pytest.approx(measure(name, x, y), abs=abs_)


def test_visqol_follows_bandwidth_and_hears_no_gain():
    x = babble(rate=48000)
    scores = []
    for cutoff_hz in (15000, 12000, 7000):
        sos = scipy.signal.butter(10, cutoff_hz, fs=48000, output="sos")
        y = scipy.signal.sosfiltfilt(sos, x, axis=0).astype(np.float32)
        scores.append(measure("visqol", x, y, 48000))
    assert 4.0 > scores[0] > scores[1] + 0.5 > scores[2] + 1.0
    assert measure("visqol", x, 0.5 * x, 48000) == pytest.approx(IDENTITY["visqol"], abs=5e-5)


@every_metric
def test_channels_are_judged_alone_and_averaged(name):
    x = babble(1.0, channels=2)
    y = np.concatenate([x[:, :1], noisy(x[:, 1:], 5)], axis=1)
    right = measure(name, x[:, 1:], y[:, 1:])
    assert measure(name, x, y) == pytest.approx((IDENTITY[name] + right) / 2, abs=5e-5)


@every_metric
def test_equal_input_gives_equal_scores_whatever_the_global_generator(name):
    x = babble(1.0)
    # nothing above 2 kHz: in those bands pystoi's dither is all that ESTOI compares
    y = audio.resample(audio.resample(noisy(x, 20), RATE, 4000), 4000, RATE)
    np.random.seed(1)
    first = measure(name, x, y)
    np.random.seed(2)
    expected = np.random.get_state()[1].copy()
    assert measure(name, x, y) == first
    np.testing.assert_array_equal(np.random.get_state()[1], expected)  # and leaves it as it was


# --- what is not defined ----------------------------------------------------------------------------------------------


@every_metric
def test_a_silent_reference_has_no_score(name):
    x = babble(1.0)
    for silence in (np.zeros_like(x), np.full_like(x, 0.2)):  # a constant is not heard either
        assert measure(name, silence, x) is None
        assert measure(name, silence, silence) is None


@every_metric
def test_a_silent_estimate_gets_the_lowest_score(name):
    x = babble(1.0)
    assert measure(name, x, np.zeros_like(x)) == perceptual.METRICS[name].lowest


@every_metric
def test_a_silent_channel_is_left_out(name):
    x = babble(1.0)
    y = noisy(x, 10)
    silent = np.zeros_like(x)
    stereo = measure(name, np.concatenate([x, silent], axis=1), np.concatenate([y, silent], axis=1))
    assert stereo == pytest.approx(measure(name, x, y), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "too_short_s", "long_enough_s"),
    [("visqol", 0.9, 1.0), ("pesq", 0.24, 0.5), ("stoi", 0.38, 0.6), ("estoi", 0.38, 0.6)],
)
def test_a_clip_too_short_has_no_score(name, too_short_s, long_enough_s):
    x = babble(1.2)[1000:]
    for n_samples in (1, 100, round(too_short_s * RATE)):
        assert measure(name, x[:n_samples], x[:n_samples]) is None
        assert measure(name, x[:n_samples], np.zeros_like(x[:n_samples])) is None
    n_samples = round(long_enough_s * RATE)
    assert measure(name, x[:n_samples], x[:n_samples]) == pytest.approx(IDENTITY[name], abs=5e-5)


def test_pesq_without_an_utterance_has_no_score(monkeypatch):
    pypesq = pytest.importorskip("pesq")

    def find_nothing(*_):
        raise pypesq.NoUtterancesError("No utterances detected")

    monkeypatch.setattr(pypesq, "pesq", find_nothing)
    x = babble(1.0)
    assert measure("pesq", x, noisy(x, 10)) is None


def test_an_estimate_beyond_comparison_gets_the_lowest_score(monkeypatch):
    pypesq = pytest.importorskip("pesq")

    def find_only_itself(rate, x, y, mode):
        if not np.array_equal(x, y):
            raise pypesq.NoUtterancesError("No utterances detected")
        return 4.6

    monkeypatch.setattr(pypesq, "pesq", find_only_itself)
    x = babble(1.0)
    assert measure("pesq", x, noisy(x, 10)) == 1.0


def test_pesq_of_a_clip_with_many_utterances():
    """By itself the library overruns its table of 50 utterances here, and takes the process with it."""
    n_samples = 60 * RATE
    bursts = (np.arange(n_samples) / RATE % 0.5) < 0.25
    x = (0.1 * np.random.default_rng(0).standard_normal(n_samples) * bursts).astype(np.float32)[:, None]
    assert measure("pesq", x, x) == pytest.approx(IDENTITY["pesq"], abs=5e-5)


def test_pesq_of_a_long_clip_is_the_mean_of_its_parts():
    x = babble(17.0)
    y = x.copy()
    y[len(x) // 2 :] = noisy(x[len(x) // 2 :], 10)
    second = measure("pesq", x[len(x) // 2 :], y[len(x) // 2 :])
    assert measure("pesq", x, y) == pytest.approx((IDENTITY["pesq"] + second) / 2, abs=5e-3)
    y[len(x) // 2 :] = 0  # a silent half scores lowest, it is not passed over
    assert measure("pesq", x, y) == pytest.approx((IDENTITY["pesq"] + 1.0) / 2, abs=5e-3)
    x[len(x) // 2 :] = 0  # unless there is nothing to be heard there
    assert measure("pesq", x, y) == pytest.approx(IDENTITY["pesq"], abs=5e-3)


# --- bad input and missing libraries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((10, 1), np.float32), np.zeros((11, 1), np.float32), r"one shape .* \(10, 1\), \(11, 1\)"),
        (np.zeros((10, 1), np.float32), np.zeros((10, 2), np.float32), "one shape"),
        (np.zeros(10, np.float32), np.zeros(10, np.float32), r"reference: expected samples \(T, C\)"),
        (np.zeros((10, 1), np.float32), np.full((10, 1), np.nan, np.float32), "estimate: NaN at sample 0"),
    ],
)
def test_bad_input_is_named(x, y, message):
    with pytest.raises(ZooError, match=message):
        perceptual.compute(x, y, RATE, names=())


def test_an_unknown_metric_is_named_beside_those_there_are():
    with pytest.raises(ZooError, match="no perceptual metric 'polqa': choose among visqol, pesq, stoi, estoi"):
        perceptual.require(["pesq", "polqa"])


def test_missing_libraries_are_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    monkeypatch.setitem(sys.modules, "visqol", None)
    install = "pip install -e '.[perceptual]'"
    assert perceptual.available() == {
        "visqol": f"visqol-python is not installed: {install}",
        "pesq": f"pesq is not installed: {install}",
        "stoi": f"pystoi is not installed: {install}",
        "estoi": f"pystoi is not installed: {install}",
    }
    message = f"perceptual metrics pesq, stoi, estoi: pesq is not installed, pystoi is not installed: {install}"
    with pytest.raises(ZooError) as caught:
        perceptual.require(["pesq", "stoi", "estoi"])
    assert str(caught.value) == message
    with pytest.raises(ZooError, match="visqol-python is not installed"):
        perceptual.compute(babble(1.0), babble(1.0), RATE)
    assert perceptual.compute(babble(1.0), babble(1.0), RATE, names=()) == {}


def test_one_missing_library_leaves_the_others(monkeypatch):
    pytest.importorskip("pystoi")
    monkeypatch.setitem(sys.modules, "pesq", None)
    assert perceptual.available()["stoi"] is None
    assert perceptual.available()["pesq"] is not None
    x = babble(1.0)
    assert perceptual.compute(x, x, RATE, names=["stoi"])["stoi"] == pytest.approx(1.0)


def test_a_broken_compiled_part_is_a_reason(monkeypatch):
    def import_module(name):
        raise OSError(f"{name}.so:\n wrong ELF class")

    monkeypatch.setattr(perceptual.importlib, "import_module", import_module)
    expected = "pesq cannot be imported (pesq.so: wrong ELF class): pip install -e '.[perceptual]'"
    assert perceptual.available()["pesq"] == expected


def test_the_module_imports_without_any_of_them(monkeypatch):
    for module in ("visqol", "libsvm", "pesq", "pystoi", "numba"):
        monkeypatch.setitem(sys.modules, module, None)
    assert set(runpy.run_path(perceptual.__file__)["METRICS"]) == set(MODULES)
