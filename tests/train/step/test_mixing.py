"""Latents that mix as sounds do: what is mixed, what the loss is, and that devices do not matter."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

from configs import loading
from configs.base import LossWeights, Optim, Schedule
from train.devices import parallel
from train.step import losses, mixing
from train.step.state import create_state
from train.step.step import make_step
from train.step.task import CodecTask
from zoo.errors import ZooError
from zoo.random_weights import random_like

HOP, BATCH = 40, 4
QUICK = {"xla_backend_optimization_level": 0}


def task(**weights: float | Schedule) -> CodecTask:
    config = loading.get("autoencoder")
    model = dataclasses.replace(
        config.model, sample_rate=8000, hop_length=HOP, latent_dim=8, levels=(9, 4), width=16, n_blocks=0
    )
    made = CodecTask(
        dataclasses.replace(
            config, model=model, batch_size=BATCH, loss=LossWeights(**weights), optim=Optim(warmup_steps=1)
        )
    )
    made.optimiser = optax.sgd(1.0)  # so that what is left of the parameters tells the gradient
    return made


@functools.cache
def batch() -> dict[str, np.ndarray]:
    audio = 0.3 * np.random.default_rng(0).standard_normal((BATCH, 12 * HOP, 1))
    return {"audio": audio.astype(np.float32), "index": np.arange(7, 7 + BATCH, dtype=np.int32)}


@functools.cache
def mixed_task() -> CodecTask:
    return task(waveform_l1=2.0, snr=Schedule("linear", 0.5, 0.5, 10), mix_consistency=0.7)


@functools.cache
def after_a_step(n_devices: int = 1):
    """Parameters before and after a step of `mixed_task`, and its metrics."""
    made = mixed_task()
    shapes = jax.eval_shape(lambda: create_state(made, seed=0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes).replace(params=random_like(shapes.params))
    mesh = parallel.make_mesh(jax.devices()[:n_devices])
    args = parallel.replicate(state, mesh), parallel.shard_batch(batch(), mesh)
    step = parallel.map_step(make_step(made, adversarial=False), mesh).lower(*args).compile(QUICK)
    after, metrics = jax.device_get(step(*args))
    return state.params, after.params, metrics


def test_each_example_is_mixed_with_the_next_one():
    latent = np.random.default_rng(1).standard_normal((BATCH, 5, 3)).astype(np.float32)
    audio = np.repeat(latent, HOP, axis=1)
    index = batch()["index"]
    found = mixing.mixes(latent, audio, index, seed=3)
    after = np.roll(latent, -1, axis=0)
    share = (np.asarray(found.latent) - after)[:, 0, 0] / (latent - after)[:, 0, 0]
    assert ((share > 0) & (share < 1)).all()
    assert len(set(share.round(4))) == BATCH
    expected = share[:, None, None] * latent + (1 - share)[:, None, None] * after
    np.testing.assert_allclose(found.latent, expected, atol=1e-5)
    np.testing.assert_allclose(found.audio, np.repeat(expected, HOP, axis=1), atol=1e-5)
    # of each example its own, whatever batch it is in
    alone = mixing.mixes(latent[2:], audio[2:], index[2:], seed=3)
    np.testing.assert_allclose(alone.latent[0], found.latent[2], atol=1e-6)


def test_the_loss_is_that_of_decoded_mixes_in_the_losses_of_the_run():
    made = mixed_task()
    params, _, metrics = after_a_step()
    inputs = made.inputs(batch())

    @jax.jit
    def expectation(params, inputs):
        latent = made.apply(params, inputs).latent
        mixed = mixing.mixes(latent, batch()["audio"], batch()["index"], seed=made.config.seed)
        decode = mixing.decoder(mixed.audio.shape[1])
        decoded = made.module.apply({"params": params}, mixed.latent, inputs["keys"], method=decode)
        return 2 * losses.waveform_l1(mixed.audio, decoded) + 0.5 * losses.negative_snr_db(mixed.audio, decoded)

    expected = expectation(params, inputs)
    assert metrics["mix_consistency"] == pytest.approx(float(expected.mean()), rel=1e-4)
    total = 2 * metrics["waveform_l1"] + 0.5 * metrics["snr"] + 0.7 * metrics["mix_consistency"]
    assert metrics["loss"] == pytest.approx(float(total), rel=1e-5)


def test_devices_do_not_change_what_is_mixed_nor_the_gradient():
    before, one, metrics = after_a_step()
    _, several, other = after_a_step(4)
    assert other["mix_consistency"] == pytest.approx(float(metrics["mix_consistency"]), rel=1e-5)
    moved = jax.tree.map(lambda x, y: x - y, one, before)
    size = max(float(np.abs(x).max()) for x in jax.tree.leaves(moved))
    assert size > 1e-6
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(several)):
        np.testing.assert_allclose(y, x, atol=1e-4 * size)


def test_without_the_weight_nothing_is_mixed():
    made = task(waveform_l1=1.0)
    assert made.mix_losses({}, None, batch(), None, 0) == {}  # type: ignore[arg-type]


def test_a_mix_needs_a_loss_to_be_compared_by():
    with pytest.raises(ZooError, match="mix_consistency compares mixes by the reconstruction losses"):
        task(mix_consistency=1.0).init(jax.random.key(0))
