"""Fixtures of the tests of runs that begin with the weights of others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh

from configs import loading
from configs.base import Config
from tests.conftest import in_haste
from tests.train.run.initialised import DAC, at
from train.run import loop
from train.step.phases import Phases
from train.step.task import CodecTask
from zoo import families
from zoo.bitstream import entropy
from zoo.published.load import export
from zoo.ready import ReadyCodec


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """No table before a run and no evaluation after it; programs are compiled in haste, those of equal runs once."""
    made: dict[tuple[str, Mesh], Phases] = {}

    def phases(task: CodecTask, mesh: Mesh) -> Phases:
        """Those of another run that differs in nothing that its steps know of."""
        return made.setdefault((_trained(task.config), mesh), Phases(task, mesh))

    with in_haste(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "finish", lambda *_: None)
        patch.setattr(loop.summary, "show", lambda *_: None)
        patch.setattr(loop, "Phases", phases)
        yield


def _trained(config: Config) -> str:
    where = {"workdir": None, "resume": False, "overwrite": False, "tensorboard": False}
    where |= {"checkpoint_every": 1, "keep_checkpoints": 1}
    changed: Any = dataclasses.replace(config, **where)
    return json.dumps(loading.to_dict(changed), sort_keys=True)


@pytest.fixture(scope="module")
def finished(short: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with discriminators; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    loop.run("tiny", at(workdir))
    return workdir


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the hub's layout, of a DAC with random weights."""
    module = families.create("dac", **DAC)
    params = jax.jit(module.init)(jax.random.key(7), jnp.zeros((1, 80, 1)))["params"]
    coder = entropy.Fitter(module.bottleneck.symbols()).fit()
    folder = tmp_path_factory.mktemp("published") / "dac"
    export(ReadyCodec(module, {"params": params}, coder, {"family": "dac", "model": DAC}), folder)
    return folder
