"""Residual vector quantisation by Euclidean distance, as EnCodec and Mimi have it.

Défossez et al., 2022 and 2024; after van den Oord et al., 2017, and Zeghidour et al., 2021. Codebooks are moved by
running means when those train, not by gradient; here they stay as they are.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.bottlenecks import CodebookLevels, Quantised, first_largest


def residual_codes(latent: jax.Array, codebooks: jax.Array, used: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """Codes int32 (B, F, Q) of latents (B, F, D) under codebooks (Q, K, D), and the sum (B, F, D) of their entries.

    Each codebook says of what those before it left which of its entries is nearest. `used` is how many there are for
    each example, () or (B,): entries beyond count as nothing, and no more are looked at than the largest of them.
    """
    batch, frames, _ = latent.shape
    n = codebooks.shape[0]
    used = jnp.broadcast_to(jnp.asarray(used, jnp.int32), (batch,))

    def step(q: jax.Array, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        codes, total, residual = state
        entries = jax.lax.dynamic_index_in_dim(codebooks, q, keepdims=False)
        index = nearest(residual, entries)
        chosen = jnp.where((q < used)[:, None, None], jnp.take(entries, index, axis=0), 0.0)
        codes = jax.lax.dynamic_update_index_in_dim(codes, index, q, axis=0)
        return codes, total + chosen, residual - chosen

    # one loop, because codebooks written out one by one take long to compile
    start = jnp.zeros((n, batch, frames), jnp.int32), jnp.zeros_like(latent), latent
    codes, total, _ = jax.lax.fori_loop(0, jnp.clip(used.max(), 0, n), step, start)
    return codes.transpose(1, 2, 0), total


def residual_sum(codes: jax.Array, codebooks: jax.Array, used: jax.Array | int) -> jax.Array:
    """Sum (B, F, D) of the entries of codes (B, F, q) under the first of codebooks (Q, K, D), `used` as above."""
    used = jnp.reshape(jnp.asarray(used, jnp.int32), (-1, 1, 1))
    total = jnp.zeros((*codes.shape[:2], codebooks.shape[-1]), codebooks.dtype)
    for q in range(codes.shape[-1]):
        total = total + jnp.where(q < used, jnp.take(codebooks[q], codes[..., q], axis=0), 0.0)
    return total


def nearest(x: jax.Array, entries: jax.Array) -> jax.Array:
    """Index int32 (B, F) of the entry (K, D) nearest to x (B, F, D), in the arithmetic of the reference."""
    norms = jnp.square(entries).sum(-1)[None, None]
    # full precision: where products are rounded, on a GPU by default, other entries are nearest
    products = jnp.matmul(2 * x, entries.T, precision=jax.lax.Precision.HIGHEST)
    distance = jnp.square(x).sum(-1, keepdims=True) - products + norms
    return first_largest(-distance)


class EuclideanRVQ(CodebookLevels, nn.Module):
    """Residual VQ of whole latents; a level is the number of codebooks less one. Gradients pass straight through."""

    latent_dim: int
    n_codebooks: int
    codebook_size: int = 1024

    loss_names = ()
    learnt_codebooks = None

    def setup(self) -> None:
        shape = (self.n_codebooks, self.codebook_size, self.latent_dim)
        self.codebooks = self.param("codebooks", nn.initializers.normal(1.0), shape, jnp.float32)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        codes, total = residual_codes(jax.lax.stop_gradient(latent), self.codebooks, self.n_used(level))
        return Quantised(latent + jax.lax.stop_gradient(total - latent), codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latents of codes (B, F, q) with any q up to n_codebooks; entries above `level` are left out."""
        return residual_sum(codes, self.codebooks, self.n_used(level))
