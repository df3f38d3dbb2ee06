"""Operations that read or write at indices, and those that join arrays: rules by simpler ones.

Converters know the indexing of numpy, not all of XLA's; and in ONNX an array without elements changes its shape where
it is reshaped, because a size of zero means that of the input there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

_FILL, _CLIP = lax.GatherScatterMode.FILL_OR_DROP, lax.GatherScatterMode.CLIP


@dataclass(frozen=True)
class _Windows:
    """Where windows of an operand lie in it, one for each of the indices (*batch, n).

    The last dimensions, which each window has whole and in its place, are a row: what is indexed is rows of a matrix.
    """

    shape: Sequence[int]
    """of the operand"""
    sizes: Sequence[int]
    """of a window"""
    indexed: Sequence[int]
    """dimensions of the operand that the numbers of an index are of"""
    dropped: Sequence[int]
    """dimensions of the operand, in which a window has size 1, that neither updates nor results have"""
    paired: dict[int, int]
    """dimensions of the operand in which a window lies where its index does in that dimension of the batch"""

    @property
    def n_leading(self) -> int:
        """How many dimensions there are before those of a row."""
        n = len(self.shape)
        whole = [
            size == full and not {d} & {*self.indexed, *self.dropped, *self.paired}
            for d, (size, full) in enumerate(zip(self.sizes, self.shape))
        ]
        while n and whole[n - 1]:
            n -= 1
        return n

    @property
    def kept(self) -> list[int]:
        """The dimensions that updates and results have of a window."""
        return [d for d in range(len(self.shape)) if d not in self.dropped and d not in self.paired]

    @property
    def matrix(self) -> tuple[int, int]:
        return math.prod(self.shape[: self.n_leading]), math.prod(self.shape[self.n_leading :])

    def rows(self, indices: Any) -> Any:
        """Numbers (*batch, *sizes of `kept` before the row) of the rows of each window, moved to be in the operand."""
        batch = indices.shape[:-1]
        inner = [d for d in self.kept if d < self.n_leading]
        rank = len(batch) + len(inner)
        number: Any = jnp.zeros([1] * rank, jnp.int32)
        for d in range(self.n_leading):
            place: Any = 0
            if d in self.indexed:
                start = jnp.clip(self._starts(indices, d), 0, self.shape[d] - self.sizes[d])
                place = start.reshape(batch + (1,) * len(inner))
            if d in self.paired:
                place = _counted(batch[self.paired[d]], self.paired[d], rank)
            if d in inner:
                place = place + _counted(self.sizes[d], len(batch) + inner.index(d), rank)
            number = number * self.shape[d] + place
        return jnp.broadcast_to(number, (*batch, *(self.sizes[d] for d in inner)))

    def inside(self, indices: Any) -> Any:
        """Which windows (*batch) lie in the operand."""
        inside = jnp.ones(indices.shape[:-1], bool)
        for d in self.indexed:
            start = self._starts(indices, d)
            inside &= (start >= 0) & (start <= self.shape[d] - self.sizes[d])
        return inside

    def _starts(self, indices: Any, d: int) -> Any:
        return indices[..., list(self.indexed).index(d)].astype(jnp.int32)


def _counted(size: int, axis: int, rank: int) -> np.ndarray:
    return np.arange(size, dtype=np.int32).reshape([size if i == axis else 1 for i in range(rank)])


def _gather(equation: Any, operand: Any, indices: Any) -> Any:
    numbers, parameters = equation.params["dimension_numbers"], equation.params
    windows = _Windows(
        operand.shape,
        parameters["slice_sizes"],
        numbers.start_index_map,
        numbers.collapsed_slice_dims,
        dict(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims)),
    )
    rows, batch = windows.rows(indices), indices.shape[:-1]
    found = lax.gather(
        operand.reshape(windows.matrix),
        rows.reshape(-1, 1),
        lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,)),
        slice_sizes=(1, windows.matrix[1]),
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    ).reshape(*batch, *(windows.sizes[d] for d in windows.kept))
    if parameters["mode"] == _FILL:
        inside = windows.inside(indices).reshape(batch + (1,) * len(windows.kept))
        found = jnp.where(inside, found, jnp.asarray(_filling(parameters["fill_value"], found.dtype), found.dtype))
    return jnp.moveaxis(found, range(len(batch), found.ndim), numbers.offset_dims)


def _filling(value: Any, dtype: Any) -> Any:
    """What stands for elements outside of an array, as jax has it."""
    if value is not None:
        return value
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.nan
    if jnp.issubdtype(dtype, jnp.signedinteger):
        return jnp.iinfo(dtype).min
    return jnp.iinfo(dtype).max if jnp.issubdtype(dtype, jnp.integer) else True


def _scatter(equation: Any, operand: Any, indices: Any, updates: Any) -> Any:
    numbers, parameters = equation.params["dimension_numbers"], equation.params
    paired = dict(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims))
    dropped = numbers.inserted_window_dims
    sizes = [1] * operand.ndim
    kept = [d for d in range(operand.ndim) if d not in dropped and d not in paired]
    for d, axis in zip(kept, numbers.update_window_dims):
        sizes[d] = updates.shape[axis]
    windows = _Windows(operand.shape, sizes, numbers.scatter_dims_to_operand_dims, dropped, paired)
    rows, matrix = windows.rows(indices), operand.reshape(windows.matrix)
    n_rows, width = windows.matrix
    if parameters["mode"] == _FILL:  # what lies outside is written to a row that is cut off
        inside = windows.inside(indices)
        rows = jnp.where(inside.reshape(inside.shape + (1,) * (rows.ndim - inside.ndim)), rows, n_rows)
        matrix = jnp.pad(matrix, ((0, 1), (0, 0)))
    n_batch = updates.ndim - len(kept)
    updates = jnp.moveaxis(updates, numbers.update_window_dims, range(n_batch, updates.ndim))
    written = equation.primitive.bind(
        matrix,
        rows.reshape(-1, 1),
        updates.reshape(-1, width),
        **parameters
        | {
            "dimension_numbers": lax.ScatterDimensionNumbers((1,), (0,), (0,)),
            "indices_are_sorted": False,
            "mode": lax.GatherScatterMode.PROMISE_IN_BOUNDS,
        },
    )
    return written[:n_rows].reshape(operand.shape)


def _concatenate(equation: Any, *arrays: Any) -> Any:
    return lax.concatenate([x for x in arrays if np.size(x)] or arrays[:1], equation.params["dimension"])


def _pad(equation: Any, x: Any, value: Any) -> Any:
    if np.size(x):
        return equation.primitive.bind(x, value, **equation.params)
    return jnp.full(equation.outvars[0].aval.shape, value)


RULES: dict[str, Callable[..., Any]] = {
    "gather": _gather,
    "concatenate": _concatenate,
    "pad": _pad,
    **dict.fromkeys(("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max"), _scatter),
}
"""what an operation gives of the values that it takes"""
