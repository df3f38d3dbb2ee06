"""Gradient clipping that learns from the run what is usual."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

WINDOW_STEPS = 1000


class PercentileState(NamedTuple):
    norms: jax.Array
    """(WINDOW_STEPS,), of the last steps in no order"""
    steps: jax.Array


def clip_by_percentile(percentile: float, window_steps: int = WINDOW_STEPS) -> optax.GradientTransformation:
    """Scales gradients down to a percentile of the global norms of the last `window_steps` steps, this one included.

    AutoClip (Seetharaman, Wichern, Pardo and Le Roux, 2020), over a window instead of the whole history, so that a
    percentile stays one of the phase that training is in. The lower of the two nearest ranks counts.
    """

    def init(params: Any) -> PercentileState:
        return PercentileState(jnp.zeros(window_steps), jnp.zeros((), jnp.int32))

    def update(updates: Any, state: PercentileState, params: Any = None) -> tuple[Any, PercentileState]:
        norm = optax.tree.norm(updates)
        norms = state.norms.at[state.steps % window_steps].set(norm)
        known = jnp.minimum(state.steps + 1, window_steps)
        ranked = jnp.sort(jnp.where(jnp.arange(window_steps) < known, norms, jnp.inf))
        limit = ranked[jnp.floor(percentile / 100 * (known - 1)).astype(jnp.int32)]
        scale = jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-12))
        scaled = jax.tree.map(lambda g: g * scale.astype(g.dtype), updates)
        return scaled, PercentileState(norms, state.steps + 1)

    return optax.GradientTransformation(init, update)
