"""Nearest entries by cosine, and codebooks that begin as centroids of what they will quantise."""

from __future__ import annotations

import jax
import jax.numpy as jnp

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
        nearest = first_largest(cosines)
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


def nearest_entry(vectors: jax.Array, entries: jax.Array) -> jax.Array:
    """Index (…) of the entry (K, k) with the largest cosine to each of vectors (…, k)."""
    return first_largest(normalised(vectors) @ normalised(entries).T)


def first_largest(x: jax.Array) -> jax.Array:
    """argmax over the last axis, int32, in a form that XLA:CPU vectorises: eight times faster."""
    last = x.shape[-1] - 1
    places = jnp.arange(last + 1, dtype=jnp.int32)[(None,) * (x.ndim - 1)]
    # the largest is always found, unless there are NaNs
    return jnp.where(x == x.max(axis=-1, keepdims=True), places, last).min(axis=-1)


def normalised(x: jax.Array) -> jax.Array:
    """Vectors (…, k) of length 1 in the directions of x."""
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)
