"""Configurations and the families that they configure: equal defaults, and models of full size by their shapes."""

import dataclasses
import importlib
import inspect
import pkgutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import zoo
from configs import loading
from configs.base import LossWeights
from train.step.state import create_state
from train.step.tasks import make_task
from zoo import families
from zoo.nn.bottlenecks import Bottleneck

CODECS = [name for name in loading.names() if loading.get(name).task != "generate"]


@pytest.mark.parametrize("family", [*zoo.names(), *families.PRIORS])
def test_factory_and_config_have_the_same_defaults(family):
    build = getattr(importlib.import_module(f"zoo.families.{family}"), family)
    factory = {name: p.default for name, p in inspect.signature(build).parameters.items() if name != "dtype"}
    fields = {f.name: f.default for f in dataclasses.fields(type(loading.get(family).model))}
    assert fields == factory
    assert loading.get(family).model.family == family


@pytest.mark.parametrize("name", CODECS)
def test_every_configuration_initialises_in_full_size(name):
    task = make_task(loading.get(name))
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


def bottlenecks() -> dict[str, type]:
    """Every class below zoo that quantises latents: linen modules that have symbols."""
    found = {}
    for module in pkgutil.walk_packages(zoo.__path__, "zoo."):
        if module.name.startswith(("zoo.nn.", "zoo.families.", "zoo.published.")):
            for name, cls in vars(importlib.import_module(module.name)).items():
                if isinstance(cls, type) and issubclass(cls, nn.Module) and hasattr(cls, "symbols"):
                    found[name] = cls
    return found


def test_bottlenecks_keep_to_their_protocol_and_every_loss_of_theirs_has_a_weight():
    found = bottlenecks()
    assert {"FSQ", "Gaussian", "ResidualVQ", "Identity", "Grid", "EuclideanRVQ", "SegmentRVQ"} <= set(found)
    weights = {field.name for field in dataclasses.fields(LossWeights)}
    members = [name for name in vars(Bottleneck) if not name.startswith("_")]
    for name, cls in found.items():
        assert [member for member in members if not hasattr(cls, member)] == [], name
        assert set(cls.loss_names) <= weights, name
