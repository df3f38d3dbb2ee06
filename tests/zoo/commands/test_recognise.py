"""`train-probe`, `classify` and `similar`: what they print, keep, find and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import write
from tests.zoo.conftest import RATE, complaint
from tests.zoo.recognise.conftest import little, noise, sine, write_classes  # noqa: F401
from zoo.__main__ import main


@pytest.fixture
def labelled(here) -> Path:
    return write_classes(here / "sounds", 4)


@pytest.mark.usefixtures("quick")
def test_sounds_are_recognised_by_a_probe_that_finds_its_codec(labelled, here, capfd, tmp_path_factory, monkeypatch):
    (labelled / "sine" / "broken.wav").write_bytes(b"nothing")
    main(["train-probe", "sounds", "--output", "p.safetensors"])
    said = capfd.readouterr()
    assert "8 clips of 2 classes" in said.out
    assert "left out 1 file that" in said.err
    assert "exists already" in complaint(capfd, "train-probe", "sounds", "--output", "p.safetensors")
    write(here / "a.wav", sine(30, 3 * RATE))
    write(here / "b" / "b.wav", np.repeat(noise(30, 4000), 2, axis=1))
    write(here / "b" / "silence.wav", np.zeros((2000, 1), np.float32))
    write(here / "b" / "short.wav", sine(3, 5))
    (here / "b" / "broken.wav").write_bytes(b"nothing")
    main(["classify", "a.wav", "b", "--probe", "p.safetensors", "--top", "9", "--json"])
    told = capfd.readouterr()
    found = {one["file"]: one["classes"] for one in json.loads(told.out)}
    assert list(found) == ["a.wav", "b/b.wav", "b/short.wav", "b/silence.wav"]
    assert found["a.wav"][0]["class"] == "sine"
    assert found["b/b.wav"][0]["class"] == "noise"
    assert all(len(classes) == 2 for classes in found.values())
    assert "skipped b/broken.wav" in told.err
    main(["classify", "a.wav", "--probe", "p.safetensors", "--top", "1"])
    assert capfd.readouterr().out.startswith("a.wav: sine ")
    # the file that is named must be readable, and the others are told all the same
    assert "broken.wav" in complaint(capfd, "classify", "b/broken.wav", "a.wav", "--probe", "p.safetensors")
    # away from where it was trained, it finds the codec where that was
    away = tmp_path_factory.mktemp("away")
    shutil.copy("p.safetensors", away)
    monkeypatch.chdir(away)
    main(["classify", str(here / "a.wav"), "--probe", "p.safetensors"])
    assert "sine" in capfd.readouterr().out


def test_what_cannot_be_recognised_is_refused_in_a_line(labelled, here, capfd):
    def refused(*words: str) -> str:
        return complaint(capfd, *words)

    main(["train-probe", "sounds", "--output", "p.safetensors", "--features", "latent", "--classifier", "svm"])
    assert "--top must be at least 1" in refused("classify", "song.wav", "--probe", "p.safetensors", "--top", "0")
    assert "name a file" in refused("classify", "--probe", "p.safetensors")
    assert "song.wav" in refused("classify", "song.wav", "--probe", "song.wav")
    assert "none.safetensors" in refused("classify", "song.wav", "--probe", "none.safetensors")
    (here / "empty").mkdir()
    assert "holds no audio" in refused("classify", "empty", "--probe", "p.safetensors")
    shutil.copytree(Path("runs/tiny").resolve(), "moved/runs/tiny")
    assert "sub-folders" in refused("train-probe", "sounds/sine", "--output", "q.safetensors")
    assert "chroma" in refused("train-probe", "sounds", "--output", "q.safetensors", "--features", "chroma")
    assert "something of the codec" in refused("train-probe", "sounds", "--output", "q.safetensors",
                                               "--features", "mfcc")  # fmt: skip
    assert not Path("q.safetensors").exists()


def test_a_probe_whose_codec_is_not_there_names_it(labelled, here, capfd, tmp_path_factory, monkeypatch):
    away = tmp_path_factory.mktemp("away")
    shutil.copytree(Path("runs/tiny").resolve(), away / "old" / "runs" / "tiny")
    main(["train-probe", "sounds", "--output", str(away / "p.safetensors"), "--features", "latent",
          "--ckpt", str(away / "old" / "runs" / "tiny")])  # fmt: skip
    (away / "old").rename(away / "new")
    monkeypatch.chdir(away)
    song = str(here / "song.wav")
    said = complaint(capfd, "classify", song, "--probe", "p.safetensors")
    assert "name it with --ckpt" in said
    main(["classify", song, "--probe", "p.safetensors", "--ckpt", "new/runs/tiny"])
    monkeypatch.chdir(away / "new")  # below runs/ it is found by its hash
    main(["classify", song, "--probe", "../p.safetensors"])
    assert capfd.readouterr().out.count("song.wav") == 2


def test_similar_sounds_are_found_and_the_index_is_kept(labelled, here, capfd):
    write(here / "q.wav", sine(2))
    main(["similar", "q.wav", "sounds", "--top", "3", "--json"])
    first = capfd.readouterr()
    rows = json.loads(first.out)
    assert rows[0]["file"] == "sounds/sine/2.wav"
    assert len(rows) == 3
    assert "index of 8 sounds in sounds/.similar.safetensors, 8 of them embedded now" in first.err
    main(["similar", "q.wav", "sounds", "--top", "99"])
    again = capfd.readouterr()
    assert again.out.count("\n") == 8
    assert "0 of them embedded now" in again.err
    main(["similar", "sounds/sine/2.wav", "sounds", "--index", "elsewhere"])
    assert "sine/2.wav" not in capfd.readouterr().out
    assert Path("elsewhere").is_file()
    assert "--top" in complaint(capfd, "similar", "q.wav", "sounds", "--top", "0")
    (here / "empty").mkdir()
    assert "holds no audio" in complaint(capfd, "similar", "q.wav", "empty")
    assert "none.wav" in complaint(capfd, "similar", "none.wav", "sounds")
    assert "is no place for an index" in complaint(capfd, "similar", "q.wav", "sounds", "--index", "no/where")
    assert "song.wav" in complaint(capfd, "similar", "q.wav", "sounds", "--index", "song.wav")
