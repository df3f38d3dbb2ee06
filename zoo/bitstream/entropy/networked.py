"""Coding of scalar symbols by what a small integer network foretells of them; the order is that of `ordered`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.bitstream.entropy import contexts, network, ordered
from zoo.bitstream.entropy.contexts import BAND_DIMS, N_KINDS
from zoo.bitstream.entropy.ordered import ScalarCoder, Task, of_pass, signed
from zoo.bitstream.entropy.surroundings import (
    INPUT_MAX,
    N_INPUTS,
    N_OF_DIMS,
    N_SIGNED,
    N_UNSIGNED,
    Surroundings,
)
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat

HIDDEN = (64, 32)
"""units of either network's layers"""
N_FIRST, N_SECOND = 64, 12
"""cells of the two scores of a magnitude"""
N_CLUSTERS = 80
N_SIGN_CELLS = 32
SIGNED_DISTANCE = 1
"""of passes whose signs are foretold; in others they look like noise"""


def template(symbols: SymbolFormat) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of each integer array; L = n_levels where the levels' statistics differ, else 1."""
    n_levels, n_dims = symbols.n_levels if symbols.tables_per_level else 1, symbols.n_codebooks
    shapes: dict[str, tuple[int, ...]] = {
        "bands": (n_levels, ordered.n_bands(n_dims) + 1),
        "of_dims": (n_levels, N_OF_DIMS, n_dims),
        "size_bias": (n_levels, N_KINDS, HIDDEN[0]),
        **network.shapes("size", N_INPUTS, HIDDEN, 2),
        "first_thresholds": (n_levels, N_FIRST - 1),
        "second_thresholds": (n_levels, N_SECOND - 1),
        "clusters": (n_levels, N_FIRST * N_SECOND),
        "tokens": (n_levels, N_CLUSTERS, ordered.tokens(symbols).n),
        "sign_bias": (n_levels, 2, HIDDEN[0]),
        **network.shapes("sign", N_SIGNED + N_UNSIGNED, HIDDEN, 1),
        "sign_thresholds": (n_levels, N_SIGN_CELLS - 1),
        "signs": (n_levels, N_SIGN_CELLS, 2),
    }
    return {name: (shape, np.int32) for name, shape in shapes.items()}


class Foretelling:
    """The two networks of a row of arrays: scores of magnitudes and of signs."""

    def __init__(self, arrays: dict[str, np.ndarray], row: int) -> None:
        of_dims = arrays["of_dims"][row]
        if of_dims.min(initial=0) < 0 or of_dims.max(initial=0) > INPUT_MAX:
            raise ZooError(f"entropy coder: of_dims must be from 0 to {INPUT_MAX}")
        self._size_bias = arrays["size_bias"][row].astype(np.float32)[:, :, None]
        self._sign_bias = arrays["sign_bias"][row].astype(np.float32)[:, :, None]
        self._size = network.load(arrays, "size", arrays["size_bias"], INPUT_MAX)
        self._sign = network.load(arrays, "sign", arrays["sign_bias"], INPUT_MAX)

    def sizes(self, inputs: np.ndarray, kind: int) -> np.ndarray:
        """Scores (2, n) of the magnitudes with inputs (N_INPUTS, n) in a kind of pass."""
        return self._size(inputs, self._size_bias[kind])

    def signs(self, signed: np.ndarray, unsigned: np.ndarray, parity: int) -> np.ndarray:
        """Scores (n,) of signs, of which the opposite of all signs around gives the opposite."""
        bias = self._sign_bias[parity]
        found: np.ndarray = self._sign(np.concatenate([signed, unsigned]), bias)[0]
        found -= self._sign(np.concatenate([-signed, unsigned]), bias)[0]
        return found


class NetworkCoder(ScalarCoder):
    """Entropy coder of ordered symbols; `arrays` as in `template`."""

    signs_last = False

    def _prepare(self, symbols: SymbolFormat, arrays: dict[str, np.ndarray]) -> None:
        self._foretelling = [Foretelling(arrays, row) for row in range(len(arrays["bands"]))]
        # in the types of what they are compared with and sorted by: scores are float32, and small integers sort fastest
        names = ("first_thresholds", "second_thresholds", "sign_thresholds")
        self._first, self._second, self._of_signs = (arrays[name].astype(np.float32) for name in names)
        self._clusters = arrays["clusters"].astype(np.uint8)

    def _tasks(self, found: np.ndarray, negative: np.ndarray, bands: np.ndarray, row: int) -> Iterator[Task]:
        if not found.size:
            return
        networks = self._foretelling[row]
        around = Surroundings(found.shape, self._tokens, self._arrays["of_dims"][row])
        inside = np.arange(found.shape[2])[None, None] < BAND_DIMS * bands[:, None, None]
        for step in contexts.passes(found.shape[1]):
            mine = of_pass(found, step)
            chosen = np.broadcast_to(inside[:, :, step.parity :: 2], mine.shape)
            scores = networks.sizes(around.inputs(step), step.kind)
            cells = size_cells(scores, self._first[row], self._second[row])
            clusters = self._clusters[row][cells[chosen.ravel()]]
            if len(clusters):
                yield Task("tokens", mine, chosen, clusters)
            around.see(step, mine)
            signs = of_pass(negative, step)
            if (chosen := of_pass(signed(found, self._n_unsigned), step)).any():
                if step.distance == SIGNED_DISTANCE:
                    scores = networks.signs(*around.sign_inputs(step, chosen), step.parity)
                    cells = np.searchsorted(self._of_signs[row], scores, side="right").astype(np.uint8)
                    yield Task("signs", signs, chosen, cells)
                else:
                    yield Task(None, signs, chosen, np.zeros(int(chosen.sum()), np.uint8))
            around.see_signs(step, signs)


def size_cells(scores: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cell (n,) of two scores (2, n), by the thresholds of either."""
    found: np.ndarray = N_SECOND * np.searchsorted(first, scores[0], side="right")
    return found + np.searchsorted(second, scores[1], side="right")
