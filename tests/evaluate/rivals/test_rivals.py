"""Rivals on known signals: what they are charged, and that what comes back lies in its place at its level."""

from __future__ import annotations

import functools
import io
import sys

import numpy as np
import pytest
import soundfile
from scipy import signal

from evaluate import rivals
from evaluate.clips import Clip
from evaluate.rivals.rival import SoundfileRival
from evaluate.run import Trial, run
from evaluate.systems import Coded
from zoo import audio
from zoo.errors import ZooError

try:
    import av
except ImportError:
    av = None
needs_av = pytest.mark.skipif(av is None, reason="PyAV is not installed")

FAMILIES = ["opus", "mp3", "vorbis", *(pytest.param(name, marks=needs_av) for name in ("opus-cbr", "aac"))]
KBPS = {"opus": 96, "opus-cbr": 96, "mp3": 64, "aac": 96}  # per channel: enough to keep the waveform of a pure tone


@functools.cache
def bursts(sample_rate: int, channels: int = 1, seconds: float = 3.0) -> np.ndarray:
    """Band-passed noise bursts: dense enough to cost what was asked, with one unmistakable best lag."""
    rng = np.random.default_rng(0)
    n = round(seconds * sample_rate)
    sos = signal.butter(4, [400, 3000], "band", fs=sample_rate, output="sos")
    envelope = 1 + 0.9 * np.sin(2 * np.pi * 3 * np.arange(n) / sample_rate)
    noise = signal.sosfilt(sos, rng.standard_normal((channels, n)), axis=1) * envelope
    return (0.15 * noise.T).astype(np.float32)


@functools.cache
def sweep(sample_rate: int, channels: int = 1, seconds: float = 1.0) -> np.ndarray:
    """A faded sine sweep from 150 to 3000 Hz, in the second channel downwards: its level and place are beyond doubt."""
    n = round(seconds * sample_rate)
    t = np.arange(n) / sample_rate
    x = 0.4 * signal.chirp(t, 150, seconds, 3000) * signal.windows.tukey(n, 0.2)
    return np.stack([x, x[::-1]], axis=1)[:, :channels].astype(np.float32)


def good(family: str, channels: int = 1) -> str:
    return "vorbis:q6" if family == "vorbis" else f"{family}:{KBPS[family] * channels}"


def is_below_file(family: str, coded: Coded) -> bool:
    # an MP3 is nothing but frames, unless they are large enough for LAME's tag
    return 0 < coded.payload_bytes < coded.n_bytes + (family == "mp3")


def code(spec: str, samples: np.ndarray, sample_rate: int) -> Coded:
    return rivals.create(spec, sample_rate=sample_rate, channels=samples.shape[1]).process(samples)


def trial(spec: str, sample_rate: int, channels: int = 1, n_samples: int | None = None) -> Trial:
    samples = bursts(sample_rate, channels)[:n_samples]
    rival = rivals.create(spec, sample_rate=sample_rate, channels=channels)
    return run(rival, Clip("clip", "domain", samples, sample_rate))


def kbps(n_bytes: int, samples: np.ndarray, sample_rate: int) -> float:
    return 8 * n_bytes / (len(samples) / sample_rate) / 1000


@pytest.mark.parametrize(("sample_rate", "channels"), [(16_000, 1), (24_000, 1), (44_100, 1), (48_000, 2)])
@pytest.mark.parametrize("rate", [12, 24, 64])
def test_opus_rate_and_alignment(sample_rate: int, channels: int, rate: int) -> None:
    found = trial(f"opus:{rate}", sample_rate, channels)
    assert kbps(found.coded.payload_bytes, found.reference, sample_rate) == pytest.approx(rate, rel=0.15)
    assert audio.align(found.reference, found.estimate, max_lag=500).lag == 0
    # what was undone is the speech mode's own shift, and no codec delay
    assert abs(audio.align(found.reference, found.coded.samples, max_lag=500).lag) <= 1e-4 * sample_rate
    assert np.sum((found.reference - found.estimate) ** 2) < np.sum(found.reference**2)


