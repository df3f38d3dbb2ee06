"""Where results cannot be written, and numbers that make no sense, are said before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluate import __main__ as tasks
from evaluate import cli, compare, contexts, pca
from evaluate.bench import codes, coding, features, first, tokenise
from tests.audio_files import noise, write
from tests.complaint import complaint
from train import data_bench
from train.bench import training
from train.watch import curves
from zoo import generating, loading

Main = Callable[..., None]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder, a file and recordings of two classes, in which nothing can be computed."""
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "evaluation").touch()
    for name in ("a/1.wav", "a/2.wav", "b/1.wav", "b/2.wav"):
        write(tmp_path / "audio" / name, noise(900), 8000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "load_clips", _never)
    monkeypatch.setattr(pca, "training_clips", _never)
    return tmp_path


def _never(*arguments: Any, **options: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (contexts.main, ["--ckpt", "run"]),
        (compare.main, ["a.json", "b.json"]),
        (coding.main, ["--ckpt", "run"]),
        (coding.main, ["--model", "dac_44khz", "--vs", "torch"]),
        (first.main, ["--ckpt", "run"]),
        (codes.main, ["--ckpt", "run", "--data.root", "audio"]),
        (features.main, []),
        (tokenise.main, ["--ckpt", "run", "--data.root", "audio"]),
        (data_bench.main, []),
        (training.main, []),
        (training.main, ["--vs", "torch"]),
        (curves.main, ["run"]),
    ],
)
def test_a_folder_in_the_place_of_a_file(
    place: Path, capfd: pytest.CaptureFixture[str], main: Main, arguments: list[str]
) -> None:
    said = complaint(capfd, main, [*arguments, "--output", "folder.html"])
    assert said == "error: folder.html: is a folder, not a file to write\n"
    below = complaint(capfd, main, [*arguments, "--output", "evaluation/page.html"])
    assert below.startswith("error: evaluation: is a file, not a folder to write to")


@pytest.mark.parametrize("named", [["--output", "evaluation"], []])
@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (tasks.main, ["--task", "denoise", "--against", "wiener"]),
        (tasks.main, ["--task", "edit"]),
        (tasks.main, ["--task", "probe", "--data.root", "audio", "--ckpt", "net"]),
        (tasks.main, ["--task", "generate", "--data.root", "audio", "--ckpt", "net"]),
        (pca.main, ["--ckpt", "net"]),
    ],
)
def test_a_file_in_the_place_of_a_folder(
    place: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    main: Main,
    arguments: list[str],
    named: list[str],
) -> None:
    about = {"path": "checkpoints/net", "family": "autoencoder"}
    monkeypatch.setattr(loading, "load", lambda path: SimpleNamespace(metadata=about))
    monkeypatch.setattr(generating, "load", lambda path, codec: SimpleNamespace(metadata={"path": "checkpoints/4"}))
    said = complaint(capfd, main, [*arguments, *named])
    assert "evaluation: is a file, not a folder to write to" in said or "evaluation is a file" in said


@pytest.mark.parametrize("value", ["nan", "-1", "0", "1e9"])
@pytest.mark.parametrize("main", [contexts.main, pca.main])
def test_an_amount_of_training_audio_that_makes_no_sense(
    capfd: pytest.CaptureFixture[str], main: Main, value: str
) -> None:
    assert "--train_s must be above 0 and at most" in complaint(capfd, main, ["--ckpt", "net", "--train_s", value])


@pytest.mark.parametrize("seed", ["-1", "4294967296"])
@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (compare.main, ["a.json", "b.json"]),
        (tasks.main, ["--task", "denoise", "--against", "wiener"]),
        (tasks.main, ["--task", "probe", "--ckpt", "net"]),
        (tasks.main, ["--task", "generate", "--ckpt", "net"]),
    ],
)
def test_a_seed_that_is_none(capfd: pytest.CaptureFixture[str], main: Main, arguments: list[str], seed: str) -> None:
    assert "--seed must lie between 0 and" in complaint(capfd, main, [*arguments, "--seed", seed])
