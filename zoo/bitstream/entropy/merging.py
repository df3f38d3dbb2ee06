"""Contexts merged into few: which of them may share a table at the least loss of bits."""

from __future__ import annotations

import numpy as np


def entropy_bits(counts: np.ndarray) -> np.ndarray:
    """Bits that symbols with these counts (…, S) cost under their own distribution."""
    return _xlogx(counts.sum(-1)) - _xlogx(counts).sum(-1)


def merge(counts: np.ndarray, n_clusters: int) -> np.ndarray:
    """Cluster int32 (n,) of each context, from counts float (n, S): the pair whose union costs least, again and again.

    Ward's method with the increase of entropy as the distance. Contexts without counts join the first cluster.
    """
    label = np.zeros(len(counts), np.int32)
    alive = np.flatnonzero(counts.sum(-1) > 0)
    members = [[int(i)] for i in alive]
    rows = counts[alive].astype(np.float64)
    own = entropy_bits(rows)
    n = len(rows)
    distance = np.full((n, n), np.inf)
    for i in range(n - 1):
        distance[i, i + 1 :] = entropy_bits(rows[i] + rows[i + 1 :]) - own[i] - own[i + 1 :]
    distance = np.minimum(distance, distance.T)
    active = np.ones(n, bool)
    for _ in range(n - n_clusters):
        i, j = divmod(int(np.argmin(distance)), n)
        rows[i] += rows[j]
        members[i] += members[j]
        active[j] = False
        own[i] = entropy_bits(rows[i])
        distance[j] = distance[:, j] = np.inf
        row = np.full(n, np.inf)
        row[active] = entropy_bits(rows[i] + rows[active]) - own[i] - own[active]
        row[i] = np.inf
        distance[i] = distance[:, i] = row
    for cluster, survivor in enumerate(np.flatnonzero(active)):
        label[members[survivor]] = cluster
    return label


def _xlogx(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = x * np.log2(np.maximum(x, 1e-300))
    return out
