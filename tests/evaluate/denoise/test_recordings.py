"""Recorded noise: stretches, loops without a seam, and folders that hold none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluate.denoise.recordings import find, repeated
from tests.audio_files import noise, write
from zoo.errors import ZooError

RATE = 8000


def test_a_loop_has_no_click_and_keeps_its_level() -> None:
    # a tone that does not fit its own length: cut and repeated plainly, it would jump
    tone = np.sin(2 * np.pi * 100.3 * np.arange(3000) / RATE)[:, None].astype(np.float32)
    step = np.abs(np.diff(tone, axis=0)).max()
    assert np.abs(np.diff(np.concatenate([tone, tone]), axis=0)).max() > 3 * step
    looped = repeated(tone, 12_000, 400, start=123)
    assert looped.shape == (12_000, 1)
    assert np.abs(np.diff(looped, axis=0)).max() < 1.5 * step
    rush = repeated(noise(4000), 40_000, 400)
    levels = np.sqrt(np.mean(rush.reshape(-1, 200) ** 2, axis=1))
    assert levels.min() > 0.7 * levels.mean()
    assert levels.max() < 1.3 * levels.mean()


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_shortest_recordings_are_repeated_too(length: int) -> None:
    assert repeated(noise(length), 50, 400, start=3).shape == (50, 1)


def test_recordings_are_cut_repeated_resampled_and_mixed(tmp_path: Path) -> None:
    write(tmp_path / "a" / "short.wav", noise(4000, 2), RATE)
    write(tmp_path / "long.wav", noise(RATE * 4, 1, seed=1), RATE)
    found = find(tmp_path)
    assert [recording.name for recording in found] == ["a/short.wav", "long.wav"]
    for recording in found:
        for channels in (1, 2):
            drawn = recording.draw(7, 30_000, 16_000, channels)
            assert drawn.shape == (30_000, channels)
            assert drawn.dtype == np.float32
            assert 0.05 < np.std(drawn) < 0.11
            assert np.array_equal(drawn, recording.draw(7, 30_000, 16_000, channels))
            assert not np.array_equal(drawn, recording.draw(8, 30_000, 16_000, channels))


def test_a_pause_is_not_taken_for_the_noise(tmp_path: Path) -> None:
    samples = np.zeros((RATE * 20, 1), np.float32)
    samples[RATE * 18 : RATE * 18 + 4000] = noise(4000)
    write(tmp_path / "bark.wav", samples, RATE)
    (bark,) = find(tmp_path)
    assert all(np.std(bark.draw(i, RATE, RATE, 1)) > 0.001 for i in range(5))


def test_what_cannot_be_used_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZooError, match="holds no audio files"):
        find(tmp_path)
    write(tmp_path / "still.wav", np.zeros((4000, 1)), RATE)
    with pytest.raises(ZooError, match=r"holds no noise that can be used \(.*still\.wav: is silent\)"):
        find(tmp_path)
    (tmp_path / "broken.wav").write_text("no audio")
    with pytest.raises(ZooError, match="and so are 1 more"):
        find(tmp_path)
    write(tmp_path / "rush.wav", noise(4000), RATE)
    assert [recording.name for recording in find(tmp_path)] == ["rush.wav"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith("left out ") for line in said)
