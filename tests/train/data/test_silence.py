"""Folders in which there is little or nothing to learn from: said before the first step, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.base import Config, Data
from tests.train.run.initialised import TINY
from train import prepare
from train.data.silence import listen
from train.run import loop, start
from train.step.task import CodecTask
from zoo.errors import ZooError

RATE = 8000
TONE = 0.3 * np.sin(0.3 * np.arange(4000))
SOUNDS = {
    "silence": (np.zeros(4000), "silence"),
    "phase": (np.stack([TONE, -TONE], 1), "their channels cancel out when they are mixed to one"),
    "constant": (np.full(4000, 0.5), "a constant offset, which is no sound"),
    "quiet": (1e-3 * TONE, r"the loudest of 8 has -7\d dB"),
}


def folder(where: Path, *sounds: np.ndarray) -> str:
    where.mkdir()
    for i, samples in enumerate(sounds):
        soundfile.write(where / f"{i}.wav", samples, RATE, subtype="FLOAT")
    return str(where)


def config(root: str | None, **data: object) -> Config:
    return dataclasses.replace(TINY, data=Data(root=root, **{"segment_s": 0.05, "held_out": 0.0, **data}))


def said(root: str, **data: object) -> list[str]:
    lines: list[str] = []
    start.make_source(CodecTask(config(root, **data)), lines.append)
    return lines


@pytest.mark.parametrize("kind", SOUNDS)
def test_nothing_but_silence_is_refused_with_its_cause(kind: str, tmp_path: Path) -> None:
    samples, cause = SOUNDS[kind]
    root = folder(tmp_path / "in", samples, samples)
    with pytest.raises(ZooError, match=rf"{root}: .*none of \d+ crops reaches data.silence_db, -60 dB \({cause}\)"):
        said(root)
    prepare.main([root, str(tmp_path / "both"), "--sample_rate", str(RATE), "--channels", "2"])
    with pytest.raises(ZooError, match=rf"both: .*\({cause}\)"):
        said(str(tmp_path / "both"))
    prepare.main([root, str(tmp_path / "one"), "--sample_rate", str(RATE)])
    guess = cause if kind in ("constant", "quiet") else "silence, or channels that cancelled out"
    with pytest.raises(ZooError, match=rf"one: .*\({guess}"):
        said(str(tmp_path / "one"))


def test_a_threshold_above_all_sound_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ZooError, match=r"the embedded generator: .*data.silence_db, 6 dB \(the loudest of 8 has -\d+ dB"
    ):
        start.make_source(CodecTask(config(None, silence_db=6.0)))


def test_much_silence_is_said_with_its_share(tmp_path: Path) -> None:
    silent = np.zeros(4000)
    root = folder(tmp_path / "half", TONE, silent)
    (line,) = said(root)
    found = listen(start.make_source(CodecTask(config(root)), lambda _: None))
    assert line == (
        f"warning: {100 * found.share:.0f} % of the crops drawn from {root} are below data.silence_db, -60 dB, and are "
        f"drawn again"
    )
    assert 0.35 < found.share < 0.65
    assert "% of the examples stay silent" in said(folder(tmp_path / "most", TONE, *[silent] * 11))[0]
    assert said(folder(tmp_path / "few", *[TONE] * 19, silent)) == []
    assert said(root, silence_db=-np.inf) == []


def test_a_run_on_silence_is_refused_before_anything_is_compiled_or_created(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "create_state", lambda *_: pytest.fail("got as far as the model's initialisation"))
    asked = dataclasses.replace(config(folder(tmp_path / "in", np.zeros(4000))), workdir=str(tmp_path / "run"))
    with pytest.raises(ZooError, match="there is nothing to learn from"):
        loop.run("tiny", asked)
    assert not (tmp_path / "run").exists()
