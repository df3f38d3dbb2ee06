"""`python -m evaluate --task edit` as a whole: its files, its tables, and one line for what it cannot use."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from evaluate import __main__ as command
from evaluate.edit import times
from tests.audio_files import noise, write
from tests.complaint import complaint
from tests.zoo.conftest import make

RATE = 8000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with audio, and runs/tiny, a codec of random weights."""
    for i in range(3):
        write(tmp_path / "audio" / "ab"[i % 2] / f"{i}.wav", noise(8000 + i, seed=i), RATE)
    write(tmp_path / "audio" / "a" / "still.wav", np.zeros((8000, 1)), RATE)
    write(tmp_path / "one" / "a.wav", noise(8000), RATE)
    monkeypatch.chdir(tmp_path)
    codec = make("vae")
    codec = dataclasses.replace(codec, metadata={**codec.metadata, "path": "runs/tiny"})
    monkeypatch.setattr("zoo.loading.load", lambda path: codec)
    return tmp_path


BASE = ["--task", "edit", "--data.root", "audio", "--output", "out"]


@pytest.mark.usefixtures("quick")
def test_tables_and_files(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(times, "N_DRUMS", 1)
    monkeypatch.setattr("zoo.editing.latent_filter.FIT_CLIPS", 1)
    monkeypatch.setattr("evaluate.edit.command.SAMPLE_RATE", RATE)
    monkeypatch.setattr("evaluate.edit.signals.SINES_HZ", (440.0,))
    monkeypatch.setattr("evaluate.edit.signals.HARMONIC_HZ", ())
    words = ["--ckpt", "runs/tiny", "--factors", "1.25", "--semitones", "3", "--weights", "0.5"]
    command.main([*BASE, *words, "--require", "consistency_db>-100"])
    said = capsys.readouterr().out
    assert "left out 1 clip: is silent (a/still.wav)" in said
    rows = json.loads(Path("out/edit.json").read_text())
    assert {(row["edit"], row["system"]) for row in rows} == {
        ("mix", "tiny"), ("gain", "tiny"), ("eq", "tiny"),
        ("splice", "tiny"), ("splice", "waveform"), ("splice", "cut"), ("splice", "untouched"),
        ("stretch", "untouched"), ("stretch", "waveform"), ("stretch", "tiny"), ("pitch", "waveform"),
        ("pitch", "tiny"),
    }  # fmt: skip
    assert len([row for row in rows if row["edit"] == "mix"]) == 3
    with open("out/edit.csv", newline="") as file:
        assert [row["clip"] for row in csv.DictReader(file)] == [row["clip"] for row in rows]
    means = json.loads(Path("out/edit_means.json").read_text())
    (ours,) = [mean for mean in means if (mean["edit"], mean["system"]) == ("pitch", "waveform")]
    assert ours["pitch_error_cents"] < 0.5
    assert "onset_f" in ours
    assert Path("out/edit.md").read_text().count("\n## ") == 6
    with pytest.raises(SystemExit) as stopped:
        command.main([*BASE, *words, "--edits", "mix", "--require", "consistency_db>99"])
    assert stopped.value.code == 1
    kept, missed = capsys.readouterr().err.splitlines()
    assert kept.endswith("edit.json: what was there is kept as edit-1.json")
    assert missed.startswith("missed: tiny: consistency_db is ")
    assert json.loads(Path("out/edit-1.json").read_text()) == rows


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--edits", "reverse"], "--edits reverse: choose from mix, gain, eq, splice, stretch, pitch"),
        (["--edits", "mix"], "nothing to measure: --ckpt needs a run directory"),
        (["--weights", "2"], "--weights 2 is not between 0 and 1"),
        (["--fade_s", "nan"], "--fade_s nan is not between"),
        (["--factors", "0"], "factor 0 is not between"),
        (["--semitones", "nan"], "--semitones nan is no pitch"),
        (["--against", "soundtouch"], "unknown rival 'soundtouch'; there is librosa, rubberband"),
        (["--require", "mel<1"], "--ckpt names none"),
        (["--require", "loudness>0"], "unknown metric 'loudness'"),
        (["--data.root", "nowhere"], "nowhere: no such folder"),
        (["--data.root", "one", "--edits", "splice"], "there are no two clips to join"),
        (["--limit", "0"], "--limit must be at least 1"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in complaint(capsys, command.main, [*BASE, *words])
    assert not (folder / "out").exists()
