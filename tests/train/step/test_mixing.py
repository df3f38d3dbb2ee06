"""Latents that mix as sounds do: what is mixed, what the loss is, and that devices do not matter."""

from __future__ import annotations

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import loading
from configs.base import LossWeights, Optim
from train.devices import parallel
from train.step import mixing
from train.step.state import create_state
from train.step.step import make_step
from train.step.task import CodecTask
from zoo.nn.bottlenecks import Identity
from zoo.random_weights import random_like

HOP, BATCH = 40, 4
QUICK = {"xla_backend_optimization_level": 0}


def task(**weights: float) -> CodecTask:
    config = loading.get("autoencoder")
    model = dataclasses.replace(
        config.model, sample_rate=8000, hop_length=HOP, latent_dim=8, levels=(9, 4), width=16, n_blocks=1
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
    return task(waveform_l1=2.0, mix_consistency=0.7)


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
    index = batch()["index"]
    mix = mixing.mixing(index, seed=3)
    latent = np.random.default_rng(1).standard_normal((BATCH, 5, 3)).astype(np.float32)
    after = np.roll(latent, -1, axis=0)
    share = (np.asarray(mix(latent)) - after)[:, 0, 0] / (latent - after)[:, 0, 0]
    assert ((share > 0) & (share < 1)).all()
    assert len(set(share.round(4))) == BATCH
    expected = share[:, None, None] * latent + (1 - share)[:, None, None] * after
    np.testing.assert_allclose(mix(latent), expected, atol=1e-5)
    # of each example its own, whatever batch it is in
    alone = mixing.mixing(index[2:], seed=3)(latent[2:])
    np.testing.assert_allclose(alone[0], expected[2], atol=1e-5)


class Linear(nn.Module):
    """A codec of frames of samples; a `bend` of its latents makes it one that does not mix."""

    bend: float = 0.0

    def setup(self) -> None:
        self.bottleneck = Identity()

    def encode(self, audio: jax.Array) -> jax.Array:
        latent = audio.reshape(len(audio), -1, HOP)
        return latent + self.bend * jnp.square(latent)

    def decode(self, latent: jax.Array, length: int) -> jax.Array:
        return latent.reshape(len(latent), length, 1)


def test_the_loss_is_the_error_of_mixes_in_decibels():
    audio, index = jnp.asarray(batch()["audio"]), jnp.asarray(batch()["index"])
    mix = mixing.mixing(index, seed=0)

    def loss(codec: Linear) -> np.ndarray:
        latent = codec.apply({}, audio, method="encode")
        decoded = codec.apply({}, latent, audio.shape[1], method="decode")
        return np.asarray(codec.apply({}, audio, latent, decoded, None, mix, method=mixing.inconsistency_db))

    np.testing.assert_allclose(loss(Linear()), -40, atol=0.1)  # the floor
    latent = Linear(0.5).apply({}, audio, method="encode")
    wanted, found = mix(latent), Linear(0.5).apply({}, mix(audio), method="encode")
    error = jnp.square(found - wanted).sum(axis=(1, 2)) / jnp.square(wanted).sum(axis=(1, 2))
    # of the encoder; the decoder is at the floor
    expected = (10 * np.log10(error + 1e-4) - 40) / 2
    np.testing.assert_allclose(loss(Linear(0.5)), expected, atol=0.05)


def test_it_is_a_loss_like_others_and_the_weight_counts():
    _, _, metrics = after_a_step()
    assert -40 < metrics["mix_consistency"] < 20
    total = 2 * metrics["waveform_l1"] + 0.7 * metrics["mix_consistency"]
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
    assert made.mix_losses({}, None, {}, batch()["index"]) == {}  # type: ignore[arg-type]
