"""Whole runs of a tiny codec: what they leave behind, what they refuse, and that a kill changes nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import soundfile

import zoo
from configs import loading
from configs.base import Config, Data, Evaluation, LossWeights, Optim, Schedule
from tests.train import tiny
from tests.train.run.initialised import contents, refused
from train import __main__ as command
from train import cli, data
from train.run import loop
from train.run.finish import finish
from train.run.lock import RunLock
from train.run.signals import StoppedError
from train.watch.log import MetricsLog, read_metrics
from zoo.bitstream import entropy
from zoo.errors import CheckpointError
from zoo.saved import checkpoint, runs

STEPS = 10
TINY = dataclasses.replace(
    tiny.RUN,
    steps=STEPS,
    checkpoint_every=3,
    keep_checkpoints=10,
    loss=LossWeights(waveform_l1=1.0, spectrogram_mse=0.1, rate=Schedule("linear", 0.0, 0.1, 5)),
    evaluation=Evaluation(clips=2, clip_s=0.3, samples=1, table_s=0.5),
)
pytestmark = pytest.mark.usefixtures("short")
ADVERSARIAL = dataclasses.replace(
    TINY,
    steps=5,
    checkpoint_every=1,
    adversarial_start=2,
    loss=LossWeights(waveform_l1=1.0, adversarial=0.1, feature_matching=1.0),
)


@pytest.fixture(scope="module")
def finished(short: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run on the embedded generator to its last step; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    loop.run("tiny", dataclasses.replace(TINY, workdir=str(workdir), tensorboard=True))
    return workdir


def at(workdir: Path, config: Config = TINY, **changes: Any) -> Config:
    return dataclasses.replace(config, workdir=str(workdir), **changes)


def saved(workdir: Path, step: int, item: str = "training") -> dict[str, np.ndarray]:
    """What a checkpoint holds, as flat path → array."""
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore((workdir / "checkpoints" / str(step) / item).absolute())
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def assert_identical(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    different = [key for key in a if a[key].dtype != b[key].dtype or a[key].tobytes() != b[key].tobytes()]
    assert different == []


def part(state: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    found = {key: value for key, value in state.items() if key.startswith(f"['{name}']")}
    assert found
    return found


# --- what a run leaves behind


def test_a_run_leaves_everything_behind(finished: Path) -> None:
    config = loading.from_dict(json.loads((finished / "config.json").read_text()))
    assert config == at(finished, tensorboard=True)
    rows = read_metrics(finished / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    for row in rows:
        weights = [1.0, 0.1, 0.1 * min((row["step"] - 1) / 5, 1.0)]
        terms = [row[name] for name in ("waveform_l1", "spectrogram_mse", "rate")]
        assert row["loss"] == pytest.approx(np.dot(weights, terms), rel=1e-5)
        assert row["skipped"] == 0
    assert sorted(int(p.name) for p in (finished / "checkpoints").iterdir()) == [3, 6, 9, 10]
    assert list((finished / "tensorboard").glob("events*"))


def test_a_finished_run_shows_what_it_has_learnt(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "finish", finish)
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = contents(run / "checkpoints")
    loop.run("gan_vocoder_causal", at(run, resume=True))
    printed = capsys.readouterr().out
    assert f"already has its {STEPS} steps" in printed
    for said in ("SNR", f"evaluate --ckpt {run}", f"train --model gan_vocoder_causal --workdir {run} --resume"):
        assert said in printed
    assert contents(run / "checkpoints") == before
    assert len(read_metrics(run / "metrics.jsonl")) == STEPS
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run / "evaluation" / "results.json").read_text())
    codec = zoo.load(run)
    (original_path,) = (run / "samples").glob("*_original.wav")
    (reconstruction_path,) = (run / "samples").glob("*_reconstruction.wav")
    original, rate = soundfile.read(original_path, dtype="float32")
    reconstruction, _ = soundfile.read(reconstruction_path, dtype="float32")
    assert rate == 8000
    assert len(original) == len(reconstruction) == 2400
    again = codec.decode(codec.encode(original))
    # both went through 16-bit files
    assert np.mean((reconstruction - again) ** 2) < 1e-4 * np.mean(again**2)


def test_the_saved_codec_is_the_averaged_one_with_tables_of_its_symbols(finished: Path) -> None:
    codec, training = saved(finished, STEPS, "codec"), saved(finished, STEPS)
    for key, value in part(codec, "params").items():
        np.testing.assert_array_equal(value, training[key.replace("['params']", "['ema']", 1)])
    assert any((part(training, "ema")[k] != v).any() for k, v in _renamed(part(training, "params"), "ema").items())
    flat = entropy.Fitter(zoo.load(finished).symbols).fit().arrays
    assert any((codec[f"['entropy']['{name}']"] != table).any() for name, table in flat.items())
    assert int(training["['step']"]) == STEPS
    metadata = json.loads((finished / "checkpoints" / str(STEPS) / "metadata" / "metadata").read_text())
    assert metadata["next_example"] == STEPS * TINY.batch_size
    assert loading.from_dict(metadata["config"]) == at(finished, tensorboard=True)


def _renamed(tree: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {f"['{name}']" + key.split("]", 1)[1]: value for key, value in tree.items()}


# --- a kill changes nothing (others: test_kill.py)


def assert_same_run(resumed: Path, uninterrupted: Path) -> None:
    assert_identical(saved(resumed, STEPS), saved(uninterrupted, STEPS))
    assert_identical(saved(resumed, STEPS, "codec"), saved(uninterrupted, STEPS, "codec"))
    resumed_rows, rows = (read_metrics(workdir / "metrics.jsonl") for workdir in (resumed, uninterrupted))
    assert [row["step"] for row in resumed_rows] == list(range(1, STEPS + 1))
    for a, b in zip(resumed_rows, rows):
        same = set(a) & set(b) - {"seconds", "wait_share", "audio_per_s"}
        assert {"loss", "waveform_l1", "rate", "gradient_norm"} <= same
        assert {key: a[key] for key in same} == {key: b[key] for key in same}


def test_killed_before_its_first_checkpoint_and_resumed(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(finished / "config.json", tmp_path)
    lines = (finished / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    loop.run("tiny", at(tmp_path, resume=True))
    assert f"there is no checkpoint in {tmp_path}: a new run begins" in capsys.readouterr().out
    assert_same_run(tmp_path, finished)


def at_batch(monkeypatch: pytest.MonkeyPatch, n: int, action: Callable[[], object]) -> None:
    """Something that happens while step n (from 1) of a start of the run waits for its batch."""
    batches = data.batches

    def acting(*args: Any, **kwargs: Any) -> Iterator[dict[str, np.ndarray]]:
        for number, batch in enumerate(batches(*args, **kwargs), start=1):
            if number == n:
                action()
            yield batch

    monkeypatch.setattr(data, "batches", acting)


@pytest.mark.parametrize(("signum", "status", "step"), [(signal.SIGTERM, 0, 2), (signal.SIGINT, 130, 5)])
def test_a_signal_saves_and_ends_the_run_which_goes_on_as_if_nothing_had_been(
    tmp_path: Path,
    finished: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    signum: signal.Signals,
    status: int,
    step: int,
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_batch(patch, step, lambda: os.kill(os.getpid(), signum))
        patch.setattr(sys, "argv", ["train"])
        patch.setattr(cli, "parse", lambda **_: ("tiny", at(run)))
        with pytest.raises(SystemExit) as ended:
            command.main()
    assert ended.value.code == status
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"stopped by {signum.name} after step {step} of {STEPS}, which is saved: the same command")
    assert runs.steps(run) == [2] if step == 2 else [3, 5]
    assert not (run / ".lock").exists()
    # tables take longer than there may be: those of the last checkpoint, or none
    metadata = checkpoint.read_metadata(run / "checkpoints" / str(step))
    assert metadata["tables_step"] == (None if step == 2 else 3)
    loop.run("tiny", at(run, resume=True, steps=step))
    fitted = "nothing" if step == 2 else "step 3"
    assert f"stopped with an entropy coder fitted to {fitted}: one step more fits it anew" in capsys.readouterr().out
    loop.run("tiny", at(run, resume=True))
    assert_same_run(run, finished)


def test_a_signal_in_a_step_with_a_checkpoint_spares_its_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_batch(monkeypatch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError, match=r"after step 6 of 10, which is saved"):
        loop.run("tiny", at(tmp_path))
    assert checkpoint.read_metadata(tmp_path / "checkpoints" / "6")["tables_step"] == 3
    rows = {row["step"]: row for row in read_metrics(tmp_path / "metrics.jsonl")}
    assert "held_out/mel" in rows[3]
    assert "held_out/mel" not in rows[6]


def test_a_signal_in_the_last_step_spares_the_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_batch(monkeypatch, STEPS, lambda: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(loop, "finish", lambda *_: pytest.fail("evaluated"))
    with pytest.raises(StoppedError, match=r"after step 10 of 10, which is saved: .*--resume evaluates the run"):
        loop.run("tiny", at(tmp_path))
    assert runs.steps(tmp_path)[-1] == STEPS


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog.log

    def full(self: MetricsLog, step: int, metrics: Any) -> None:
        if step == 5:
            raise OSError(28, "No space left on device")
        log(self, step, metrics)

    monkeypatch.setattr(MetricsLog, "log", full)
    refused(at(tmp_path), f"{tmp_path}: No space left on device; its checkpoints are intact")
    assert runs.steps(tmp_path) == [3]
    assert not (tmp_path / ".lock").exists()


# --- what is refused


def test_an_existing_run_is_refused_and_left_alone(finished: Path) -> None:
    before = contents(finished)
    refused(at(finished), "--resume continues it, --overwrite deletes it")
    assert contents(finished) == before


def test_a_second_run_in_the_directory_is_refused_and_changes_nothing(finished: Path) -> None:
    before = contents(finished)
    held = RunLock(finished)
    held.acquire()
    for changes in ({}, {"resume": True}, {"overwrite": True}):
        refused(at(finished, **changes), rf"{finished} is in use by another run \(process {os.getpid()} on ")
    held.release()
    assert contents(finished) == before


def test_a_metric_that_there_is_not_is_refused_before_anything_is_touched(tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = contents(run)
    missing = "no metric 'held_out/mle'; there are: .*held_out/mel, .*, loss, "
    for changes in ({"overwrite": True}, {"resume": True, "steps": 12}):
        refused(at(run, keep_best="held_out/mle", **changes), missing)
    assert contents(run) == before
    # what only a later phase logs is known, too
    refused(at(tmp_path / "new", ADVERSARIAL, keep_best="verdict"), "there are: .*, feature_matching, ")
    assert not (tmp_path / "new").exists()


def test_overwrite_deletes_the_former_run(tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "metrics.jsonl").write_text('{"step": 99, "loss": 0.5}\n')
    # bad input must not cost the former run
    before = contents(run)
    refused(at(run, overwrite=True, data=Data(root=str(tmp_path / "missing"))), "missing")
    refused(at(run, overwrite=True, batch_size=6), "batch_size 6")
    assert contents(run) == before
    loop.run("tiny", at(run, overwrite=True))
    assert [row["step"] for row in read_metrics(run / "metrics.jsonl")] == list(range(1, STEPS + 1))
    # no tensorboard
    assert sorted(p.name for p in run.iterdir()) == ["checkpoints", "config.json", "data.json", "metrics.jsonl"]


def test_overrides_that_do_not_fit_the_checkpoint_leave_the_run_as_it_was(tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = contents(run)
    wider = dataclasses.replace(TINY.model, latent_dim=24)  # type: ignore[call-arg]
    refused(
        at(run, resume=True, model=wider),
        "checkpoints/10 cannot .* its model.latent_dim is 20, not 24$",
        CheckpointError,
    )
    with_discriminators = dataclasses.replace(ADVERSARIAL, steps=20)
    refused(at(run, with_discriminators, resume=True), "it was begun without discriminators$", CheckpointError)
    after = contents(run)
    assert after["config.json"] == before["config.json"]
    assert after["metrics.jsonl"] == before["metrics.jsonl"]


# --- what is not finite


def test_bad_steps_are_skipped_and_many_in_a_row_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = data.batches

    def with_nan(*args: Any, **kwargs: Any) -> Iterator[dict[str, np.ndarray]]:
        for n, batch in enumerate(batches(*args, **kwargs)):
            # one example on one of the four devices is enough
            audio = batch["audio"].copy()
            if n == 1 or n >= 3:
                audio[1, 0, 0] = np.nan
            yield {**batch, "audio": audio}

    monkeypatch.setattr(data, "batches", with_nan)
    config = at(tmp_path, checkpoint_every=1, optim=Optim(max_skipped_steps=3))
    refused(config, "the last 3 steps before step 6 .* not finite.*--resume")
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["skipped"] for row in rows] == [0, 1, 1, 2, 3, 4]
    assert [row["skipped_in_a_row"] for row in rows] == [0, 1, 0, 1, 2, 3]
    assert [math.isnan(row["loss"]) for row in rows] == [False, True, False, True, True, True]
    # a skipped step changes nothing but the counters
    states = {step: saved(tmp_path, step) for step in (1, 2, 3, 5)}
    for before, after in ((1, 2), (3, 5)):
        for name in ("params", "ema", "opt_state"):
            assert_identical(part(states[before], name), part(states[after], name))
    assert any((value != states[3][key]).any() for key, value in part(states[2], "params").items())
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [1, 2, 3, 4, 5]


# --- the adversarial phase


def test_discriminators_join_at_their_step(tmp_path: Path) -> None:
    loop.run("tiny", at(tmp_path, ADVERSARIAL))
    states = {step: saved(tmp_path, step) for step in range(1, 6)}
    initial = part(states[1], "discriminator")
    changed = {s: any((v != initial[k]).any() for k, v in part(states[s], "discriminator").items()) for s in states}
    # the discriminators' own learning rate starts at zero too
    assert changed == {1: False, 2: False, 3: False, 4: True, 5: True}
    for step, state in states.items():
        counts = [value for key, value in part(state, "discriminator_opt_state").items() if "count" in key]
        assert {int(count) for count in counts} == {max(step - 2, 0)}
        counts = [value for key, value in part(state, "opt_state").items() if "count" in key]
        assert {int(count) for count in counts} == {step}
    for row in read_metrics(tmp_path / "metrics.jsonl"):
        with_them = {"adversarial", "feature_matching", "discriminator"} & set(row)
        assert len(with_them) == (3 if row["step"] > 2 else 0)
