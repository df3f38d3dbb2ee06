"""Which parts of a task a step asks for: discriminators only in their phase."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from configs.base import LossWeights
from tests.train.run.initialised import TINY
from train.step.state import create_state
from train.step.step import make_step
from train.step.task import CodecTask

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
