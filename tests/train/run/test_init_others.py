"""Runs that begin with a published codec, and checkpoints that no run can begin with."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import pytest

import zoo
from configs import loading
from configs.base import LossWeights, Published
from configs.gan_vocoder import GanVocoder
from configs.vae import VAE
from tests.train.run.initialised import (
    DAC,
    RECIPE,
    STEPS,
    TINY,
    at,
    begun,
    complaint,
    contents,
    differing,
    flat,
    refused,
    truncate,
)
from train import cli
from train.run import init_from, loop
from train.step.task import CodecTask
from zoo import families
from zoo.errors import CheckpointError, ZooError
from zoo.nn.bottlenecks import Identity

pytestmark = pytest.mark.usefixtures("short")

# --- published families


def test_a_published_architecture_is_trained_with_anothers_recipe(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = zoo.load(published)
    _, after, said = begun(RECIPE, published)
    assert differing(flat(after.params), flat(original.variables["params"])) == set()
    assert " new" not in said
    run = tmp_path / "run"
    loop.run("gan_vocoder", at(run, RECIPE, init=str(published), steps=2, freeze=("decoder",)))
    # the recipe's own: it does not change the shape of anything
    tuned = DAC | {"quantiser_dropout": 0.25}
    codec = zoo.load(run)
    assert (codec.metadata["family"], codec.metadata["model"]) == ("dac", tuned)
    assert codec.sample_rate == 8000
    changed = differing(flat(codec.variables["params"]), flat(original.variables["params"]))
    assert {key.split("/")[0] for key in changed} == {"encoder", "bottleneck"}
    tables = codec.entropy.arrays
    assert any((tables[name] != array).any() for name, array in original.entropy.arrays.items())

    # it is resumed as it was begun, and another run can begin with it
    capsys.readouterr()
    name, config = cli.parse(["--model", "gan_vocoder", "--workdir", str(run), "--resume"])
    assert config.model == Published("dac", tuned, "gan_vocoder")
    loop.run(name, config)
    assert "already has its 2 steps" in capsys.readouterr().out
    assert "run of model 'gan_vocoder', not 'vae'" in complaint(
        capsys, "--model", "vae", "--workdir", str(run), "--resume"
    )
    assert "unknown key --model.n_codebooks" in complaint(
        capsys, "--model", "gan_vocoder", "--workdir", str(run), "--resume", "--model.n_codebooks", "1"
    )
    _, after, _ = begun(RECIPE, run)
    assert differing(flat(after.params), flat(codec.variables["params"])) == set()


def test_a_published_architecture_survives_json() -> None:
    model = Published("dac", {**DAC, "nested": {"a": [1, [2.5, None]]}}, "gan_vocoder")
    config = dataclasses.replace(TINY, model=model, init="a/b", init_optimisers=True, freeze=("encoder", "decoder.x"))
    assert loading.from_dict(json.loads(json.dumps(loading.to_dict(config)))) == config
    assert model.kwargs()["encoder_rates"] == (8,)  # linen wants it hashable


def test_hyperparameters_of_a_published_model_cannot_be_set(published: Path) -> None:
    source = init_from.read(str(published))
    given = cli.model_overrides(["--model", "x", "--model.latent-dim=3", "--loss.mel", "1", "--model.no_causal", "-1"])
    assert given == ["latent_dim", "causal"]
    with pytest.raises(ZooError, match=r"model.causal cannot be set: the architecture is that of .*dac \(dac\)"):
        init_from.architecture(RECIPE, source, given)
    model = init_from.architecture(RECIPE, source, ["quantiser_dropout"]).model
    assert model.kwargs()["quantiser_dropout"] == GanVocoder().quantiser_dropout != DAC["quantiser_dropout"]


SMALL_ENCODEC = {"latent_dim": 4, "n_filters": 2, "ratios": [2], "n_lstm": 0, "n_codebooks": 2, "codebook_size": 4}


def test_a_family_that_cannot_learn_by_the_recipe_is_refused() -> None:
    config = dataclasses.replace(RECIPE, model=Published("encodec", SMALL_ENCODEC, "gan_vocoder"))
    with pytest.raises(
        ZooError, match=r"'encodec' cannot be trained with the recipe of 'gan_vocoder': .* codebook, com"
    ):
        CodecTask(config).init(jax.random.key(0))
    around = dataclasses.replace(config, loss=LossWeights(waveform_l1=1.0), freeze=("bottleneck",))
    assert CodecTask(around).init(jax.random.key(0)).keys() == {"encoder", "bottleneck", "decoder"}


def test_latents_alone_are_nothing_to_train_for(monkeypatch: pytest.MonkeyPatch) -> None:
    continuous = families.create("dac", **DAC).clone(bottleneck=Identity())
    monkeypatch.setattr(families, "create", lambda *_, **__: continuous)
    with pytest.raises(ZooError, match="'dac' has no codes"):
        CodecTask(dataclasses.replace(RECIPE, model=Published("dac", DAC, "gan_vocoder")))


def test_a_checkpoint_that_is_none_or_damaged(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["--model", "autoencoder", "--workdir", str(run), "--batch_size", "4", "--init"]
    missing = str(tmp_path / "missing")
    assert missing in complaint(capsys, *arguments, missing)
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in complaint(capsys, *arguments, str(tmp_path / "empty"))
    damaged = tmp_path / "damaged"
    for part in ("codec", "training"):
        shutil.copytree(finished, damaged)
        truncate(damaged / "checkpoints" / str(STEPS) / part)
        said = complaint(capsys, *arguments, str(damaged))
        assert f"checkpoint {damaged / 'checkpoints' / str(STEPS)} is damaged" in said
        shutil.rmtree(damaged)
    assert not run.exists()


def test_what_does_not_fit_the_model(finished: Path, published: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stereo = dataclasses.replace(TINY.model, channels=2)  # type: ignore[call-arg]
    refused(at(run, init=str(finished), model=stereo), r"has 1 channel, but the model to train has 2")
    vae = VAE(sample_rate=8000, latent_dim=4, widths=(4,), strides=(40,))
    nothing = at(run, init=str(finished), model=vae, loss=LossWeights(waveform_l1=1.0, adversarial=0.1))
    refused(nothing, "has nothing for this model: .* it has .*; the model ", CheckpointError)
    refused(at(run, RECIPE, init=str(published), init_optimisers=True), "no training state for init_optimisers")
    refused(at(run, RECIPE, init=str(published), init_weights="raw"), "no training state for init_weights raw")
    refused(at(run, init_weights="raw"), "init_weights is for --init CKPT")
    assert not run.exists()


def test_a_former_run_is_not_overwritten_by_a_mistake(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    before = contents(run)
    refused(at(run, init=str(finished)), "exists already")
    refused(at(run, init=str(run), overwrite=True), "which --overwrite deletes")
    refused(at(run, init=str(run / "checkpoints" / "2"), overwrite=True), "which --overwrite deletes")
    refused(at(run, init=str(tmp_path / "missing"), overwrite=True), "missing", CheckpointError)
    assert contents(run) == before
