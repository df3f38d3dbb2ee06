"""Codebooks that begin as centroids of what they will quantise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from zoo.nn.bottlenecks.residual_vq import ResidualVQ, nearest_entry, normalised

ITERATIONS = 10


def spherical_kmeans(vectors: jax.Array, n_centroids: int, key: jax.Array, iterations: int = ITERATIONS) -> jax.Array:
    """Centroids (n_centroids, k) of vectors (N, k) whose nearest is found by cosine (Dhillon and Modha, 2001).

    A centroid is the mean of its vectors, with their lengths, so that it can stand for them. It begins as one of them;
    one that loses all of its own begins again as a vector that is badly served: of a random sample, those of the
    smallest cosine.
    """
    start_key, key = jax.random.split(key)
    n = vectors.shape[0]
    # where there are fewer vectors than centroids, some begin as equals, and all but one of them as another next time
    first = jax.random.permutation(start_key, n)[jnp.arange(n_centroids) % n]
    directions = normalised(vectors)

    def iterate(i: jax.Array, centroids: jax.Array) -> jax.Array:
        cosines = directions @ normalised(centroids).T
        nearest = jnp.argmax(cosines, axis=-1)
        counts = jnp.zeros(n_centroids).at[nearest].add(1.0)
        sums = jnp.zeros_like(centroids).at[nearest].add(vectors)
        means = sums / jnp.maximum(counts, 1.0)[:, None]
        # half at random and half by need: outliers alone would be taken again and again
        need = 1.0 - jnp.max(cosines, axis=-1)
        order = jnp.argsort(-need * jax.random.uniform(jax.random.fold_in(key, i), (n,)))
        empty = counts == 0
        place = jnp.cumsum(empty) - 1
        return jnp.where(empty[:, None], vectors[order[place % n]], means)

    centroids: jax.Array = jax.lax.fori_loop(0, iterations, iterate, vectors[first])
    return centroids


def fit_residual_vq(params: Any, latents: jax.Array, key: jax.Array) -> Any:
    """Parameters of a `ResidualVQ` that is a quantiser of latents (N, D) from the beginning on.

    Stage by stage, on what the stages before leave: the projection becomes that on the principal components, its
    return the transpose, and the entries are centroids of what is projected (k-means initialisation as in SoundStream,
    Zeghidour et al., 2021; the components, because entries looked up in a random plane explain little of the rest).
    """
    n_stages, entries, code_dim = params[ResidualVQ.codebook_leaf].shape
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
        codebooks.append(centroids / ResidualVQ.codebook_scale)
        biases.append(bias)
    fitted = {"project_in": projections, "project_out": returns, ResidualVQ.codebook_leaf: codebooks, "bias": biases}
    return params | {name: jnp.stack(parts) for name, parts in fitted.items()}
