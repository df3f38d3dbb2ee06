"""Configurations and the families that they configure: equal defaults, and models of full size by their shapes."""

import dataclasses
import importlib
import inspect

import jax
import jax.numpy as jnp
import pytest

import zoo
from configs import loading
from train.step.state import create_state
from train.step.task import CodecTask


@pytest.mark.parametrize("family", zoo.names())
def test_factory_and_config_have_the_same_defaults(family):
    build = getattr(importlib.import_module(f"zoo.families.{family}"), family)
    factory = {name: p.default for name, p in inspect.signature(build).parameters.items() if name != "dtype"}
    fields = {f.name: f.default for f in dataclasses.fields(type(loading.get(family).model))}
    assert fields == factory
    assert loading.get(family).model.family == family


@pytest.mark.parametrize("name", loading.names())
def test_every_configuration_initialises_in_full_size(name):
    task = CodecTask(loading.get(name))
    codec = task.module
    audio = jax.ShapeDtypeStruct((1, codec.sample_rate, codec.channels), jnp.float32)
    variables = jax.eval_shape(codec.init, jax.random.key(0), audio)
    n_parameters = sum(x.size for x in jax.tree.leaves(variables))
    assert n_parameters > 100_000
    assert jax.eval_shape(codec.apply, variables, audio).audio.shape == audio.shape
    if "44khz_stereo" in name:
        assert (codec.sample_rate, codec.channels) == (44_100, 2)
        assert n_parameters > 10_000_000
    # every parameter is there from the first call, whatever its length; the loss weights fit the model
    state = jax.eval_shape(lambda: create_state(task, 0))
    assert jax.tree.map(lambda x: x.shape, state.params) == jax.tree.map(lambda x: x.shape, variables["params"])
    if task.adversarial:
        verdicts = jax.eval_shape(task.discriminate, state.discriminator, audio)
        assert len(verdicts) == len(task.discriminators.periods) + len(task.discriminators.fft_sizes)
