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
    does the gradient, which is that of one pass: it needs all that windows forget.
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _run(apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    steps = plan.steps
    if mask is not None:
        mask = jnp.repeat(mask, x.shape[1] // mask.shape[1], axis=1)

    def window(i: Any) -> tuple[jax.Array, jax.Array]:
        """Outputs of chunk i, and the step with which it begins: the last chunk begins earlier than i * chunk."""
        chunk = jnp.minimum(i * plan.chunk, plan.total - plan.chunk)
        # a window at an end of the array begins or ends with it
        start = jnp.clip(chunk - plan.before, 0, plan.total - plan.window)
        first, length = start * steps.into, plan.window * steps.into
        piece = jax.lax.dynamic_slice_in_dim(x, first, length, axis=1)
        heard = None if mask is None else jax.lax.dynamic_slice_in_dim(mask, first, length, axis=1)
        y = apply(variables, piece, heard)
        return jax.lax.dynamic_slice_in_dim(y, (chunk - start) * steps.out, plan.chunk * steps.out, axis=1), chunk

    def write(i: Any, y: jax.Array) -> jax.Array:
        piece, chunk = window(i)
        return jax.lax.dynamic_update_slice_in_dim(y, piece, chunk * steps.out, axis=1)

    like = jax.eval_shape(lambda: window(0)[0])
    y = jnp.zeros((like.shape[0], plan.total * steps.out, like.shape[2]), like.dtype)
    return jax.lax.fori_loop(0, -(-plan.total // plan.chunk), write, y)


def _forward(apply: Any, plan: _Plan, variables: Any, x: jax.Array, mask: jax.Array | None) -> Any:
    return jax.vjp(lambda variables, x: apply(variables, x, mask), variables, x)


def _backward(apply: Any, plan: _Plan, pullback: Any, gradient: jax.Array) -> Any:
    return (*pullback(gradient), None)


_run.defvjp(_forward, _backward)
