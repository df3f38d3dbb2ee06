"""A small library of mixed recordings, tokenised in this process by a codec that is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import zoo
from tests.audio_files import noise, write
from zoo.__main__ import main
from zoo.library import retry


@pytest.fixture(scope="session")
def codec(place: Path) -> zoo.ReadyCodec:
    """What is compiled for it serves all tests."""
    return zoo.load(place / "runs" / "tiny")


@pytest.fixture
def library(here: Path, codec: zoo.ReadyCodec, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five files of 0.2 to 2.6 s, of three rates, formats and numbers of channels; no request waits to be repeated."""
    monkeypatch.setattr("zoo.commands.tokenise.find_codec", lambda *_: codec)
    monkeypatch.setattr(retry, "PAUSES_S", (0.0,) * 8)
    write(here / "lib" / "a.wav", noise(9_000, 2, seed=1), 11_025)
    write(here / "lib" / "b" / "b.flac", noise(20_800, seed=2), 8_000)
    write(here / "lib" / "b" / "c.ogg", noise(22_050, seed=3), 22_050)
    write(here / "lib" / "b" / "d.wav", noise(1_600, seed=4), 8_000)
    write(here / "lib" / "e.wav", noise(5_000, 6, seed=5), 8_000)
    return here / "lib"


Tokenise = Callable[..., int]


@pytest.fixture
def tokenise(library: Path) -> Tokenise:
    """Tokenises lib, or another input, by one worker; the exit status."""

    def run(output: str, *options: str, source: str = "lib", workers: str = "1") -> int:
        try:
            main(["tokenise", source, output, "--ckpt", "runs/tiny", "--workers", workers, *options])
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
