"""The benchmark of features: what it says of ours and of librosa's, never how fast anything is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from evaluate.bench import features, librosa_peer
from evaluate.bench.features import Passes
from tests.complaint import complaint
from zoo import features as ours


@pytest.fixture
def folder(tmp_path):
    """Clips of two sample rates and of other lengths, one of them in stereo."""
    rng = np.random.default_rng(0)
    for name, rate, shape in (("a", 8000, (3000,)), ("b", 8000, (5000, 2)), ("c", 16_000, (4000,))):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(shape), rate)
    return tmp_path


def run(folder, *arguments):
    output = folder / "speed.json"
    names = ["--names", "rms", "zero_crossing_rate", "--repeat", "2"]
    features.main(["--data.root", str(folder), *names, *arguments, "--json", str(output)])
    return json.loads(output.read_text())


def test_without_librosa_a_line_says_so(quick, folder, monkeypatch, capsys):
    monkeypatch.setattr(librosa_peer, "is_installed", lambda: False)
    record = run(folder)
    assert record["n_clips"] == 3
    assert record["audio_s"] == pytest.approx(3000 / 8000 + 5000 / 8000 + 4000 / 16_000)
    assert [one["name"] for one in record["passes"]] == ["zoo"]
    assert record["times_faster"] == {}
    out = capsys.readouterr().out
    assert out.count("librosa is not installed, so only ours is measured: pip install librosa") == 1
    assert "reading the clips" in out


def test_beside_librosa(quick, folder, monkeypatch, capsys):
    def near(samples, sample_rate, names):
        found = {name: np.array(value) for name, value in ours.extract(samples, sample_rate, names).items()}
        found["rms"][0] += 0.5 * found["rms"].max()
        return found

    monkeypatch.setattr(librosa_peer, "is_installed", lambda: True)
    monkeypatch.setattr(librosa_peer, "separate", near)
    monkeypatch.setattr(librosa_peer, "shared", near)
    record = run(folder, "--batch_size", "2")
    assert [one["name"] for one in record["passes"]] == [features.OURS, features.SEPARATE, features.SHARED]
    assert all(len(one["all_s"]) == 2 for one in record["passes"])
    rms, crossings = record["deviations"]
    assert rms["n_equal"] == 0
    assert 0.1 < rms["largest"] < 0.6
    assert crossings == {"feature": "zero_crossing_rate", "median": 0.0, "largest": 0.0, "n_equal": 3}
    assert "librosa, a call each" in capsys.readouterr().out


def test_ratios_are_of_passes_made_in_turn():
    # the machine was busy in the second pass of both
    slow, quick = (
        Passes("slow", first_s=9.0, all_s=(3.0, 30.0, 4.0)),
        Passes("quick", first_s=9.0, all_s=(1.0, 10.0, 1.0)),
    )
    assert slow.times(quick) == 3.0
    assert slow.median_s == 4.0


def test_generated_clips_are_the_default():
    clips = features._clips(features.Options(limit=2))
    assert [(len(clip.samples), clip.sample_rate) for clip in clips] == [(110_250, 22_050)] * 2


def test_what_cannot_be_measured(tmp_path, capsys):
    (tmp_path / "a.wav").write_bytes(b"no audio")
    assert "unknown feature 'mfccs'" in complaint(capsys, features.main, ["--names", "mfccs"])
    assert "--repeat must be at least 1" in complaint(capsys, features.main, ["--repeat", "0"])
    assert "limit" in complaint(capsys, features.main, ["--limit", "0", "--data.root", str(tmp_path)])
    assert "0 clips" in complaint(capsys, features.main, ["--limit", "0"])
    assert "missing" in complaint(capsys, features.main, ["--data.root", str(tmp_path / "missing")])
