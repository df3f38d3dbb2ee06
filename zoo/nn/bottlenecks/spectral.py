"""Quantisation of spectra with noise substitution: coefficients on a grid, and the powers of what falls below it.

The grid's steps follow an envelope of the spectrum, which is sent too, as those of perceptual coders do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bands import Bands
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
NOTHING = 60.0
"""how far below the ceiling that is taken to be"""
_CONTEXT = (3, 7)  # frames and dimensions around a coefficient that foretell its magnitude
_SEEN = 15.0


class SpectralGrid(nn.Module):
    """Uniform quantisation of coefficients with a step for each level and envelope, and of band levels below it.

    Its latent (B, F, n_bands + n_envelope + n_bins + 1) is log2 of the mean power of each band, the envelope that the
    steps follow (`Bands`), the coefficients, and log2 of the level's step: 0 before quantisation, and not coded. A
    symbol of a band is how far its power lies below CEILING squared steps; it is 0 in bands where coefficients carry
    the signal, so that a coder that knows its neighbours spends nothing on it, and the decoder takes CEILING squared
    steps for it. Levels differ in the step alone: one model gives the whole rate–distortion curve.

    In training each example has a level of its own, drawn from its key. The loss `log_rate` is the natural logarithm of
    the bits per frame, with which all levels count alike: the cost of each coefficient under a logistic distribution
    (with uniform noise in the place of rounding; Ballé, Minnen et al., 2018) whose scale is a learnt function of the
    quantised magnitudes around it, as they are for the entropy coder. It has no gradient with respect to band powers.
    """

    bands: Bands
    grid_steps: Sequence[float]
    default: int
    codebook_size: int = 1023
    band_symbols: int = 7
    """of a band's level: 0 is at the ceiling or above, 1 … so many steps below it, the last one nothing"""

    loss_names = ("log_rate",)
    learnt_codebooks = None

    def setup(self) -> None:
        n, (frames, dims) = self.bands.n_bins, _CONTEXT
        self.base_tenths = self.param("base_tenths", nn.initializers.constant(-0.25), (n,), jnp.float32)
        self.context_tenths = self.param("context_tenths", nn.initializers.constant(-0.25), (frames, dims), jnp.float32)

    @property
    def default_level(self) -> int:
        return self.default

    def symbols(self) -> SymbolFormat:
        unsigned = (self.band_symbols,) * self.bands.n + self.bands.envelope_sizes
        sizes = unsigned + (self.codebook_size,) * self.bands.n_bins
        return SymbolFormat(sizes, len(self.grid_steps), True, ordered=True, n_unsigned=len(unsigned))

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        if keys is not None and level is None:
            level = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(self.grid_steps)))(keys)
        powers, envelope, coefficients, _ = self.parts(latent)
        envelope = self.bands.coded(jax.lax.stop_gradient(envelope))
        log_steps = self._log_steps(envelope, level)
        step, half = self.bands.spread(jnp.exp2(log_steps)), self.codebook_size // 2
        scaled = coefficients / step
        magnitude = jnp.minimum(jnp.floor(jnp.abs(scaled) + (1 - ROUNDING)), half)
        indices = jax.lax.stop_gradient(jnp.sign(scaled) * magnitude).astype(jnp.int32)
        below = jnp.round((_ceiling(log_steps) - powers) / BAND_STEP)
        band_symbols = jnp.clip(jax.lax.stop_gradient(below), 0, self.band_symbols - 1).astype(jnp.int32)
        codes = jnp.concatenate([band_symbols, envelope, indices + half], axis=-1)
        quantised = straight_through(coefficients, indices.astype(jnp.float32) * step)
        losses = {}
        if keys is not None:
            noise = jax.vmap(lambda key: jax.random.uniform(key, scaled.shape[1:], minval=-0.5, maxval=0.5))(keys)
            bits = self._bits(scaled + noise, apply_mask(jax.lax.stop_gradient(magnitude), mask)).sum(-1)
            losses["log_rate"] = jnp.log(mean_frames(bits, mask) + 8.0)
        zero = mean_frames((indices == 0).astype(jnp.float32).mean(-1), mask).mean()
        return Quantised(
            self._latent(band_symbols, envelope, quantised, log_steps, level),
            codes,
            losses,
            {"nonzero": 1.0 - zero},
        )

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        powers, envelope, indices, _ = self.parts(codes)
        log_steps = self._log_steps(envelope, level)
        step = self.bands.spread(jnp.exp2(log_steps))
        values = (indices - self.codebook_size // 2).astype(jnp.float32) * step
        return self._latent(powers, envelope, values, log_steps, level)

    @nn.nowrap
    def codes(self, latent: jax.Array) -> jax.Array:
        """The codes int32 (B, F, q) of latents that are quantised, whatever rounding errors they came with."""
        powers, envelope, values, _ = self.parts(latent)
        log_steps = self.log_steps(latent)
        below = jnp.round((_ceiling(log_steps) - powers) / BAND_STEP)
        band_symbols = jnp.clip(below, 0, self.band_symbols - 1).astype(jnp.int32)
        indices = jnp.round(values / self.bands.spread(jnp.exp2(log_steps))).astype(jnp.int32)
        half = self.codebook_size // 2
        return jnp.concatenate([band_symbols, self.bands.coded(envelope), indices + half], axis=-1)

    @nn.nowrap
    def parts(self, latent: jax.Array) -> list[jax.Array]:
        """Band powers, envelope, coefficients and, of latents, log2 of the level's step: those of codes, without it."""
        sizes = np.cumsum([self.bands.n, self.bands.n_envelope, self.bands.n_bins])
        return jnp.split(latent, sizes, axis=-1)

    @nn.nowrap
    def log_steps(self, latent: jax.Array) -> jax.Array:
        """Log2 of the steps (B, F, n_bands) of latents that are quantised."""
        _, envelope, _, log_step = self.parts(latent)
        return self.bands.log_steps(envelope, log_step)

    def _latent(
        self, powers: jax.Array, envelope: jax.Array, coefficients: jax.Array, log_steps: jax.Array, level: Any
    ) -> jax.Array:
        """The latent of symbols of powers and of the envelope, whose steps are known."""
        log_step = jnp.broadcast_to(self._log_step(level), (*coefficients.shape[:2], 1))
        return jnp.concatenate(
            [self._known(powers, log_steps), self.bands.decoded(envelope), coefficients, log_step], axis=-1
        )

    def _log_steps(self, envelope: jax.Array, level: Any) -> jax.Array:
        """Log2 of the steps (B, F, n_bands) where the symbols of the envelope are known."""
        return self.bands.log_steps(self.bands.decoded(envelope), self._log_step(level))

    def _known(self, symbols: jax.Array, log_steps: jax.Array) -> jax.Array:
        """Log2 powers of bands that the decoder takes for symbols; the last one is no sound."""
        below = jnp.where(symbols == self.band_symbols - 1, NOTHING, BAND_STEP * symbols.astype(jnp.float32))
        return _ceiling(log_steps) - below

    def _log_step(self, level: Any) -> jax.Array:
        """Log2 of the step at a level, (1 or B, 1, 1)."""
        log_steps = jnp.log2(jnp.asarray(self.grid_steps, jnp.float32))
        return jnp.reshape(log_steps[chosen_level(level, self.default)], (-1, 1, 1))

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


def _ceiling(log_steps: jax.Array) -> jax.Array:
    return 2 * log_steps + float(np.log2(CEILING))
