"""Sequences of any length to vectors of one length.

What a codec's encoder gives at one instant depends on the phase of the sound: the coefficients of a lapped transform
change their signs from frame to frame, and their mean over a clip says nothing. Their power does, once it is averaged
over a few frames. So sequences (B, T, D) are first averaged over short bins of time, in two ways,

    level  log √(mean z²): what latents that follow the waveform, and activations of them, say
    value  mean z: what is no oscillation says

and a rotation makes a few components of both, as a cosine transform makes cepstra of a log-mel spectrum. Of these come
means, deviations and maxima over time, those of their changes, deviations in longer bins (a sound is as much its rhythm
as its timbre), and covariances.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

BIN_S = 0.05
"""seconds of the shortest bins"""
LONGER = (4, 16)
"""bins of so many shortest ones: 0.2 and 0.8 s"""
FLOOR_DB = -60.0
"""power, relative to that of reference sounds, which stands for silence"""


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, eq=False)
class Bins:
    """Averages of a sequence over bins of time."""

    power: jax.Array
    """(B, N, D): mean squares"""
    value: jax.Array
    """(B, N, D): means"""
    weight: jax.Array
    """(B, N): steps in a bin; 0 behind a clip's end"""


@functools.partial(jax.jit, static_argnums=2)
def bins(x: jax.Array, n_steps: jax.Array, length: int) -> Bins:
    """Averages (B, T, D), of which the first `n_steps` (B,) steps count, over bins of `length` steps.

    The last bin of a clip may have fewer; bins behind it are zero.
    """
    x = x.astype(jnp.float32)
    mask = (jnp.arange(x.shape[1])[None] < n_steps[:, None])[..., None]
    x = jnp.where(mask, x, 0.0)  # what lies behind a clip's end may be anything
    weight, value, power = (summed(y, length) for y in (mask.astype(jnp.float32), x, jnp.square(x)))
    count = jnp.maximum(weight, 1.0)
    return Bins(power / count, value / count, weight[..., 0])


def level(power: jax.Array) -> jax.Array:
    """Half the natural logarithm of a power relative to that of reference sounds, from FLOOR_DB on."""
    return 0.5 * jnp.log(power + 10 ** (FLOOR_DB / 10))


@jax.jit
def statistics(x: jax.Array, weight: jax.Array) -> jax.Array:
    """The vector (B, K) of components (B, N, D) in bins of `weight` (B, N); what has none changes nothing.

    A clip of one bin has deviations, changes and covariances of zero.
    """
    share = _share(weight)
    mean = jnp.einsum("bn,bnd->bd", share, x)
    centred = x - mean[:, None]
    covariance = jnp.einsum("bn,bnd,bne->bde", share, centred, centred)
    rows, columns = np.triu_indices(x.shape[2], 1)
    deviation = jnp.sqrt(jnp.maximum(jnp.einsum("bdd->bd", covariance), 0.0))
    parts = [mean, deviation, _largest(x, weight), *_changes(x, weight)]
    for longer in LONGER:
        coarse = summed(weight[..., None], longer)
        averaged = summed(x * weight[..., None], longer) / jnp.maximum(coarse, 1.0)
        spread = jnp.einsum("bn,bnd->bd", _share(coarse[..., 0]), jnp.square(averaged - mean[:, None]))
        parts += [jnp.sqrt(spread), _largest(averaged, coarse[..., 0]), _changes(averaged, coarse[..., 0])[0]]
    return jnp.concatenate([*parts, covariance[:, rows, columns]], axis=-1)


def summed(x: jax.Array, length: int) -> jax.Array:
    """Sums of (B, T, D) over bins of so many steps, the last one filled up with zeros: (B, ceil(T / length), D)."""
    n_bins = -(-x.shape[1] // length)
    padded = jnp.pad(x, ((0, 0), (0, n_bins * length - x.shape[1]), (0, 0)))
    return padded.reshape(x.shape[0], n_bins, length, x.shape[2]).sum(axis=2)


def _share(weight: jax.Array) -> jax.Array:
    return weight / jnp.maximum(weight.sum(axis=1, keepdims=True), 1.0)


def _largest(x: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.where(weight[..., None] > 0, x, -jnp.inf).max(axis=1)


def _changes(x: jax.Array, weight: jax.Array) -> list[jax.Array]:
    """Root mean square and maximum of the differences of neighbouring bins, zero where there is one bin."""
    inside = (weight[:, 1:] > 0)[..., None]
    steps = jnp.where(inside, x[:, 1:] - x[:, :-1], 0.0)
    count = jnp.maximum(inside.sum(axis=1), 1)
    # below zero only where every change is downwards
    largest = jnp.where(inside, steps, -jnp.inf).max(axis=1, initial=-jnp.inf)
    return [jnp.sqrt(jnp.square(steps).sum(axis=1) / count), jnp.where(inside.any(axis=1), largest, 0.0)]
