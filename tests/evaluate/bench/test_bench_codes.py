"""The benchmark of codes: what counts as changed, and how it refuses."""

from __future__ import annotations

import json

import pytest
import soundfile

from evaluate.bench import codes, models
from tests.audio_files import noise
from tests.complaint import complaint

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture
def folder(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * noise(24_000), 8000)
    return tmp_path


def test_what_changes_codes_is_counted(build, folder, monkeypatch, capsys):
    codec = build("gan_vocoder")
    monkeypatch.setattr(models, "random_codec", lambda name: codec)
    found = {}
    for error in ("0", "1"):
        output = folder / f"{error}.json"
        codes.main(["--model", "any", "--data.root", str(folder), "--error", error, "--json", str(output)])
        (found[error],) = json.loads(output.read_text())
    assert found["0"]["codes"] == codec.encode(0.1 * noise(24_000)).codes.size
    assert found["0"]["error"] == 0
    assert found["1"]["error"] > 500
    assert found["1"]["chunks"] == found["0"]["chunks"] < 1
    assert found["1"]["latent_error"] < 1e-5
    assert "any (random)" in capsys.readouterr().out


def test_what_cannot_be_measured_is_named(build, folder, monkeypatch, capfd):
    monkeypatch.setattr(models, "random_codec", build)
    assert "give --ckpt RUN or --model NAME" in complaint(capfd, codes.main, ["--data.root", str(folder)])
    assert "give --data.root DIR" in complaint(capfd, codes.main, ["--model", "gan_vocoder"])
    options = ["--model", "gan_vocoder", "--data.root", str(folder)]
    assert "--seconds must be positive" in complaint(capfd, codes.main, [*options, "--seconds", "0"])
