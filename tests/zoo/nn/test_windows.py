"""Stacks of layers in windows against one pass: any length, any mask, any rate, and gradients."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from zoo.nn.layers import Conv1d, ConvTranspose1d, Span, Steps, in_windows, windows

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Down(nn.Module):
    steps = Steps(3, 1)
    shortsighted: int = 0
    """samples that it hears without saying so"""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        span = Conv1d(1, 5, dilation=2).inputs(Conv1d(1, 6, 3, left=2).inputs(span))
        return Span(span.first, span.last - self.shortsighted)

    @nn.compact
    def __call__(self, x, mask=None):
        return Conv1d(4, 6, 3, left=2)(nn.tanh(Conv1d(3, 5, dilation=2)(x, mask)), mask)


class Up(nn.Module):
    steps = Steps(1, 4)

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return ConvTranspose1d(1, 4, left=1).inputs(Conv1d(1, 7).inputs(span))

    @nn.compact
    def __call__(self, x, mask=None):
        return Conv1d(2, 7)(nn.tanh(ConvTranspose1d(3, 4, left=1)(x, mask)), mask)


class Windowed(nn.Module):
    layers: nn.Module
    size: int

    @nn.compact
    def __call__(self, x, mask=None):
        return in_windows(self.layers, x, mask, self.layers.steps, self.size)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def build(layers: nn.Module, n_steps: int, size: int, batch: int = 2):
    x = noise(batch, n_steps * layers.steps.into, 3)
    variables = jax.device_get(jit(layers.init)(jax.random.key(0), x))
    return x, variables, Windowed(layers, size), {"params": {"layers": variables["params"]}}


@pytest.mark.parametrize("layers", [Down(), Up()])
@pytest.mark.parametrize(("n_steps", "size"), [(64, 24), (77, 12), (200, 60), (201, 61)])
@pytest.mark.parametrize("masked", [False, True])
def test_windows_are_one_pass(layers, n_steps, size, masked):
    x, variables, windowed, nested = build(layers, n_steps, size)
    # clips that begin and end anywhere, and one with a gap
    mask = (np.arange(n_steps)[None] < np.array([[n_steps - 9], [n_steps // 2]])) if masked else None
    if masked:
        mask[0, 20:23] = False
    found, wanted = jit(windowed.apply)(nested, x, mask), jit(layers.apply)(variables, x, mask)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert "scan" in str(jax.make_jaxpr(windowed.apply)(nested, x, mask))


def test_short_signals_take_one_pass():
    layers = Down()
    x, variables, windowed, nested = build(layers, 20, 300)
    assert "scan" not in str(jax.make_jaxpr(windowed.apply)(nested, x, None))
    np.testing.assert_array_equal(jit(windowed.apply)(nested, x), jit(layers.apply)(variables, x))


def test_what_a_layer_says_that_it_hears_is_relied_on():
    layers = Down(shortsighted=3)
    x, variables, windowed, nested = build(layers, 200, 60)
    found, wanted = (np.asarray(jit(one.apply)(v, x)) for one, v in ((windowed, nested), (layers, variables)))
    error = np.abs(found - wanted).max(axis=(0, 2))
    assert error.max() > 1e-3
    assert (error < 1e-6).mean() > 0.9  # wrong where windows meet, and nowhere else


@pytest.mark.parametrize(("layers", "again"), [(Down(), True), (Down(), False), (Up(), True), (Up(), False)])
def test_gradients_are_those_of_one_pass(monkeypatch, layers, again):
    monkeypatch.setattr(windows, "_in_windows_too", lambda: again)
    x, variables, windowed, nested = build(layers, 80, 27)  # the last window overlaps the one before it
    mask = np.arange(80)[None] < np.array([[80], [51]])
    found = jit(jax.grad(lambda v, x: (windowed.apply(v, x, mask) ** 2).sum(), (0, 1)))(nested, x)
    wanted = jit(jax.grad(lambda v, x: (layers.apply(v, x, mask) ** 2).sum(), (0, 1)))(variables, x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
