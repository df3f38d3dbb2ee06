"""Runs that learn to denoise: what they leave behind, that they go on as they were, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import soundfile

import zoo
from configs import latent_flow
from configs.base import Augmentation, Config, Corruption, Data, Evaluation, LossWeights
from configs.denoiser import Denoiser
from tests.train import tiny
from tests.train.run.initialised import contents, refused
from train.run import loop, prior
from train.run.finish import finish
from train.run.start import make_source
from train.step.tasks import make_task
from train.watch.observe import HeldOut
from zoo.errors import ZooError

RATE = 8000
MODEL = Denoiser(sample_rate=RATE, n_fft=120, hop_length=60, fine_hz=1500.0, group_size=4, width=8, n_blocks=1)
KINDS = Corruption(kinds=("clicks",), coding=0.0)  # what compiles quickly
TINY = dataclasses.replace(
    tiny.RUN,
    model=MODEL,
    task="denoise",
    steps=4,
    checkpoint_every=2,
    loss=LossWeights(snr=1.0),
    corruption=KINDS,
    evaluation=Evaluation(clips=2, clip_s=0.3, samples=1, table_s=0.5),
)
pytestmark = pytest.mark.usefixtures("short")


def at(workdir: Path, config: Config = TINY, **changes: Any) -> Config:
    return dataclasses.replace(config, workdir=str(workdir), **changes)


@pytest.fixture(scope="module")
def noises(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("noises")
    for seed, name in enumerate(("rain.wav", "street/tram.flac")):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, 0.1 * np.random.default_rng(seed).standard_normal(RATE), RATE)
    return folder


@pytest.fixture(scope="module")
def finished(short: None, noises: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    loop.run("denoiser", at(workdir, data=dataclasses.replace(TINY.data, noise=str(noises))))
    return workdir


def test_a_run_leaves_a_model_that_denoises_and_a_table_of_what_it_gains(finished, capsys, monkeypatch):
    codec = zoo.load(finished)
    config = at(finished)
    held_out = HeldOut(config, make_source(make_task(config)))
    finish("denoiser", finished, config, held_out)
    told = capsys.readouterr().out
    assert f"python -m zoo denoise noisy.wav clean.wav --ckpt {finished}" in told
    assert f"python -m evaluate --task denoise --ckpt {finished} --data.root DIR" in told
    rows = json.loads((finished / "evaluation" / "denoise.json").read_text())
    assert {(row["system"], row["input_snr_db"]) for row in rows} == {
        (system, snr_db) for system in ("noisy", "denoiser") for snr_db in (0.0, 10.0, 20.0)
    }
    sounds = {path.name.rpartition("_")[2]: path for path in (finished / "samples").iterdir()}
    assert set(sounds) == {"original.wav", "noisy.wav", "reconstruction.wav"}
    wanted, given, got = (soundfile.read(sounds[f"{name}.wav"])[0] for name in ("original", "noisy", "reconstruction"))
    snr_db = 10 * np.log10(np.var(wanted) / np.var(given - wanted))
    assert snr_db == pytest.approx(5, abs=0.1)
    np.testing.assert_allclose(got, zoo.denoise(codec, given.astype(np.float32)), atol=1e-3)


def test_what_is_measured_at_a_checkpoint_is_what_was_taken_off(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    # a mask that hardly does anything yet leaves the 5 dB that the examples have
    assert [row["held_out/snr_db"] for row in rows if "held_out/snr_db" in row] == pytest.approx([5, 5], abs=1)


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(finished, noises, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    loop.run("denoiser", at(tmp_path / "run", data=dataclasses.replace(TINY.data, noise=str(noises)), resume=True))
    mine, theirs = (_leaves(zoo.load(place).variables) for place in (tmp_path / "run", finished))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def _leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def test_other_noises_are_another_run(finished, tmp_path):
    soundfile.write(tmp_path / "wind.wav", 0.1 * np.random.default_rng(5).standard_normal(RATE), RATE)
    data = dataclasses.replace(TINY.data, noise=str(tmp_path))
    before = contents(finished)
    refused(at(finished, data=data, steps=6, resume=True), "accept_changes")
    assert contents(finished) == before


def test_every_family_can_be_trained_to_denoise(tmp_path):
    run = dataclasses.replace(tiny.RUN, task="denoise", steps=1, loss=LossWeights(waveform_l1=1.0, rate=0.1))
    loop.run("autoencoder", at(tmp_path / "run", dataclasses.replace(run, corruption=KINDS)))
    codec = zoo.load(tmp_path / "run")
    assert codec.metadata["config"]["task"] == "denoise"
    assert zoo.denoise(codec, np.zeros(500, np.float32)).shape == (500,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": Data(segment_s=0.1, noise="{tmp}/missing")}, "missing"),
        ({"data": Data(segment_s=0.1, noise="{tmp}")}, "{tmp}.*audio"),
        ({"task": "reconstruct"}, "'denoiser' has no codes, only latents: .* --task denoise"),
        ({"corruption": Corruption(noise=2.0)}, "corruption.noise is a probability"),
        ({"corruption": Corruption(kinds=("rain",))}, "there is no noise 'rain'"),
        ({"corruption": Corruption(), "augmentation": Augmentation(polarity=0.5)}, "corruption.coding or"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path, changes, message):
    (tmp_path / "notes.txt").write_text("no sound")
    if "data" in changes:
        noise = changes["data"].noise.format(tmp=tmp_path)
        changes = {"data": dataclasses.replace(changes["data"], noise=noise)}
    refused(at(tmp_path / "run", **changes), message.format(tmp=tmp_path))
    assert not (tmp_path / "run").exists()


def test_noise_without_denoising_is_refused(tmp_path, noises):
    config = dataclasses.replace(tiny.RUN, loss=LossWeights(waveform_l1=1.0))
    refused(at(tmp_path / "run", config, data=Data(segment_s=0.1, noise=str(noises))), "is for --task denoise")


def test_silent_recordings_are_refused(tmp_path):
    (tmp_path / "noises").mkdir()
    soundfile.write(tmp_path / "noises" / "nothing.wav", np.zeros(RATE), RATE)
    refused(at(tmp_path / "run", data=Data(segment_s=0.1, noise=str(tmp_path / "noises"))), "nothing to learn from")


def test_latents_of_a_denoiser_are_not_modelled(finished, tmp_path):
    config = dataclasses.replace(latent_flow.CONFIG, codec=str(finished))
    with pytest.raises(ZooError, match=f"codec {finished}: is a denoiser"):
        prior.of_codec(tmp_path, config, print)