@needs_av
@pytest.mark.parametrize(("sample_rate", "channels"), [(24_000, 1), (44_100, 2)])
@pytest.mark.parametrize("per_channel", [6, 12, 40])
def test_constant_opus_costs_exactly_its_rate(sample_rate: int, channels: int, per_channel: int) -> None:
    rate = per_channel * channels
    found = trial(f"opus-cbr:{rate}", sample_rate, channels)
    n_packets, rest = divmod(found.coded.payload_bytes, round(rate * 1000 * 0.02 / 8))
    assert rest == 0
    assert n_packets in (150, 151)  # of 20 ms, in 3 s and the coder's delay
    assert audio.align(found.reference, found.estimate, max_lag=500).lag == 0


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [8_000, 22_050, 24_000, 48_000])
def test_mp3_at_each_rate_of_its_format(sample_rate: int, channels: int) -> None:
    samples = sweep(sample_rate, channels)
    rates = rivals.Mp3(32, sample_rate, channels).rates_kbps
    assert len(rates) == (8 if sample_rate == 8_000 else 14)
    for rate in rates:
        rival = rivals.Mp3(rate, sample_rate, channels)
        stream = rival.encode(samples)
        # a frame or two more than the clip's length: the coder's delay, and the last frame filled up
        n_frames = -(-(len(samples) + 1105) // (1152 if sample_rate >= 32_000 else 576))
        exact = n_frames * (1152 if sample_rate >= 32_000 else 576) / sample_rate * rate * 1000 / 8
        assert rival.payload_bytes(stream) == pytest.approx(exact, rel=0.045), rate
        if rate >= 8 * channels:  # less leaves no waveform to align
            assert audio.align(samples, rival.decode(stream, len(samples)), max_lag=3000).lag == 0, rate


@needs_av
@pytest.mark.parametrize(
    ("sample_rate", "channels", "rates"), [(16_000, 1, (12, 32)), (24_000, 2, (32, 96)), (48_000, 1, (24, 64, 128))]
)
def test_aac_rate(sample_rate: int, channels: int, rates: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal((2 * sample_rate, channels))).astype(np.float32)
    for rate in rates:
        coded = code(f"aac:{rate}", noise, sample_rate)
        assert kbps(coded.payload_bytes, noise, sample_rate) == pytest.approx(rate, rel=0.12)


def test_vorbis_spends_more_for_more_quality() -> None:
    found = [trial(f"vorbis:q{q}", 24_000) for q in (0, 5, 10)]
    costs = [t.coded.payload_bytes for t in found]
    errors = [np.mean((t.reference - t.estimate) ** 2) for t in found]
    assert costs == sorted(costs)
    assert errors[0] > 1.5 * errors[1] > 6 * errors[2]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [24_000, 44_100, 48_000])
def test_a_sweep_comes_back_at_its_place_and_level(family: str, channels: int, sample_rate: int) -> None:
    samples = sweep(sample_rate, channels)
    decoded = code(good(family, channels), samples, sample_rate).samples
    for x, y in zip(samples.T, decoded.T):
        # the best gain and, from the slope of the cross-spectrum's phase, the delay in fractions of a sample
        assert np.vdot(x, y) / np.vdot(x, x) == pytest.approx(1, abs=0.01)
        frequency = np.fft.rfftfreq(len(x))
        cross = np.fft.rfft(y) * np.conj(np.fft.rfft(x))
        delay = -np.sum(frequency * cross.imag) / np.sum(2 * np.pi * frequency**2 * cross.real)
        assert delay == pytest.approx(0, abs=0.05)
        assert np.sum((x - y) ** 2) < 0.01 * np.sum(x**2)


@pytest.mark.parametrize("rate", [16, 32, 48, 64, 128, 160])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_level_at_low_sample_rates(rate: int, channels: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 400 * np.arange(24_000) / 24_000)
    decoded = code(f"mp3:{rate}", np.repeat(tone[:, None], channels, 1).astype(np.float32), 24_000).samples
    assert np.std(decoded[2000:-2000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.005)


@pytest.mark.parametrize("rate", [160, 192, 224, 256, 320])
def test_mp3_level_at_high_rates(rate: int) -> None:
    tone = (0.5 * np.sin(2 * np.pi * 400 * np.arange(44_100) / 44_100)).astype(np.float32)[:, None]
    decoded = code(f"mp3:{rate}", tone, 44_100).samples
    assert np.std(decoded[2000:-2000]) == pytest.approx(0.5 / np.sqrt(2), rel=0.002)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
@pytest.mark.parametrize("n_samples", [1, 100, 1025, 5003])
def test_exact_length_down_to_the_last_sample(family: str, sample_rate: int, n_samples: int) -> None:
    found = trial(good(family), sample_rate, n_samples=n_samples)
    decoded, reference = found.coded.samples, found.reference
    assert decoded.shape == (n_samples, 1)
    assert is_below_file(family, found.coded)
    if n_samples > 1:
        tail = reference[-100:]
        assert np.sum((tail - decoded[-100:]) ** 2) < 0.2 * np.sum(tail**2)


@pytest.mark.parametrize("family", FAMILIES)
def test_silence_stays_silent(family: str) -> None:
    for spec in (good(family, 2), rivals.systems([family], sample_rate=24_000, channels=2)[0].name):
        silence = np.zeros((24_000, 2), np.float32)
        found = run(rivals.create(spec, sample_rate=24_000, channels=2), Clip("clip", "domain", silence, 24_000))
        assert np.abs(found.estimate).max() < 1e-4
        assert is_below_file(family, found.coded)


@pytest.mark.parametrize("family", FAMILIES)
def test_mono_beside_stereo(family: str) -> None:
    mono, stereo = bursts(24_000, 1)[:24_000], sweep(24_000, 2)
    for channels in (1, 2):
        rival = rivals.create(good(family, channels), sample_rate=24_000, channels=channels)
        for clip in (mono, stereo):
            found = run(rival, Clip("clip", "domain", clip, 24_000))
            assert found.reference.shape == found.estimate.shape == (24_000, channels)
            assert np.sum((found.reference - found.estimate) ** 2) < 0.1 * np.sum(found.reference**2)


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_that_a_codec_lacks_are_resampled(family: str) -> None:
    samples = sweep(20_000)
    spec = "aac:64" if family == "aac" else good(family)  # AAC spends less at lower rates
    rival = rivals.create(spec, sample_rate=20_000, channels=1)
    stream = rival.encode(samples)
    coded_rate = {"vorbis": 20_000, "opus": 48_000, "opus-cbr": 48_000}.get(family, 22_050)
    assert rival.coded_rate == coded_rate
    if isinstance(rival, SoundfileRival):
        assert soundfile.info(io.BytesIO(stream)).samplerate == coded_rate
    assert np.sum((samples - rival.decode(stream, len(samples))) ** 2) < 0.03 * np.sum(samples**2)


def names(specs: list[str], sample_rate: int, channels: int) -> list[str]:
    return [system.name for system in rivals.systems(specs, sample_rate=sample_rate, channels=channels)]


def test_ladders_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    mono = ["opus:6", "opus:8", "opus:12", "opus:16", "opus:24", "opus:32"]
    assert names(["opus"], 24_000, 1) == mono
    assert names(["opus"], 24_000, 2) == ["opus:12", "opus:16", "opus:24", "opus:32", "opus:48", "opus:64"]
    assert names(["opus"], 44_100, 1) == [*mono, "opus:64"]
    assert names(["mp3:64, opus:12", "vorbis", "opus:12.0"], 24_000, 1) == [
        "mp3:64", "opus:12", "vorbis:q0", "vorbis:q2", "vorbis:q4", "vorbis:q6", "vorbis:q8",
    ]  # fmt: skip
    assert not capsys.readouterr().err
    # 12 kHz stereo has no more than 64 kbps
    assert names(["mp3"], 12_000, 2) == ["mp3:16", "mp3:32", "mp3:48", "mp3:64"]
    left_out = capsys.readouterr().err.splitlines()
    assert [line.split("'")[1] for line in left_out] == ["mp3:96", "mp3:128"]
    assert all("12000 Hz" in line and "have" not in line and "8, 16" in line for line in left_out)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("sample_rate", "channels"), [(16_000, 1), (24_000, 2), (48_000, 2)])
