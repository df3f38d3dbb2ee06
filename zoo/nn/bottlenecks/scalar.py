"""Scalar quantisation: FSQ, and the Gaussian bottleneck of a VAE with its mean on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks.base import Quantised, SymbolFormat, chosen_level, mean_frames, straight_through
from zoo.nn.layers import PER_TENTH


class FSQ(nn.Module):
    """Finite scalar quantisation (Mentzer et al., 2023): each dimension is bounded and rounded to `levels[d]` values.

    The latent is measured in quantisation steps: y = clip(z, −h, h), h = (levels - 1) / 2, and the symbol is
    round(y + h). The gradient passes straight through both. (The paper bounds by h·tanh; with many levels that bends
    what the decoder would have to unbend, which cost a linear codec 1.5 dB of SNR.) Its loss `rate` (bits per frame,
    only in training) is the cost of the symbols under a learnt factorised prior, a zero-mean mixture of two logistics
    per dimension, with additive uniform noise in the place of rounding (Ballé, Minnen et al., 2018).
    """

    levels: Sequence[int]

    loss_names = ("rate",)
    learnt_codebooks = None

    def setup(self) -> None:
        n = len(self.levels)
        # a narrow and a wide component: loud and soft passages together are heavy-tailed
        init = jnp.tile(jnp.array([[-0.1], [0.1]], jnp.float32), (1, n))
        self.log_scale_tenths = self.param("log_scale_tenths", lambda key: init)
        self.mix_logit_tenths = self.param("mix_logit_tenths", nn.initializers.zeros, (n,), jnp.float32)

    @property
    def default_level(self) -> int:
        return 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat(tuple(self.levels), ordered=True)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        half = self._half()
        bounded = straight_through(latent, jnp.clip(latent, -half, half))
        indices = jax.lax.stop_gradient(jnp.clip(jnp.round(bounded + half), 0, 2 * half))
        quantised = straight_through(latent, indices - half)
        losses = {}
        if keys is not None:
            noise = jax.vmap(lambda key: jax.random.uniform(key, latent.shape[1:], minval=-0.5, maxval=0.5))(keys)
            losses["rate"] = mean_frames(self._bits(bounded + noise).sum(-1), mask)
        used = mean_frames(jnp.mean((indices != jnp.round(half)).astype(jnp.float32), -1), mask).mean()
        return Quantised(quantised, indices.astype(jnp.int32), losses, {"nonzero": used})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return codes.astype(jnp.float32) - self._half()

    def _half(self) -> jax.Array:
        return ((jnp.asarray(self.levels, jnp.float32) - 1) / 2)[None, None]

    def _bits(self, y: jax.Array) -> jax.Array:
        scale = jnp.exp(PER_TENTH * self.log_scale_tenths)[:, None, None, :]
        magnitude = jnp.abs(y)[None]  # by symmetry; keeps the difference of sigmoids accurate in the tail
        probability = jax.nn.sigmoid((0.5 - magnitude) / scale) - jax.nn.sigmoid((-0.5 - magnitude) / scale)
        mix = jax.nn.sigmoid(PER_TENTH * self.mix_logit_tenths)[None, None]
        return -jnp.log2(mix * probability[0] + (1 - mix) * probability[1] + 1e-9)


class Gaussian(nn.Module):
    """Variational bottleneck (Kingma and Welling, 2014): the latent is the mean, the deviation is learnt per dimension.

    The posterior N(μ, σ_d²) shares σ_d over all inputs, because then a uniform grid of step s·σ_d on the
    mean loses what the noise in training lost, whatever the clip: one model gives a whole rate–distortion
    curve, a level for each s in `grid_steps` (s = √12 has the noise's variance). The loss `kl` is in nats per frame,
    against N(0, 1). Symbols are clipped to `codebook_size` values around zero. Without noise, in evaluation, the
    gradient passes straight through grid and bound, and does not reach σ.
    """

    latent_dim: int
    grid_steps: Sequence[float] = (28.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5)
    codebook_size: int = 1023
    initial_std: float | Sequence[float] = 0.2
    """of all dimensions, or of each"""

    loss_names = ("kl",)
    learnt_codebooks = None

    def setup(self) -> None:
        # in tenths, so that an optimiser's step of 1e-3 moves a deviation by a per cent: dimensions that carry nothing
        # must be found out within a short training
        initial = nn.initializers.constant(np.log(np.asarray(self.initial_std)) / PER_TENTH)
        self.log_std_tenths = self.param("log_std_tenths", initial, (self.latent_dim,), jnp.float32)

    @property
    def default_level(self) -> int:
        """The grid step nearest to √12, whose rounding error has the variance of the noise in training."""
        return int(np.argmin(np.abs(np.log(np.array(self.grid_steps) / np.sqrt(12.0)))))

    def symbols(self) -> SymbolFormat:
        return SymbolFormat((self.codebook_size,) * self.latent_dim, len(self.grid_steps), True, ordered=True)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        log_std = self._log_std()
        half = self.codebook_size // 2
        grid = self._grid(level)
        indices = jnp.clip(jnp.round(latent / grid), -half, self.codebook_size - 1 - half)
        codes = (indices + half).astype(jnp.int32)
        if keys is None:
            return Quantised(straight_through(latent, indices * grid), codes, {}, {})
        noise = jax.vmap(lambda key: jax.random.normal(key, latent.shape[1:]))(keys)
        nats = 0.5 * (jnp.square(latent) + jnp.exp(2 * log_std) - 1.0) - log_std
        kl = mean_frames(nats.sum(-1), mask)
        active = (jnp.exp(log_std) < 0.7).astype(jnp.float32).mean()
        return Quantised(latent + noise * jnp.exp(log_std), codes, {"kl": kl}, {"active_dims": active})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return (codes - self.codebook_size // 2).astype(jnp.float32) * self._grid(level)

    def _log_std(self) -> jax.Array:
        return jnp.clip(PER_TENTH * self.log_std_tenths, -7.0, 0.5)[None, None]

    def _grid(self, level: Any) -> jax.Array:
        steps = jnp.asarray(self.grid_steps, jnp.float32)
        step = steps[chosen_level(level, self.default_level)]
        return jnp.reshape(step, (-1, 1, 1)) * jnp.exp(self._log_std())
