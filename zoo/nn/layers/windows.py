"""Long signals in windows: what a stack of layers computes on the way stays in the cache, and takes little memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers.chunk import Chunk
from zoo.nn.layers.convolve import CONVOLVED
from zoo.nn.layers.edges import Span
from zoo.nn.layers.network import Transform


@dataclass(frozen=True)
class Steps:
    """How a stack of layers changes the rate: `into` samples of its input become `out` samples of its output."""

    into: int
    out: int


def in_windows(layers: nn.Module, x: jax.Array, mask: jax.Array | None, steps: Steps, size: int) -> jax.Array:
    """layers(x, mask) of (B, T, C) in windows that give about `size` samples of the faster of input and output.

    `layers` says by `inputs(span)` what outputs depend on: windows overlap by that much and agree with one pass. So
    does the gradient, which is computed in windows as well on a CPU, and in one pass elsewhere.
    """
    plan = _plan(layers, x.shape[1] // steps.into, steps, size)
    if layers.is_initializing() or plan is None:
        y: jax.Array = layers(x, mask)
        return y
    return _run(layers.clone(parent=None, name=None).apply, plan, layers.variables, x, mask)


def windowed(layers: Any, steps: Steps, size: int, *, merged: bool = False) -> Transform:
    """The module `layers`, with what it says to `in_windows`, as a layer of a `Network`.

    If `merged`, its parameters are not under its name, but among those of the module that it is a part of.
    """

    def function(x: jax.Array, mask: jax.Array | Chunk | None) -> jax.Array:
        if merged:
            nn.share_scope(layers.parent, layers)
        return layers(x, mask) if isinstance(mask, Chunk) else in_windows(layers, x, mask, steps, size)

    def continues(rate: int, length: int = 0) -> bool:
        """If what a chunk adds is too short for windows, the layers each keep their inputs."""
        return not merged and _plan(layers, length // steps.out, steps, size) is None and layers.continues(rate)

    mask_after = [layers.mask_after] if hasattr(layers, "mask_after") else []
    return Transform(function, layers.inputs, continues, *mask_after)


def _plan(layers: Any, total: int, steps: Steps, size: int) -> _Plan | None:
    """The windows of so many steps; None if it is not worth while, and one pass is better."""
    reach = layers.inputs(Span(0, steps.out - 1))
    before, after = -(reach.first // steps.into), reach.last // steps.into
    chunk = -(-size // max(steps.into, steps.out))
    if total < 2 * (before + chunk + after):
        return None
    chunk = _even(total, chunk)
    return _Plan(steps, total, chunk, before, before + chunk + after)


def _even(total: int, chunk: int) -> int:
    """The length of as many chunks as `chunk` asks for, so that they are alike."""
    return -(-total // -(-total // chunk))


@dataclass(frozen=True)
class _Plan:
    steps: Steps
    total: int
    chunk: int
    before: int
    window: int

    @property
    def n_windows(self) -> int:
        return -(-self.total // self.chunk)

    def twice_as_long(self) -> _Plan:
        """The plan for chunks of twice the length, or a little less."""
        chunk = _even(self.total, 2 * self.chunk)
        return replace(self, chunk=chunk, window=self.window + chunk - self.chunk)


@dataclass(frozen=True)
class _Window:
    """The place of one: samples of the input from `first` on, and of its outputs those from `kept` on are chunk's."""

    plan: _Plan
    chunk: Any
    """step with which the chunk begins; the last one begins earlier than its number times the chunk's length"""
    first: Any
    kept: Any

    def inputs(self, x: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array | None]:
        length = self.plan.window * self.plan.steps.into

        def cut(array: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(array, self.first, length, axis=1)

        return cut(x), None if mask is None else cut(mask)


def _window(plan: _Plan, i: Any) -> _Window:
    chunk = jnp.minimum(i * plan.chunk, plan.total - plan.chunk)
    # a window at an end of the array begins or ends with it
    start = jnp.clip(chunk - plan.before, 0, plan.total - plan.window)
    return _Window(plan, chunk, start * plan.steps.into, (chunk - start) * plan.steps.out)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    steps, mask = plan.steps, _at_rate(mask, x)

    def write(i: Any, y: jax.Array) -> jax.Array:
        window = _window(plan, i)
        piece = apply(variables, *window.inputs(x, mask))
        piece = jax.lax.dynamic_slice_in_dim(piece, window.kept, plan.chunk * steps.out, axis=1)
        return jax.lax.dynamic_update_slice_in_dim(y, piece, window.chunk * steps.out, axis=1)

    like = jax.eval_shape(lambda: apply(variables, *_window(plan, 0).inputs(x, mask)))
    y = jnp.zeros((like.shape[0], plan.total * steps.out, like.shape[2]), like.dtype)
    return jax.lax.fori_loop(0, plan.n_windows, write, y)


def _forward(apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None) -> Any:
    if _in_windows_too():
        # products with the gradient sum over a window: these are small, and fewer of them are faster
        longer = plan.twice_as_long()
        return jax.vjp(lambda variables, x: _window_by_window(apply, longer, variables, x, mask), variables, x)
    return jax.vjp(lambda variables, x: apply(variables, x, mask), variables, x)


def _backward(apply: Any, plan: _Plan, pull_back: Any, gradient: jax.Array) -> Any:
    return (*pull_back(gradient), None)


_run.defvjp(_forward, _backward)


def _in_windows_too() -> bool:
    """Whether a pass that is to be differentiated is computed in windows as well.

    On a CPU that is faster, as one pass and its gradient do not fit into the caches.
    """
    return jax.default_backend() == "cpu"


def _window_by_window(apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`_run`, to be differentiated: the convolutions of each window are kept, all else is computed again."""
    mask = _at_rate(mask, x)
    places = [_window(plan, i) for i in range(plan.n_windows)]
    firsts, kept = (jnp.stack([getattr(place, name) for place in places]) for name in ("first", "kept"))
    kept_only = jax.checkpoint_policies.save_only_these_names(CONVOLVED)
    layers = jax.checkpoint(apply, policy=kept_only, prevent_cse=False)
    length, out = plan.window * plan.steps.into, plan.chunk * plan.steps.out

    def compute(_: None, window: Any) -> tuple[None, jax.Array]:
        piece, mask, start = window
        return None, jax.lax.dynamic_slice_in_dim(layers(variables, piece, mask), start, out, axis=1)

    def cut(array: jax.Array) -> jax.Array:
        return _cut(array, firsts, length, array.shape[1])

    _, pieces = jax.lax.scan(compute, None, (cut(x), None if mask is None else cut(mask), kept))
    # the last chunk begins with what the one before it has given
    counted = (plan.n_windows * plan.chunk - plan.total) * plan.steps.out
    return jnp.concatenate([*pieces[:-1], pieces[-1][:, counted:]], axis=1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _cut(x: jax.Array, firsts: jax.Array, length: int, total: int) -> jax.Array:
    """Cuts (n, B, length, C) out of x (B, total, C), from each of the places on."""
    return jax.lax.map(lambda first: jax.lax.dynamic_slice_in_dim(x, first, length, axis=1), firsts)


def _cut_forward(x: jax.Array, firsts: jax.Array, length: int, total: int) -> tuple[jax.Array, jax.Array]:
    return _cut(x, firsts, length, total), firsts


def _cut_backward(length: int, total: int, firsts: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    """Written out as sums in place: the transpose of a slice would be a whole array for each of the windows."""
    _, batch, _, channels = gradient.shape

    def add(i: Any, found: jax.Array) -> jax.Array:
        before = jax.lax.dynamic_slice_in_dim(found, firsts[i], length, axis=1)
        return jax.lax.dynamic_update_slice_in_dim(found, before + gradient[i], firsts[i], axis=1)

    return jax.lax.fori_loop(0, len(firsts), add, jnp.zeros((batch, total, channels), gradient.dtype)), None


_cut.defvjp(_cut_forward, _cut_backward)


def _at_rate(mask: jax.Array | None, x: jax.Array) -> jax.Array | None:
    return None if mask is None else jnp.repeat(mask, x.shape[1] // mask.shape[1], axis=1)
