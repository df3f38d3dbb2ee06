"""Runs of a prior: what they leave behind, that they go on as they were, what is kept, and what they refuse."""

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
from configs.base import Augmentation, Config, Data, LossWeights
from configs.latent_flow import CONFIG, LatentFlow
from tests.train import tiny
from tests.train.run.initialised import contents, refused
from tests.zoo.conftest import make, place  # noqa: F401
from train.data.latents import LatentCrops, stored
from train.data.source import Recording
from train.devices import parallel
from train.run import finish_prior, loop, prior, start
from train.step.phases import RECONSTRUCTION, Phases
from train.step.state import create_state
from train.step.tasks import make_task
from zoo import generating
from zoo.generating import latents
from zoo.published.load import export

RATE = 8000
pytestmark = pytest.mark.usefixtures("short", "quick_module")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user_cache")))
        yield


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Three files of each of two labels, one of which is shorter than a crop, and one that is no audio."""
    folder = tmp_path_factory.mktemp("sounds")
    for seed, name in enumerate(("low/a.wav", "low/b.flac", "low/c.wav", "high/a.wav", "high/b.wav", "high/c.wav")):
        (folder / name).parent.mkdir(exist_ok=True)
        t = np.arange(RATE // 50 if name == "high/c.wav" else RATE) / RATE
        noise = 0.01 * np.random.default_rng(seed).standard_normal(len(t))
        soundfile.write(folder / name, 0.2 * np.sin(2 * np.pi * (200 if "low" in name else 1500) * t) + noise, RATE)
    return folder


@pytest.fixture(scope="module")
def codec(place) -> Path:  # noqa: F811
    return place / "runs" / "tiny"


@pytest.fixture(scope="module")
def config(codec, sounds) -> Config:
    return dataclasses.replace(
        CONFIG,
        model=LatentFlow(width=16, n_layers=1, n_heads=2, components=8),
        codec=str(codec),
        steps=4,
        checkpoint_every=2,
        batch_size=4,
        log_every=1,
        tensorboard=False,
        data=Data(root=str(sounds), segment_s=0.1, gain_db=0.0, held_out=0.2),
        evaluation=dataclasses.replace(tiny.RUN.evaluation, samples=3, clip_s=0.1),
    )


def at(workdir: Path, config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, workdir=str(workdir), **changes)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    loop.run("latent_flow", at(workdir, config))
    return workdir


def test_a_run_leaves_a_prior_that_needs_nothing_else(finished, codec, config, capsys):
    found = generating.load(finished)
    assert found.labels == ("high", "low")
    assert found.codec.digest == zoo.load(codec).digest
    assert str(finished) in found.codec.metadata["path"]
    assert found.metadata["config"]["codec"] == str(codec)
    finish_prior.finish("latent_flow", finished, config)
    assert "python -m zoo generate out --ckpt" in capsys.readouterr().out
    assert {path.name for path in (finished / "samples").iterdir()} == {"000_high.wav", "001_low.wav", "002_high.wav"}
    assert (finished / "report.png").exists()


def test_its_loss_is_measured_on_what_is_held_out(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    held_out = [row["held_out/flow"] for row in rows if "held_out/flow" in row]
    assert len(held_out) == 2
    assert held_out[0] != held_out[1]
    assert 0 < max(held_out) < 10
    assert "flow" in rows[0]


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(finished, config, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    stored = json.loads((finished / "config.json").read_text())
    from configs import loading

    loop.run("latent_flow", at(tmp_path / "run", loading.from_dict(stored), resume=True))
    mine, theirs = (generating.load(one).variables for one in (tmp_path / "run", finished))
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)


def test_latents_are_computed_once_and_again_where_the_codec_or_a_file_is_another(config, codec, sounds, tmp_path):
    def source(config: Config) -> LatentCrops:
        found = prior.of_codec(tmp_path, config, print)
        made = start.make_source(make_task(found), lambda _: None, workdir=tmp_path)
        assert isinstance(made, LatentCrops)
        return made

    first = source(config)
    batch = first.batch(range(8))
    # a crop is just the codec's latents of a place in a file
    whole = latents.encode(zoo.load(codec), soundfile.read(sounds / "low" / "a.wav", dtype="float32")[0][:, None])
    assert batch["latents"].shape == (8, 20, whole.shape[1])
    row = next(i for i in range(8) if batch["labels"][i] == 1 and batch["n_frames"][i] == 20)
    files = [
        latents.encode(zoo.load(codec), soundfile.read(p, dtype="float32")[0][:, None])
        for p in (sounds / "low").iterdir()
    ]
    windows = np.concatenate([np.lib.stride_tricks.sliding_window_view(z, 20, axis=0).swapaxes(1, 2) for z in files])
    assert np.abs(windows - batch["latents"][row]).max(axis=(1, 2)).min() < 1e-2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.data.latents.latent_encoder", None)  # it is not asked again
        again = source(config)
    jax.tree.map(np.testing.assert_array_equal, again.batch(range(8)), batch)
    shutil.copytree(sounds, tmp_path / "sounds")
    soundfile.write(tmp_path / "sounds" / "low" / "d.wav", np.zeros(RATE), RATE)
    moved = dataclasses.replace(config.data, root=str(tmp_path / "sounds"))
    assert set(source(dataclasses.replace(config, data=moved)).inventory()) == {*first.inventory(), "low/d.wav"}


def test_latents_that_the_cache_cannot_hold_are_left_out_and_told(codec, monkeypatch):
    class Loud:
        def push(self, block: np.ndarray) -> list[np.ndarray]:
            return [np.full((1, 3, 2), block.max(), np.float32)]

        def finish(self) -> list[np.ndarray]:
            return []

    monkeypatch.setattr("train.data.latents.latent_encoder", lambda codec: Loud())
    recordings = [
        Recording(name, "", False, 1.0, (name,), lambda level=level: iter([np.full((8, 1), level)]))
        for name, level in (("soft", 2.0), ("loud", 1e6))
    ]
    said: list[str] = []
    store = stored(zoo.load(codec), recordings, said.append)
    assert said == ["skipped loud: its latents, up to 1e+06, are more than float16 holds"]
    assert store.places == {"soft": (0, 3)}
    np.testing.assert_array_equal(store.latents, np.full((3, 2), 2.0))


def test_one_device_is_several(config, tmp_path):
    found = prior.of_codec(tmp_path, config, print)
    task = make_task(found)
    source = start.make_source(task, lambda _: None, workdir=tmp_path)
    state = create_state(task, 0)
    batch = source.batch(range(4))
    metrics = []
    for n in (1, 4):
        mesh = parallel.make_mesh(jax.devices()[:n])
        step = Phases(task, mesh)[RECONSTRUCTION]
        copied = parallel.replicate(jax.tree.map(np.array, state), mesh)
        after, values = step(copied, parallel.shard_batch(batch, mesh))
        metrics.append((jax.device_get(values), jax.device_get(after.params)))
        # what was measured stays
        jax.tree.map(
            np.testing.assert_array_equal, after.params["statistics"], jax.device_get(state.params["statistics"])
        )
    (one, params), (four, others) = metrics
    assert one["flow"] == pytest.approx(four["flow"], rel=1e-5)
    assert one["gradient_norm"] == pytest.approx(four["gradient_norm"], rel=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params, others)


def test_without_data_the_generator_is_a_library(config, tmp_path, monkeypatch):
    monkeypatch.setattr("train.data.synthetic.N_RECORDINGS", 6)
    monkeypatch.setattr("train.data.synthetic.N_HELD_OUT", 3)
    monkeypatch.setattr("train.data.synthetic.RECORDING_S", 0.3)
    found = prior.of_codec(tmp_path, dataclasses.replace(config, data=Data(segment_s=0.1, gain_db=0.0)), print)
    source = start.make_source(make_task(found), lambda _: None, workdir=tmp_path)
    assert len(found.model.labels) == 3
    assert len(source.held_out) == 3
    assert set(source.batch(range(30))["labels"]) == {0, 1, 2}


def test_another_codec_is_refused_when_a_run_goes_on(finished, config, tmp_path):
    from configs import loading

    export(make("vae"), tmp_path / "codec")
    stored = loading.from_dict(json.loads((finished / "config.json").read_text()))
    before = contents(finished)
    changed = at(finished, stored, codec=str(tmp_path / "codec"), resume=True, steps=6)
    refused(changed, f"models the latents of another codec.* --codec {finished}/codec goes on")
    assert contents(finished) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": None}, "is of a codec's latents: name one with --codec"),
        ({"codec": "{tmp}/nothing"}, "nothing"),
        ({"augmentation": Augmentation(polarity=0.5)}, "latents are computed once"),
        ({"data": Data(gain_db=6.0)}, "data.gain_db at 0"),
        ({"freeze": ()}, "keeps its statistics"),
        ({"loss": LossWeights(flow=1.0, mel=1.0)}, "loss.mel is set, but a model of latents has no such loss"),
        ({"loss": LossWeights()}, "loss.flow is 0"),
        ({"adversarial_start": 2}, "adversarial_start"),
        ({"task": "reconstruct"}, "codec .* is for models of latents"),
        ({"init": "{tmp}"}, "begins with weights of its own"),
        ({"model": tiny.RUN.model}, "'autoencoder' is no model of latents|no hyper-parameter|codec_hash"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(config, tmp_path, changes, message):
    changes = {name: x.format(tmp=tmp_path) if isinstance(x, str) else x for name, x in changes.items()}
    refused(at(tmp_path / "run", config, **changes), message)
    assert not (tmp_path / "run").exists()


def test_a_codec_is_not_trained_on_the_loss_of_a_prior(tmp_path):
    refused(at(tmp_path / "run", tiny.RUN, loss=LossWeights(flow=1.0)), "loss.flow is set, but model 'autoencoder'")
