"""Rivals get what is due to them: their own decoder, their name and version in the results, and the mean as mono."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal

from evaluate import rivals
from evaluate.clips import Clip, clips_from_folder
from evaluate.run import evaluate, run
from zoo import audio

pytestmark = pytest.mark.usefixtures("quick_module")

try:
    import av
except ImportError:
    av = None
needs_av = pytest.mark.skipif(av is None, reason="PyAV is not installed")

RATE = 24_000
FAMILIES = ["opus", "mp3", "vorbis", *(pytest.param(name, marks=needs_av) for name in ("opus-cbr", "aac"))]
GOOD = {"opus": "opus:96", "opus-cbr": "opus-cbr:96", "mp3": "mp3:64", "aac": "aac:96", "vorbis": "vorbis:q8"}


def noise(n: int = RATE, seed: int = 0) -> np.ndarray:
    """Voiced-like noise (n,), between 100 and 3000 Hz."""
    sos = signal.butter(4, [100, 3000], "band", fs=RATE, output="sos")
    return (0.1 * signal.sosfilt(sos, np.random.default_rng(seed).standard_normal(n))).astype(np.float32)


def decoded_by(decoder: str, stream: bytes) -> np.ndarray:
    """(T,) at 48 kHz of an Ogg Opus file, without its first 312 samples, by one of FFmpeg's decoders."""
    with av.open(io.BytesIO(stream)) as file:
        source = file.streams.audio[0]
        context = av.CodecContext.create(decoder, "r")
        context.extradata, context.sample_rate, context.layout = source.codec_context.extradata, 48_000, "mono"
        frames = [frame for packet in file.demux(source) for frame in context.decode(packet if packet.size else None)]
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return samples / 32768 if samples.dtype == np.int16 else samples


@needs_av
@pytest.mark.parametrize("spec", ["opus:8", "opus:16", "opus-cbr:12"])
def test_opus_is_decoded_by_libopus(spec: str) -> None:
    x = noise()[:, None]
    rival = rivals.create(spec, sample_rate=RATE, channels=1)
    stream = rival.encode(x)
    ours = rival.decode(stream, len(x))
    error_db = {}
    for decoder in ("libopus", "opus"):
        theirs = audio.resample(decoded_by(decoder, stream)[:, None].astype(np.float32), 48_000, RATE)
        found = audio.align(ours, theirs, max_lag=400)
        inner = slice(2400, -2400)
        difference = found.reference[inner] - found.estimate[inner]
        error_db[decoder] = 10 * np.log10(np.mean(difference**2) / np.mean(found.reference[inner] ** 2))
    # to the rounding of its 16 bits and the phase of resampling; FFmpeg's own decoder gives another signal
    assert error_db["libopus"] < -45
    assert error_db["opus"] > error_db["libopus"] + 10


@pytest.mark.parametrize(
    ("family", "pattern"),
    [
        ("opus", r"libopus \d+\.\d\S* in libsndfile \d+\.\d+\.\d+"),
        ("vorbis", r"libVorbis I \d{8} in libsndfile \d+\.\d+\.\d+"),
        ("mp3", r"LAME\d\.\d+\S* in libsndfile \d+\.\d+\.\d+"),
        pytest.param("aac", r"libavcodec \d+\.\d+\.\d+ in PyAV \S+", marks=needs_av),
        pytest.param(
            "opus-cbr", r"libopus( \d\S*)? in PyAV \S+, decoded by libopus \d\S* in lib\S+ \S+", marks=needs_av
        ),
    ],
)
def test_libraries_give_their_versions(family: str, pattern: str) -> None:
    rival = rivals.create(GOOD[family], sample_rate=RATE, channels=1)
    assert re.fullmatch(pattern, rival.coder), rival.coder
    (row,) = evaluate(rival, [Clip("clip", "domain", noise(4000)[:, None], RATE)])
    assert row.coder == rival.coder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("right", ["silent", "correlated", "opposite by half"])
def test_mono_is_the_mean_for_every_rival(family: str, right: str) -> None:
    left = noise()
    other = {"silent": 0 * left, "correlated": 0.5 * left + 0.2 * noise(seed=1), "opposite by half": -0.5 * left}[right]
    mean = (left + other) / 2
    rival = rivals.create(GOOD[family], sample_rate=RATE, channels=1)
    trial = run(rival, Clip("clip", "domain", np.stack([left, other], axis=1), RATE))
    np.testing.assert_allclose(trial.reference[:, 0], mean, atol=1e-7)
    assert np.vdot(mean, trial.estimate[:, 0]) / np.vdot(mean, mean) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.opus"])
def test_mono_is_the_mean_of_a_file(name: str, tmp_path: Path) -> None:
    left = noise()
    stereo = np.stack([left, 0.5 * left + 0.2 * noise(seed=1)], axis=1)
    kind = {"format": "OGG", "subtype": "OPUS"} if name.endswith(".opus") else {}
    soundfile.write(tmp_path / name, stereo, RATE, **kind)
    folders = [clips_from_folder(tmp_path, sample_rate=RATE, channels=channels) for channels in (None, 1)]
    both, mono = (clips[0].samples for clips in folders)  # Opus comes out at 48 kHz
    np.testing.assert_allclose(mono[:, 0], both.mean(axis=1), atol=1e-6)
    assert np.vdot(left, mono[:, 0]) / np.vdot(left, left) == pytest.approx(0.75, abs=0.03)
