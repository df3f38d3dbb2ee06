"""Audio files in and out: exact lengths and positions, resampling against closed forms, errors that name the file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import audio
from zoo.errors import ZooError


def sine(frequency_hz: float, n: int, sample_rate: int, *, level: float = 0.5, start: float = 0.0) -> np.ndarray:
    t = (np.arange(n) + start) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)[:, None]


def noise(n: int, channels: int = 1, *, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((n, channels)) * level).astype(np.float32)


def smooth_noise(n: int, *, seed: int = 0) -> np.ndarray:
    """Noise without its upper half band, which lossy formats keep."""
    spectrum = np.fft.rfft(noise(n, seed=seed)[:, 0])
    spectrum[len(spectrum) // 8 :] = 0
    return np.fft.irfft(spectrum, n).astype(np.float32)[:, None]


# ---------------------------------------------------------------- resampling


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(48000, 24000), (44100, 24000), (24000, 44100), (8000, 24000), (22051, 16000)]
)
def test_a_resampled_sine_is_the_sine_at_the_new_rate(from_hz, to_hz):
    # Any error of frequency, level or position shows: a shift of 1/100 sample alone would give an error of 1e-2.
    frequency = 0.17 * min(from_hz, to_hz)
    n = from_hz // 2
    out = audio.resample(sine(frequency, n, from_hz), from_hz, to_hz)
    expected = sine(frequency, len(out), to_hz)
    inner = slice(to_hz // 20, -to_hz // 20)
    np.testing.assert_allclose(out[inner], expected[inner], atol=2e-5)


def test_resampling_suppresses_what_would_alias():
    out = audio.resample(sine(14000, 48000, 48000), 48000, 24000)
    assert np.abs(out[500:-500]).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 3000),
    from_hz=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 12345]),
    to_hz=st.sampled_from([8000, 16000, 24000, 44100, 48000, 31999]),
    channels=st.integers(1, 3),
)
def test_resampled_length_is_the_ceiling(n, from_hz, to_hz, channels):
    samples = noise(n, channels)
    out = audio.resample(samples, from_hz, to_hz)
    assert out.shape == (math.ceil(n * to_hz / from_hz), channels)
    assert out.dtype == np.float32
    if from_hz == to_hz:
        np.testing.assert_array_equal(out, samples)
    for n_samples in (len(out) // 2, len(out) + 7):
        fitted = audio.resample(samples, from_hz, to_hz, n_samples=n_samples)
        common = min(n_samples, len(out))
        np.testing.assert_array_equal(fitted[:common], out[:common])
        assert len(fitted) == n_samples
        assert not fitted[common:].any()


@pytest.mark.parametrize(("n", "from_hz", "to_hz"), [(1001, 1000, 3000), (1001, 3000, 1000), (100, 44100, 24000)])
def test_a_signal_ends_as_if_silence_followed(n, from_hz, to_hz):
    ones = np.ones((n, 1), np.float32)
    out = audio.resample(ones, from_hz, to_hz)
    followed = audio.resample(np.pad(ones, ((0, 5000), (0, 0))), from_hz, to_hz)[: len(out)]
    np.testing.assert_allclose(out, followed, atol=1e-6)
    assert abs(out[-1, 0]) > 0.3  # 54.42 samples: soxr alone rounds to 54, and a 55th of padding would be 0


@pytest.mark.parametrize(("from_hz", "to_hz"), [(0, 24000), (24000, -1)])
def test_resampling_refuses_bad_rates(from_hz, to_hz):
    with pytest.raises(ZooError, match="positive"):
        audio.resample(noise(10), from_hz, to_hz)


def test_mixing_channels():
    stereo = np.array([[0.2, 0.6], [-1.0, 1.0], [0.5, 0.25]], np.float32)
    mono = audio.mix_channels(stereo, 1)
    np.testing.assert_allclose(mono, [[0.4], [0.0], [0.375]], atol=1e-7)
    np.testing.assert_array_equal(audio.mix_channels(mono, 2), np.concatenate([mono, mono], axis=1))
    np.testing.assert_array_equal(audio.mix_channels(stereo, 2), stereo)
    six = noise(20, 6)
    np.testing.assert_allclose(audio.mix_channels(six, 2)[:, 1], six.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(stereo[:, 0], np.float32([0.2, -1.0, 0.5]))  # the input is left alone


# ---------------------------------------------------------------- reading and writing


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("subtype", "step"), [(None, 2**-15), ("PCM_24", 2**-23)])
def test_integer_formats_round_and_clip(tmp_path, suffix, subtype, step):
    samples = np.concatenate([noise(1000, 2, level=0.5), np.float32([[1.5, -1.5], [1.0, -1.0], [0.0, step]])])
    audio.write(tmp_path / f"a{suffix}", samples, 22050, subtype=subtype)
    back = audio.read(tmp_path / f"a{suffix}")
    assert back.sample_rate == 22050
    assert back.samples.dtype == np.float32
    np.testing.assert_allclose(back.samples, samples.clip(-1, 1 - step), rtol=0, atol=step * 0.5 + 6e-8)
    audio.write(tmp_path / f"b{suffix}", back.samples, 22050, subtype=subtype)
    np.testing.assert_array_equal(audio.read(tmp_path / f"b{suffix}").samples, back.samples)


def test_float_files_are_exact(tmp_path):
    samples = noise(777, 2, level=1.0)
    audio.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav").samples, samples)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integer_files_are_scaled(tmp_path, dtype):
    full = np.iinfo(dtype)
    soundfile.write(tmp_path / "a.wav", np.array([full.min, full.min // 2, 0, full.max], dtype), 8000,
                    subtype={np.int16: "PCM_16", np.int32: "PCM_32"}[dtype])  # fmt: skip
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav").samples[:, 0], [-1, -0.5, 0, 1], atol=2**-14)


def test_vorbis_keeps_length_level_and_position(tmp_path):
    samples = smooth_noise(200_001)  # longer than one block of writing
    audio.write(tmp_path / "a.ogg", samples, 24000)
    back = audio.read(tmp_path / "a.ogg").samples
    assert back.shape == samples.shape
    error = np.mean((back - samples) ** 2) / np.mean(samples**2)
    assert error < 0.05
    assert audio.align(samples, back, max_lag=100).lag == 0


@pytest.mark.parametrize("bad", ["", "a.mp4", "nowhere/a.wav"])
def test_writing_to_a_bad_place(tmp_path, bad):
    with pytest.raises(ZooError, match=bad or "cannot write"):
        audio.write(tmp_path / bad, noise(10), 8000)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, noise(10), 8000)
    before = path.read_bytes()
    samples = noise(10, 2)
    samples[3, 1] = np.nan
    with pytest.raises(ZooError, match=r"a\.wav: NaN at sample 3, channel 1"):
        audio.write(path, samples, 8000)
    with pytest.raises(ZooError, match=r"a\.wav: cannot be written"):
        audio.write(path, noise(10), 8000, subtype="OPUS")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


FORMATS = [("wav", "PCM_16", 0.0), ("flac", "PCM_16", 0.0), ("aiff", "PCM_16", 0.0), ("au", "PCM_16", 0.0),
           ("caf", "PCM_16", 0.0), ("w64", "PCM_24", 0.0), ("ogg", "VORBIS", 1e-4), ("opus", "OPUS", 1e-4),
           ("mp3", "MPEG_LAYER_III", 1e-4)]  # fmt: skip


def write_any(path: Path, samples: np.ndarray, sample_rate: int, subtype: str) -> None:
    container = {".opus": "OGG", ".aiff": "AIFF"}.get(path.suffix)
    with soundfile.SoundFile(path, "w", sample_rate, samples.shape[1], subtype, format=container) as file:
        for first in range(0, len(samples), 48000):
            file.write(samples[first : first + 48000])


@pytest.mark.parametrize(("suffix", "subtype", "tolerance"), FORMATS)
def test_a_part_is_that_part_of_the_whole(tmp_path, suffix, subtype, tolerance):
    rate = 48000
    # Pure tones: an MP3's frames then lend bits to each other, and a seek that does not decode earlier ones is wrong;
    # Vorbis makes long pages of them, and a seek into the last page of a length like this one lands beside its mark.
    n = 6 * rate + 123
    sweep = sine(440, n, rate) * np.linspace(0.2, 1, n, dtype=np.float32)[:, None]
    path = tmp_path / f"a.{suffix}"
    write_any(path, np.concatenate([sweep, sweep[::-1]], axis=1), rate, subtype)
    whole = audio.read(path).samples
    assert whole.shape == (n, 2)
    for start in (0, 1, 1151, 4000, 100_000, 3 * rate + 7, n - 40_000, n - 9000, n - 1001):
        part = audio.read(path, start_s=start / rate, seconds=1000 / rate).samples
        np.testing.assert_allclose(part, whole[start : start + 1000], rtol=0, atol=tolerance)
    resampled = audio.read(path, sample_rate=24000, channels=1).samples
    expected = audio.resample(whole.mean(axis=1, keepdims=True), rate, 24000)
    np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-6)
    for start in (0, 2, 4002, 100_000, n + 1 - 2002):
        part = audio.read(path, start_s=start / rate, seconds=0.02, sample_rate=24000, channels=1).samples
        np.testing.assert_allclose(part, resampled[start // 2 : start // 2 + 480], rtol=0, atol=max(tolerance, 2e-5))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4000),
    from_hz=st.sampled_from([8000, 22050, 44100, 48000, 22051]),
    to_hz=st.sampled_from([8000, 24000, 44100]),
    start=st.integers(-6000, 6000),
    length=st.integers(1, 3000),
)
def test_any_crop_is_that_stretch_of_the_file_in_silence(tmp_path_factory, n, from_hz, to_hz, start, length):
    path = tmp_path_factory.getbasetemp() / "crop.wav"
    samples = noise(n, 2, seed=n)
    soundfile.write(path, samples, from_hz, subtype="FLOAT")
    crop = audio.read_crop(path, start, length, sample_rate=to_hz)
    assert crop.shape == (length, 2)
    # The same crop from the file embedded in long silence, without any shortcut. Lead: whole output samples.
    unit = from_hz // math.gcd(from_hz, to_hz)
    lead = math.ceil(8000 / unit) * unit
    tail = math.ceil(length * from_hz / to_hz) + 8000
    embedded = np.pad(samples, ((lead + max(-start, 0), tail), (0, 0)))[max(start, 0) :]
    expected = audio.resample(embedded, from_hz, to_hz)[lead * to_hz // from_hz :][:length]
    np.testing.assert_allclose(crop, expected, rtol=0, atol=2e-5)


def test_reading_at_the_edges_of_a_file(tmp_path):
    path = tmp_path / "a.wav"
    audio.write(path, noise(1000), 8000)
    info = audio.probe(path)
    assert (info.seconds, info.sample_rate, info.channels, info.n_samples) == (0.125, 8000, 1, 1000)
    assert len(audio.read(path, start_s=0.1, seconds=9).samples) == 200
    assert len(audio.read(path, start_s=0.1, seconds=9, sample_rate=24000).samples) == 600
    assert len(audio.read(path, seconds=1e-6, sample_rate=24000).samples) == 1
    for start_s, seconds in ((0.125, None), (-0.1, None), (0.0, 0.0)):
        with pytest.raises(ZooError, match=r"a\.wav"):
            audio.read(path, start_s=start_s, seconds=seconds)


def _damaged(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.flac"
    if kind == "empty":
        path = path.with_suffix(".wav")
        soundfile.write(path, np.zeros((0, 1)), 8000)
    elif kind == "text":
        path.write_text("not audio")
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind in ("truncated", "no_length"):
        soundfile.write(path, noise(24000), 24000)
        data = bytearray(path.read_bytes())
        if kind == "truncated":
            del data[len(data) // 2 :]
        else:  # the 36 bits of STREAMINFO that hold the number of samples; 0 = unknown
            data[21] &= 0xF0
            data[22:26] = bytes(4)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "nothing", "folder"])
def test_unreadable_files_are_named_in_one_line(tmp_path, kind):
    path = _damaged(tmp_path, kind)
    with pytest.raises(ZooError) as error:
        audio.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ZooError, match=path.name):
        audio.read_crop(path, 20000, 1000, sample_rate=24000)


# ---------------------------------------------------------------- validation, folders


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(10, np.float32), r"\(10,\)"),
        (np.zeros((0, 1), np.float32), "empty"),
        (np.zeros((10, 1), np.int16), "int16"),
        (np.where(np.arange(20).reshape(10, 2) >= 13, np.nan, 0.0), "x: NaN at sample 6, channel 1"),
        (np.where(np.arange(10)[:, None] == 4, -np.inf, 0.0), "x: infinity at sample 4, channel 0"),
    ],
)
def test_validate_names_what_is_wrong(samples, message):
    with pytest.raises(ZooError, match=message):
        audio.validate(samples, name="x")


def test_validate_accepts_audio():
    audio.validate(noise(1, 1))
    audio.validate(noise(5, 2).astype(np.float64))


def test_files_are_found_sorted_hidden_ones_left_out_and_links_followed(tmp_path):
    root = tmp_path / "root"
    for name in ("b/2.WAV", "b/10.flac", "a/x.opus", "z.mp3", "a/y.txt", ".hidden/h.wav", "a/._x.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "l.au").write_bytes(b"")
    (root / "link").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    found = [f.relative_to(root).as_posix() for f in audio.find_files(root)]
    assert found == ["a/x.opus", "b/10.flac", "b/2.WAV", "link/l.au", "z.mp3"]


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_folders_without_audio_are_errors(tmp_path, kind):
    root = tmp_path / kind
    if kind == "file":
        root.write_text("")
    elif kind == "empty":
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "notes.txt").write_text("")
    with pytest.raises(ZooError, match=f"{kind}: .*(no such folder|is not a folder|holds no audio)"):
        audio.find_files(root)


# ---------------------------------------------------------------- alignment


@settings(max_examples=40, deadline=None)
@given(lag=st.integers(-60, 60), n=st.integers(200, 900), extra=st.integers(-50, 50), channels=st.integers(1, 2))
def test_align_finds_the_lag_and_what_is_common(lag, n, extra, channels):
    whole = noise(2000, channels, seed=n)
    reference, estimate = whole[500 : 500 + n], 0.7 * whole[500 - lag : 500 - lag + n + extra]
    aligned = audio.align(reference, estimate, max_lag=64)
    assert aligned.lag == lag
    np.testing.assert_array_equal(aligned.estimate, np.float32(0.7) * aligned.reference)
    common = min(500 + n, 500 - lag + n + extra) - max(500, 500 - lag)
    assert len(aligned.reference) == common


def test_align_without_lag_only_cuts():
    x = noise(100)
    aligned = audio.align(x, np.roll(x, 3, axis=0)[:90])
    assert aligned.lag == 0
    assert aligned.reference.shape == aligned.estimate.shape == (90, 1)
    assert audio.align(np.zeros_like(x), np.zeros_like(x), max_lag=20).lag == 0
    with pytest.raises(ZooError, match="align"):
        audio.align(x, noise(100, 2))
