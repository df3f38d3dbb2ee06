"""Filters of the compiled step: gains in dB, equalisers, rooms; of each example its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

_LOWEST_BAND_HZ = 62.5
SILENCE = 1e-20
"""mean power below which nothing is scaled up"""


def check(section: str, config: Any, probabilities: Sequence[str], ranges: Mapping[str, float]) -> None:
    """Raises ZooError for probabilities of a section outside [0, 1], and ranges that are not ascending above a limit.

    `ranges` gives the limits by name: 0, or minus infinity.
    """
    for name in probabilities:
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise ZooError(f"{section}.{name} is a probability, in [0, 1], got {value}")
    for name, lowest in ranges.items():
        low, high = getattr(config, name)
        if not lowest < low <= high < math.inf:
            positive = " positive and" if lowest == 0 else ""
            raise ZooError(f"{section}.{name} must be{positive} in ascending order, got {low} {high}")


def between(number: jax.Array, limits: tuple[float, float]) -> jax.Array:
    """A number in the range that a uniform one in [0, 1) stands for."""
    return limits[0] + (limits[1] - limits[0]) * number


def decibels(level_db: jax.Array) -> jax.Array:
    """The factor of an amplitude."""
    return 10.0 ** (level_db / 20.0)


def power(audio: jax.Array) -> jax.Array:
    """Mean square of each example, (B, 1, 1)."""
    return jnp.square(audio).mean(axis=(1, 2), keepdims=True)


def convolved(audio: jax.Array, response: jax.Array) -> jax.Array:
    """The first T samples of (B, T, C) convolved with (B, L, C or 1), by FFTs long enough for nothing to wrap."""
    n = audio.shape[1]
    n_fft = fast_length(n + response.shape[1] - 1)
    spectrum = jnp.fft.rfft(audio, n_fft, axis=1) * jnp.fft.rfft(response, n_fft, axis=1)
    return jnp.fft.irfft(spectrum, n_fft, axis=1)[:, :n]


def fast_length(n: int) -> int:
    """The smallest even number from n on that has no prime factor above 5."""
    candidates = (2 * 2**a * 3**b * 5**c for a in range(n.bit_length()) for b in range(5) for c in range(4))
    return min(m for m in candidates if m >= n)


def band_centres(sample_rate: int) -> np.ndarray:
    """Octave bands in Hz from 62.5 Hz up to half the sample rate."""
    n = max(int(math.log2(sample_rate / 2 / _LOWEST_BAND_HZ)) + 1, 1)
    return _LOWEST_BAND_HZ * 2.0 ** np.arange(n)


def curve_weights(frequencies_hz: np.ndarray, sample_rate: int) -> np.ndarray:
    """Weighs each band's gain at each frequency, (F, K): raised cosines over log frequency that sum to 1."""
    centres = np.log2(band_centres(sample_rate))
    place = np.log2(np.maximum(frequencies_hz, 1e-3))
    place = np.clip(place, centres[0], centres[-1])
    distance = np.abs(place[:, None] - centres[None, :])
    return np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, 1.0)), 0.0)


def minimum_phase(gains_db: jax.Array) -> jax.Array:
    """The causal filter (B, n) of least delay with gains (B, n // 2 + 1) in dB at the frequencies of a DFT of length n.

    Its phase is the Hilbert transform of its log magnitude, found by folding the real cepstrum (Oppenheim & Schafer,
    Discrete-Time Signal Processing, 1975): nothing sounds before it was played, as a zero-phase filter would have it.
    """
    n = 2 * (gains_db.shape[1] - 1)
    cepstrum = jnp.fft.irfft(gains_db * (math.log(10) / 20), n, axis=1)
    fold = np.zeros((1, n), np.float32)
    fold[:, 0] = fold[:, n // 2] = 1.0
    fold[:, 1 : n // 2] = 2.0
    return jnp.fft.irfft(jnp.exp(jnp.fft.rfft(cepstrum * fold, n, axis=1)), n, axis=1)


def in_room(
    audio: jax.Array, respond: Callable[[tuple[int, int]], jax.Array], *, sample_rate: int, longest_s: float
) -> jax.Array:
    """Audio (B, T, C) with its reverberation, which takes `longest_s` at most.

    `respond` gives impulse responses (B, L, C) for a shape of (L, C), as `room` does.
    """
    # what decays after the crop has ended is lost
    n = min(math.ceil(longest_s * sample_rate) + 1, audio.shape[1])
    return convolved(audio, respond((n, audio.shape[2])))


def room(
    keys: jax.Array, rt60_s: jax.Array, direct_db: jax.Array, sample_rate: int, shape: tuple[int, int]
) -> jax.Array:
    """Impulse responses (B, L, C) for a `shape` of (L, C): the direct sound, then noise that decays exponentially.

    `rt60_s` (B, 1, 1) is the time of decay by 60 dB, `direct_db` (B, 1, 1) the level of the direct sound, which is 1,
    above all the rest together.
    """
    noise = jax.vmap(lambda k: jax.random.normal(k, shape))(keys)
    time_s = (jnp.arange(shape[0], dtype=jnp.float32) / sample_rate)[None, :, None]
    tail = (noise * decibels(-60.0 * time_s / rt60_s)).at[:, 0].set(0.0)
    energy = jnp.square(tail).sum(axis=1, keepdims=True)
    tail = tail * decibels(-direct_db) / jnp.sqrt(jnp.maximum(energy, SILENCE))
    return tail.at[:, 0].set(1.0)
