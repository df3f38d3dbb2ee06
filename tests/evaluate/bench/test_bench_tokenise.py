"""The benchmark of tokenising: what it counts, never how fast anything is."""

from __future__ import annotations

import functools
import json

import pytest
import soundfile

from evaluate.bench import models, tokenise
from tests.audio_files import noise
from tests.complaint import complaint

pytestmark = pytest.mark.usefixtures("quick_module")


def test_the_dry_run_counts_every_row(tmp_path, capsys):
    tokenise.main(["--rows", "300", "--json", str(tmp_path / "speed.json")])
    dry = json.loads((tmp_path / "speed.json").read_text())["dry_run"]
    assert dry["rows"] == 300
    assert 0 < dry["decoding_ms"] < dry["all_ms"]
    assert dry["outside_ms"] == pytest.approx(dry["all_ms"] - dry["decoding_ms"])
    assert dry["outside_cpu_ms"] == pytest.approx(dry["all_cpu_ms"] - dry["decoding_cpu_ms"])
    assert "300 rows of a stub" in capsys.readouterr().out


def test_too_little_work_and_no_codec_are_named(tmp_path, capfd, monkeypatch):
    small = functools.partial(models.random_codec, width=8, n_blocks=1)  # the family's own takes long to initialise
    monkeypatch.setattr(models, "random_codec", small)
    soundfile.write(tmp_path / "a.wav", noise(800), 8000)
    said = complaint(capfd, tokenise.main, ["--rows", "0", "--data.root", str(tmp_path)])
    assert "give either --ckpt or --model" in said
    options = ["--rows", "0", "--data.root", str(tmp_path), "--model", "autoencoder"]
    assert "1 units of work are too few" in complaint(capfd, tokenise.main, options)
    said = complaint(capfd, tokenise.main, ["--rows", "0", "--vs", "torch", "--model", "mimi"])
    assert "--vs torch takes --data.root and a published --model" in said
