"""Integer frequency tables: what an entropy coder knows of a codec's symbols before it sees any.

A table is int32 (Q, S): row q holds the frequencies of code q's symbols, at least 1 each, that sum to 2**24; symbols
beyond its alphabet have 0. Integers, because probabilities must be the same bit for bit when decoding; 24 bits, so that
the least share that each of a thousand symbols gets costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PRECISION_BITS = 24
TOTAL = 1 << PRECISION_BITS


def count(codes: np.ndarray, codebook_sizes: Sequence[int]) -> np.ndarray:
    """Occurrences int64 (Q, S), S = max(codebook_sizes), in codes int32 (N, Q) of N frames."""
    counts = np.zeros((len(codebook_sizes), max(codebook_sizes)), np.int64)
    for q, size in enumerate(codebook_sizes):
        counts[q, :size] = np.bincount(codes[:, q], minlength=size)
    return counts


def fit(counts: np.ndarray, codebook_sizes: Sequence[int], *, prior: float = 0.02) -> np.ndarray:
    """Frequencies int32 (Q, S) from counts (Q, S); every symbol first gets `prior` occurrences.

    Rounded by largest remainder, so that a row's cross-entropy is as near to its entropy as 24 bits allow.
    """
    tables = np.zeros(counts.shape, np.int32)
    for q, size in enumerate(codebook_sizes):
        smoothed = counts[q, :size] + prior
        share = smoothed / smoothed.sum() * (TOTAL - size)
        whole = np.floor(share).astype(np.int64)
        missing = TOTAL - size - int(whole.sum())
        whole[np.argsort(whole - share, kind="stable")[:missing]] += 1
        tables[q, :size] = whole + 1
    return tables


def ideal_bits(codes: np.ndarray, tables: np.ndarray) -> float:
    """Bits that codes (N, Q) cost under the tables, before any coder's overhead."""
    columns = np.arange(codes.shape[1])
    return float((PRECISION_BITS - np.log2(tables[columns[None], codes])).sum())
