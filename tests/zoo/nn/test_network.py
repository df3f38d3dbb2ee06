"""A network's inputs against its Jacobian's support, and that asking for them leaves no trace."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.zoo.nn.test_context import jit, noise, random_like, support
from zoo.nn.layers import Conv1d, ConvTranspose1d, Network, Residual, Span, Steps, Sum, Transform, in_windows, windowed


class Down(Network):
    def layers(self):
        yield Conv1d(4, 6, 3, left=2, name="down")
        yield Sum([], [Conv1d(None, 3, dilation=2, name="beside"), jnp.tanh], [Conv1d(4, 4, name="after")])


class Beside(Residual):
    def layers(self):
        return [Conv1d(4, 5, causal=True, name="hidden"), jnp.tanh, Conv1d(masked=False, name="pointwise")]


class Both(Network):
    def layers(self):
        yield windowed(Down(name="first"), Steps(3, 1), 12)
        yield Beside(name="second")
        yield ConvTranspose1d(2, 4, name="up")
        yield Transform(lambda x, mask: x.reshape(len(x), -1, 6), lambda frames: frames.analysed(3, 3, 0))


@pytest.mark.parametrize("network", [Down(), Beside(), Both()])
def test_inputs_of_a_network_are_its_jacobians_support(network):
    x = noise(1, 90, 4)
    variables = random_like(jax.eval_shape(network.init, jax.random.key(0), x))
    for first, last in ((14, 14), (15, 17)):
        assert support(functools.partial(network.apply, variables), x, first, last) == network.inputs(Span(first, last))


def test_parameters_are_called_as_the_layers_are():
    params = jax.eval_shape(Both().init, jax.random.key(0), noise(1, 90, 4))["params"]
    assert {name: set(params[name]) for name in params} == {
        "first": {"down", "beside", "after"},
        "second": {"hidden", "pointwise"},
        "up": {"kernel", "bias"},
    }


def test_a_sum_adds_its_branches_to_each_other():
    x = noise(2, 9, 4)
    network = Sum([jnp.tanh], [], [jnp.sin, jnp.square])
    np.testing.assert_allclose(network(x), np.tanh(x) + x + np.sin(x) ** 2, rtol=1e-6)
    assert network.inputs(Span(3, 4)) == Span(3, 4)


class Curious(nn.Module):
    """Asks a network for its inputs, amid its own computation, where the names of that network's layers are taken."""

    @nn.compact
    def __call__(self, x):
        x = Conv1d(4, name="down")(x)
        network = Down(name="network")
        assert network.inputs(Span(0, 0)) == network.inputs(Span(0, 0)) == Down().inputs(Span(0, 0))
        return in_windows(network, x, None, Steps(3, 1), 12)


def test_asking_for_inputs_adds_nothing_to_who_asks():
    params = jax.eval_shape(Curious().init, jax.random.key(0), noise(1, 90, 4))["params"]
    assert set(params) == {"down", "network"}
    assert set(params["network"]) == {"down", "beside", "after"}


class Merging(Network):
    def layers(self):
        yield windowed(Down(), Steps(3, 1), 12, merged=True)
        yield Conv1d(2, name="head")


def test_parameters_of_merged_windows_are_among_the_others():
    x = noise(1, 180, 4)
    variables = random_like(jax.eval_shape(Merging().init, jax.random.key(0), x))
    assert set(variables["params"]) == {"down", "beside", "after", "head"}
    assert "scan" in str(jax.make_jaxpr(Merging().apply)(variables, x))
    alone = {"params": {name: variables["params"][name] for name in ("down", "beside", "after")}}
    head = Conv1d(2).apply({"params": variables["params"]["head"]}, jit(Down().apply)(alone, x))
    np.testing.assert_allclose(jit(Merging().apply)(variables, x), head, atol=1e-5)
