"""What layers remember of several streams, and the computing of many of their chunks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

Carry = Any
"""What layers with memory know of all that came before, a tree of arrays; empty for most codecs."""
Array = np.ndarray | jax.Array


class Step:
    """A compiled function from a stream's memory and window to its new memory and output; for one stream, or several.

    `function` takes (variables, carry, window, mask) and gives (output, carry). For several streams the last three have
    a leading dimension, and each stream is computed as if it were alone.
    """

    def __init__(self, function: Callable[..., tuple[jax.Array, Carry]]) -> None:
        several = jax.vmap(function, (None, 0, 0, 0))

        def at_places(
            variables: Any, carries: Carry, windows: jax.Array, masks: jax.Array, places: jax.Array
        ) -> tuple[jax.Array, Carry]:
            # a place that there is not, of rows that fill up a batch, is not written
            taken = jax.tree.map(lambda all_: all_.at[places].get(mode="clip"), carries)
            output, left = several(variables, taken, windows, masks)
            return output, jax.tree.map(lambda all_, new: all_.at[places].set(new, mode="drop"), carries, left)

        self.one = jax.jit(function)
        self.several = jax.jit(several)
        self.at_places = jax.jit(at_places, donate_argnums=1)


class Lanes:
    """Streams whose chunks are computed up to `batch_size` at once; each has a place, from 0 on."""

    def __init__(self, step: Step, variables: Any, empty: Carry, n_places: int, batch_size: int) -> None:
        """`empty` is what is remembered where a stream begins."""
        self._step, self._variables, self._empty = step, variables, empty
        self._batch_size = batch_size
        self.n_places = 0
        self.carries: list[Carry] = []
        """of each place, where each stream is computed alone"""
        self._together: Carry = jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape), leaf.dtype), empty)
        self.grow(n_places)

    def grow(self, n_places: int) -> None:
        """Makes room for so many streams at least."""
        if n_places <= self.n_places:
            return
        if self._batch_size == 1:
            self.carries += [self._empty] * (n_places - self.n_places)
        else:
            n_places = filled_up(n_places)
            n = n_places - self.n_places
            self._together = jax.tree.map(
                lambda all_, leaf: jax.numpy.concatenate([all_, np.broadcast_to(leaf, (n, *leaf.shape))]),
                self._together,
                self._empty,
            )
        self.n_places = n_places

    def restart(self, place: int) -> None:
        """Forgets the stream that had a place."""
        if self._batch_size == 1:
            self.carries[place] = self._empty
        else:
            self._together = _restart(self._together, self._empty, place)

    def run(self, places: Sequence[int], windows: np.ndarray, masks: np.ndarray) -> Array:
        """Outputs (m, …), m ≥ n, of windows (n, …) and masks (n, W) of streams at n places, n up to `batch_size`.

        The first n of them count. They may still be on their way from the device.
        """
        if self._batch_size == 1:
            (place,) = places
            output, self.carries[place] = self._step.one(self._variables, self.carries[place], windows[0], masks[0])
            return np.asarray(output)[None]
        n = len(places)
        size = filled_up(n)
        windows, masks = filled(windows, size), filled(masks, size)
        if not jax.tree.leaves(self._together):
            return self._step.several(self._variables, self._together, windows, masks)[0]
        if size == self.n_places and list(places) == list(range(n)):
            output, self._together = self._step.several(self._variables, self._together, windows, masks)
        else:
            at = np.array([*places, *[self.n_places] * (size - n)], np.int32)
            output, self._together = self._step.at_places(self._variables, self._together, windows, masks, at)
        return output

    def run_all(self, windows: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Outputs (N, …) of windows (N, …) of streams at the places 0 … N − 1, which have one mask (W,)."""
        found = []
        for start in range(0, len(windows), self._batch_size):
            part = windows[start : start + self._batch_size]
            places = range(start, start + len(part))
            masks = np.broadcast_to(mask, (len(part), *mask.shape))
            found.append(np.asarray(self.run(places, part, masks))[: len(part)])
        return np.concatenate(found) if len(found) > 1 else found[0]


def in_batches(function: Callable[[np.ndarray], Array], rows: np.ndarray, batch_size: int) -> np.ndarray:
    """The results (N, …) of a function of up to `batch_size` rows at once, for rows (N, …)."""
    found = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        found.append(np.asarray(function(filled(part, filled_up(len(part)))))[: len(part)])
    return np.concatenate(found) if len(found) > 1 else found[0]


def filled_up(n: int) -> int:
    """The rows of a batch that has room for n: powers of two, so that few shapes are compiled."""
    return 1 << (n - 1).bit_length()


def filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows (n, …) and zeros behind them, `size` in all."""
    missing = size - len(rows)
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)]) if missing else rows


@jax.jit
def _restart(carries: Carry, empty: Carry, place: int) -> Carry:
    return jax.tree.map(lambda all_, leaf: all_.at[place].set(leaf), carries, empty)
