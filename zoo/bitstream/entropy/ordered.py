"""Coding of scalar symbols (finite scalar quantisation, Gaussian grids) by the magnitudes of their neighbours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.bitstream.entropy import contexts
from zoo.bitstream.entropy.coder import REFUSED, Decoder, Encoder, model, uniform
from zoo.bitstream.entropy.contexts import BAND_DIMS, MARGIN, Pass
from zoo.bitstream.entropy.tables import PRECISION_BITS
from zoo.errors import BitstreamError
from zoo.nn.bottlenecks import SymbolFormat

N_CELLS = 64
N_CLUSTERS = 64


def template(symbols: SymbolFormat) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of each integer array; L = n_levels where the levels' statistics differ, else 1."""
    n_levels, n_dims = symbols.n_levels if symbols.tables_per_level else 1, symbols.n_codebooks
    shapes: dict[str, tuple[int, ...]] = {
        "bands": (n_levels, n_bands(n_dims) + 1),
        "base": (n_levels, contexts.N_KINDS, n_dims),
        "weights": (n_levels, contexts.N_KINDS, contexts.N_GROUPS, contexts.N_FEATURES),
        "thresholds": (n_levels, N_CELLS - 1),
        "clusters": (n_levels, contexts.N_KINDS, N_CELLS),
        "tokens": (n_levels, N_CLUSTERS, tokens(symbols).n),
    }
    return {name: (shape, np.int32) for name, shape in shapes.items()}


