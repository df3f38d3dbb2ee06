"""Paths, numbers and arrays that a caller gives to `zoo.audio`: what they may be, and what is refused in one line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from zoo import audio
from zoo.errors import ZooError

RATE = 8000


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    audio.write(path, np.linspace(-0.5, 0.5, 800, dtype=np.float32)[:, None], RATE)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_s": "1"}, "start_s must be a number, got '1'"),
        ({"start_s": float("nan")}, "a part from nan s lies outside"),
        ({"start_s": float("inf")}, "a part from inf s lies outside"),
        ({"start_s": -1}, "a part from -1 s lies outside"),
        ({"seconds": 0}, "asked for 0 s"),
        ({"seconds": float("inf")}, "asked for inf s"),
        ({"seconds": float("nan")}, "asked for nan s"),
        ({"sample_rate": "8000"}, "sample_rate must be a number"),
        ({"sample_rate": 0}, "sample_rate 0 is not between"),
        ({"channels": 1.5}, "channels must be a whole number"),
        ({"channels": 1, "downmix": "sum"}, "downmix must be 'mix' or 'first', got 'sum'"),
        ({"stream": "first"}, "stream must be a number"),
    ],
)
def test_what_no_part_of_a_file_can_be_is_refused(song, options, message):
    with pytest.raises(ZooError, match=message):
        audio.read(song, **options)


def test_numbers_may_be_of_numpy_and_longer_than_the_file(song):
    part = audio.read(song, start_s=np.float32(0.05), seconds=1e300, sample_rate=np.int64(RATE))
    assert part.samples.shape == (400, 1)


@pytest.mark.parametrize(
    "call",
    [
        audio.read,
        audio.probe,
        audio.find_files,
        lambda path: audio.write(path, np.zeros((9, 1), np.float32), RATE),
        lambda path: audio.open_reader(path).read(1),
        lambda path: audio.open_writer(path, RATE, 1).__enter__(),
    ],
)
@pytest.mark.parametrize("path", [None, 5])
def test_what_is_no_path_is_refused(call, path):
    with pytest.raises(ZooError, match=f"{path} is no path"):
        call(path)


def test_the_home_folder_is_known(song, monkeypatch):
    monkeypatch.setenv("HOME", str(song.parent))
    assert len(audio.read("~/song.wav").samples) == 800
    assert [path.name for path in audio.find_files("~")] == ["song.wav"]


def test_channels_in_the_place_of_samples_are_not_written(tmp_path):
    with pytest.raises(ZooError, match=r"song.wav: samples are \(T, C\), and a file has 1024 channels at most"):
        audio.write(tmp_path / "song.wav", np.zeros((2, 4000), np.float32), RATE)
    with pytest.raises(ZooError, match="sample_rate 0"):
        audio.write(tmp_path / "song.wav", np.zeros((9, 1), np.float32), 0)
    assert not list(tmp_path.iterdir())


def test_reading_does_not_import_jax():
    program = "import sys, zoo.audio; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
