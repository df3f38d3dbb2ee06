"""Every command in a terminal that knows ASCII alone, into a pipe whose reader has gone, for a user with no home."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from zoo.console import command, terminal

ROOT = Path(__file__).parents[3]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMANDS = {
    "zoo --help": "--help",
    "zoo list": "0.75-24",
    "zoo encode a b --bitrat 3": "",
    "train --help": "--data.root",
    "train prepare music prepared": "x real time)",
    "train.bench --help": "--model",
    "evaluate --help": "--ckpt",
    "evaluate compare --help": "--output",
}
"""and what is to be found on standard output"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", np.linspace(-0.5, 0.5, 8000), 8000)
    return tmp_path


def started(command: str, where: Path, environment: dict[str, str], **streams: int) -> subprocess.CompletedProcess:
    program = [sys.executable, "-m", *command.split()]
    # unbuffered: what is printed fails at once, not at the end
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    given = inherited | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"} | environment
    return subprocess.run(program, cwd=where, env=given, check=False, **streams)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_that_knows_ascii_alone(command: str, here: Path) -> None:
    done = started(command, here, ASCII, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert COMMANDS[command] in done.stdout.decode()
    assert "Traceback" not in done.stderr.decode()
    assert done.returncode == (2 if "--bitrat" in command else 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone(command: str, here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        both = "--bitrat" in command  # which has nothing to say on standard output
        done = started(command, here, {}, stdout=writing, stderr=writing if both else subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.returncode == terminal.READER_GONE == 141
    assert not done.stderr


def test_a_full_disk_behind_standard_output_is_one_line(here: Path) -> None:
    with open("/dev/full", "w") as full:
        done = started("zoo --help", here, {"PYTHONUNBUFFERED": ""}, stdout=full.fileno(), stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"error: standard output: cannot be written (No space left on device)\n"


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    set_to: list[tuple[str, object]] = []
    monkeypatch.setattr(jax.config, "update", lambda *option: set_to.append(option))
    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    command.use_compilation_cache()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    command.use_compilation_cache()
    assert set_to == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command.use_compilation_cache()
    assert set_to[0] == ("jax_compilation_cache_dir", str(tmp_path / "codec-zoo" / "xla"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Füße 音.wav", "Füße 音.wav"),
        ("caf\udce9\udcff.wav", r"caf\xe9\xff.wav"),
        ("two\nlines\x1b[31m\u2028", r"two\nlines\x1b[31m\u2028"),
        ("ideographic\u3000space", "ideographic\u3000space"),
    ],
)
def test_names_that_can_be_shown(name: str, shown: str) -> None:
    assert terminal.printable(name) == shown
    shown.encode()
