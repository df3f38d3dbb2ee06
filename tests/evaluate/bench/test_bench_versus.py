"""Comparing with torch where there is no torch: the refusals, the arithmetic, and a reference that is made up."""

from __future__ import annotations

import dataclasses
import json
import sys
import types

import jax
import numpy as np
import pytest

import evaluate
import zoo
from evaluate.bench import coding, comparison, footprint, versus
from evaluate.bench.comparison import Agreement, Comparison, Timing
from zoo.published import KNOWN, PublishedModel

pytestmark = pytest.mark.usefixtures("quick_module")

MIMI = next(model for model in KNOWN if model.name == "kyutai/mimi")


def found(**changes) -> Comparison:
    times = {"torch": Timing(6.0, 5.0), "whole": Timing(2.0, 1.0), "chunks": Timing(3.0, 2.5)}
    return dataclasses.replace(
        Comparison(
            model="kyutai/mimi",
            parameters=96_100_000,
            seconds=10.0,
            batch_size=2,
            agreement=Agreement(0.99999, None, 2e-6),
            encode=times,
            decode={**times, "torch": Timing(12.0, 10.0)},
            bound_s={"encode": 0.75, "decode": 1.2},
            memory_mb={"torch": 700.0, "whole": 651.6, "chunks": 123.4},
            load_s=1.25,
        ),
        **changes,
    )


def cells(rows) -> list[list[str]]:
    return [list(column.cells) for table in comparison.render(rows, "a machine") for column in table.columns]


def test_ratios_are_of_medians_and_of_bests():
    one = found()
    assert one.times_faster("encode", "whole") == Timing(3.0, 5.0)
    assert one.times_faster("decode", "whole") == Timing(6.0, 10.0)
    assert one.times_faster("decode", "chunks") == Timing(4.0, 4.0)
    record = json.loads(json.dumps(one.record()))
    assert record["times_faster"]["encode_whole"] == {"median_s": 3.0, "best_s": 5.0}
    assert record["decode"]["torch"] == {"median_s": 12.0, "best_s": 10.0}
    only_decodes = found(encode={})
    assert only_decodes.times_faster("encode", "whole") is None
    assert set(only_decodes.record()["times_faster"]) == {"decode_whole", "decode_chunks"}


def test_the_tables_say_all_of_it():
    by_column = cells([found(), found(encode={}, agreement=Agreement(None, 3e-7, 5e-7))])
    assert by_column[:2] == [["mimi", "mimi"], ["2 × 10 s", "2 × 10 s"]]
    assert by_column[2:6] == [["6.00 (5.00)", "–"], ["3.0 (5.0)", "–"], ["2.0 (2.0)", "–"], ["8.0", "–"]]
    assert by_column[6:10] == [2 * ["12.00 (10.00)"], 2 * ["6.0 (10.0)"], 2 * ["4.0 (4.0)"], 2 * ["10.0"]]
    rest = by_column[12:]
    assert rest[0] == ["96.1", "96.1"]
    assert rest[1] == ["99.999", "–"]
    assert rest[2:4] == [["–", "3e-07"], ["2e-06", "5e-07"]]
    assert rest[4:] == [["700", "700"], ["652", "652"], ["123", "123"], ["1.2", "1.2"]]
    # all of them, or not quite
    assert cells([found(agreement=Agreement(1.0, None, 0.0))])[13] == ["100"]
    assert cells([found(agreement=Agreement(0.9999999, None, 0.0))])[13] == ["99.999"]


def test_what_is_close():
    assert Agreement(1.0, None, 1e-6).is_close
    assert Agreement(0.9995, None, 1e-6).is_close
    assert not Agreement(0.9985, None, 1e-6).is_close
    assert not Agreement(1.0, None, 2e-4).is_close
    assert Agreement(None, 1e-6, 1e-6).is_close
    assert not Agreement(None, 2e-4, 1e-6).is_close
    assert not Agreement(1.0, None, float("nan")).is_close


def test_sides_take_turns_and_the_first_round_does_not_count():
    now, calls, rests = 0.0, [], []
    seconds = {"a": iter([100.0, 1.0, 5.0, 2.0]), "b": iter([200.0, 10.0, 30.0, 20.0])}

    def call(name):
        def run():
            nonlocal now
            calls.append(name)
            now += next(seconds[name])

        return run

    timings = versus.interleave({name: call(name) for name in "ab"}, 3, clock=lambda: now, rest=rests.append)
    assert calls == list("abababab")
    assert timings == {"a": Timing(2.0, 1.0), "b": Timing(20.0, 10.0)}
    assert len(rests) == 6
    assert versus.interleave({}, 3) == {}


def test_what_settles_makes_a_call_in_each_turn_that_does_not_count():
    now, calls = 0.0, []

    def call():
        nonlocal now
        now += 7.0 if len(calls) % 2 else 3.0
        calls.append(now)

    timing = versus.interleave({"a": call}, 3, settle=True, clock=lambda: now, rest=lambda _: None)["a"]
    assert len(calls) == 7
    assert timing == Timing(3.0, 3.0)


