"""The training pass beside torch: small models where torch is, and without it the refusals and the arithmetic."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from evaluate.bench import footprint
from evaluate.bench.comparison import Timing
from tests.complaint import complaint
from train.bench import training, versus
from train.bench.versus import Agreement, Comparison
from zoo.published import PublishedModel

CONFIG = {
    "model_type": "dac", "sampling_rate": 8000, "encoder_hidden_size": 8, "downsampling_ratios": [2, 4],
    "decoder_hidden_size": 16, "upsampling_ratios": [4, 2], "hidden_size": 32, "n_codebooks": 3, "codebook_size": 32,
    "codebook_dim": 4,
}  # fmt: skip
SMALL = PublishedModel("someone/dac_8khz", "dac", 8000, 1, (1.0, 2.0), 1, "MIT", CONFIG)
FOUND = Comparison(
    model="someone/dac_8khz",
    parameters=1_500_000,
    seconds=1.0,
    batch_size=2,
    agreement=Agreement(2e-7, 3e-6, "decoder/conv_in/kernel"),
    times={"torch": Timing(6.0, 5.0), "ours": Timing(2.0, 2.5)},
    memory_mb={"torch": 300.4, "ours": 200.0},
)
needs_torch = pytest.mark.skipif(
    not (importlib.util.find_spec("torch") and importlib.util.find_spec("transformers")), reason="needs torch"
)


@needs_torch
def test_loss_and_all_gradients_are_those_of_torch(monkeypatch):
    monkeypatch.setattr(versus, "measure", lambda job: 1.0)
    (found,) = versus.compare(SMALL, seconds=0.5, batch_sizes=[2], repeat=1)
    assert found.agreement.is_close, found.agreement
    assert found.seconds == 0.5
    assert min(timing.best_s for timing in found.times.values()) > 0


@needs_torch
def test_memory_is_measured_in_a_process_of_its_own(tmp_path):
    from evaluate.bench import torch_peers

    torch_peers.build("dac", CONFIG).save(tmp_path / "model")
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 40_000, 1)).astype(np.float32)
    np.savez(tmp_path / "input.npz", audio=audio, **{str(n): bank for n, bank in versus._mels(8000).items()})
    job = versus.Job("", str(tmp_path / "model"), "dac", CONFIG, str(tmp_path / "input.npz"))
    torch_mb, ours_mb = (versus.measure(dataclasses.replace(job, subject=side)) for side in versus.SIDES)
    # torch keeps what three residual units at the full rate compute on the way, of 8 channels
    assert 6 * 8 * 40_000 * 4 / 1e6 < torch_mb < 2000
    assert 1 < ours_mb < 2000


def test_gradients_are_compared_by_the_parameters_names():
    import jax

    from zoo import families
    from zoo.published import dac
    from zoo.published.keymap import from_params

    hyperparameters = dac.hyperparameters(CONFIG)
    module = families.create("dac", **hyperparameters)
    shapes = jax.eval_shape(module.init, jax.random.key(0), np.zeros((1, 80, 1), np.float32))["params"]
    rng = np.random.default_rng(0)
    ours = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes)
    theirs = from_params(ours, dac.key_maps(**hyperparameters)["transformers"])
    for name in theirs:
        # written as if it were entries, ten times the tenths; but their gradient is a tenth of that of the tenths
        if name.endswith("codebook.weight"):
            theirs[name] = theirs[name] / 100
    close = versus.agree(SMALL, 2.0, theirs, 2.0 + 1e-6, ours)
    assert close.is_close
    assert close.gradient_error < 1e-6
    assert close.loss_error == pytest.approx(5e-7)
    changed = theirs["encoder.block.1.res_unit2.conv1.weight"]
    changed[0, 0, 0] += 0.01 * np.abs(changed).max()
    far = versus.agree(SMALL, 2.0, theirs, 2.0, ours)
    assert far.worst == "encoder/stage_1/unit_1/dilated/kernel"
    assert 0.005 < far.gradient_error < 0.02
    assert not far.is_close
    changed[0, 0, 0] = np.nan
    assert not versus.agree(SMALL, 2.0, theirs, 2.0, ours).is_close


def test_ratio_and_table():
    assert FOUND.times_faster == Timing(3.0, 2.0)
    record = json.loads(json.dumps(FOUND.record()))
    assert record["times_faster"] == {"median_s": 3.0, "best_s": 2.0}
    assert record["memory_mb"] == {"torch": 300.4, "ours": 200.0}
    cells = [next(iter(column.cells)) for column in versus.render([FOUND], "a machine").columns]
    assert cells[:5] == ["dac_8khz", "2 × 1 s", "1.5", "2e-07", "3e-06"]
    assert cells[5:] == ["6.00 (5.00)", "2.00 (2.50)", "3.00 (2.00)", "300", "200"]


def test_the_command_writes_and_says_what_differs(tmp_path, monkeypatch, capsys):
    asked = []

    def compare(model, **options):
        asked.append((model.name, options))
        agreement = Agreement(1e-2, 1e-6, "encoder/conv_out/kernel")
        return [dataclasses.replace(FOUND, agreement=FOUND.agreement if len(asked) == 1 else agreement)]

    monkeypatch.setattr(versus, "compare", compare)
    monkeypatch.setattr("evaluate.bench.versus.check_torch", lambda: None)
    training.main(["--vs", "torch", "--seconds", "2", "--output", str(tmp_path / "bench.json")])
    assert asked == [("descript/dac_44khz", {"seconds": 2.0, "batch_sizes": [1], "repeat": 5})]
    assert "3.00 (2.00)" in capsys.readouterr().out
    assert json.loads((tmp_path / "bench.json").read_text())["comparisons"][0]["times"]["ours"]["median_s"] == 2.0
    with pytest.raises(SystemExit) as exit_info:
        training.main(["--vs", "torch", "--model", "dac_24khz", "--batch_size", "3"])
    assert exit_info.value.code == 1
    assert "encoder/conv_out/kernel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vae"], "no published model is called 'vae'"),
        (["--seconds", "0"], "must be positive"),
        (["--batch_size", "0"], "must be positive"),
        (["--data.root", "music"], "--data.root"),
        (["--model", "mimi"], "families dac, not mimi"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("evaluate.bench.versus.check_torch", lambda: None)
    assert message in complaint(capsys, training.main, ["--vs", "torch", *arguments])


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is here")
def test_without_torch_it_says_what_to_install(capsys):
    with pytest.raises(SystemExit) as exit_info:
        training.main(["--vs", "torch"])
    assert exit_info.value.code == 2
    assert "'.[parity]'" in capsys.readouterr().err


def test_a_process_that_fails_is_one_line(tmp_path):
    job = versus.Job("ours", str(tmp_path / "none"), "dac", CONFIG, str(tmp_path / "none.npz"))
    with pytest.raises(footprint.ZooError, match="measuring ours of dac ended with status 1") as error:
        versus.measure(job)
    assert "\n" not in str(error.value)
