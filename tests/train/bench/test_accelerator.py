"""The frame of an accelerator's quarter of an hour: its deadline is kept whatever the parts do; and its parts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import flax.linen as nn
import numpy as np
import pytest

from configs.base import LossWeights
from tests import audio_files
from tests.complaint import complaint
from tests.train import tiny
from train.bench import checks, layers, machine, pack, pieces, throughput
from train.bench.precisions import PRECISIONS
from train.bench.results import read
from zoo import audio
from zoo.nn import layers as zoo_layers

ROOT = Path(__file__).parents[3]
PYTHON = r"""#!/usr/bin/env bash
# in the place of Python: parts that hang, crash, fail, or end only when they are told to
echo "$*" >>"$CALLS"
case "$*" in
*train.bench.machine*) exit 3 ;;
*train.bench.checks*) trap '' TERM; while :; do sleep 0.1; done ;;
*train.bench.layers*) kill -SEGV $$ ;;
*train.bench.choice*) echo 4 bfloat16 tensorfloat32 100 ;;
*train.bench.record*) cat "$3" >"$5/table.md" ;;
*"-m train --"*) trap 'echo saved >"$CALLS.saved"; exit 0' TERM; while :; do sleep 0.1; done ;;
esac
"""


def test_the_deadline_is_kept_and_the_run_is_told_before_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    calls = tmp_path / "calls"
    out = tmp_path / "out"
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "train/bench/accelerator.sh", "--minutes", "0.17", "--reserve", "2", "--python", str(python),
         "--work", str(tmp_path / "work"), "--out", str(out)],
        cwd=ROOT, env=os.environ | {"CALLS": str(calls)}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert 7 < time.monotonic() - started < 15  # ten seconds, and what starting processes takes
    status = {r["case"]: r["status"] for r in read(out / "table.md") if r["part"] == "parts"}
    assert status["machine"] == 3
    assert status["checks"] in (124, 137)  # it took no hint
    assert status["layers"] == 139
    assert status["throughput"] == 0
    assert status["training"] == 124  # it was told to end
    assert Path(f"{calls}.saved").exists()
    called = calls.read_text().splitlines()
    assert sum("train.bench.layers" in call for call in called) == 3  # a crash is worth another try
    (training,) = (call for call in called if "-m train --" in call)
    for flag in ("--resume", "--batch_size 4", "--precision bfloat16", "--steps 100", "--model spectral"):
        assert flag in training
    assert called.index(training) < max(n for n, call in enumerate(called) if "train.bench.latest" in call)
    assert "train.bench.pieces post" in called[-1]
    assert "no time is left" not in done.stdout


@pytest.mark.parametrize("wrong", [["--minutes", "x"], ["--parts", "sleep"], ["--fast"], ["--out"]])
def test_wrong_options_are_refused_before_anything_is_done(tmp_path: Path, wrong: list[str]) -> None:
    command = ["bash", "train/bench/accelerator.sh", "--work", str(tmp_path / "work"), *wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "work").exists()


def test_every_layer_is_tried() -> None:
    public = (getattr(zoo_layers, name) for name in zoo_layers.__all__)
    there = {kind for kind in public if isinstance(kind, type) and issubclass(kind, nn.Module)}
    # of which the others are kinds
    bases = {zoo_layers.Block, zoo_layers.Module, zoo_layers.Network, zoo_layers.Residual}
    assert {kind.__name__ for kind in there - bases} == {name.split()[0] for name in layers.cases()}


@pytest.mark.usefixtures("quick")
def test_a_layer_in_all_precisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.jsonl"
    flags = ["--batch_size", "2", "--frames", "32", "--channels", "8", "--repeat", "1", "--output", str(path)]
    layers.main([*flags, "--layer", "Conv1d"])
    found = {record["case"]: record for record in read(path)}
    assert list(found) == [f"Conv1d {name}" for name in PRECISIONS]
    for what in ("forward", "gradient"):
        assert found["Conv1d float32"][f"{what}_error"] == 0
        assert 0 < found["Conv1d bfloat16"][f"{what}_error"] < 0.02
        assert found["Conv1d bfloat16"][f"{what}_ms"] > 0
    assert "no layer is called 'Dense'" in complaint(capsys, layers.main, [*flags, "--layer", "Dense"])


@pytest.mark.usefixtures("quick")
def test_a_layer_that_does_not_compile_is_told_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(dtype: object) -> nn.Module:
        if dtype != np.float32:
            raise RuntimeError("no algorithm worked\nautotuning failed")
        return zoo_layers.LayerNorm()

    norm = layers.Case(lambda dtype: zoo_layers.LayerNorm(dtype=dtype))
    monkeypatch.setattr(layers, "cases", lambda: {"Broken": layers.Case(broken), "LayerNorm": norm})
    path = tmp_path / "results.jsonl"
    layers.run(layers.Options(batch_size=1, frames=4, channels=4, repeat=1, output=str(path)))
    found = {record["case"]: record.get("error") for record in read(path)}
    assert found["Broken bfloat16"] == "RuntimeError: no algorithm worked"
    assert [case for case, error in found.items() if error] == ["Broken bfloat16"]
    assert len(found) == 6


def test_the_matrix_rate_is_that_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    machine.run(machine.Options(size=64, output=str(path)))
    rates = throughput.peak_tflops(str(path))
    assert list(rates) == list(PRECISIONS)
    assert all(0 < rate < 1000 for rate in rates.values())
    assert read(path)[0]["versions"]["jax"]


@pytest.mark.usefixtures("quick")
def test_coding_and_training_are_measured_and_what_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.jsonl"
    machine.run(machine.Options(size=8, output=str(path)))
    config = dataclasses.replace(tiny.RUN, loss=LossWeights(waveform_l1=1.0))
    monkeypatch.setattr(throughput.loading, "get", lambda name: config)
    options = throughput.Options(
        model=("tiny",), precision=("bfloat16",), batch_size=(4, 6), seconds=0.1, repeat=1, threads=1, output=str(path)
    )
    throughput.run(options)
    before = path.read_bytes()
    found = {record["case"]: record for record in read(path) if record["part"] == throughput.PART}
    assert "batch_size 6" in found["tiny bfloat16 6 training"]["error"]  # of four devices
    for case, record in found.items():
        if case not in ("tiny bfloat16 6 training", "tiny bfloat16 compilation"):
            assert record["audio_per_s"] * record["ms"] == pytest.approx(1000 * 0.1 * record["batch_size"])
            assert record["share"] == pytest.approx(record["tflops"] / throughput.peak_tflops(str(path))["bfloat16"])
    assert found["tiny bfloat16 4 training"]["loss"] > 0
    assert len(found) == 7
    throughput.run(options)
    assert path.read_bytes() == before  # nothing was left to do


def test_checks_are_written_one_by_one_and_name_tests_that_are_there(tmp_path: Path) -> None:
    for name in checks.TESTS:
        file, _, function = name.partition("[")[0].partition("::")
        assert f"def {function}" in (ROOT / file).read_text()
    (tmp_path / "test_two.py").write_text(
        "import signal\n\ndef test_good():\n    pass\n\ndef test_bad():\n    assert 1 == 2, 'not so'\n"
    )
    output = tmp_path / "results.jsonl"
    wanted = [str(tmp_path / "test_two.py"), str(tmp_path / "test_none.py")]
    command = [sys.executable, "-m", "train.bench.checks", "--output", str(output), "--test", *wanted]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    found = {record["case"].rpartition("::")[2].rpartition("/")[2]: record for record in read(output)}
    assert {name: record["outcome"] for name, record in found.items()} == {
        "test_good": "passed", "test_bad": "failed", "test_none.py": "failed"
    }  # fmt: skip
    assert "not so" in found["test_bad"]["error"]
    assert "could not be run" in found["test_none.py"]["error"]


def test_audio_is_coded_so_that_it_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = 0.3 * np.sin(np.arange(2 * 48_000) / 20)[:, None]
    (tmp_path / "audio" / "music").mkdir(parents=True)
    audio_files.write(tmp_path / "audio" / "music" / "a.wav", np.repeat(samples, 2, 1), 48_000)
    flags = ["--audio", str(tmp_path / "audio"), "--output", str(tmp_path / "travel"), "--no-wheels"]
    pack.main([*flags, "--audio_mib", "0.02"])
    bundle = tmp_path / "travel" / "bundle-1"
    assert pieces.join([bundle], tmp_path / "there") == []
    (coded,) = (path for path in (tmp_path / "there").rglob("*") if path.is_file())
    assert coded.relative_to(tmp_path / "there").as_posix() == "audio/music/a.wav.opus"
    found = audio.read(coded, sample_rate=24_000)
    assert found.samples.shape == (48_000, 1)
    assert coded.stat().st_size == pytest.approx(0.02 * 2**20, rel=0.2)  # the rate is variable
    assert pack.bitrate(3600, 27_000_000, 1) == pytest.approx(60.0)
    assert "--audio_mib" in complaint(capsys, pack.main, [*flags, "--audio_mib", "0.0001"])
    assert "no checkpoints/STEP" in complaint(capsys, pack.main, [*flags, "--run", str(tmp_path)])
