"""Which parts of a task a step asks for: discriminators only in their phase."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from configs.base import LossWeights, Schedule, Weight
from tests.train.run.initialised import TINY
from train.step.state import create_state
from train.step.step import make_step
from train.step.task import CodecTask
from zoo.errors import ZooError

WITHOUT = dataclasses.replace(TINY, adversarial_start=-1, loss=LossWeights(waveform_l1=1.0))


def test_the_warm_up_never_asks_the_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    task = CodecTask(TINY)
    state = jax.eval_shape(lambda: create_state(task, 0))
    batch = {
        "audio": jax.ShapeDtypeStruct((2, 800, 1), np.float32),
        "index": jax.ShapeDtypeStruct((2,), np.uint32),
    }

    def asked(*_: object) -> None:
        raise RuntimeError("the discriminators were asked")

    monkeypatch.setattr(task, "discriminate", asked)
    trace = {kind: jax.make_jaxpr(make_step(task, adversarial=kind), axis_env=[("data", 1)]) for kind in (False, True)}
    trace[False](state, batch)
    with pytest.raises(RuntimeError, match="were asked"):
        trace[True](state, batch)


def test_without_a_phase_for_them_discriminators_have_no_parameters() -> None:
    assert create_state(CodecTask(WITHOUT), 0).discriminator == {}


def test_schedules_to_nothing_are_refused_only_where_they_leave_no_gradient() -> None:
    def task(steps: int, balancer: bool = True, **weights: Weight) -> CodecTask:
        loss = LossWeights(waveform_l1=Schedule("linear", 1.0, 0.0, 50), adversarial=1.0, **weights)
        optim = dataclasses.replace(TINY.optim, balancer=balancer)
        discriminator = dataclasses.replace(TINY.discriminator, warmup_steps=0)
        config = dataclasses.replace(TINY, steps=steps, adversarial_start=10, loss=loss, optim=optim)
        return CodecTask(dataclasses.replace(config, discriminator=discriminator))

    with pytest.raises(ZooError, match=r"loss\.waveform_l1: 0 by step 50"):
        task(51)
    task(50)  # whose last step is the last with a weight
    task(51, balancer=False)
    task(51, mel=0.1)
    with pytest.raises(ZooError, match=r"loss\.waveform_l1, loss\.mel: 0 by step 99"):
        task(100, mel=Schedule("cosine", 2.0, 0.0, 99))