def test_every_rung_of_a_ladder_runs_and_costs_more(family: str, sample_rate: int, channels: int) -> None:
    found = rivals.systems([family], sample_rate=sample_rate, channels=channels)
    assert len(found) >= 4  # what a comparison of curves takes
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal((sample_rate // 2, channels))).astype(np.float32)
    coded = [system.process(noise) for system in found]
    costs = [c.payload_bytes for c in coded]
    assert costs == sorted(costs)
    assert all(is_below_file(family, c) and c.samples.shape == noise.shape for c in coded)


@pytest.mark.parametrize(
    ("spec", "channels", "message"),
    [
        ("speex:8", 1, r"unknown rival 'speex:8'.*opus:12.*mp3:64"),
        ("", 1, r"unknown rival ''"),
        ("opus:", 1, r"'opus:'.*kbps, such as opus:12"),
        ("opus:fast", 1, r"'opus:fast'.*kbps"),
        ("opus:nan", 1, r"6 to 256"),
        ("opus:5", 1, r"'opus:5'.*24000 Hz mono.*6 to 256"),
        ("opus:10", 2, r"stereo.*12 to 512"),
        ("mp3:20", 1, r"'mp3:20'.*24000 Hz.*16, 24"),
        ("mp3:320", 1, r"'mp3:320'.*24000 Hz.*160 kbps"),
        ("mp3:nan", 1, r"'mp3:nan'"),
        ("mp3", 3, r"one or two channels, not 3"),
        ("vorbis:3", 1, r"'vorbis:3'.*quality, such as vorbis:q3"),
        ("vorbis:q11", 1, r"'vorbis:q11'.*q0 to q10"),
        pytest.param("aac:8", 1, r"'aac:8'.*24000 Hz mono.*12 to 96", marks=needs_av),
        pytest.param("opus-cbr:12", 3, r"one or two channels, not 3", marks=needs_av),
    ],
)
def test_what_cannot_be_had_is_named(spec: str, channels: int, message: str) -> None:
    with pytest.raises(ZooError, match=message) as error:
        rivals.systems([spec], sample_rate=24_000, channels=channels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", ["aac", "aac:32", "opus-cbr", "opus,opus-cbr:12"])
def test_missing_library_is_named_with_its_install_command(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ZooError, match=r"PyAV \(av\), which is not installed; pip install -e '\.\[rivals\]'"):
        rivals.systems([spec], sample_rate=24_000, channels=1)
    assert names(["opus:12", "mp3:32"], 24_000, 1) == ["opus:12", "mp3:32"]


def test_missing_codec_of_libsndfile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile, "available_subtypes", lambda container: {"PCM_16": ""})
    with pytest.raises(ZooError, match="no MPEG_LAYER_III; pip install"):
        rivals.create("mp3:32", sample_rate=24_000, channels=1)
