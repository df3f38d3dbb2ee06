"""Residual vector quantisation, and its beginning as a quantiser of given latents."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.bottlenecks.base import (
    CodebookLevels,
    CodebookUse,
    LearntCodebooks,
    Quantised,
    mean_frames,
)
from zoo.nn.bottlenecks.kmeans import nearest_entry, spherical_kmeans
from zoo.nn.layers import PER_TENTH

ENTRIES = "codebooks_tenths"
"""Name of the parameter with the codebooks' entries."""


def fit_residual_vq(params: Any, latents: jax.Array, key: jax.Array) -> Any:
    """Parameters of a `ResidualVQ` that is a quantiser of latents (N, D) from the beginning on.

    Stage by stage, on what the stages before leave: the projection becomes that on the principal components, its
    return the transpose, and the entries are centroids of what is projected (k-means initialisation as in SoundStream,
    Zeghidour et al., 2021; the components, because entries looked up in a random plane explain little of the rest).
    """
    n_stages, entries, code_dim = params[ENTRIES].shape
    projections, returns, codebooks, biases = [], [], [], []
    residual = latents
    for q in range(n_stages):
        mean = residual.mean(axis=0)
        centred = residual - mean[None]
        _, vectors = jnp.linalg.eigh(centred.T @ centred)
        basis = vectors[:, ::-1][:, :code_dim]
        # the mean, as far as the plane does not hold it already
        bias = mean - basis @ (basis.T @ mean)
        projected = residual @ basis
        centroids = spherical_kmeans(projected, entries, jax.random.fold_in(key, q))
        nearest = nearest_entry(projected, centroids)
        residual = residual - (centroids[nearest] @ basis.T + bias[None])
        projections.append(basis)
        returns.append(basis.T)
        codebooks.append(centroids / PER_TENTH)
        biases.append(bias)
    fitted = {"project_in": projections, "project_out": returns, ENTRIES: codebooks, "bias": biases}
    return params | {name: jnp.stack(parts) for name, parts in fitted.items()}


