"""A library whose names are not UTF-8, or hold what a picture would take for mathematics: trained on to the end."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.base import Data, LossWeights
from tests.train.run.initialised import TINY
from train import data, prepare
from train.run import loop
from train.watch import curves
from train.watch.picture import SamplePair, write_samples
from zoo.errors import ZooError

NAMES = (b"caf\xe9.wav", b"\xff\xfe.flac", b"$^$.wav", b"two\nlines.wav", b"x" * 240 + b".wav")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder of files with every one of NAMES, below one with such a name."""
    folder = os.fsencode(tmp_path) + b"/mus\xeec/d\xe9j\xe0"
    os.makedirs(folder)
    for i, name in enumerate(NAMES):
        plain = tmp_path / ("plain" + name[name.rindex(b".") :].decode())
        soundfile.write(plain, 0.3 * np.sin(0.1 * (i + 1) * np.arange(8000)), 8000)
        os.rename(plain, folder + b"/" + name)
    return tmp_path / os.fsdecode(b"mus\xeec")


@pytest.mark.usefixtures("quick")
def test_a_run_on_such_names_leaves_all_that_others_do(library: Path, tmp_path: Path, capsys) -> None:
    config = dataclasses.replace(
        TINY,
        workdir=str(tmp_path / "run"),
        steps=2,
        checkpoint_every=1,
        adversarial_start=-1,
        loss=LossWeights(waveform_l1=1.0),
        tensorboard=True,
        data=Data(root=str(library), segment_s=0.1, held_out=0.5),
        evaluation=dataclasses.replace(TINY.evaluation, clips=2, clip_s=0.3, samples=2),
    )
    loop.run("tiny", config)
    assert "skipped" not in capsys.readouterr().err
    held_out = {row["clip"] for row in json.loads((tmp_path / "run/evaluation/results.json").read_text())}
    assert len(held_out) == 2
    assert all(name.isprintable() and name.startswith(r"d\xe9j\xe0/") for name in held_out)
    assert len(list((tmp_path / "run/samples").iterdir())) == 4
    assert (tmp_path / "run/report.png").stat().st_size > 10_000
    curves.main([str(tmp_path / "run"), "--output", str(tmp_path / "curves.html")])
    assert (tmp_path / "curves.html").read_text()


def test_such_names_are_the_same_once_prepared(library: Path, tmp_path: Path) -> None:
    prepare.main([str(library), str(tmp_path / "prepared"), "--sample_rate", "8000"])
    names = []
    for root in (library, tmp_path / "prepared"):
        settings = Data(root=str(root), segment_s=0.1, held_out=0.5)
        source = data.make_source(settings, sample_rate=8000, channels=1, hop_length=40, seed=0)
        assert len(source.inventory()) == len(NAMES)
        names.append([clip.name for clip in data.held_out_clips(source, n_clips=2, clip_s=0.3)])
    assert names[0] == names[1]
    assert all(name.isprintable() for name in names[0])


def test_a_run_directory_that_takes_no_checkpoint_is_refused_first(tmp_path: Path) -> None:
    workdir = str(tmp_path / "r\udcffn")
    with pytest.raises(ZooError, match="checkpoints need a folder whose name is UTF-8"):
        loop.run("tiny", dataclasses.replace(TINY, workdir=workdir, data=Data(root="missing")))
    assert not os.path.exists(workdir)


def test_samples_of_long_and_like_names_are_all_there(tmp_path: Path) -> None:
    silence = np.zeros((80, 1), np.float32)
    pairs = [SamplePair(name, silence, silence, 8000) for name in ("é" * 300, "x" + "é" * 300, "a b", "a/b")]
    paths = write_samples(tmp_path, pairs)
    assert len({path for path in paths if path.is_file()}) == 8
