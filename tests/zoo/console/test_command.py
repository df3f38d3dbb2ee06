"""What all commands share: places to write to."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from evaluate import __main__ as evaluate
from tests.complaint import complaint
from train import cli
from zoo import __main__ as zoo

STORE = "s3://bucket/name"


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "a.wav", STORE],
        ["encode", "--corpus", "songs", STORE],
        ["detokenise", "tokens", STORE],
        ["stretch", "a.wav", STORE, "--factor", "2"],
        ["export", "codec_24khz", STORE],
    ],
)
def test_no_store_is_taken_for_a_folder_of_this_machine(arguments, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint(capsys, zoo.main, arguments).startswith(f"error: {STORE}: is a URI")
    assert not list(tmp_path.iterdir())


def test_nor_by_training_and_evaluation(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for option in ("--output", "--report"):
        said = complaint(capsys, evaluate.main, ["--ckpt", "codec_24khz", option, STORE])
        assert said.startswith(f"error: {STORE}: is a URI")
    assert complaint(capsys, cli.parse, ["--model", "vae", "--workdir", STORE]).startswith(f"error: {STORE}: is a URI")
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_store_is_named_as_such(capsys) -> None:
    said = complaint(capsys, zoo.main, ["encode", f"{STORE}/a.wav", "a.zac"])
    assert said == f"error: {STORE}/a.wav: is a URI, and only files of this machine are read here\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["encode"], "Missing from python -m zoo encode: INPUT OUTPUT"),
        (["encode", "a", "b", "--lvl", "3"], "Unrecognized options: --lvl, 3; did you mean --level?"),
        (["encode", "a", "b", "--stereo", "x"], "invalid choice 'x' for argument '--stereo'"),
        (["encode", "a", "b", "--level", "x"], "Error parsing --level: "),
        (["encod", "a"], "Unrecognized options: encod, a; Available subcommands: encode, decode, "),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_what_is_wrong_with_a_command_line_is_said_once_and_without_help_texts(
    arguments, said, encoding, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    line = complaint(capsys, zoo.main, arguments)
    assert line.startswith(f"error: {said}")
    assert line.count("Unrecognized") <= 1
    assert len(line) < 250
    assert "(default" not in line
    assert "helptext" not in line
