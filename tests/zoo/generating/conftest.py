"""A prior with random weights, of an untrained codec, as a run of it is stored."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from configs.latent_flow import CONFIG, LatentFlow
from tests.zoo.conftest import RATE
from train.run import prior as prior_run
from train.run.checkpoints import Checkpoints
from train.step.prior_task import PriorTask
from train.step.state import create_state
from zoo import generating
from zoo.bitstream import entropy
from zoo.generating import latents
from zoo.prior import measured
from zoo.random_weights import random_like

LABELS = ("music", "speech")
WINDOW = 24


@pytest.fixture(scope="session")
def runs(place, tmp_path_factory) -> Path:
    """A folder with the codec tiny and its prior flow."""
    folder = tmp_path_factory.mktemp("priors")
    (folder / "tiny").symlink_to(place / "runs" / "tiny")
    codec = zoo.load(place / "runs" / "tiny")
    model = LatentFlow(
        width=16, n_layers=1, n_heads=2, components=12, label_dropout=0.1, codec_hash=codec.digest.hex(),
        latent_dim=20, window=WINDOW, labels=LABELS, sample_rate=RATE, hop_length=40,
    )  # fmt: skip
    config = dataclasses.replace(CONFIG, model=model, codec=str(place / "runs" / "tiny"))
    task = PriorTask(config)
    sound = np.random.default_rng(0).standard_normal((4 * RATE, 1)).astype(np.float32) * 0.1
    task.statistics = measured(latents.encode(codec, sound), 12, 0.5)
    shapes = jax.eval_shape(lambda: create_state(task, seed=0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    network = jax.tree.map(lambda x: 0.2 * x, random_like(shapes.params["network"]))
    statistics = {name: np.asarray(array) for name, array in task.statistics.items()}
    workdir = folder / "flow"
    checkpoints = Checkpoints(workdir, config)
    coder = entropy.Fitter(task.module.bottleneck.symbols()).fit()
    checkpoints.save(state.replace(step=np.int32(3), ema={"network": network, "statistics": statistics}), coder)
    checkpoints.close()
    prior_run.keep_codec(workdir, config)
    return folder


@pytest.fixture(scope="session")
def prior(runs) -> generating.ReadyPrior:
    return generating.load(runs / "flow")
