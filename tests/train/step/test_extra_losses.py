"""Losses of the caller's own: they need a weight of their name, and count like the others."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import LossWeights, Schedule, Weight
from tests.train.run.initialised import TINY
from train.step import losses
from train.step.task import CodecTask
from zoo.errors import ZooError


@dataclass(frozen=True)
class Weights(LossWeights):
    error: Weight = 0.0


def task(weight: Weight = 2.0, **extra: losses.Reconstruction) -> CodecTask:
    weights = Weights(**(vars(TINY.loss) | {"error": weight}))
    return CodecTask(dataclasses.replace(TINY, loss=weights), extra)


def test_an_extra_loss_is_computed_weighted_and_balanced_like_another() -> None:
    same = task(Schedule("linear", 0.0, 2.0, 10), error=losses.waveform_l1)
    real, fake = jnp.zeros((3, 40, 1)), jnp.full((3, 40, 1), 0.5)
    named = {k: v for function in same.reconstruction_losses(real) for k, v in function(fake).items()}
    np.testing.assert_array_equal(named["error"], named["waveform_l1"])
    step = jnp.asarray(5)
    assert same.weights(["error"], step)["error"] == 1.0
    assert same.total(named, step) == pytest.approx(0.5 * 1.0 + 0.5 * 1.0)
    assert "error" in same.balanced


def test_an_extra_loss_of_weight_0_is_not_computed() -> None:
    functions = task(0.0, error=losses.waveform_l1).reconstruction_losses(jnp.zeros((1, 40, 1)))
    assert len(functions) == 1


def test_names_and_weights_must_match() -> None:
    with pytest.raises(ZooError, match=r"loss\.error is a weight without a loss"):
        task()
    with pytest.raises(ZooError, match="extra loss 'other' has no weight"):
        task(error=losses.waveform_l1, other=losses.waveform_l1)
    with pytest.raises(ZooError, match="extra loss 'mel' has the name of a loss that is there already"):
        task(error=losses.waveform_l1, mel=losses.waveform_l1)


def test_a_loss_that_averages_over_the_batch_is_refused() -> None:
    with pytest.raises(ZooError, match=r"extra loss 'error' gives \(\) for a batch of 2"):
        task(error=lambda reference, estimate: jnp.abs(reference - estimate).mean()).init(jax.random.key(0))
