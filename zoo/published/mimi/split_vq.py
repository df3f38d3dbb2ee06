"""The split residual VQ of Mimi (Défossez et al., 2024): semantic codebooks beside acoustic ones."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks import Quantised, SymbolFormat
from zoo.published.keymap import POINTWISE, Entry, Layout
from zoo.published.parts.euclidean import residual_codes, residual_sum


class ProjectedRVQ(nn.Module):
    """Residual VQ of a projection of the latents to `code_dim` dimensions, and back; `used` is how many codebooks.

    With `apart`, a code stands for an entry of other codebooks than the one that was nearest.
    """

    latent_dim: int
    n_codebooks: int
    codebook_size: int
    code_dim: int
    apart: bool = False

    def setup(self) -> None:
        dense = nn.initializers.lecun_normal()
        self.project_in = self.param("project_in", dense, (self.latent_dim, self.code_dim), jnp.float32)
        self.project_out = self.param("project_out", dense, (self.code_dim, self.latent_dim), jnp.float32)
        shape = (self.n_codebooks, self.codebook_size, self.code_dim)
        self.codebooks = self.param("codebooks", nn.initializers.normal(1.0), shape, jnp.float32)
        self.entries = (
            self.param("entries", nn.initializers.normal(1.0), shape, jnp.float32) if self.apart else self.codebooks
        )

    def __call__(self, latent: jax.Array, used: jax.Array | int) -> tuple[jax.Array, jax.Array]:
        """Codes int32 (B, F, Q), and what they stand for (B, F, D)."""
        codes, total = residual_codes(latent @ self.project_in, self.codebooks, used)
        return codes, self.dequantise(codes, used) if self.apart else total @ self.project_out

    def dequantise(self, codes: jax.Array, used: jax.Array | int) -> jax.Array:
        return residual_sum(codes, self.entries, used) @ self.project_out


class SplitRVQ(nn.Module):
    """`n_semantic` codebooks and, beside them, acoustic ones; level l is all semantic and the first l acoustic ones.

    Gradients pass straight through. By default all are used, as by the published configuration.
    """

    latent_dim: int
    n_codebooks: int
    n_semantic: int
    codebook_size: int
    code_dim: int
    apart: bool = False
    """of `ProjectedRVQ`"""

    loss_names = ()
    learnt_codebooks = None

    def setup(self) -> None:
        n_acoustic = self.n_codebooks - self.n_semantic
        sizes = self.codebook_size, self.code_dim, self.apart
        self.semantic = ProjectedRVQ(self.latent_dim, self.n_semantic, *sizes)
        self.acoustic = ProjectedRVQ(self.latent_dim, n_acoustic, *sizes)

    @property
    def default_level(self) -> int:
        return self.n_codebooks - self.n_semantic

    def symbols(self) -> SymbolFormat:
        sizes = (self.codebook_size,) * self.n_codebooks
        return SymbolFormat(sizes, self.default_level + 1, n_always=self.n_semantic - 1)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        target = jax.lax.stop_gradient(latent)
        semantic, meant = self.semantic(target, self.n_semantic)
        acoustic, sounding = self.acoustic(target, self._n_acoustic(level))
        codes = jnp.concatenate([semantic, acoustic], axis=2)
        return Quantised(latent + jax.lax.stop_gradient(meant + sounding - latent), codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latents of codes (B, F, q), q from n_semantic on; what is above `level` is left out."""
        semantic, acoustic = codes[..., : self.n_semantic], codes[..., self.n_semantic :]
        meant = self.semantic.dequantise(semantic, self.n_semantic)
        return meant + self.acoustic.dequantise(acoustic, self._n_acoustic(level))

    def _n_acoustic(self, level: Any) -> jax.Array:
        return jnp.asarray(self.default_level if level is None else level, jnp.int32)


CENTROIDS = Layout(
    "CENTROIDS",
    lambda total, usage: total / np.maximum(usage, np.float32(1e-5))[:, None],
    lambda entries: (entries, np.ones(len(entries), np.float32)),
)
"""running sum (K, D) and count (K,) of the vectors that chose an entry -> (K, D)"""
INITIALISED = Layout("INITIALISED", lambda flag: flag, lambda entries: (np.ones(1, np.float32),))
"""says that a codebook has been filled"""


def rvq_entries(
    path: str, key: str, n_codebooks: int, spelling: Literal["transformers", "original"]
) -> tuple[list[Entry], list[Entry]]:
    """Entries of a `ProjectedRVQ` under `path`, whose checkpoint keys begin with `key`, and those only written."""
    layers, names = "layers", ("codebook.embed_sum", "codebook.cluster_usage", "codebook.initialized")
    if spelling == "original":
        layers, names = "vq.layers", ("_codebook.embedding_sum", "_codebook.cluster_usage", "_codebook._initialized")
    entries = [
        Entry(f"{path}/project_in", (f"{key}.input_proj.weight",), POINTWISE),
        Entry(f"{path}/project_out", (f"{key}.output_proj.weight",), POINTWISE),
    ]
    flags = []
    for q in range(n_codebooks):
        total, usage, flag = (f"{key}.{layers}.{q}.{name}" for name in names)
        entries.append(Entry(f"{path}/codebooks", (total, usage), CENTROIDS, q))
        flags.append(Entry(f"{path}/codebooks", (flag,), INITIALISED, q))
    return entries, flags
