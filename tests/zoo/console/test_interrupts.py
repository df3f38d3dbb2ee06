"""Signals that come at a bad moment are heard at the next good one, and leave no file behind."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.zoo.conftest import environment
from zoo.audio import open_output
from zoo.console import interrupts


def wait() -> None:
    for _ in range(200):
        time.sleep(0.01)
    pytest.fail("the signal was lost")


@pytest.fixture
def _impatient(monkeypatch) -> None:
    """The tests are other people's code, too: only where nothing may be raised is it waited."""
    monkeypatch.setattr(interrupts, "PATIENCE_S", 0.0)


class Finalised:
    """Takes its time to go, and gets a signal meanwhile."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.itself = self

    def __del__(self) -> None:
        signal.raise_signal(self.number)
        time.sleep(0.1)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_where_exceptions_are_lost(number, error) -> None:
    def collect() -> None:
        with interrupts.raising():
            Finalised(number)
            gc.collect()
            wait()

    with pytest.raises(error) as raised:
        collect()
    assert error is KeyboardInterrupt or raised.value.code == 143


@pytest.mark.usefixtures("_impatient")
def test_other_lost_exceptions_are_reported(monkeypatch) -> None:
    class Fails:
        def __del__(self) -> None:
            raise ValueError("mine")

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: told.append(info.exc_value))
    with interrupts.raising():
        Fails()
    assert [str(error) for error in told] == ["mine"]


@pytest.mark.usefixtures("_impatient")
def test_in_an_import(tmp_path: Path, monkeypatch) -> None:
    def load() -> None:
        with interrupts.raising():
            importlib.import_module("interrupted_import")
            wait()

    monkeypatch.syspath_prepend(str(tmp_path))
    lines = ["import signal, time", "signal.raise_signal(signal.SIGINT)", "time.sleep(0.1)", "whole = True"]
    (tmp_path / "interrupted_import.py").write_text("\n".join(lines))
    with pytest.raises(KeyboardInterrupt):
        load()
    assert sys.modules["interrupted_import"].whole


def test_at_once_where_our_own_code_waits() -> None:
    """In a process of its own: there, nobody else's code is on the stack."""
    code = (
        "import os, sys\nfrom zoo.console import interrupts\n"
        "with interrupts.raising():\n    print('ready', flush=True)\n    os.read(0, 1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        assert time.monotonic() - begin < interrupts.PATIENCE_S


def test_handlers_are_what_they_were() -> None:
    before = [signal.getsignal(number) for number in (*interrupts.SIGNALS, signal.SIGALRM)]
    with interrupts.raising():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (*interrupts.SIGNALS, signal.SIGALRM)] == before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.raising():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_moment_a_file_is_made(tmp_path: Path, monkeypatch) -> None:
    make = Path.open

    def interrupted(path: Path, *arguments: object, **options: object) -> None:
        make(path, *arguments, **options).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), open_output(tmp_path / "x.zac"):
        pytest.fail("it was opened")
    assert os.listdir(tmp_path) == []
