"""Bands of spectra: powers, envelopes of a few numbers, and quantiser steps that follow them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

ENVELOPE_STEP = 2.0
"""in which the numbers of an envelope are told, in units of log2 of a power: 6 dB"""
_FIRST = (-3, 2, 3, 3)
"""symbol of the number 0, at which the first one counts downwards: means are from -6 to -36, and spectra fall"""
ENVELOPE_SYMBOLS = (16, 8, 8, 8)
N_ENVELOPE = len(ENVELOPE_SYMBOLS)
_REFERENCE = -16.0
"""log2 of the power of envelopes at which steps are those of the level"""


@dataclass(frozen=True)
class Bands:
    """Bands of bins from each of `edges` to the next, of one or more channels.

    Arrays have a last axis of bins · channels or bands · channels, where the channels of a bin stand together. The
    envelope of a channel is the beginning of the discrete cosine transform of log2 of its bands' powers: its mean, its
    slope, and two more. Steps grow with it to the power of `shaping` (of amplitudes): at 0 the error is as large
    everywhere, and at 1 it is everywhere as far below the signal.
    """

    edges: Sequence[int]
    channels: int = 1
    shaping: float = 0.5

    @property
    def n(self) -> int:
        return (len(self.edges) - 1) * self.channels

    @property
    def n_bins(self) -> int:
        return int(self.edges[-1]) * self.channels

    @property
    def n_envelope(self) -> int:
        return N_ENVELOPE * self.channels

    @property
    def envelope_sizes(self) -> tuple[int, ...]:
        """Alphabets (n_envelope,) of the symbols of `coded`."""
        return tuple(int(size) for size in np.repeat(ENVELOPE_SYMBOLS, self.channels))

    def means(self, x: jax.Array) -> jax.Array:
        """Means (B, F, bands · C) over each band of x (B, F, bins · C)."""
        sizes = np.diff(self.edges)
        matrix = np.repeat(np.eye(len(sizes)) / sizes, sizes, axis=0)
        return self._mapped(x, matrix)

    def spread(self, bands: jax.Array) -> jax.Array:
        """Values (B, F, bins · C) of the bins of bands (B, F, bands · C)."""
        bands = bands.reshape(*bands.shape[:2], -1, self.channels)
        wide = jnp.repeat(bands, np.diff(self.edges), axis=2, total_repeat_length=int(self.edges[-1]))
        return wide.reshape(*bands.shape[:2], -1)

    def envelope(self, log_powers: jax.Array) -> jax.Array:
        """Envelope (B, F, n_envelope) of log2 of powers (B, F, bands · C)."""
        return self._mapped(log_powers, self._cosines.T / (len(self.edges) - 1))

    def coded(self, envelope: jax.Array) -> jax.Array:
        """Symbols int32 (B, F, n_envelope) of an envelope."""
        symbols = jnp.round(envelope / (ENVELOPE_STEP * self._signs)) + self._zeros
        return jnp.clip(symbols, 0, np.array([[self.envelope_sizes]]) - 1).astype(jnp.int32)

    def decoded(self, symbols: jax.Array) -> jax.Array:
        """Envelope (B, F, n_envelope) of its symbols."""
        return (symbols.astype(jnp.float32) - self._zeros) * (ENVELOPE_STEP * self._signs)

    def raised(self, envelope: jax.Array, x: jax.Array, loudest: float) -> jax.Array:
        """The envelope with means so much higher that no x (B, F, bins · C) is more than `loudest` of its steps.

        Those are the steps at a level of 1. Only tones among silence are louder: the mean of their envelope is that of
        the silence, and steps would be too small for any alphabet, and for low rates. Means end at that of full scale.
        """
        if not self.shaping:
            return envelope
        steps = self.spread(jnp.exp2(self.log_steps(self.decoded(self.coded(envelope)), jnp.zeros(()))))
        ratios = (jnp.abs(x) / steps).reshape(*x.shape[:2], -1, self.channels).max(axis=2)
        above = jnp.log2(jnp.maximum(jax.lax.stop_gradient(ratios) / loudest, 1.0)) / (0.5 * self.shaping)
        whole = ENVELOPE_STEP * jnp.ceil(above / ENVELOPE_STEP)
        return envelope.at[..., : self.channels].add(whole)

    def log_steps(self, envelope: jax.Array, log_step: jax.Array) -> jax.Array:
        """Log2 of the steps (B, F, bands · C) at a level, of which `log_step` (B, F, 1) is log2 of the step."""
        above = self._mapped(envelope, self._cosines) - _REFERENCE
        return log_step + 0.5 * self.shaping * above

    def _mapped(self, x: jax.Array, matrix: np.ndarray) -> jax.Array:
        """x (B, F, K · C) times a matrix (K, L), exactly enough to be rounded to the same symbols everywhere."""
        wide = x.reshape(*x.shape[:2], -1, self.channels)
        weights = jnp.asarray(matrix, jnp.float32)
        mapped = jnp.einsum("bfkc,kl->bflc", wide, weights, precision=jax.lax.Precision.HIGHEST)
        return mapped.reshape(*x.shape[:2], -1)

    @functools.cached_property
    def _cosines(self) -> np.ndarray:
        """Orthogonal functions (N_ENVELOPE, bands), the first of which is 1; the others have a mean square of 1."""
        n = len(self.edges) - 1
        angles = np.pi / n * np.arange(N_ENVELOPE)[:, None] * (np.arange(n) + 0.5)[None]
        return np.where(np.arange(N_ENVELOPE)[:, None] > 0, np.sqrt(2), 1) * np.cos(angles)

    @functools.cached_property
    def _signs(self) -> np.ndarray:
        return np.repeat(np.array([[[-1, 1, 1, 1]]], np.float32), self.channels, axis=-1)

    @functools.cached_property
    def _zeros(self) -> np.ndarray:
        return np.repeat(np.array([[_FIRST]], np.float32), self.channels, axis=-1)
