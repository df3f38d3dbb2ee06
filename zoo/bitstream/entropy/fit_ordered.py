"""Fits the integer arrays of `zoo.bitstream.entropy.ordered` to codes."""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from zoo.bitstream.entropy import contexts, ordered, tables
from zoo.bitstream.entropy.contexts import MARGIN, N_FEATURES, N_GROUPS, N_KINDS, WEIGHT_ONE
from zoo.bitstream.entropy.merging import merge
from zoo.nn.bottlenecks import SymbolFormat

_REGRESSION_PACKETS = 192
_REGRESSION_SAMPLES = 75
"""rows of a pass and group that are drawn from a packet"""
_REGRESSION_STEPS = 25
_WEIGHT_MAX = 16 * WEIGHT_ONE
_PRIOR = 0.02
_MAX_THREADS = 4
"""levels that are fitted at a time, each of which takes some hundred megabytes for ten minutes of audio"""


def fit(symbols: SymbolFormat, parts: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays as in `ordered.template` from packets of codes int32 (N, F, Q), one list for each row of tables."""
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        fitted = list(pool.map(functools.partial(_fit_level, symbols), parts))
    return {name: np.stack([level[name] for level in fitted]).astype(np.int32) for name in fitted[0]}


def _fit_level(symbols: SymbolFormat, packets: list[np.ndarray]) -> dict[str, np.ndarray]:
    n_dims, classes, centres = symbols.n_codebooks, ordered.tokens(symbols), symbols.zeros
    found = [classes.of[np.abs(codes - centres)] for codes in packets]
    bands = [ordered.bands_used(part) for part in found]
    n_bands = ordered.n_bands(n_dims)
    band_counts = np.bincount(np.concatenate([*bands, np.zeros(0, int)]), minlength=n_bands + 1)
    # any number of bands may come up in other sounds
    band_table = tables.fit(band_counts[None] + 0.5, (n_bands + 1,))[0]
    groups = contexts.groups(n_dims, symbols.n_unsigned)
    base, weights = _fit_activity(found, classes, groups)
    kinds, activities, observed = _observe(found, bands, classes, base, weights[:, groups])
    thresholds = _thresholds(activities)
    cells = np.searchsorted(thresholds, activities, side="right")
    shape = (N_KINDS, ordered.N_CELLS, classes.n)
    flat = np.bincount(np.ravel_multi_index((kinds, cells, observed), shape), minlength=int(np.prod(shape)))
    counts = flat.reshape(shape).astype(np.float64)
    labels = merge(_filled(counts).reshape(-1, classes.n), ordered.N_CLUSTERS)
    merged = np.zeros((ordered.N_CLUSTERS, classes.n))
    np.add.at(merged, labels, counts.reshape(-1, classes.n))
    return {
        "bands": band_table,
        "base": base,
        "weights": weights,
        "thresholds": thresholds,
        "clusters": labels.reshape(N_KINDS, ordered.N_CELLS),
        "tokens": tables.fit(merged, (classes.n,) * ordered.N_CLUSTERS, prior=_PRIOR),
    }


def _fit_activity(
    found: list[np.ndarray], classes: contexts.Tokens, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """base (N_KINDS, Q) and weights (N_KINDS, N_GROUPS, N_FEATURES), with which activities foretell magnitudes.

    The likeliest nonnegative ones if magnitudes are exponentially distributed about the activity.
    """
    n_dims = len(groups)
    weights = np.zeros((N_KINDS, N_GROUPS, N_FEATURES), np.int64)
    base = np.zeros((N_KINDS, n_dims), np.int64)
    total, n = np.zeros(n_dims), 0
    for part in found:
        total += classes.seen[part].sum((0, 1))
        n += part.shape[0] * part.shape[1]
    mean = total / max(n, 1)
    samples: dict[tuple[int, int], list[np.ndarray]] = {}
    rng = np.random.default_rng(0)
    batches = [part[i : i + 8] for part in found for i in range(0, len(part), 8)]
    order = rng.permutation(len(batches))
    enough = np.cumsum([len(batches[i]) for i in order]).searchsorted(_REGRESSION_PACKETS) + 1 if batches else 0
    for index in order[:enough]:
        seen = _with_margins(batches[index], classes)
        for step in contexts.passes(seen.shape[1]):
            dims = np.arange(step.parity, n_dims, 2)
            target = seen[:, step.frames, MARGIN + step.parity : MARGIN + n_dims : 2]
            if not target.size:
                continue
            columns = np.zeros((*target.shape, N_FEATURES + 2), np.float32)
            for i, feature in contexts.features(seen, step):
                columns[..., i] = feature
            columns[..., -2], columns[..., -1] = mean[dims], target
            for group in np.unique(groups[dims]):
                rows = columns[:, :, groups[dims] == group].reshape(-1, N_FEATURES + 2)
                rows = rows[rng.integers(0, len(rows), min(len(rows), len(seen) * _REGRESSION_SAMPLES))]
                samples.setdefault((step.kind, int(group)), []).append(rows)
    for (kind, group), gathered in samples.items():
        fitted = _regress(np.concatenate(gathered))
        weights[kind, group] = np.rint(np.clip(fitted[:-1] * WEIGHT_ONE, 0, _WEIGHT_MAX))
        here = (groups == group) & (np.arange(n_dims) % 2 == kind % 2)
        base[kind, here] = np.rint(np.clip(fitted[-1] * mean[here], 0, 2**12) * WEIGHT_ONE)
    return base, weights


def _regress(rows: np.ndarray) -> np.ndarray:
    """Weights w >= 0 of the columns but the last that maximise −Σ log(x·w) + y/(x·w), y the last column."""
    # both sides a little above zero, so that silence has a scale too
    x, y = rows[:, :-1].astype(np.float64) + 1e-3, rows[:, -1].astype(np.float64) + 0.03
    w = np.full(x.shape[1], 0.5 / x.shape[1])
    for _ in range(_REGRESSION_STEPS):
        scale = x @ w + 0.02
        # multiplicative updates as in nonnegative matrix factorisation (Févotte et al., 2009)
        w *= ((y / scale**2) @ x / ((1 / scale) @ x)) ** 0.7
    w[rows[:, :-1].max(axis=0, initial=0) == 0] = 0
    return w


def _observe(
    found: list[np.ndarray], bands: list[np.ndarray], classes: contexts.Tokens, base: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind of pass, activity and token of every symbol that a coder would code."""
    n_dims = base.shape[1]
    by_dim = weights.astype(np.int32)
    base = base.astype(np.int32)
    kinds, activities, observed = [], [], []
    for part, used in zip(found, bands):
        for start in range(0, len(part), 32):
            seen = _with_margins(part[start : start + 32], classes)
            inside = np.arange(n_dims)[None, None] < contexts.BAND_DIMS * used[start : start + 32, None, None]
            for step in contexts.passes(part.shape[1]):
                activity = contexts.activity(seen, step, base, by_dim)
                chosen = np.broadcast_to(inside[:, :, step.parity :: 2], activity.shape)
                mine = part[start : start + 32, step.frames, step.parity :: 2]
                activities.append(activity[chosen])
                observed.append(mine[chosen].astype(np.uint8))
                kinds.append(np.full(len(activities[-1]), step.kind, np.uint8))
    if not kinds:
        return np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros(0, np.uint8)
    return np.concatenate(kinds), np.concatenate(activities), np.concatenate(observed)


def _thresholds(activities: np.ndarray) -> np.ndarray:
    """Ascending thresholds (N_CELLS − 1,): equal ratios over the range that occurs, never the same twice."""
    top = max(float(activities.max(initial=0)), 16.0 * WEIGHT_ONE)
    low = max(float(np.quantile(activities, 0.01)) if activities.size else 1.0, 1.0)
    edges = np.rint(np.geomspace(low, top, ordered.N_CELLS)[:-1]).astype(np.int64)
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    return edges


def _filled(counts: np.ndarray) -> np.ndarray:
    """Counts (N_KINDS, N_CELLS, A) of which no cell is empty: each has a trace of its neighbours' in other kinds."""
    pooled = counts.sum(0)
    known = np.flatnonzero(pooled.sum(-1) > 0)
    if not len(known):
        return counts + 1
    nearest = known[np.argmin(np.abs(np.arange(len(pooled))[:, None] - known[None]), axis=1)]
    shape = pooled[nearest] / pooled[nearest].sum(-1, keepdims=True)
    filled: np.ndarray = counts + 0.5 * shape
    return filled


def _with_margins(part: np.ndarray, classes: contexts.Tokens) -> np.ndarray:
    seen = contexts.margins(part.shape)
    seen[:, :, MARGIN : MARGIN + part.shape[2]] = classes.seen[part]
    return seen
