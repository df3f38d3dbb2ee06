"""Losses weighed by the gradients that they send to the waveform (EnCodec's balancer, Défossez et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp

Losses = dict[str, jax.Array]


@flax.struct.dataclass
class LossGradients:
    """Losses of a waveform (B, T, C): their values (B,), and the gradient (B, T, C) of each."""

    losses: Losses
    gradients: Losses


def loss_gradients(functions: Sequence[Callable[[jax.Array], Losses]], audio: jax.Array) -> LossGradients:
    """Every loss by itself: `gradients[name][b]` is that of losses[name][b], whatever the batch's size.

    Each function gives some of the losses and is evaluated once, however many gradients are pulled back through it.
    """
    losses: Losses = {}
    gradients: Losses = {}
    for function in functions:
        named, back = jax.vjp(function, audio)
        losses |= named
        for name in named:
            (gradients[name],) = back({k: jnp.full_like(v, float(k == name)) for k, v in named.items()})
    return LossGradients(losses, gradients)


def norms(gradients: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Mean over the examples of the norm of each loss's gradient on one example."""
    return {name: jnp.sqrt(jnp.square(g).sum(axis=(1, 2))).mean() for name, g in gradients.items()}


def followed(sums: Mapping[str, jax.Array], now: Mapping[str, jax.Array], decay: float) -> dict[str, jax.Array]:
    """The running sums after this step's norms, (2,) each: of the norms and of ones, both decaying; first zeros.

    Their ratio is the mean of all steps so far before it is an average of the last ones: what discriminators say grows
    tenfold in their first steps, and an average that began with the first of these would long be too small.
    """
    return {name: decay * sums[name] + jnp.stack([norm, jnp.ones_like(norm)]) for name, norm in now.items()}


def averages(sums: Mapping[str, jax.Array], now: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The averaged norms that `followed` has; one that was never measured is what is measured now."""
    return {
        name: jnp.where(sums[name][1] > 0, sums[name][0] / jnp.maximum(sums[name][1], 1e-12), norm)
        for name, norm in now.items()
    }


def balance(
    gradients: Mapping[str, jax.Array],
    average: Mapping[str, jax.Array],
    weights: Mapping[str, jax.Array],
    total: jax.Array,
) -> jax.Array:
    """The gradient (B, T, C) on the waveform of which each loss has on average the share w_i / Σ w of the norm `total`.

    The sum of total · w_i / Σ w · g_i / ⟨‖g_i‖⟩ over the losses: their scales no longer matter, and as the average
    moves slowly a loud example keeps more of it than a soft one. Where all weights are 0, so is the gradient.
    """
    shares = sum(weights[name] for name in gradients)
    shares = jnp.where(shares > 0, shares, 1.0)
    parts = [weights[name] / shares / (average[name] + 1e-12) * g for name, g in gradients.items()]
    return total * sum(parts[1:], parts[0])
