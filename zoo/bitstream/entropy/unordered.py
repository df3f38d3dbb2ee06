"""Coding of symbols that are mere names (vector quantisation) under contexts of the codes before them.

A code's probabilities are a product of two experts: what its codebook says after the cluster of its own code in the
previous frame, and after the cluster of the same frame's code in the previous codebook (Hinton, 2002). An expert is a
table of costs in sixteenths of a bit; costs add up, and integer arithmetic makes frequencies of them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from zoo.bitstream.entropy.coder import Decoder, Encoder, model
from zoo.bitstream.entropy.tables import PRECISION_BITS, TOTAL
from zoo.nn.bottlenecks import SymbolFormat

MAX_CLUSTERS = 32
"""of either expert"""
MAX_BYTES = 1_000_000
_KEPT_MODELS = 4096
COST_ONE = 16
"""fixed point of costs: steps to a bit"""
# round(2**(28 − i/16)), written out because it is part of the format
POWERS = np.array(
    [
        268435456, 257054673, 246156398, 235720175, 225726413, 216156353, 206992033, 198216250,
        189812531, 181765103, 174058859, 166679334, 159612677, 152845623, 146365470, 140160054,
    ],
    np.int64,
)  # fmt: skip


def template(symbols: SymbolFormat) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of each integer array."""
    n, size = symbols.n_codebooks, max(symbols.codebook_sizes, default=1)
    clusters = n_clusters(symbols)
    return {
        "frame_clusters": ((n, size + 1), np.int32),
        "code_clusters": ((n, size), np.int32),
        "frame_costs": ((n, clusters, size), np.uint8),
        "code_costs": ((n, clusters, size), np.uint8),
    }


def n_clusters(symbols: SymbolFormat) -> int:
    """Clusters of either expert: as many as fit into MAX_BYTES of tables, up to MAX_CLUSTERS."""
    n, size = symbols.n_codebooks, max(symbols.codebook_sizes, default=1)
    left = MAX_BYTES - 4 * n * (2 * size + 1)
    return max(1, min(MAX_CLUSTERS, size, left // max(2 * n * size, 1)))


def weights(costs: np.ndarray) -> np.ndarray:
    """Weights int64 of costs in sixteenths of a bit."""
    found: np.ndarray = POWERS[costs % COST_ONE] >> (costs // COST_ONE)
    return found


def frequencies(costs: np.ndarray) -> np.ndarray:
    """Integer frequencies int64 (S,) that sum to 2**24, of costs (S,) in sixteenths of a bit."""
    shares = weights(costs)
    shares = 1 + shares * (TOTAL - len(costs)) // shares.sum()
    shares[np.argmin(costs)] += TOTAL - shares.sum()
    return shares


class NameCoder:
    """Entropy coder of unordered symbols; `arrays` as in `template`."""

    def __init__(self, symbols: SymbolFormat, arrays: dict[str, np.ndarray]) -> None:
        self._sizes = symbols.codebook_sizes
        self._frame_clusters, self._code_clusters = arrays["frame_clusters"], arrays["code_clusters"]
        self._frame_costs = arrays["frame_costs"].astype(np.int32)
        self._code_costs = arrays["code_costs"].astype(np.int32)
        self._model = functools.lru_cache(_KEPT_MODELS)(self._make_model)
        self._sums = functools.cache(self._make_sums)

    def encode(self, codes: np.ndarray, level: int) -> bytes:
        """Payload of codes int32 (N, F, q)."""
        coder = Encoder()
        for q in self._coded(codes.shape[2]):
            contexts = np.stack([self._after_frame(q, codes), self._after_code(q, codes)], -1)
            for t in range(codes.shape[1]):
                for stream, (frame, code) in enumerate(contexts[:, t].tolist()):
                    coder.encode(codes[stream, t : t + 1, q], self._model(q, frame, code))
        return coder.finish()

    def decode(self, payload: bytes, n_streams: int, n_frames: int, n_codes: int, level: int) -> np.ndarray:
        """Decodes what `encode` gave to codes int32 (n_streams, n_frames, n_codes); raises BitstreamError."""
        coder = Decoder(payload)
        codes = np.zeros((n_streams, n_frames, n_codes), np.int32)
        for q in self._coded(n_codes):
            after_code = self._after_code(q, codes).tolist()
            clusters = self._frame_clusters[q].tolist()
            frame = [clusters[-1]] * n_streams
            for t in range(n_frames):
                for stream in range(n_streams):
                    symbol = coder.decode(self._model(q, frame[stream], after_code[stream][t]), 1)
                    codes[stream, t, q] = symbol[0]
                    frame[stream] = clusters[symbol[0]]
        coder.finish()
        return codes

    def bits(self, codes: np.ndarray, level: int) -> float:
        """Ideal cost of codes int32 (N, F, q)."""
        total = 0.0
        for q in self._coded(codes.shape[2]):
            frame, code, symbols = self._after_frame(q, codes), self._after_code(q, codes), codes[:, :, q]
            sums, first, left = self._sums(q)
            shares = weights(self._frame_costs[q, frame, symbols] + self._code_costs[q, code, symbols])
            shares = 1 + shares * (TOTAL - self._sizes[q]) // sums[frame, code]
            shares += np.where(symbols == first[frame, code], left[frame, code], 0)
            total += float((PRECISION_BITS - np.log2(shares)).sum())
        return total

    def _coded(self, n_codes: int) -> list[int]:
        """Codebooks that have something to say."""
        return [q for q in range(n_codes) if self._sizes[q] > 1]

    def _after_frame(self, q: int, codes: np.ndarray) -> np.ndarray:
        """Clusters (N, F) of the previous frame's codes."""
        clusters = np.full(codes.shape[:2], self._frame_clusters[q, -1])
        clusters[:, 1:] = self._frame_clusters[q, codes[:, :-1, q]]
        return clusters

    def _after_code(self, q: int, codes: np.ndarray) -> np.ndarray:
        """Clusters (N, F) of the previous codebook's codes; the first codebook has none before it."""
        if q == 0:
            return np.zeros(codes.shape[:2], np.int32)
        clusters: np.ndarray = self._code_clusters[q, codes[:, :, q - 1]]
        return clusters

    def _make_model(self, q: int, frame: int, code: int) -> Any:
        size = self._sizes[q]
        return model(frequencies(self._frame_costs[q, frame, :size] + self._code_costs[q, code, :size]))

    def _make_sums(self, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums the weights of each pair of clusters (C, C); also their likeliest symbol and what is left over."""
        size = self._sizes[q]
        costs = self._frame_costs[q, :, None, :size] + self._code_costs[q, None, :, :size]
        shares = weights(costs)
        sums = shares.sum(-1)
        left = TOTAL - (1 + shares * (TOTAL - size) // sums[..., None]).sum(-1)
        return sums, np.argmin(costs, axis=-1), left
