"""What is told of a strange file, and how loud it is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.audio.format_files import by_soundfile, music, wav, without_tag
from zoo import audio
from zoo.__main__ import main
from zoo.audio import report
from zoo.audio.loudness import LoudnessMeter, loudness_lufs
from zoo.errors import ZooError

RATE = 44100


def written(path: Path, samples: np.ndarray, sample_rate: int = RATE) -> Path:
    audio.write(path, samples, sample_rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize("sample_rate", [44100, 48000, 96000])
@pytest.mark.parametrize("seconds", [0.3, 3.0, 31.7])
def test_loudness_of_the_standards_reference_tone(sample_rate, seconds):
    # BS.1770: a 997 Hz sine at full scale in one channel reads −3.01 LUFS
    sine = np.sin(2 * np.pi * 997 * np.arange(round(seconds * sample_rate)) / sample_rate).astype(np.float32)[:, None]
    assert loudness_lufs(sine, sample_rate) == pytest.approx(-3.01, abs=0.05 if seconds < 1 else 0.02)
    six = np.zeros((len(sine), 6), np.float32)
    for channel, gain_db in ((0, 0.0), (3, -math.inf), (5, 1.49)):
        six[:] = 0
        six[:, channel : channel + 1] = sine
        assert loudness_lufs(six, sample_rate) == pytest.approx(-3.01 + gain_db, abs=0.05)


def test_loudness_by_blocks_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    samples = music(12, RATE, 2) * np.linspace(0.01, 1, 12 * RATE + 123, dtype=np.float32)[:, None]
    meter, start = LoudnessMeter(RATE, 2), 0
    while start < len(samples):
        n = int(rng.integers(1, 30_000))
        meter.push(samples[start : start + n])
        meter.integrated_lufs()  # asking in between changes nothing
        start += n
    assert meter.integrated_lufs() == pytest.approx(loudness_lufs(samples, RATE), abs=1e-9)


def test_loudness_is_gated():
    loud = music(5, RATE)
    half = np.concatenate([loud, np.zeros_like(loud)])
    assert loudness_lufs(half, RATE) == pytest.approx(loudness_lufs(loud, RATE), abs=0.15)
    assert loudness_lufs(np.zeros((RATE, 1), np.float32), RATE) == -math.inf


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((5000, 1)), "is digital silence"),
        (music(0.5, RATE) @ [[1.0, -1.0]], "cancel each other out"),
        (music(0.5, RATE) @ [[1.0, 1.0]], "channels are the same"),
        (music(0.5, RATE) + 0.1, "constant offset of 0.1"),
        (music(0.5, RATE) * 8, "dB above full scale"),
        (np.clip(music(0.5, RATE) * 8, -1, 1), "is clipped"),
        (music(0.5, RATE) * 1e-6, "is all but silent"),
    ],
)
def test_what_is_strange_is_told(tmp_path, samples, message):
    found = report.examine(written(tmp_path / "a.wav", samples.astype(np.float32)))
    assert any(message in line for line in found.warnings), found.warnings
    assert found.n_samples == len(samples)
    assert found.peak == pytest.approx(float(np.abs(samples).max()), rel=1e-6)


def test_nothing_is_strange_about_music(tmp_path):
    assert report.examine(written(tmp_path / "a.wav", music(2, RATE, 2))).warnings == ()


def test_info_tells_of_audio_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mp3 = by_soundfile(music(2, RATE), RATE, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.3)
    Path("no_tag.mp3").write_bytes(without_tag(mp3))
    Path("cut.wav").write_bytes(wav(music(2, RATE), RATE)[: RATE * 2 + 44])
    main(["info", "no_tag.mp3", "cut.wav"])
    out = capsys.readouterr().out
    assert "MP3, read by FFmpeg" in out
    assert "does not say how long it is" in out
    assert f"warning  ends after {RATE} samples, its header promises {2 * RATE + 123}" in out
    assert out.count("LUFS") == 2
    with pytest.raises(SystemExit) as stopped:
        main(["info", "cut.wav", "nowhere.mp3"])
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert "1.000 s" in captured.out
    assert captured.err == "error: nowhere.mp3: no such file\n"


def test_a_pipe_is_no_file_to_examine(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ZooError, match=r"pipe\.wav: is"):
        report.examine(tmp_path / "pipe.wav")