class MadeUp:
    """A "torch" peer that is our own codec, a little off: one code in a hundred, and a thousandth of the audio."""

    encodes = True
    amiss = 0

    def __init__(self, codec: zoo.ReadyCodec) -> None:
        self.codec = codec

    def save(self, folder):
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    def audio(self, audio):
        return np.ascontiguousarray(audio.swapaxes(1, 2))

    def encode(self, audio):
        codes = self.codec.encode(audio.swapaxes(1, 2), level=3).codes.swapaxes(1, 2)
        wrong = np.arange(codes.size).reshape(codes.shape) < self.amiss
        return np.where(wrong, (codes + 1) % 16, codes)

    def frames(self, native):
        return np.ascontiguousarray(native.swapaxes(1, 2))

    def decode(self, native):
        return self.codec.decode(self.frames(native), level=3)

    def decode_with(self, native, noise):
        return self.decode(native) * np.float32(1 if self.amiss == 0 else 1.001)


@pytest.fixture
def made_up(monkeypatch, build):
    """Runs `--vs torch` on a small model and `MadeUp`; gives the peer and the jobs that were measured."""
    codec = build("gan_vocoder")
    small = PublishedModel("someone/small_8khz", "dac", 8000, 1, (1.0, 4.0), 1, "MIT", {})
    peer, jobs = MadeUp(codec), []
    modules = types.SimpleNamespace(build=lambda family, config, seed: peer, use_threads=lambda n: None)
    monkeypatch.setitem(sys.modules, "evaluate.bench.torch_peers", modules)
    monkeypatch.setattr(evaluate, "torch_peers", modules, raising=False)
    monkeypatch.setattr("zoo.published.KNOWN", (small, MIMI))
    monkeypatch.setattr(versus, "check_torch", lambda: None)
    monkeypatch.setattr(versus, "REST_S", 0.0)
    monkeypatch.setattr(versus, "MATRIX_SIZE", 64)
    monkeypatch.setattr(zoo, "load", lambda folder: codec, raising=False)

    def measure(job):
        assert np.load(job.input).shape[1:] == (job.n_samples, 1)
        jobs.append(job)
        return {"torch": 300.0, "whole": 200.0, "chunks": 100.0, "load": 1.5}[job.subject]

    monkeypatch.setattr(footprint, "measure", measure)
    return peer, jobs


def test_a_comparison_from_end_to_end(made_up, tmp_path, capsys):
    _, jobs = made_up
    path = tmp_path / "versus.json"
    arguments = [
        "--model",
        "small_8khz",
        "--vs",
        "torch",
        "--seconds",
        "0.5",
        "--repeat",
        "2",
        "--batch-size",
        "1",
        "3",
    ]
    coding.main([*arguments, "--json", str(path)])
    report = json.loads(path.read_text())
    assert report["hardware"]["versions"]["jax"] == jax.__version__
    one, three = report["comparisons"]
    assert (one["model"], one["batch_size"], three["batch_size"]) == ("someone/small_8khz", 1, 3)
    for row in (one, three):
        assert row["agreement"]["codes_equal"] == 1.0
        assert row["agreement"]["audio_error"] < 1e-5
        assert row["memory_mb"] == {"torch": 300.0, "whole": 200.0, "chunks": 100.0}
        ratio = row["decode"]["torch"]["median_s"] / row["decode"]["whole"]["median_s"]
        assert row["times_faster"]["decode_whole"]["median_s"] == pytest.approx(ratio)
    assert [job.subject for job in jobs] == 2 * ["torch", "whole", "chunks", "load"]
    printed = capsys.readouterr().out
    assert "small_8khz" in printed
    assert "300" in printed


def test_a_reference_that_differs_is_told(made_up, tmp_path, capsys):
    peer, _ = made_up
    peer.amiss = 4
    path = tmp_path / "versus.json"
    arguments = ["--model", "small_8khz", "--vs", "torch", "--seconds", "0.5", "--repeat", "1"]
    with pytest.raises(SystemExit) as stop:
        coding.main([*arguments, "--json", str(path)])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "someone/small_8khz" in line
    (row,) = json.loads(path.read_text())["comparisons"]
    n_codes = 100 * 4  # half a second of 40-sample frames, at the highest level
    assert row["agreement"]["codes_equal"] == pytest.approx(1 - 4 / n_codes)
    assert row["agreement"]["audio_error"] == pytest.approx(0.001, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--model", "vae"], "vae"),
        (["--model", "encodec"], "no published model"),
        (["--model", "mimi", "--ckpt", "runs/vae"], "--model"),
        (["--model", "mimi", "--dtype", "bfloat16"], "float32"),
        (["--seconds", "1"], "nothing to measure"),
    ],
)
def test_what_cannot_be_compared(arguments, culprit, monkeypatch, capsys):
    monkeypatch.setattr(versus, "check_torch", lambda: None)
    with pytest.raises(SystemExit) as stop:
        coding.main(["--vs", "torch", *arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert culprit in line


def test_without_torch_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        coding.main(["--model", "mimi", "--vs", "torch"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "parity" in line
    assert "pip install" in line


def test_an_accelerator_is_not_compared_with_a_processor(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(SystemExit) as stop:
        coding.main(["--model", "mimi", "--vs", "torch"])
    assert stop.value.code == 2
    assert "JAX_PLATFORMS=cpu" in capsys.readouterr().err
