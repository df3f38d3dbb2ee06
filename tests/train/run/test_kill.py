"""A few of the kills of tests/train/run/kill.py, on files: what was killed ends as what was not, bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs.base import Data
from tests.train.run.initialised import TINY
from tests.train.run.kill import Killer, differing

STEPS = 8


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Killer:
    folder = tmp_path_factory.mktemp("killed")
    rng = np.random.default_rng(0)
    for name, rate, channels in (("noise/a.wav", 8000, 1), ("noise/b.wav", 11025, 2), ("more/c.flac", 8000, 1)):
        (folder / "audio" / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(folder / "audio" / name, 0.2 * rng.standard_normal((2 * rate, channels)), rate)
    # a checkpoint of steps 3 and 6, and of the last
    config = dataclasses.replace(
        TINY,
        steps=STEPS,
        checkpoint_every=3,
        adversarial_start=0,
        resume=True,
        data=Data(root=str(folder / "audio"), segment_s=0.1),
    )
    return Killer(folder, config)


def test_a_run_that_was_killed_twice_ends_as_one_that_was_not(killer: Killer, tmp_path: Path) -> None:
    killer.finish(tmp_path / "whole")
    run = tmp_path / "run"
    between = killer.kill(run, when=lambda run: (run / "checkpoints" / "3").is_dir())
    assert between is not None
    assert "with 3 written" in between
    while_writing = killer.kill(run, when=lambda run: any((run / "checkpoints").glob("6.*tmp*")))
    assert while_writing is not None
    assert "writing checkpoint 6" in while_writing
    killer.finish(run)
    assert differing(run, tmp_path / "whole") == []
    # the comparison sees what differs
    log = run / "metrics.jsonl"
    log.write_text(log.read_text().replace('"loss": ', '"loss": 1', 1))
    assert differing(run, tmp_path / "whole") == ["log/1/loss"]
