"""Residual vector quantisation at several rates, the bottleneck of SNAC (Siuzdak, Grötschla and Lanzendörfer, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks import Quantised, SymbolFormat, first_largest, straight_through
from zoo.nn.layers import per_channel
from zoo.published.keymap import POINTWISE, VECTOR, Entry


class MultiScaleVQ(nn.Module):
    """Residual VQ of (B, F, vq_strides[0] · D), whose codebook q looks at means of vq_strides[q] steps of time.

    Codes are those of the nearest entry by cosine (Yu et al., 2022); a frame's stand codebook by codebook, those of a
    codebook in order of time. Gradients pass straight through the look-ups. For published weights: there are no losses
    to train it with.
    """

    latent_dim: int
    vq_strides: Sequence[int]
    codebook_size: int
    codebook_dim: int

    loss_names = ()
    learnt_codebooks = None

    def setup(self) -> None:
        q, d, k = len(self.vq_strides), self.latent_dim, self.codebook_dim
        dense = nn.initializers.lecun_normal(batch_axis=(0,))
        self.project_in = self.param("project_in", dense, (q, d, k), jnp.float32)
        self.bias_in = self.param("bias_in", nn.initializers.zeros, (q, k), jnp.float32)
        self.project_out = self.param("project_out", dense, (q, k, d), jnp.float32)
        self.bias_out = self.param("bias_out", nn.initializers.zeros, (q, d), jnp.float32)
        self.codebooks = self.param("codebooks", nn.initializers.normal(1.0), (q, self.codebook_size, k), jnp.float32)

    @property
    def default_level(self) -> int:
        return 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat((self.codebook_size,) * sum(self._codes_per_frame()))

    def __call__(self, latent: jax.Array, mask: Any = None, *, keys: Any = None, level: Any = None) -> Quantised:
        batch, frames, _ = latent.shape
        residual = latent.reshape(batch, -1, self.latent_dim)
        total = jnp.zeros_like(residual)
        codes = []
        for q, stride in enumerate(self.vq_strides):
            mean = residual.reshape(batch, -1, stride, self.latent_dim).mean(axis=2)
            projected = mean @ self.project_in[q] + per_channel(self.bias_in[q])
            entries = self.codebooks[q]
            norm = jnp.sqrt(jnp.square(entries).sum(axis=-1, keepdims=True))
            index = first_largest(projected @ (entries / jnp.maximum(norm, 1e-12)).T)
            step = self._stands_for(q, straight_through(projected, jnp.take(entries, index, axis=0)))
            total, residual = total + step, residual - step
            codes.append(index.reshape(batch, frames, -1))
        stacked = jnp.concatenate(codes, axis=-1).astype(jnp.int32)
        return Quantised(total.reshape(latent.shape), stacked, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latent (B, F, vq_strides[0] · D) of codes (B, F, Q)."""
        batch, frames, _ = codes.shape
        columns = jnp.split(codes, np.cumsum(self._codes_per_frame())[:-1], axis=-1)
        chosen = [jnp.take(self.codebooks[q], column.reshape(batch, -1), axis=0) for q, column in enumerate(columns)]
        steps = [self._stands_for(q, entries) for q, entries in enumerate(chosen)]
        return sum(steps[1:], start=steps[0]).reshape(batch, frames, -1)

    def _stands_for(self, q: int, entries: jax.Array) -> jax.Array:
        """Latent (B, n · stride, D) of entries (B, n, k) of codebook q."""
        step = entries @ self.project_out[q] + per_channel(self.bias_out[q])
        return jnp.repeat(step, self.vq_strides[q], axis=1)

    @nn.nowrap
    def _codes_per_frame(self) -> list[int]:
        return [self.vq_strides[0] // stride for stride in self.vq_strides]


def quantiser_entries(n_codebooks: int) -> list[Entry]:
    """Maps the parameters of a codec's bottleneck to their keys in the authors' checkpoints."""
    entries = []
    for q in range(n_codebooks):
        key = f"quantizer.quantizers.{q}"
        for ours, theirs in (("in", "in_proj"), ("out", "out_proj")):
            entries.append(Entry(f"bottleneck/project_{ours}", (f"{key}.{theirs}.weight",), POINTWISE, q))
            entries.append(Entry(f"bottleneck/bias_{ours}", (f"{key}.{theirs}.bias",), VECTOR, q))
        entries.append(Entry("bottleneck/codebooks", (f"{key}.codebook.weight",), VECTOR, q))
    return entries