class ResidualVQ(CodebookLevels, nn.Module):
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

    loss_names = ("codebook", "commitment")
    learnt_codebooks = LearntCodebooks(ENTRIES, PER_TENTH, fit_residual_vq)

    def setup(self) -> None:
        q, d, k = self.n_codebooks, self.latent_dim, self.code_dim
        dense = nn.initializers.lecun_normal(batch_axis=(0,))
        self.project_in = self.param("project_in", dense, (q, d, k), jnp.float32)
        self.project_out = self.param("project_out", dense, (q, k, d), jnp.float32)
        # in tenths, because an entry is only moved by the frames that choose it
        entries = nn.initializers.normal(0.1)
        tenths = self.param(ENTRIES, entries, (q, self.codebook_size, k), jnp.float32)
        self.codebooks = PER_TENTH * tenths
        self.bias = self.param("bias", nn.initializers.zeros, (q, d), jnp.float32)
        self.bias_in = self.param("bias_in", nn.initializers.zeros, (q, k), jnp.float32) if self.input_bias else None

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        batch = latent.shape[0]
        if keys is None:
            return self._evaluate(latent, jnp.broadcast_to(self.n_used(level), (batch,)))
        used = jax.vmap(self._draw_codebooks)(keys)
        residual, total = latent, jnp.zeros_like(latent)
        codes, inputs, codebook_loss, commitment_loss = [], [], jnp.zeros(batch), jnp.zeros(batch)
        for q in range(self.n_codebooks):
            stage: _Stages = jax.tree.map(operator.itemgetter(q), self._stages)
            index, projected, chosen = stage.choose(residual)
            active = (q < used).astype(jnp.float32)
            # the mean counts the stages that an example uses, so dropout does not change the weights
            share = active / used
            codebook_loss += share * _squared_error(chosen, jax.lax.stop_gradient(projected), mask)
            commitment_loss += share * _squared_error(projected, jax.lax.stop_gradient(chosen), mask)
            step = stage.step(projected, chosen) * active[:, None, None]
            total, residual = total + step, residual - step
            codes.append(index)
            inputs.append(jax.lax.stop_gradient(projected))
        stacked = jnp.stack(codes, axis=-1).astype(jnp.int32)
        losses = {"codebook": codebook_loss, "commitment": commitment_loss}
        asked = jnp.arange(self.n_codebooks)[None, None] < used[:, None, None]
        asked = jnp.broadcast_to(asked if mask is None else asked & mask[..., None], stacked.shape)
        use = CodebookUse(self._counts(stacked, asked), jnp.stack(inputs, axis=2), asked)
        return Quantised(total, stacked, losses, {}, use)

    @property
    def _stages(self) -> _Stages:
        return _Stages(self.project_in, self.project_out, self.codebooks, self.bias, self.bias_in)

    def _evaluate(self, latent: jax.Array, used: jax.Array) -> Quantised:
        """What the first `used` (B,) stages make of a latent; no more are computed than the largest of them."""

        def run(state: tuple[jax.Array, jax.Array], here: tuple[jax.Array, _Stages]) -> Any:
            (total, residual), (q, stage) = state, here

            def compute() -> tuple[jax.Array, jax.Array]:
                index, projected, chosen = stage.choose(residual)
                active = (q < used).astype(jnp.float32)
                return index.astype(jnp.int32), stage.step(projected, chosen) * active[:, None, None]

            def leave_out() -> tuple[jax.Array, jax.Array]:
                return jnp.zeros(latent.shape[:2], jnp.int32), jnp.zeros_like(latent)

            index, step = jax.lax.cond(q < used.max(), compute, leave_out)
            return (total + step, residual - step), index

        start = jnp.zeros_like(latent), latent
        (total, _), codes = jax.lax.scan(run, start, (jnp.arange(self.n_codebooks), self._stages))
        return Quantised(total, codes.transpose(1, 2, 0), {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latent of codes (B, F, q) with any q up to n_codebooks; stages above `level` are left out."""
        used = jnp.reshape(self.n_used(level), (-1, 1, 1))
        total = jnp.zeros((*codes.shape[:2], self.latent_dim))
        for q in range(codes.shape[-1]):
            step = _lookup(self.codebooks[q], codes[..., q]) @ self.project_out[q] + self.bias[q][None, None]
            total = total + jnp.where(q < used, step, 0.0)
        return total

    def _draw_codebooks(self, key: jax.Array) -> jax.Array:
        coin, count = jax.random.split(key)
        drawn = jax.random.randint(count, (), 1, self.n_codebooks + 1)
        return jnp.where(jax.random.uniform(coin) < self.dropout, drawn, self.n_codebooks)

    def _counts(self, codes: jax.Array, asked: jax.Array) -> jax.Array:
        def count(column: jax.Array, weight: jax.Array) -> jax.Array:
            return jnp.zeros(self.codebook_size).at[column.reshape(-1)].add(weight.reshape(-1).astype(jnp.float32))

        return jax.vmap(count, in_axes=2)(codes, asked)


class _Stages(NamedTuple):
    """Parameters of one stage, or of all of them along a first axis."""

    project_in: jax.Array
    project_out: jax.Array
    entries: jax.Array
    bias: jax.Array
    bias_in: jax.Array | None

    def choose(self, residual: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of what is left (B, F, D): indices (B, F) of the nearest entries, projection (B, F, k), and the entries."""
        projected = residual @ self.project_in
        if self.bias_in is not None:
            projected = projected + self.bias_in[None, None]
        index = nearest_entry(projected, self.entries)
        return index, projected, _lookup(self.entries, index)

    def step(self, projected: jax.Array, chosen: jax.Array) -> jax.Array:
        """The part of the latent (B, F, D) that the chosen entries stand for; its gradient is that of `projected`."""
        straight = projected + jax.lax.stop_gradient(chosen - projected)
        return straight @ self.project_out + self.bias[None, None]


def _lookup(entries: jax.Array, index: jax.Array) -> jax.Array:
    return jnp.take(entries, index, axis=0)


def _squared_error(a: jax.Array, b: jax.Array, mask: jax.Array | None) -> jax.Array:
    return mean_frames(jnp.square(a - b).mean(-1), mask)
