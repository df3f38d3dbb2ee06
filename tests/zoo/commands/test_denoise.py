"""`python -m zoo denoise`: files and pipes, and what it refuses."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import zoo
from tests.zoo.conftest import complaint
from zoo.__main__ import main

pytestmark = pytest.mark.usefixtures("quick_module")


def test_a_file_comes_out_as_long_as_it_went_in(here, capsys):
    main(["denoise", "song.wav", "clean.flac", "--ckpt", "runs/tiny", "--mix", "0.7", "--eq", "400:-3"])
    song, rate = soundfile.read("song.wav", dtype="float32")
    clean, clean_rate = soundfile.read("clean.flac", dtype="float32")
    assert (clean.shape, clean_rate) == (song.shape, rate)
    expected = zoo.denoise(zoo.load("runs/tiny"), song, rate, mix=0.7, eq="400:-3")
    np.testing.assert_allclose(clean, np.clip(expected, -1, 1), atol=2 / 2**15)
    said = capsys.readouterr()
    # this codec was not trained to
    assert "runs/tiny" in said.err
    assert "was not trained to denoise" in said.err


def test_what_had_to_be_clipped_is_told(here, capsys):
    options = ["--mix", "0", "--eq", "220:+20"]
    main(["denoise", "song.wav", "loud.wav", *options])
    loud, _ = soundfile.read("loud.wav")
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-4)
    said = capsys.readouterr().err
    main(["denoise", "song.wav", "loud.wav", "--subtype", "FLOAT", "--force", *options])
    over_db = 20 * np.log10(np.abs(soundfile.read("loud.wav")[0]).max())
    assert f"warning: loud.wav: peaks are {over_db:.1f} dB above full scale, and clipped" in said
    assert "clipped" not in capsys.readouterr().err


def test_a_pipe_gives_what_a_file_gives(here, monkeypatch, capfdbinary):
    main(["denoise", "song.wav", "clean.wav"])
    with (here / "song.wav").open("rb") as song:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=song))
        main(["denoise", "-", "-"])
    (here / "piped.wav").write_bytes(capfdbinary.readouterr().out)
    np.testing.assert_array_equal(soundfile.read("piped.wav")[0], soundfile.read("clean.wav")[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.wav", "out.wav"], "nothing.wav: no such file"),
        (["song.wav", "out.mp3"], "out.mp3: cannot write"),
        (["song.wav", "./song.wav"], "./song.wav: is an input as well"),
        (["song.wav", "song.wav", "--force"], "song.wav: is an input as well"),
        (["song.wav", "out.wav", "--mix", "2"], "mix 2 is not between 0 (as it was) and 1 (clean)"),
        (["song.wav", "out.wav", "--eq", "300"], "eq '300': a band is HZ:DB"),
        (["song.wav", "out.wav", "--chunk_s", "0"], "chunks of 0 s"),
        (["song.wav", "out.wav", "--ckpt", "runs/none"], "runs/none"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(here, capfd, arguments, words):
    before = (here / "song.wav").read_bytes()
    assert words in complaint(capfd, "denoise", *arguments)
    assert not (here / "out.wav").exists()
    assert (here / "song.wav").read_bytes() == before
