"""A run directory that an earlier version wrote is resumed by this one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp

import zoo
from configs import loading
from tests.zoo.test_golden_runs import unpacked
from train.run import loop
from train.watch.log import read_metrics


def test_an_old_run_goes_on(short: None, tmp_path: Path) -> None:
    run = unpacked("vae", tmp_path)
    config = loading.from_dict(json.loads((run / "config.json").read_text(encoding="utf-8")))
    assert config.steps == 2
    # on four devices; of so little audio the entropy coder gets contexts, not networks that take a minute to fit
    little = dataclasses.replace(config.evaluation, table_s=4.0)
    changed = dataclasses.replace(config, workdir=str(run), resume=True, steps=3, batch_size=4, evaluation=little)
    loop.run("vae", changed)
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    before, after = (zoo.load(run / "checkpoints" / str(step)).variables for step in (2, 3))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, after)
    assert 0 < max(jax.tree.leaves(moved)) < 0.01  # a step on, not a new beginning
