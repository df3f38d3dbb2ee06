"""Long signals in windows: what a stack of layers computes on the way stays in the cache, and takes little memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.layers.edges import Span


@dataclass(frozen=True)
class Steps:
    """How a stack of layers changes the rate: `into` samples of its input become `out` samples of its output."""

    into: int
    out: int


def in_windows(layers: nn.Module, x: jax.Array, mask: jax.Array | None, steps: Steps, size: int) -> jax.Array:
    """layers(x, mask) of (B, T, C) in windows that give about `size` samples of the faster of input and output.

    `layers` says by `inputs(span)` what outputs depend on: windows overlap by that much and agree with one pass. So
    does the gradient, for which windows are computed again, on a CPU, or all is kept that one pass computes.
    """
    total = x.shape[1] // steps.into
    reach = layers.inputs(Span(0, steps.out - 1))
    before, after = -(reach.first // steps.into), reach.last // steps.into
    chunk = -(-size // max(steps.into, steps.out))
    if layers.is_initializing() or total < 2 * (before + chunk + after):
        y: jax.Array = layers(x, mask)
        return y
    chunk = -(-total // -(-total // chunk))
    plan = _Plan(steps, total, chunk, before, before + chunk + after)
    return _run(layers.clone(parent=None, name=None).apply, plan, layers.variables, x, mask)


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


@dataclass(frozen=True)
class _Window:
    """Where one is: samples of the input from `first` on, and of its outputs those from `kept` on are chunk's."""

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
    if _recomputes():
        return _run(apply, plan, variables, x, mask), (variables, x, mask)
    return jax.vjp(lambda variables, x: apply(variables, x, mask), variables, x)


def _backward(apply: Any, plan: _Plan, kept: Any, gradient: jax.Array) -> Any:
    if not _recomputes():
        return (*kept(gradient), None)
    variables, x, mask = kept
    return (*_windows_again(apply, plan, variables, x, mask, gradient), None)


_run.defvjp(_forward, _backward)


def _recomputes() -> bool:
    """Whether the backward pass computes each window again, rather than keeping what one pass computed on the way.

    On a CPU that is faster as well, as what is kept does not fit into its caches.
    """
    return jax.default_backend() == "cpu"


def _windows_again(
    apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None, gradient: jax.Array
) -> tuple[Any, jax.Array]:
    """Gradients of variables and of x."""
    steps, mask = plan.steps, _at_rate(mask, x)

    def add(i: Any, sums: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        window = _window(plan, i)
        piece, heard = window.inputs(x, mask)
        like = jax.eval_shape(lambda: apply(variables, piece, heard))
        part = jax.lax.dynamic_slice_in_dim(gradient, window.chunk * steps.out, plan.chunk * steps.out, axis=1)
        # the last chunk begins with what the one before it has counted
        counted = (i * plan.chunk - window.chunk) * steps.out
        part = jnp.where((jnp.arange(part.shape[1]) >= counted)[None, :, None], part, jnp.zeros((), part.dtype))
        whole = jax.lax.dynamic_update_slice_in_dim(jnp.zeros(like.shape, like.dtype), part, window.kept, axis=1)
        pullback = jax.vjp(lambda variables, piece: apply(variables, piece, heard), variables, piece)[1]
        of_variables, of_piece = pullback(whole)
        before = jax.lax.dynamic_slice_in_dim(sums[1], window.first, piece.shape[1], axis=1)
        of_x = jax.lax.dynamic_update_slice_in_dim(sums[1], before + of_piece, window.first, axis=1)
        return jax.tree.map(jnp.add, sums[0], of_variables), of_x

    nothing = jax.tree.map(jnp.zeros_like, variables), jnp.zeros_like(x)
    found: tuple[Any, jax.Array] = jax.lax.fori_loop(0, plan.n_windows, add, nothing)
    return found


def _at_rate(mask: jax.Array | None, x: jax.Array) -> jax.Array | None:
    return None if mask is None else jnp.repeat(mask, x.shape[1] // mask.shape[1], axis=1)
