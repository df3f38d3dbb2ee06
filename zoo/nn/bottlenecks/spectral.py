"""Quantisation of spectra with noise substitution: coefficients on a grid, and the powers of what falls below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks.base import Quantised, SymbolFormat, chosen_level, mean_frames, straight_through
from zoo.nn.layers import PER_TENTH, apply_mask

ROUNDING = 0.6
"""A coefficient below this many steps becomes zero, and larger ones are rounded down up to it: rounding at 0.5 costs
more bits than it saves error where most coefficients are zero (RDOQ in video coding knows the same offset)."""
CEILING = 0.12
"""Mean power of the coefficients of a band, in squared steps, from which its level is not sent: ROUNDING² / 3, what the
zeros have at most."""
BAND_STEP = 2.0
"""step of band levels, in units of log2 of a power"""
BAND_SYMBOLS = 7
"""0: at the ceiling or above, 1 … : so many steps below it, the last: nothing"""
NOTHING = 60.0
"""how far below the ceiling that is taken to be"""
_CONTEXT = (3, 7)  # frames and dimensions around a coefficient that foretell its magnitude
_SEEN = 15.0


class SpectralGrid(nn.Module):
    """Uniform quantisation of coefficients with a step for each level, and of band levels below it.

    Its latent (B, F, n_bands + n_coefficients + 1) is log2 of the mean power of each band, then the coefficients, then
    log2 of the step: 0 before quantisation, and not coded, as it is the level's. A symbol of a band is how far its
    power lies below CEILING squared steps; it is 0 in bands where coefficients carry the signal, so that a coder that
    knows its neighbours spends nothing on it, and the decoder takes CEILING squared steps for it. Levels differ in the
    step alone: one model gives the whole rate–distortion curve.

    In training each example has a level of its own, drawn from its key. The loss `log_rate` is the natural logarithm of
    the bits per frame, with which all levels count alike: the cost of each coefficient under a logistic distribution
    (with uniform noise in the place of rounding; Ballé, Minnen et al., 2018) whose scale is a learnt function of the
    quantised magnitudes around it, as they are for the entropy coder. It has no gradient with respect to band powers.
    """

    n_bands: int
    n_coefficients: int
    grid_steps: Sequence[float]
    default: int
    codebook_size: int = 1023

    loss_names = ("log_rate",)
    learnt_codebooks = None

    def setup(self) -> None:
        n, (frames, dims) = self.n_coefficients, _CONTEXT
        self.base_tenths = self.param("base_tenths", nn.initializers.constant(-0.25), (n,), jnp.float32)
        self.context_tenths = self.param("context_tenths", nn.initializers.constant(-0.25), (frames, dims), jnp.float32)

    @property
    def default_level(self) -> int:
        return self.default

    def symbols(self) -> SymbolFormat:
        sizes = (BAND_SYMBOLS,) * self.n_bands + (self.codebook_size,) * self.n_coefficients
        return SymbolFormat(sizes, len(self.grid_steps), True, ordered=True, n_unsigned=self.n_bands)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        if keys is not None and level is None:
            level = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(self.grid_steps)))(keys)
        step = self._step(level)
        bands, coefficients = latent[..., : self.n_bands], latent[..., self.n_bands : -1]
        half = self.codebook_size // 2
        scaled = coefficients / step
        magnitude = jnp.minimum(jnp.floor(jnp.abs(scaled) + (1 - ROUNDING)), half)
        indices = jax.lax.stop_gradient(jnp.sign(scaled) * magnitude).astype(jnp.int32)
        below = jnp.round((_ceiling(step) - bands) / BAND_STEP)
        band_symbols = jnp.clip(jax.lax.stop_gradient(below), 0, BAND_SYMBOLS - 1).astype(jnp.int32)
        codes = jnp.concatenate([band_symbols, indices + half], axis=-1)
        quantised = straight_through(coefficients, indices.astype(jnp.float32) * step)
        losses = {}
        if keys is not None:
            noise = jax.vmap(lambda key: jax.random.uniform(key, scaled.shape[1:], minval=-0.5, maxval=0.5))(keys)
            bits = self._bits(scaled + noise, apply_mask(jax.lax.stop_gradient(magnitude), mask)).sum(-1)
            losses["log_rate"] = jnp.log(mean_frames(bits, mask) + 8.0)
        zero = mean_frames((indices == 0).astype(jnp.float32).mean(-1), mask).mean()
        return Quantised(
            self._latent(band_symbols, quantised, step),
            codes,
            losses,
            {"nonzero": 1.0 - zero},
        )

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        step = self._step(level)
        bands, coefficients = codes[..., : self.n_bands], codes[..., self.n_bands :]
        values = (coefficients - self.codebook_size // 2).astype(jnp.float32) * step
        return self._latent(bands, values, step)

    def _latent(self, symbols: jax.Array, coefficients: jax.Array, step: jax.Array) -> jax.Array:
        log_step = jnp.broadcast_to(jnp.log2(step), (*coefficients.shape[:2], 1))
        return jnp.concatenate([self._known(symbols, step), coefficients, log_step], axis=-1)

    def _known(self, symbols: jax.Array, step: jax.Array) -> jax.Array:
        """Log2 powers of bands that the decoder takes for symbols; the last one is no sound."""
        below = jnp.where(symbols == BAND_SYMBOLS - 1, NOTHING, BAND_STEP * symbols.astype(jnp.float32))
        return _ceiling(step) - below

    def _step(self, level: Any) -> jax.Array:
        steps = jnp.asarray(self.grid_steps, jnp.float32)
        return jnp.reshape(steps[chosen_level(level, self.default)], (-1, 1, 1))

    def _bits(self, y: jax.Array, magnitude: jax.Array) -> jax.Array:
        """Bits of coefficients in steps, where the magnitudes (B, F, D) of all quantised ones are known."""
        weights = jnp.exp(PER_TENTH * self.context_tenths)
        frames, dims = (size // 2 for size in weights.shape)
        seen = jnp.pad(jnp.minimum(magnitude, _SEEN), ((0, 0), (frames, frames), (dims, dims)))
        activity = jnp.zeros_like(magnitude)
        for f in range(weights.shape[0]):
            for d in range(weights.shape[1]):
                if (f, d) != (frames, dims):
                    activity += weights[f, d] * seen[:, f : f + y.shape[1], d : d + y.shape[2]]
        scale = jnp.exp(PER_TENTH * self.base_tenths)[None, None] + activity
        size = jnp.abs(y)  # by symmetry; keeps the difference of sigmoids accurate in the tail
        probability = jax.nn.sigmoid((0.5 - size) / scale) - jax.nn.sigmoid((-0.5 - size) / scale)
        return -jnp.log2(probability + 1e-6)


def _ceiling(step: jax.Array) -> jax.Array:
    return 2 * jnp.log2(step) + float(np.log2(CEILING))
