"""Fixtures of the tests of runs that begin with the weights of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from tests.conftest import in_haste
from tests.train.run.initialised import DAC, at
from train.run import loop
from zoo import families
from zoo.bitstream import entropy
from zoo.published.load import export
from zoo.ready import ReadyCodec


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """No evaluation after a run, and programs are compiled in haste."""
    with in_haste(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "finish", lambda *_: None)
        yield


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
