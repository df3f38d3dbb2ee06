"""The benchmark's arithmetic and its file; never how fast anything is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from configs import loading
from configs.base import Config, Data, LossWeights
from tests.complaint import complaint
from tests.train import tiny
from train.bench import training
from train.bench.training import StepTime, summarise
from zoo.errors import ZooError

TINY = dataclasses.replace(
    tiny.RUN,
    adversarial_start=100,
    loss=LossWeights(waveform_l1=1.0, adversarial=1.0),
    data=Data(segment_s=0.098, prefetch=2),
)


def test_arithmetic() -> None:
    times = [StepTime(1.0, 0.1), StepTime(9.0, 0.0), StepTime(2.0, 0.2), StepTime(3.0, 0.0)]
    speed = summarise("vae", True, 16, 0.5, 40.0, times)
    assert speed.steps == 4
    assert speed.step_s == 2.5  # the median: the hiccup of nine seconds does not count
    assert speed.audio_per_s == 16 * 0.5 / 2.5
    assert speed.wait_share == pytest.approx(0.3 / 15.0)
    assert speed.first_step_s == 40.0
    with pytest.raises(ValueError, match="no steps"):
        summarise("vae", True, 16, 0.5, 40.0, [])


@pytest.mark.usefixtures("quick")
def test_both_phases_are_measured_where_there_are_two() -> None:
    without, with_them = training.measure("tiny", TINY, steps=3)
    assert (without.adversarial, with_them.adversarial) == (False, True)
    for speed in (without, with_them):
        assert speed.steps == 3
        assert speed.segment_s == 0.1  # whole frames
        assert speed.audio_per_s * speed.step_s == pytest.approx(4 * 0.1)
        assert 0 <= speed.wait_share <= 1
    with pytest.raises(ZooError, match="batch_size 6"):
        training.measure("tiny", dataclasses.replace(TINY, batch_size=6), steps=3)
    with pytest.raises(ZooError, match="at least 1"):
        training.measure("tiny", TINY, steps=0)


def test_only_steps_after_what_was_read_ahead_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def steps(task: Any, mesh: Any, batches: Any, adversarial: bool, n_steps: int) -> list[StepTime]:
        calls.append((adversarial, n_steps))
        return [StepTime(float(n_steps - n), 0.0) for n in range(n_steps)]

    monkeypatch.setattr(training, "_run_steps", steps)
    config = dataclasses.replace(TINY, adversarial_start=-1, data=Data(segment_s=0.1, prefetch=8))
    (speed,) = training.measure("tiny", config, steps=5)
    assert calls == [(False, 1 + 8 + 5)]
    assert speed.first_step_s == 14.0
    assert speed.step_s == 3.0  # the median of 5, 4, 3, 2, 1


def test_the_command_writes_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = []

    def measure(name: str, config: Config, *, steps: int) -> list[training.Speed]:
        measured.append((name, config, steps))
        return [
            summarise(name, a, config.batch_size, 1.0, 30.0, [StepTime(0.5 + a, 0.01)] * steps) for a in (False, True)
        ]

    monkeypatch.setattr(training, "measure", measure)
    path = tmp_path / "bench.json"
    arguments = ["--model", "vae", "gan_vocoder", "--steps", "7", "--batch_size", "8", "--data.root", "music"]
    training.main([*arguments, "--output", str(path)])
    for (name, config, steps), expected in zip(measured, ["vae", "gan_vocoder"], strict=True):
        base = loading.get(expected)
        assert (name, steps) == (expected, 7)
        assert config == dataclasses.replace(base, batch_size=8, data=dataclasses.replace(base.data, root="music"))
    written = json.loads(path.read_text())
    assert written["device"]["backend"] == "cpu"
    assert written["device"]["count"] == 4
    assert written["device"]["kind"]
    speeds = [training.Speed(**speed) for speed in written["speeds"]]
    assert [(s.model, s.adversarial, s.audio_per_s) for s in speeds] == [
        ("vae", False, 16.0),
        ("vae", True, pytest.approx(8 / 1.5)),
        ("gan_vocoder", False, 16.0),
        ("gan_vocoder", True, pytest.approx(8 / 1.5)),
    ]
    printed = capsys.readouterr().out
    assert "4 × cpu" in printed
    for text in ("gan_vocoder", "16.0", "5.3", "500", "2.00", "30.0"):
        assert text in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "opus"], "unknown model 'opus'"),
        (["--steps", "x"], "--steps"),
        (["--speed"], "--speed"),
        (["--model", "vae", "--steps", "0"], "steps must be at least 1"),
        (["--model", "vae", "--data.root", "/nowhere", "--batch_size", "4"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in complaint(capsys, training.main, arguments)
