"""`python -m evaluate --task denoise` as a whole: its files, its table, and one line for what it cannot use."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evaluate import __main__ as command
from evaluate import contexts
from evaluate.bench import first, tokenise
from tests.audio_files import noise, write
from tests.complaint import complaint
from zoo import __main__ as zoo_command
from zoo import shipped

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8000
MODELS = Path(shipped.__file__).parent / "models"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with audio in two domains, noise, and noise that is none."""
    for i in range(4):
        write(tmp_path / "audio" / "ab"[i % 2] / f"{i}.wav", noise(3000, seed=i), RATE)
    write(tmp_path / "audio" / "a" / "still.wav", np.zeros((4000, 1)), RATE)
    write(tmp_path / "audio" / "a" / "blip.wav", noise(300), RATE)
    write(tmp_path / "noise" / "rush.wav", noise(2000, seed=9), RATE)
    write(tmp_path / "silence" / "a.wav", np.zeros((4000, 1)), RATE)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


BASE = ["--task", "denoise", "--data.root", "audio", "--against", "wiener", "--rate", str(RATE)]


def test_table_and_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([*BASE, "--data.noise", "noise", "--kinds", "hum", "--snr_db", "10", "-5", "--output", "out"])
    said = capsys.readouterr().out
    assert "left out a/still.wav: is silent" in said
    assert "left out a/blip.wav: is shorter than 0.1 s" in said
    assert "noises, one to each of 4 clips: hum, 1 recording" in said
    assert "only" not in said
    assert "mean gain in dB by domain" in said
    rows = json.loads(Path("out/denoise.json").read_text())
    assert len(rows) == 2 * 4 * 2
    assert {row["system"] for row in rows} == {"noisy", "wiener"}
    assert {row["noise"] for row in rows} == {"hum", "rush.wav"}
    assert "pesq_in" not in rows[0]
    with open("out/denoise.csv", newline="") as file:
        assert [row["clip"] for row in csv.DictReader(file)] == [row["clip"] for row in rows]
    means = json.loads(Path("out/denoise_means.json").read_text())
    assert {(m["domain"], m["noise"]) for m in means} == {
        (None, None), ("a", None), ("b", None), (None, "hum"), (None, "rush.wav"),
    }  # fmt: skip


def test_a_codec_is_measured_and_its_bounds_are_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = SimpleNamespace(sample_rate=16_000, channels=2, metadata={"path": "runs/tiny"})
    monkeypatch.setattr("zoo.loading.load", lambda path: codec)
    worse = noise(RATE, seed=5)
    monkeypatch.setattr("evaluate.denoise.denoisers.denoise", lambda codec, audio, rate: audio + worse[: len(audio)])
    words = ["--task", "denoise", "--ckpt", "runs/tiny", "--data.root", "audio", "--rate", str(RATE)]
    words += ["--channels", "1", "--snr_db", "0", "--output", "out"]
    command.main([*words, "--require", "gain_db@0<0,rtf>0"])
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        command.main([*words, "--require", "gain_db@0>6,gain_db<0"])
    assert stopped.value.code == 1
    (missed,) = capsys.readouterr().err.splitlines()
    assert missed.startswith("missed: tiny: gain_db@0 is -")


def test_a_codec_may_have_the_name_of_another_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = SimpleNamespace(sample_rate=RATE, channels=1, metadata={"path": "runs/noisy"})
    monkeypatch.setattr("zoo.loading.load", lambda path: codec)
    monkeypatch.setattr("evaluate.denoise.denoisers.denoise", lambda codec, audio, rate: audio.copy())
    command.main([*BASE, "--ckpt", "runs/noisy", "--limit", "1", "--snr_db", "0", "--output", "out"])
    rows = json.loads(Path("out/denoise.json").read_text())
    assert list(dict.fromkeys(row["system"] for row in rows)) == ["noisy", "noisy (codec)", "wiener"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.noise", "empty"], "empty: holds no audio files"),
        (["--data.noise", "silence"], "silence: holds no noise that can be used"),
        (["--data.noise", "nowhere"], "nowhere: no such folder"),
        (["--snr_db", "loud"], "loud"),
        (["--snr_db", "0", "nan"], "--snr_db nan: must be between"),
        (["--snr_db"], "--snr_db"),
        (["--against", "deepfilter"], "unknown rival 'deepfilter'"),
        (["--kinds", "cough"], "unknown kind of noise 'cough'"),
        (["--kinds", "none"], "no noise is left"),
        (["--seed", "-1"], "--seed must lie between 0 and"),
        (["--rate", "0"], "cannot compare at 0 Hz"),
        (["--require", "gain_db>0"], "--ckpt names none"),
        (["--require", "loudness>0"], "unknown metric 'loudness'"),
        (["--perceptual", "pesky"], "no perceptual metric 'pesky'"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--data.root", "silence"], "no clips to measure (a.wav: is silent)"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in complaint(capsys, command.main, [*BASE, *words])
    assert not list(folder.glob("**/denoise*"))


def test_nothing_to_measure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to measure" in complaint(capsys, command.main, ["--task", "denoise"])


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (command.main, [], "measure it with --task denoise"),
        (command.main, ["--bitrates", "6"], "measure it with --task denoise"),
        (contexts.main, [], "see python -m zoo denoise"),
        (first.main, [], "see python -m zoo denoise"),
        (tokenise.main, ["--data.root", "audio", "--rows", "0"], "see python -m zoo denoise"),
        (zoo_command.main, ["encode", "audio/a/0.wav", "out.zac"], "see python -m zoo denoise"),
        (zoo_command.main, ["encode", "--corpus", "audio", "out"], "see python -m zoo denoise"),
        (zoo_command.main, ["tokenise", "audio", "out"], "see python -m zoo denoise"),
        (zoo_command.main, ["generate", "out"], "see python -m zoo denoise"),
    ],
)
def test_commands_that_take_codes_say_what_a_denoiser_is_for(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Callable[..., None],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(shipped, "FOLDER", MODELS)
    told = complaint(capfd, main, [*arguments, "--ckpt", shipped.DENOISER])
    assert re.match(f"error: {shipped.DENOISER} .*is a denoiser", told)
    assert said in told
    assert not list(Path().glob("out*"))