def n_bands(n_dims: int) -> int:
    return -(-n_dims // BAND_DIMS)


def tokens(symbols: SymbolFormat) -> contexts.Tokens:
    sizes, n = symbols.codebook_sizes, symbols.n_unsigned
    return contexts.tokens(max([1, *(size - 1 for size in sizes[:n]), *(size // 2 for size in sizes[n:])]))


def bands_used(magnitudes: np.ndarray) -> np.ndarray:
    """Bands (N,) that hold all nonzero numbers of (N, F, Q)."""
    used: np.ndarray = np.any(magnitudes != 0, axis=1)
    last = np.max(used * np.arange(1, used.shape[1] + 1), axis=1, initial=0)
    return -(-last // BAND_DIMS)


@dataclass(frozen=True, eq=False)
class Task:
    """Symbols that are coded together: those `chosen` (N, F', Q') of a view `values` of the same shape.

    They are coded in the order of their `clusters` uint8 (n,), the rows of the frequencies that `table` names; raw bits
    where it names none.
    """

    table: str | None
    values: np.ndarray
    chosen: np.ndarray
    clusters: np.ndarray


class ScalarCoder:
    """Entropy coder of ordered symbols; `arrays` as in `template`."""

    signs_last = True
    """Whether signs are raw bits after all else."""

    def __init__(self, symbols: SymbolFormat, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._tokens = tokens(symbols)
        self._centres = symbols.zeros
        self._sizes = np.array(symbols.codebook_sizes, np.int32)
        self._per_level = symbols.tables_per_level
        self._model = functools.cache(
            lambda table, row, cluster: model(arrays[table][row, cluster]) if table else uniform(1)
        )
        self._cost = functools.cache(
            lambda table, row: PRECISION_BITS - np.log2(arrays[table][row]) if table else np.ones((1, 2))
        )
        self._bands_model = functools.cache(lambda row: model(arrays["bands"][row]))
        self._n_unsigned = symbols.n_unsigned
        self._prepare(symbols, arrays)

    def _prepare(self, symbols: SymbolFormat, arrays: dict[str, np.ndarray]) -> None:
        """Makes of the arrays what `_tasks` needs."""
        groups = contexts.groups(symbols.n_codebooks, symbols.n_unsigned)
        # one row for each dimension instead of each group
        self._weights = np.ascontiguousarray(arrays["weights"][:, :, groups].astype(np.int32))

    def encode(self, codes: np.ndarray, level: int) -> bytes:
        """Payload of codes int32 (N, F, q)."""
        coder, row = Encoder(), self._row(level)
        magnitudes = np.abs(codes - self._centres[: codes.shape[2]])
        bands = bands_used(magnitudes)
        coder.encode(bands, self._bands_model(row))
        n_dims = self._n_dims(bands, codes.shape[2])
        magnitudes = magnitudes[:, :, :n_dims]
        found = self._tokens.of[magnitudes]
        negative = (codes[:, :, :n_dims] < self._centres[:n_dims]).astype(np.int32)
        for task in self._tasks(found, negative, bands, row):
            mine = task.values[task.chosen][np.argsort(task.clusters, kind="stable")]
            for cluster, part in _runs(task.clusters):
                coder.encode(mine[part], self._model(task.table, row, cluster))
        for n, places in self._open(found):
            coder.encode(magnitudes.take(places) - self._tokens.base[found.take(places)], uniform(n))
        if self.signs_last and (have := signed(found, self._n_unsigned)).any():
            coder.encode(negative[have], uniform(1))
        return coder.finish()

    def decode(self, payload: bytes, n_streams: int, n_frames: int, n_codes: int, level: int) -> np.ndarray:
        """Decodes what `encode` gave to codes int32 (n_streams, n_frames, n_codes); raises BitstreamError."""
        coder, row = Decoder(payload), self._row(level)
        bands = coder.decode(self._bands_model(row), n_streams)
        if (bands > n_bands(n_codes)).any():
            raise BitstreamError(f"{REFUSED}: a stream has more dimensions than the level")
        n_dims = self._n_dims(bands, n_codes)
        found = np.zeros((n_streams, n_frames, n_dims), np.int32)
        negative = np.zeros_like(found)
        for task in self._tasks(found, negative, bands, row):
            mine = np.empty(len(task.clusters), np.int32)
            for cluster, part in _runs(task.clusters):
                mine[part] = coder.decode(self._model(task.table, row, cluster), part.stop - part.start)
            in_order = np.empty_like(mine)
            in_order[np.argsort(task.clusters, kind="stable")] = mine
            task.values[task.chosen] = in_order
        magnitudes = self._tokens.base[found]
        for n, places in self._open(found):
            magnitudes.reshape(-1)[places] += coder.decode(uniform(n), len(places))
        if self.signs_last and (have := signed(found, self._n_unsigned)).any():
            negative[have] = coder.decode(uniform(1), int(have.sum()))
        magnitudes *= 1 - 2 * negative
        coder.finish()
        if (bands_used(magnitudes) != bands).any():
            raise BitstreamError(f"{REFUSED}: a stream has fewer dimensions than it says")
        codes = np.broadcast_to(self._centres[:n_codes], (n_streams, n_frames, n_codes)).copy()
        codes[:, :, :n_dims] += magnitudes
        if (codes < 0).any() or (codes >= self._sizes[:n_codes]).any():
            raise BitstreamError(f"{REFUSED}: a symbol is out of range")
        return codes

    def bits(self, codes: np.ndarray, level: int) -> float:
        """Ideal cost of codes int32 (N, F, q)."""
        row = self._row(level)
        magnitudes = np.abs(codes - self._centres[: codes.shape[2]])
        bands = bands_used(magnitudes)
        found = self._tokens.of[magnitudes[:, :, : self._n_dims(bands, codes.shape[2])]]
        negative = (codes[:, :, : found.shape[2]] < self._centres[: found.shape[2]]).astype(np.int32)
        total = (PRECISION_BITS - np.log2(self._arrays["bands"][row, bands])).sum()
        for task in self._tasks(found, negative, bands, row):
            total += self._cost(task.table, row)[task.clusters, task.values[task.chosen]].sum()
        plain = signed(found, self._n_unsigned).sum() if self.signs_last else 0
        return float(total + self._tokens.raw_bits[found].sum() + plain)

    def _tasks(self, found: np.ndarray, negative: np.ndarray, bands: np.ndarray, row: int) -> Iterator[Task]:
        """What is coded in turn of tokens (N, F, Q), and of which symbols are `negative`.

        Either is read when a later task asks for its contexts, so a decoder may fill them in between.
        """
        n_dims = found.shape[2]
        if not found.size:
            return
        seen = contexts.margins(found.shape)
        uneven = (bands != bands.max()).any()
        inside = np.arange(n_dims)[None, None] < BAND_DIMS * bands[:, None, None]
        base, weights = self._arrays["base"][row], self._weights[row]
        thresholds, table = self._arrays["thresholds"][row], self._arrays["clusters"][row].astype(np.uint8)
        for step in contexts.passes(found.shape[1]):
            activity = contexts.activity(seen, step, base, weights)
            clusters = table[step.kind][np.searchsorted(thresholds, activity.ravel(), side="right")]
            chosen = np.ones(activity.shape, bool)
            if uneven:
                chosen &= inside[:, :, step.parity :: 2]
                clusters = clusters[chosen.ravel()]
            mine = of_pass(found, step)
            if len(clusters):
                yield Task("tokens", mine, chosen, clusters)
            seen[:, step.frames, MARGIN + step.parity : MARGIN + n_dims : 2] = self._tokens.seen[mine]

    def _open(self, found: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers of raw bits that tokens (N, F, Q) leave open, and the places of those that do, counted through."""
        places = np.flatnonzero(found >= np.searchsorted(self._tokens.raw_bits, 1))
        n_bits = self._tokens.raw_bits[found.take(places)]
        for n in np.unique(n_bits).tolist():
            yield n, places[n_bits == n]

    def _n_dims(self, bands: np.ndarray, n_codes: int) -> int:
        return min(BAND_DIMS * int(bands.max(initial=0)), n_codes)

    def _row(self, level: int) -> int:
        return level if self._per_level else 0


def signed(found: np.ndarray, n_unsigned: int) -> np.ndarray:
    """Which of tokens (N, F, Q), the first of whose dimensions are unsigned, have a sign."""
    have = found > 0
    have[:, :, :n_unsigned] = False
    return have


def of_pass(values: np.ndarray, step: Pass) -> np.ndarray:
    """The view of values (N, F, Q) that a pass codes."""
    return values[:, step.frames, step.parity :: 2]


def _runs(clusters: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Each cluster that occurs, and where its symbols stand once they are sorted by cluster."""
    counts, start = np.bincount(clusters), 0
    for cluster in np.flatnonzero(counts).tolist():
        end = start + int(counts[cluster])
        yield cluster, slice(start, end)
        start = end
