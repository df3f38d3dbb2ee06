"""`python -m train check`: a strange folder, told of in lines and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.audio.format_files import by_soundfile, music, wav
from train.check import main
from zoo import audio


@pytest.fixture
def library(tmp_path) -> Path:
    root = tmp_path / "library"
    (root / "deep").mkdir(parents=True)
    audio.write(root / "good.flac", music(1, 44100, 2), 44100)
    audio.write(root / "deep" / "silent.wav", np.zeros((8000, 1), np.float32), 8000)
    (root / "cut.wav").write_bytes(wav(music(1, 8000), 8000)[:8044])
    (root / "integers.wav").write_bytes(by_soundfile(music(0.1, 8000) * 32767, 8000, "WAV", "FLOAT"))
    return root


def test_a_folder_is_told_of_file_by_file(library, tmp_path, capsys):
    output = tmp_path / "check.jsonl"
    with pytest.raises(SystemExit) as stopped:
        main([str(library), "--output", str(output), "--workers", "2"])
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    assert "cut.wav: ends after 4000 samples, its header promises 8123" in out
    assert "silent.wav: is digital silence" in out
    assert "integers.wav: float samples reach" in out
    assert "3 files, 0.00 hours, 1 cannot be read, 2 strange" in out
    assert "8000 Hz (2), 44100 Hz (1)" in out
    records = {entry["file"]: entry for entry in map(json.loads, output.read_text().splitlines())}
    assert list(records) == ["cut.wav", "deep/silent.wav", "good.flac", "integers.wav"]
    assert records["good.flac"]["warnings"] == []
    assert records["good.flac"]["n_samples"] == 44223
    assert records["deep/silent.wav"]["loudness_lufs"] is None
    assert "divide by 32768" in records["integers.wav"]["error"]


def test_a_folder_in_order_ends_well(library, capsys):
    (library / "integers.wav").unlink()
    main([str(library)])
    assert "0 cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "nowhere: no such folder"), (["{library}", "--workers", "0"], "--workers must be at least 1"),
     (["{library}", "--output", "{library}"], "is a folder")],
)  # fmt: skip
def test_bad_input_ends_in_one_line(library, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        main([argument.format(library=library) for argument in arguments])
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
