"""What stands between encoder and decoder: Identity, FSQ, Gaussian (KL) and residual VQ, with one signature.

Every bottleneck yields integer symbols, so that a bitrate can always be counted from coded bytes:

    quantised = bottleneck(latent, mask, keys=keys, level=level)   # training (keys given) or evaluation
    codes     = quantised.codes                                    # int32 (B, F, Q), code q in [0, codebook_sizes[q])
    latent    = bottleneck.dequantise(codes, level)                # what the decoder hears

`level` is the operating point, an int32 scalar or (B,) from 0 (lowest rate) to n_levels - 1: the number of codebooks
of a residual VQ, the grid step of a Gaussian one. `keys` are one PRNG key per example: noise is a function of the
example and never of how a batch is spread over devices. `mask` (B, F) leaves frames out of losses and metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np


@flax.struct.dataclass
class Quantised:
    """Result of a bottleneck: latent (B, F, D) as the decoder gets it, codes int32 (B, F, Q)."""

    latent: jax.Array
    codes: jax.Array
    losses: dict[str, jax.Array]
    """(B,) each, unweighted"""
    metrics: dict[str, jax.Array]
    """() each, for the log only"""


@dataclass(frozen=True)
class SymbolFormat:
    """What an entropy coder must know of the codes.

    `tables_per_level` says whether the symbols' statistics differ from level to level (a grid step); where they do
    not and there are several levels, level l is the first n_always + l + 1 codebooks. `ordered` codes are
    scalars on a grid whose zero is symbol size // 2, so that neighbours tell how large a symbol may be; the others are
    mere names. A frame that is long holds `subframes` codes of each codebook: first all those of codebook 0, in their
    order of time, then those of codebook 1, and so on.
    """

    codebook_sizes: tuple[int, ...]
    """alphabet of each codebook"""
    n_levels: int = 1
    tables_per_level: bool = False
    ordered: bool = False
    n_always: int = 0
    """codebooks that do not count as levels, because all need them"""
    subframes: int = 1

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def level_is_codebooks(self) -> bool:
        """Whether levels differ in their number of codebooks."""
        return self.n_levels > 1 and not self.tables_per_level

    def n_codes(self, level: int) -> int:
        """How many codes of a frame the level uses."""
        return self.subframes * (self.n_always + level + 1 if self.level_is_codebooks else self.n_codebooks)

    def code_sizes(self, level: int) -> np.ndarray:
        """Alphabets (n_codes(level),) of the codes of a frame."""
        return np.repeat(np.array(self.codebook_sizes, np.int64), self.subframes)[: self.n_codes(level)]


class Identity(nn.Module):
    """No quantisation: the latent itself, no symbols, no losses."""

    def __call__(self, latent: jax.Array, mask: Any = None, *, keys: Any = None, level: Any = None) -> Quantised:
        codes = jnp.zeros((*latent.shape[:2], 0), jnp.int32)
        return Quantised(latent, codes, {}, {})

    @property
    def default_level(self) -> int:
        return 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat(())

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        raise ValueError("an Identity bottleneck has no codes to decode")


class FSQ(nn.Module):
    """Finite scalar quantisation (Mentzer et al., 2023): each dimension is bounded and rounded to `levels[d]` values.

    The latent is measured in quantisation steps: y = clip(z, −h, h), h = (levels - 1) / 2, and the symbol is
    round(y + h). The gradient passes straight through both. (The paper bounds by h·tanh; with many levels that bends
    what the decoder would have to unbend, which cost a linear codec 1.5 dB of SNR.) Its loss `rate` (bits per frame,
    only in training) is the cost of the symbols under a learnt factorised prior, a zero-mean mixture of two logistics
    per dimension, with additive uniform noise in the place of rounding (Ballé, Minnen et al., 2018).
    """

    levels: Sequence[int]

    def setup(self) -> None:
        n = len(self.levels)
        # a narrow and a wide component: loud and soft passages together are heavy-tailed; in tenths, so that the
        # optimiser's step of 1e-3 moves a scale by a per cent
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
        through = latent - jax.lax.stop_gradient(latent)  # exactly zero, with the latent's gradient
        bounded = jax.lax.stop_gradient(jnp.clip(latent, -half, half)) + through
        indices = jax.lax.stop_gradient(jnp.clip(jnp.round(bounded + half), 0, 2 * half))
        quantised = indices - half + through
        losses = {}
        if keys is not None:
            noise = jax.vmap(lambda key: jax.random.uniform(key, latent.shape[1:], minval=-0.5, maxval=0.5))(keys)
            losses["rate"] = _mean_frames(self._bits(bounded + noise).sum(-1), mask)
        used = _mean_frames(jnp.mean((indices != jnp.round(half)).astype(jnp.float32), -1), mask).mean()
        return Quantised(quantised, indices.astype(jnp.int32), losses, {"nonzero": used})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return codes.astype(jnp.float32) - self._half()

    def _half(self) -> jax.Array:
        return ((jnp.asarray(self.levels, jnp.float32) - 1) / 2)[None, None]

    def _bits(self, y: jax.Array) -> jax.Array:
        scale = jnp.exp(10 * self.log_scale_tenths)[:, None, None, :]
        magnitude = jnp.abs(y)[None]  # by symmetry; keeps the difference of sigmoids accurate in the tail
        probability = jax.nn.sigmoid((0.5 - magnitude) / scale) - jax.nn.sigmoid((-0.5 - magnitude) / scale)
        mix = jax.nn.sigmoid(10 * self.mix_logit_tenths)[None, None]
        return -jnp.log2(mix * probability[0] + (1 - mix) * probability[1] + 1e-9)


class Gaussian(nn.Module):
    """Variational bottleneck (Kingma and Welling, 2014): the latent is the mean, the deviation is learnt per dimension.

    The posterior N(μ, σ_d²) shares σ_d over all inputs, because then a uniform grid of step s·σ_d on the
    mean loses what the noise in training lost, whatever the clip: one model gives a whole rate–distortion
    curve, a level for each s in `grid_steps` (s = √12 has the noise's variance). The loss `kl` is in nats per frame,
    against N(0, 1). Symbols are clipped to `codebook_size` values around zero.
    """

    latent_dim: int
    grid_steps: Sequence[float] = (28.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5)
    codebook_size: int = 1023
    initial_std: float = 0.2

    def setup(self) -> None:
        # in tenths, so that an optimiser's step of 1e-3 moves a deviation by a per cent: dimensions that carry nothing
        # must be found out within a short training
        initial = nn.initializers.constant(float(np.log(self.initial_std)) / 10)
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
            return Quantised(indices * grid, codes, {}, {})
        noise = jax.vmap(lambda key: jax.random.normal(key, latent.shape[1:]))(keys)
        nats = 0.5 * (jnp.square(latent) + jnp.exp(2 * log_std) - 1.0) - log_std
        kl = _mean_frames(nats.sum(-1), mask)
        active = (jnp.exp(log_std) < 0.7).astype(jnp.float32).mean()
        return Quantised(latent + noise * jnp.exp(log_std), codes, {"kl": kl}, {"active_dims": active})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        return (codes - self.codebook_size // 2).astype(jnp.float32) * self._grid(level)

    def _log_std(self) -> jax.Array:
        return jnp.clip(10 * self.log_std_tenths, -7.0, 0.5)[None, None]

    def _grid(self, level: Any) -> jax.Array:
        steps = jnp.asarray(self.grid_steps, jnp.float32)
        step = steps[_default_level(level, self.default_level)]
        return jnp.reshape(step, (-1, 1, 1)) * jnp.exp(self._log_std())


class ResidualVQ(nn.Module):
    """Residual vector quantisation with factorised, normalised codes and quantiser dropout (DAC, Kumar et al., 2023).

    Each stage projects what is left to `code_dim` dimensions, looks up the nearest entry by cosine, and projects
    back. Codebooks learn by gradient, so replicated parameters stay equal on all devices. A level uses its first
    level + 1 codebooks.
    """

    latent_dim: int
    n_codebooks: int = 8
    codebook_size: int = 1024
    code_dim: int = 8
    dropout: float = 0.5
    """share of training examples that use a random number of codebooks"""
    input_bias: bool = False
    """whether the projections to `code_dim` dimensions add something"""

    def setup(self) -> None:
        q, d, k = self.n_codebooks, self.latent_dim, self.code_dim
        dense = nn.initializers.lecun_normal(batch_axis=(0,))
        self.project_in = self.param("project_in", dense, (q, d, k), jnp.float32)
        self.project_out = self.param("project_out", dense, (q, k, d), jnp.float32)
        # in tenths: an entry is only moved by the frames that choose it, and must follow the encoder all the same
        entries = nn.initializers.normal(0.1)
        self.codebooks = 10 * self.param("codebooks_tenths", entries, (q, self.codebook_size, k), jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (q, d), jnp.float32)
        self.bias_in = self.param("bias_in", nn.initializers.zeros, (q, k), jnp.float32) if self.input_bias else None

    @property
    def default_level(self) -> int:
        return self.n_codebooks - 1

    def symbols(self) -> SymbolFormat:
        return SymbolFormat((self.codebook_size,) * self.n_codebooks, self.n_codebooks)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        batch = latent.shape[0]
        used = jnp.broadcast_to(_default_level(level, self.default_level) + 1, (batch,))
        if keys is not None:
            used = jax.vmap(self._draw_codebooks)(keys)
        residual, total = latent, jnp.zeros_like(latent)
        codes, codebook_loss, commitment_loss = [], jnp.zeros(batch), jnp.zeros(batch)
        for q in range(self.n_codebooks):
            projected = residual @ self.project_in[q]
            if self.bias_in is not None:
                projected = projected + self.bias_in[q][None, None]
            entries = self.codebooks[q]
            index = jnp.argmax(_normalise(projected) @ _normalise(entries).T, axis=-1)
            chosen = _lookup(entries, index)
            active = (q < used).astype(jnp.float32)
            # the mean counts the stages that an example uses, so dropout does not change the weights
            share = active / used
            codebook_loss += share * _squared_error(chosen, jax.lax.stop_gradient(projected), mask)
            commitment_loss += share * _squared_error(projected, jax.lax.stop_gradient(chosen), mask)
            straight = projected + jax.lax.stop_gradient(chosen - projected)
            step = (straight @ self.project_out[q] + self.bias[q][None, None]) * active[:, None, None]
            total, residual = total + step, residual - step
            codes.append(index)
        stacked = jnp.stack(codes, axis=-1).astype(jnp.int32)
        if keys is None:
            return Quantised(total, stacked, {}, {})
        losses = {"codebook": codebook_loss, "commitment": commitment_loss}
        return Quantised(total, stacked, losses, self._usage(stacked, used, mask))

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latent of codes (B, F, q) with any q up to n_codebooks; stages above `level` are left out."""
        used = jnp.reshape(_default_level(level, self.default_level) + 1, (-1, 1, 1))
        total = jnp.zeros((*codes.shape[:2], self.latent_dim))
        for q in range(codes.shape[-1]):
            step = _lookup(self.codebooks[q], codes[..., q]) @ self.project_out[q] + self.bias[q][None, None]
            total = total + jnp.where(q < used, step, 0.0)
        return total

    def _draw_codebooks(self, key: jax.Array) -> jax.Array:
        coin, count = jax.random.split(key)
        drawn = jax.random.randint(count, (), 1, self.n_codebooks + 1)
        return jnp.where(jax.random.uniform(coin) < self.dropout, drawn, self.n_codebooks)

    def _usage(self, codes: jax.Array, used: jax.Array, mask: jax.Array | None) -> dict[str, jax.Array]:
        """Perplexity (mean over codebooks) and share of entries this batch left unused."""
        weight = (jnp.arange(self.n_codebooks)[None] < used[:, None]).astype(jnp.float32)[:, None]
        weight = weight * (jnp.ones(codes.shape[:2]) if mask is None else mask.astype(jnp.float32))[..., None]

        def count(column: jax.Array, weight: jax.Array) -> jax.Array:
            return jnp.zeros(self.codebook_size).at[column.reshape(-1)].add(weight.reshape(-1))

        counts = jax.vmap(count, in_axes=2)(codes, weight)
        p = counts / jnp.maximum(counts.sum(-1, keepdims=True), 1.0)
        entropy = -(p * jnp.log(p + 1e-10)).sum(-1)
        return {"perplexity": jnp.exp(entropy).mean(), "unused_codes": (counts == 0).astype(jnp.float32).mean()}


def _default_level(level: Any, default: int) -> jax.Array:
    return jnp.asarray(default if level is None else level, jnp.int32)


def _normalise(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)


def _lookup(entries: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take(entries, index, axis=0)


def _squared_error(a: jax.Array, b: jax.Array, mask: jax.Array | None) -> jax.Array:
    return _mean_frames(jnp.square(a - b).mean(-1), mask)


def _mean_frames(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Mean over valid frames: (B, F) -> (B,)."""
    if mask is None:
        return x.mean(axis=1)
    weight = mask.astype(x.dtype)
    return (x * weight).sum(1) / jnp.maximum(weight.sum(1), 1.0)
