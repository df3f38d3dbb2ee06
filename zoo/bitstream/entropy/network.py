"""Small networks in integer arithmetic: whatever computes them comes to the same numbers.

Weights, inputs and activations are so small that every sum, in whatever order it is taken, stays below 2**24, and so is
exact in float32; a shift to the right is a product with a power of two, rounded down. Both are what BLAS and NumPy do
fastest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zoo.errors import ZooError

ACTIVATION_MAX = 511
SHIFT_MAX = 23
SUM_MAX = 1 << 23
"""that no sum may exceed: all integers up to twice as much are exact in float32"""
_ALONE = 250_000
"""multiplications for which OpenBLAS takes one thread"""


@dataclass(frozen=True)
class Network:
    """Two layers of rectified units and a layer of scores; arrays are float32 of integers times powers of two.

    A unit's activation is its sum, shifted to the right by its number of bits and clipped to 0 … ACTIVATION_MAX. The
    shift is in the weights, as a factor: it changes exponents alone, and so sums stay exact.
    """

    hidden: np.ndarray
    """(H, inputs), shifted"""
    hidden_scale: np.ndarray
    """2**-shift (H, 1)"""
    second: np.ndarray
    """(H', H), shifted"""
    second_bias: np.ndarray
    """(H', 1), shifted"""
    scores: np.ndarray
    """(scores, H')"""

    def __call__(self, inputs: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """Scores (scores, n) of inputs (inputs, n), with a bias (H, 1) of the first layer."""
        first = product(self.hidden, inputs)
        first += bias * self.hidden_scale
        second = product(self.second, _rectified(first))
        second += self.second_bias
        return product(self.scores, _rectified(second))


def product(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The product of matrices (a, b) and (b, n), in pieces so small that no BLAS wakes threads for them.

    Where other work has the cores, threads that wait for each other took ten times as long as one.
    """
    found = np.empty((len(weights), columns.shape[1]), np.float32)
    step = max(_ALONE // weights.size // 16, 1) * 16
    for start in range(0, columns.shape[1], step):
        np.matmul(weights, columns[:, start : start + step], out=found[:, start : start + step])
    return found


def _rectified(sums: np.ndarray) -> np.ndarray:
    np.floor(sums, out=sums)
    # three times as fast as np.maximum and np.minimum
    return sums.clip(0, ACTIVATION_MAX, out=sums)


def shapes(prefix: str, n_inputs: int, hidden: tuple[int, int], n_scores: int) -> dict[str, tuple[int, ...]]:
    """Shape of each integer array of a network but the first layer's biases."""
    first, second = hidden
    return {
        f"{prefix}_hidden": (first, n_inputs),
        f"{prefix}_hidden_shift": (first,),
        f"{prefix}_second": (second, first),
        f"{prefix}_second_bias": (second,),
        f"{prefix}_second_shift": (second,),
        f"{prefix}_scores": (n_scores, second),
    }


def load(arrays: Mapping[str, np.ndarray], prefix: str, bias: np.ndarray, input_max: int) -> Network:
    """The network of int32 arrays as in `shapes`; `bias` (…, H) are all biases of its first layer.

    Raises ZooError where a sum might not be exact.
    """
    part = {name.removeprefix(f"{prefix}_"): arrays[name] for name in arrays if name.startswith(prefix)}
    of_bias = np.abs(bias.reshape(-1, bias.shape[-1]).astype(np.int64)).max(0, initial=0)
    largest = [
        input_max * _row_sums(part["hidden"]) + of_bias,
        ACTIVATION_MAX * _row_sums(part["second"]) + np.abs(part["second_bias"].astype(np.int64)),
        ACTIVATION_MAX * _row_sums(part["scores"]),
    ]
    shifts = np.concatenate([part["hidden_shift"], part["second_shift"]])
    if max(row.max() for row in largest) > SUM_MAX or shifts.min() < 0 or shifts.max() > SHIFT_MAX:
        raise ZooError(f"entropy coder: the arrays of {prefix}_… are none of a network")

    def column(name: str) -> np.ndarray:
        return part[name].astype(np.float32)[:, None]

    scale, second_scale = np.exp2(-column("hidden_shift")), np.exp2(-column("second_shift"))
    return Network(
        part["hidden"].astype(np.float32) * scale,
        scale,
        part["second"].astype(np.float32) * second_scale,
        column("second_bias") * second_scale,
        np.ascontiguousarray(part["scores"], np.float32),
    )


def _row_sums(weights: np.ndarray) -> np.ndarray:
    sums: np.ndarray = np.abs(weights.astype(np.int64)).sum(1)
    return sums
