"""Sums with weights that may change in time, of waveforms and of latents alike: mixing, morphing, splicing, gain.

Time is the last axis but one: audio (..., T, C), latents (..., F, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo import arguments
from zoo.arguments import as_array
from zoo.errors import ZooError

LARGEST_WEIGHT = 100.0
LARGEST_DB = 120.0

Weights = Callable[[np.ndarray], np.ndarray]
"""Instants (n,) in seconds -> weights (n_inputs, n)."""


def mix(parts: Sequence[Any], weights: Sequence[float] | None = None) -> np.ndarray:
    """The weighted sum, float32, of audio (..., T, C) or latents (..., F, D); what ends early is silent from there on.

    `weights` are one for each part, by default 1 / n. Raises ZooError for other numbers of weights, and for parts that
    differ in more than their length.
    """
    arrays = _alike(parts)
    chosen = check_weights(weights, len(arrays))
    longest = max(array.shape[-2] for array in arrays)
    total = np.zeros((*arrays[0].shape[:-2], longest, arrays[0].shape[-1]), np.float32)
    for array, weight in zip(arrays, chosen):
        total[..., : array.shape[-2], :] += np.float32(weight) * array
    return total


def morph(a: Any, b: Any, amount: float | Sequence[float] | np.ndarray | None = None) -> np.ndarray:
    """From `a` to `b` over what is common to both, float32: (1 − amount) · a + amount · b.

    `amount` in [0, 1] is a number, one for each step of time, or None: from 0 at the first step to 1 at the last one.
    Raises ZooError for others, and for parts that differ in more than their length.
    """
    first, second = _alike([a, b])
    n = min(first.shape[-2], second.shape[-2])
    course = np.linspace(0.0, 1.0, n) if amount is None else as_array(amount, "amount")
    if course.ndim > 1 or (course.ndim == 1 and len(course) != n):
        raise ZooError(f"amount must be a number or one for each of {n} steps, got shape {course.shape}")
    if course.dtype.kind not in "iuf" or not np.all((course >= 0) & (course <= 1)):
        raise ZooError("amount must lie between 0 (the first) and 1 (the second)")
    share = np.broadcast_to(course, (n,))[:, None].astype(np.float32)
    return np.asarray((1 - share) * first[..., :n, :] + share * second[..., :n, :], np.float32)


def splice(a: Any, b: Any, at: int, *, fade: int = 0, start: int = 0) -> np.ndarray:
    """`a` up to step `at`, then `b` from its step `start` on, float32; the next `fade` steps of `a` fade out into it.

    The fade is no longer than what is left of either, and keeps the power: see `fade_gains`. Raises ZooError for
    places outside the parts, and for parts that differ in more than their length.
    """
    first, second = _alike([a, b])
    at, fade, start = (arguments.whole(*named) for named in ((at, "at"), (fade, "fade"), (start, "start")))
    if not 0 <= at <= first.shape[-2]:
        raise ZooError(f"cannot splice at {at}: the first part ends at {first.shape[-2]}")
    if not 0 <= start < second.shape[-2]:
        raise ZooError(f"cannot go on at {start} of the second part: it ends at {second.shape[-2]}")
    out, rest = first[..., at : at + max(fade, 0), :], second[..., start:, :]
    n = min(out.shape[-2], rest.shape[-2])
    crossed = crossfade(out[..., :n, :], rest[..., :n, :])
    return np.concatenate([first[..., :at, :], crossed, rest[..., n:, :]], axis=-2)


def crossfade(out: np.ndarray, into: np.ndarray) -> np.ndarray:
    """The first (..., n, C) fades out while the second one of the same shape fades in, at constant power.

    Raises ZooError for two shapes.
    """
    if np.shape(out) != np.shape(into):
        raise ZooError(f"a cross-fade is of two parts of one shape, got {np.shape(out)} and {np.shape(into)}")
    falling, rising = fade_gains(out.shape[-2], likeness(out, into))
    return np.asarray(falling[:, None] * out + rising[:, None] * into, np.float32)


def fade_gains(n: int, alike: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Falling and rising gains (..., n), float32, for two signals whose correlation coefficient is `alike` (..., 1).

    A linear fade, divided by what it would make of the power of two such signals that are equally loud (Fink, Holters
    & Zölzer, "Signal-matched power-complementary cross-fading", 2016): linear for the same signal twice, of constant
    power for two that have nothing in common.
    """
    rising = (np.arange(n) + 0.5) / max(n, 1)
    falling = 1 - rising
    power = np.sqrt(rising**2 + falling**2 + 2 * np.clip(alike, 0, 1) * rising * falling)
    return (falling / power).astype(np.float32), (rising / power).astype(np.float32)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation coefficient of two arrays of one shape, 0 where one of them is silent."""
    energies = float(np.sum(np.square(a, dtype=np.float64))) * float(np.sum(np.square(b, dtype=np.float64)))
    return 0.0 if energies == 0 else float(np.sum(a.astype(np.float64) * b)) / math.sqrt(energies)


def gain(part: Any, db: float) -> np.ndarray:
    """Audio or latents, scaled by `db` decibels, float32; raises ZooError for a gain beyond ±LARGEST_DB."""
    return np.asarray(as_array(part, "what is scaled"), np.float32) * np.float32(gain_factor(db))


def gain_factor(db: float) -> float:
    """The factor that `db` decibels are; raises ZooError for what is beyond ±LARGEST_DB."""
    value = arguments.number(db, "gain")
    if not abs(value) <= LARGEST_DB:
        raise ZooError(f"gain {value:g} dB is not between {-LARGEST_DB:g} and {LARGEST_DB:g}")
    return float(10.0 ** (value / 20))


def check_weights(weights: Sequence[float] | None, n: int) -> list[float]:
    """A weight for each of n inputs; raises ZooError for another number of them, or values that make no sense."""
    if weights is None:
        return [1.0 / n] * n
    given = as_array(weights, "weights")
    if given.ndim != 1:
        raise ZooError(f"weights must be one for each part, got shape {given.shape}")
    chosen = [float(arguments.number(weight, "weight")) for weight in weights]
    if len(chosen) != n:
        raise ZooError(f"{len(chosen)} weights do not match {n} inputs: give one for each")
    for weight in chosen:
        if not abs(weight) <= LARGEST_WEIGHT:
            raise ZooError(f"weight {weight:g} is not between {-LARGEST_WEIGHT:g} and {LARGEST_WEIGHT:g}")
    return chosen


def _alike(parts: Sequence[Any]) -> list[np.ndarray]:
    if not parts:
        raise ZooError("there is nothing to mix")
    arrays = [np.asarray(as_array(part, f"part {i}"), np.float32) for i, part in enumerate(parts)]
    for i, array in enumerate(arrays):
        if array.ndim < 2 or 0 in array.shape:
            raise ZooError(f"part {i} must be (..., time, channels) and not empty, got shape {array.shape}")
        if array.ndim != arrays[0].ndim or _without_time(array) != _without_time(arrays[0]):
            raise ZooError(f"part {i} has shape {array.shape}, which differs from {arrays[0].shape} in more than time")
    return arrays


def _without_time(array: np.ndarray) -> tuple[int, ...]:
    return (*array.shape[:-2], array.shape[-1])
