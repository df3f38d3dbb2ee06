"""Codes for the latents of a published VAE: a uniform grid, and tables of integers that no audio was needed for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.bitstream.entropy import EntropyModel, ordered, template
from zoo.bitstream.entropy.tables import TOTAL
from zoo.nn.bottlenecks import Quantised, SymbolFormat, straight_through

GRID_STEPS = (4.0, 2.8, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25)
DEFAULT_STEP = 0.5
_FINE = 100
"""parts of a prior standard deviation of which grid steps are made"""


class Grid(nn.Module):
    """Latents rounded to multiples of a step, a level for each of `grid_steps`; no parameters.

    Steps are positive multiples of 0.01 in units of the latents' `deviation`, which is about 1 for most VAEs. Symbols
    are clipped to `codebook_size` values around 0.
    """

    latent_dim: int
    grid_steps: Sequence[float] = GRID_STEPS
    codebook_size: int = 255
    deviation: float = 1.0

    loss_names = ()
    learnt_codebooks = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(step <= 0 or abs(step * _FINE - round(step * _FINE)) > 1e-6 for step in self.grid_steps):
            raise ValueError(f"grid_steps {self.grid_steps} must be positive multiples of 0.01")

    @property
    def default_level(self) -> int:
        """The step nearest to DEFAULT_STEP."""
        return int(np.argmin(np.abs(np.log(np.array(self.grid_steps) / DEFAULT_STEP))))

    @nn.nowrap
    def symbols(self) -> SymbolFormat:
        return SymbolFormat((self.codebook_size,) * self.latent_dim, len(self.grid_steps), True, ordered=True)

    def __call__(self, latent: jax.Array, mask: Any = None, *, keys: Any = None, level: Any = None) -> Quantised:
        """In training (`keys` given) the latent passes as it is; else its gradient passes straight through."""
        step, half = self._step(level), self.codebook_size // 2
        indices = jnp.clip(jnp.round(latent / step), -half, self.codebook_size - 1 - half)
        codes = (indices + half).astype(jnp.int32)
        return Quantised(straight_through(latent, indices * step) if keys is None else latent, codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return (codes - self.codebook_size // 2).astype(jnp.float32) * self._step(level)

    @nn.nowrap
    def _step(self, level: Any) -> jax.Array:
        steps = jnp.asarray(self.grid_steps, jnp.float32)
        chosen = jnp.asarray(self.default_level if level is None else level, jnp.int32)
        return self.deviation * jnp.reshape(steps[chosen], (-1, 1, 1))


def normal_entropy(symbols: SymbolFormat, grid_steps: Sequence[float]) -> EntropyModel:
    """Tables for latents that are N(0, 1) and independent, for want of any that were fitted to audio.

    One symbol in 1024 is taken to come from a normal distribution four times as wide. All of it is integer arithmetic:
    the normal distribution is a binomial one of 40,000 coins, its deviation in _FINE parts. Raises ValueError where
    there are not as many steps as levels.
    """
    if len(grid_steps) != symbols.n_levels:
        raise ValueError(f"{symbols.n_levels} levels need as many grid_steps, got {grid_steps}")
    arrays = {name: np.zeros(array.shape, array.dtype) for name, array in template(symbols).items()}
    classes = ordered.tokens(symbols)
    for level, step in enumerate(grid_steps):
        width = round(step * _FINE)
        prior = _binomial_bins(_FINE, width, len(classes.of))
        wide = _binomial_bins(4 * _FINE, width, len(classes.of))
        weights = [0] * classes.n
        for token, often, seldom in zip(classes.of, prior, wide):
            weights[token] += 1023 * sum(wide) * often + sum(prior) * seldom
        arrays["tokens"][level] = _frequencies(weights)
    n_bands = arrays["bands"].shape[1] - 1
    # packets use all bands, but for one in sixteen
    arrays["bands"][:] = _frequencies([1] * n_bands + [15 * n_bands])
    arrays["thresholds"][:] = np.arange(arrays["thresholds"].shape[1])
    return EntropyModel(symbols, arrays)


def _binomial_bins(deviation: int, width: int, n: int) -> list[int]:
    """Weights of the magnitudes 0 … n − 1 of a binomial variable of this deviation, rounded to multiples of `width`."""
    bins = [0] * (n + 1)
    half, weight, j = 2 * deviation**2, 1 << 256, 0
    while weight and (2 * j + width) // (2 * width) < n:
        both = 4 * weight if j else 2 * weight  # j and −j, doubled because of the halves
        m, rest = divmod(2 * j + width, 2 * width)
        if rest:
            bins[m] += both
        else:  # on the border
            bins[m - 1] += both // 2
            bins[m] += both // 2
        weight = weight * (half - j) // (half + j + 1)
        j += 1
    return bins[:n]


def _frequencies(weights: list[int]) -> np.ndarray:
    """Integers int32 of at least 1 in proportion to the weights, which sum to TOTAL."""
    total, spare = sum(weights), TOTAL - len(weights)
    shares = [1 + weight * spare // total for weight in weights]
    shares[weights.index(max(weights))] += TOTAL - sum(shares)
    return np.array(shares, np.int32)
