"""Results of parts that were killed, the table made of them, and what is chosen from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.bench import choice, record
from train.bench.results import LOST, Results, read


def test_a_part_that_was_killed_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first = Results(path, "layers")
    assert first.attempt("a", lambda: {"ms": 1.5, "error_of": float("nan")}) == {
        "ms": 1.5,
        "error_of": pytest.approx(float("nan"), nan_ok=True),
    }
    assert first.begin("b")  # and never returned
    with path.open("a") as file:
        file.write('{"part": "layers", "case": "c", "m')  # cut off
    again = Results(path, "layers")
    measured: list[str] = []
    for case in "abcd":
        again.attempt(case, lambda case=case: measured.append(case) or {"ms": 2.0})  # type: ignore[misc]
    assert measured == ["c", "d"]
    assert Results(path, "throughput").begin("a")  # each part has cases of its own
    assert [(r["part"], r["case"], r.get("ms"), r.get("error")) for r in read(path)] == [
        ("layers", "a", 1.5, None), ("layers", "b", None, LOST), ("layers", "c", 2.0, None), ("layers", "d", 2.0, None),
        ("throughput", "a", None, LOST),
    ]  # fmt: skip


def test_an_error_is_a_result_of_one_line(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise RuntimeError("\nno algorithm\n worked for this\n")

    results = Results(tmp_path / "results.jsonl", "layers")
    assert results.attempt("bfloat16", fails) == {"error": "RuntimeError: no algorithm"}
    assert results.attempt("bfloat16", fails) is None
    assert read(tmp_path / "results.jsonl") == [
        {"part": "layers", "case": "bfloat16", "error": "RuntimeError: no algorithm"}
    ]
    assert read(tmp_path / "nothing.jsonl") == []


def trained(batch_size: int, precision: str, audio_per_s: float, loss: float | None = 1.0) -> dict[str, Any]:
    return {
        "part": "throughput", "case": f"spectral {precision} {batch_size} training", "model": "spectral",
        "what": "training", "precision": precision, "batch_size": batch_size, "audio_per_s": audio_per_s,
        "ms": 1000 * batch_size / audio_per_s, "loss": loss, "share": 0.125, "tflops": 98.75,
    }  # fmt: skip


def test_the_smallest_batch_that_is_nearly_as_fast_is_chosen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    records = [trained(16, "float32", 100), trained(16, "bfloat16", 300), trained(128, "float32", 200)]
    records += [trained(128, "tf32", 1050), trained(64, "tf32", 1024), trained(256, "bfloat16", 1100)]
    assert choice.choose(records, "spectral") == choice.Choice(64, "tf32", 16.0)
    # computes something else, or nothing: not to be trained with
    records += [trained(128, "bfloat16", 9000, loss=1.1), trained(256, "tf32", 9000, loss=None)]
    assert choice.choose(records, "spectral") == choice.Choice(64, "tf32", 16.0)
    assert choice.choose(records, "vae") is None
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    choice.main([str(path), "--seconds", "64", "--done", "1000"])
    choice.main([str(tmp_path / "none"), "--seconds", "10"])
    assert capsys.readouterr().out.split("\n")[:2] == ["64 float32 tensorfloat32 2024", "32 float32 tensorfloat32 300"]


def test_the_table_is_made_of_as_much_as_there_is(tmp_path: Path) -> None:
    results, out, run = tmp_path / "results.jsonl", tmp_path / "out", tmp_path / "run"
    record.main([str(results), "--out", str(out), "--command", "bash x"])
    assert "Command: `bash x`" in (out / "table.md").read_text()
    assert json.loads((out / "table.json").read_text()) == {"command": "bash x", "records": [], "training": []}
    checks = Results(results, "checks")
    checks.add("test_good", outcome="passed", seconds=1.0)
    checks.add("test_bad", outcome="failed", seconds=2.0, error="assert 1 | 2")
    layers = Results(results, "layers")
    layers.add("Conv1d tf32", forward_error=3e-4, forward_ms=1.25, gradient_error=5e-4, gradient_ms=2.5)
    layers.begin("Conv1d bfloat16")
    for line in (trained(64, "tf32", 910),):
        Results(results, "throughput").add(**{k: v for k, v in line.items() if k != "part"})
    parts = Results(results, "parts")
    for part, status in (("checks", 0), ("layers", 139), ("throughput", 124), ("training", None), ("send", 2)):
        parts.add(part, status=status, seconds=5)
    run.mkdir()
    (run / "metrics.jsonl").write_text(
        '{"step": 20, "loss": 3.5}\n{"step": 40, "loss": 2.5, "held_out/mel": 0.5}\n{"st'
    )
    record.main([str(results), "--out", str(out), "--run", str(run)])
    table = (out / "table.md").read_text()
    assert "1 of 2 passed." in table
    for line in (
        "checks | by itself",
        "layers | crashed (signal 11)",
        "throughput | when its time was up",
        "send | failed (2)",
    ):
        assert f"| {line} | 5 |" in table
    assert "| training | not begun: no time was left | 5 |" in table
    assert "| test_bad | failed | 2 | assert 1 \\| 2 |" in table
    assert "test_good" not in table
    assert "| Conv1d tf32 | 0.0003 | 1.25 | 0.0005 | 2.5 |  |" in table
    assert f"| Conv1d bfloat16 | – | – | – | – | {LOST} |" in table
    assert "| spectral tf32 64 training | 910 | 70.3 | 98.8 | 12.5 % |" in table
    assert "Best for training spectral: batches of 64 in tf32." in table
    assert "| 40 | – | 2.5 | – | – | 0.5 |" in table
    written = json.loads((out / "table.json").read_text())
    assert [r["case"] for r in written["records"]][:2] == ["test_good", "test_bad"]
    assert [row["step"] for row in written["training"]] == [20, 40]
    assert (out / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
