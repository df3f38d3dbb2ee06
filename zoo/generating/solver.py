"""From noise to a prior's components: a solver of second order, over windows that overlap."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.prior import Prior

_AT_ONCE = 16
"""windows that are computed together, so that memory is bounded"""


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Path:
    """The steps from a time to 1, (S,) each: z becomes keep·z + take·(x + ahead·(x − x of the step before))."""

    times: np.ndarray
    keep: np.ndarray
    take: np.ndarray
    ahead: np.ndarray


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Given:
    """What is known of a sample of F frames: components of which frames, and which frames count."""

    context: np.ndarray
    """(F, K)"""
    known: np.ndarray
    """bool (F,)"""
    valid: np.ndarray
    """bool (F,)"""


def path(n_steps: int, start: float = 0.0) -> Path:
    """Equal steps from the time `start` to 1, by DPM-Solver++(2M) (Lu et al., 2022).

    Each is one evaluation of the network. The first and last steps, at whose ends the ratio of signal to noise is none
    or infinite, are of first order.
    """
    times = np.linspace(start, 1.0, n_steps + 1)
    keep = (1 - times[1:]) / (1 - times[:-1])
    with np.errstate(divide="ignore"):
        log_ratio = np.log(times) - np.log(1 - times)
    steps = np.diff(log_ratio)
    ahead = np.zeros(n_steps)
    for i in range(1, n_steps):
        if np.isfinite(steps[i]) and np.isfinite(steps[i - 1]):
            ahead[i] = steps[i] / (2 * steps[i - 1])
    parts = times[:-1], keep, times[1:] - times[:-1] * keep, ahead
    return Path(*(np.asarray(part, np.float32) for part in parts))


def padded_frames(n_frames: int, window: int) -> int:
    """The length that windows, each half a window after the one before, fill: at least `n_frames`."""
    hop = window // 2
    return window + max(0, -(-(n_frames - window) // hop)) * hop


@functools.partial(jax.jit, static_argnums=(0, 3))
def integrate(
    module: Prior,
    variables: Any,
    noise: jax.Array,
    guided: bool,
    steps: Path,
    begin: jax.Array,
    label: jax.Array,
    guidance: jax.Array,
    given: Given,
) -> jax.Array:
    """Components (F, K) that noise (F, K) leads to, F as `padded_frames` gives it.

    `begin` (F, K) is what the noise is mixed with at the first of the times. Where windows overlap they agree at each
    step on a weighted mean of what they predict (Bar-Tal et al., 2023). `guided`: the prediction without the label is
    moved towards, and with `guidance` above 1 beyond, the one with it (Ho and Salimans, 2022).
    """
    window, n_frames = module.window, len(noise)
    starts = np.arange(0, n_frames - window + 1, window // 2)
    places = starts[:, None] + np.arange(window)[None]
    weight = np.broadcast_to(_weights(window)[None], places.shape)
    share = jnp.asarray(weight / np.bincount(places.ravel(), weight.ravel(), n_frames)[places], jnp.float32)
    context, known, valid = (x[places] for x in (given.context, given.known, given.valid))

    def in_windows(z: jax.Array, time: Any, label: jax.Array) -> jax.Array:
        def one(parts: tuple[jax.Array, ...]) -> jax.Array:
            x: Any = module.apply(
                variables, parts[0][None], time[None], label[None], *(part[None] for part in parts[1:]),
                method="predict",
            )  # fmt: skip
            return x[0]

        windows = (z[places], context, known, valid)
        if len(places) == 1:
            return one(tuple(part[0] for part in windows))
        x = jax.lax.map(one, windows, batch_size=min(_AT_ONCE, len(places)))
        return jnp.zeros_like(z).at[places].add(x * share[..., None])

    def step(carry: tuple[jax.Array, jax.Array], now: Path) -> tuple[tuple[jax.Array, jax.Array], None]:
        z, before = carry
        z = jnp.where(given.known[:, None], now.times * given.context + (1 - now.times) * noise, z)
        x = in_windows(z, now.times, label)
        if guided:
            free = in_windows(z, now.times, jnp.int32(len(module.labels)))
            x = free + guidance * (x - free)
        return (now.keep * z + now.take * (x + now.ahead * (x - before)), x), None

    first = steps.times[0]
    (z, _), _ = jax.lax.scan(step, (first * begin + (1 - first) * noise, jnp.zeros_like(noise)), steps)
    return jnp.where(given.known[:, None], given.context, z)


def _weights(window: int) -> np.ndarray:
    """Weights (window,) of a window's frames: most in its middle, little at its ends, of whose surroundings it knows
    least."""
    return np.minimum(np.arange(window) + 1, window - np.arange(window)).astype(np.float64)
