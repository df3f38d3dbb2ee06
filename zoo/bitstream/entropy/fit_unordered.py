"""Fits the integer arrays of `zoo.bitstream.entropy.unordered` to codes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from zoo.bitstream.entropy import unordered
from zoo.nn.bottlenecks import SymbolFormat

_CLUSTERS = (8, 16, 32)
_SMOOTHING = 0.7
"""occurrences per symbol of the alphabet, in the static distribution's shares, that a cluster's own are added to"""
_STEPS = 10
_TRUSTS = (0.0, 0.4, 0.6, 0.8, 1.0)
"""exponents of an expert; 0 leaves it out"""
_STRETCH = 512
_HELD_OUT = 1500


def fit(symbols: SymbolFormat, packets: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays as in `unordered.template` from packets of codes int32 (N, F, q), q up to all codebooks."""
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in unordered.template(symbols).items()}
    for q, size in enumerate(symbols.codebook_sizes):
        rows = _transitions(packets, q, arrays["frame_clusters"].shape[1] - 1)
        if len(rows):  # zeros mean that all codes are as likely
            _fit_codebook(arrays, q, size, rows)
    return arrays


def _transitions(packets: list[np.ndarray], q: int, none: int) -> np.ndarray:
    """Rows (n, 3) of the code, the one before it in time (`none` at a packet's start), that of the codebook before."""
    rows = []
    for codes in packets:
        if codes.shape[2] > q:
            mine = codes[:, :, q]
            before = np.concatenate([np.full_like(mine[:, :1], none), mine[:, :-1]], axis=1)
            below = codes[:, :, q - 1] if q else np.zeros_like(mine)
            rows.append(np.stack([mine, before, below], -1).reshape(-1, 3))
    return np.concatenate([*rows, np.zeros((0, 3), np.int64)]).astype(np.int64)


def _fit_codebook(arrays: dict[str, np.ndarray], q: int, size: int, rows: np.ndarray) -> None:
    """Chooses on every fifth stretch of codes how many clusters pay and how far to trust an expert; fits to all."""
    _, most, _ = arrays["frame_costs"].shape
    n_contexts = arrays["frame_clusters"].shape[1]
    stretch = np.arange(len(rows)) // _STRETCH % 5
    fitting, held_out = rows[stretch != 4], rows[stretch == 4]
    held_out = held_out[:: max(1, len(held_out) // _HELD_OUT)]
    choices = [Experts.fit(fitting, size, n_contexts, n) for n in sorted({min(n, most) for n in _CLUSTERS})]
    chosen = min(choices, key=lambda experts: experts.nats(held_out, (0.8, 0.8 if q else 0.0)))
    trusts = itertools.product(_TRUSTS, _TRUSTS if q else (0.0,))
    trust_frame, trust_code = min(trusts, key=lambda trust: chosen.nats(held_out, trust))
    fitted = Experts.fit(rows, size, n_contexts, chosen.frame.shape[0])
    n = len(fitted.frame)
    if trust_frame:
        arrays["frame_clusters"][q] = fitted.frame_clusters
    if trust_code:
        arrays["code_clusters"][q] = fitted.code_clusters[:-1]
    arrays["frame_costs"][q, :n, :size] = _costs(fitted.static[None] + trust_frame * fitted.frame)
    arrays["code_costs"][q, :n, :size] = _costs(trust_code * fitted.code)


@dataclass(frozen=True, eq=False)
class Experts:
    """Static log-probabilities (S,), and two experts' relative to them (C, S) by the clusters (contexts,) of theirs."""

    static: np.ndarray
    frame_clusters: np.ndarray
    frame: np.ndarray
    code_clusters: np.ndarray
    code: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, size: int, n_contexts: int, n_clusters: int) -> Experts:
        counts = np.bincount(rows[:, 0], minlength=size) + 0.05
        static = np.log(counts / counts.sum()).astype(np.float32)
        frame, code = (_expert(rows[:, 0], rows[:, i], static, n_contexts, n_clusters) for i in (1, 2))
        return cls(static, *frame, *code)

    def nats(self, rows: np.ndarray, trust: tuple[float, float]) -> float:
        """Nats of rows' codes under the product of the experts, each to the power of the trust in it."""
        total = np.broadcast_to(self.static, (len(rows), len(self.static))).copy()
        if trust[0]:
            total += np.float32(trust[0]) * self.frame[self.frame_clusters[rows[:, 1]]]
        if trust[1]:
            total += np.float32(trust[1]) * self.code[self.code_clusters[rows[:, 2]]]
        likelihood = total[np.arange(len(rows)), rows[:, 0]] - np.log(np.exp(total).sum(1))
        return -float(likelihood.sum())


def _expert(
    mine: np.ndarray, context: np.ndarray, static: np.ndarray, n_contexts: int, n_clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of contexts, and log-probabilities in each cluster: hard EM, contexts and distributions in turn."""
    flat = np.bincount(context * len(static) + mine, minlength=n_contexts * len(static))
    joint = flat.reshape(n_contexts, len(static)).astype(np.float32)
    # the commonest contexts begin a cluster each
    order = np.argsort(-joint.sum(1), kind="stable")
    clusters = np.zeros(n_contexts, np.int64)
    clusters[order] = np.arange(n_contexts) % n_clusters
    ratios = _ratios(joint, clusters, static, n_clusters)
    for _ in range(_STEPS):
        clusters = np.argmax(joint @ ratios.T, axis=1)
        ratios = _ratios(joint, clusters, static, n_clusters)
    return clusters, ratios


def _ratios(joint: np.ndarray, clusters: np.ndarray, static: np.ndarray, n_clusters: int) -> np.ndarray:
    """Log-probabilities (n_clusters, S) in each cluster, relative to the static ones."""
    members = (np.arange(n_clusters)[:, None] == clusters[None]).astype(np.float32)
    smoothed = members @ joint + _SMOOTHING * len(static) * np.exp(static)
    ratios: np.ndarray = np.log(smoothed / smoothed.sum(1, keepdims=True)) - static
    return ratios


def _costs(log_probabilities: np.ndarray) -> np.ndarray:
    """Costs uint8 in sixteenths of a bit above the likeliest symbol's."""
    bits = (log_probabilities.max(axis=-1, keepdims=True) - log_probabilities) / np.log(2)
    return np.clip(np.rint(unordered.COST_ONE * bits), 0, 255).astype(np.uint8)
