"""Complex numbers and Fourier transforms: rules for what can convert neither.

A complex array becomes two, of its real and its imaginary parts, and a Fourier transform a product with a matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

NAME = "complex numbers"


class Parts(NamedTuple):
    """A complex array."""

    real: Any
    imag: Any


def holds(dtype: Any) -> bool:
    """Whether arrays of this type are complex."""
    return bool(jnp.issubdtype(dtype, jnp.complexfloating))


def split(x: Any) -> Parts:
    """Both parts of a known array."""
    return Parts(np.real(x), np.imag(x))


EACH = (
    *("add", "sub", "neg", "copy", "reduce_sum", "select_n"),
    *("broadcast_in_dim", "concatenate", "dynamic_slice", "gather", "pad", "reshape", "rev", "slice", "squeeze"),
    "transpose",
)
"""operations on both parts alike"""


def _product(x: Any, y: Any) -> Parts:
    if not isinstance(x, Parts):
        x, y = y, x
    if not isinstance(y, Parts):
        return Parts(x.real * y, x.imag * y)
    return Parts(x.real * y.real - x.imag * y.imag, x.real * y.imag + x.imag * y.real)


def _quotient(x: Any, y: Any) -> Parts:
    if not isinstance(y, Parts):
        return Parts(x.real / y, x.imag / y)
    power = y.real * y.real + y.imag * y.imag
    product = _product(x, Parts(y.real, -y.imag))
    return Parts(product.real / power, product.imag / power)


def _converted(equation: Any, x: Any) -> Parts:
    if isinstance(x, Parts):
        return x
    return Parts(lax.convert_element_type(x, np.float32), lax.full(np.shape(x), 0.0, np.float32))


def _transform(equation: Any, x: Any) -> Any:
    """A discrete Fourier transform over the last axis."""
    kind, lengths = equation.params["fft_type"], equation.params["fft_lengths"]
    if len(lengths) != 1 or kind not in (lax.FftType.RFFT, lax.FftType.IRFFT):
        raise NotImplementedError(f"{kind.name} of {'×'.join(map(str, lengths))} samples")
    cosines, sines = _tables(lengths[0], kind == lax.FftType.IRFFT)

    def product(x: Any, table: np.ndarray) -> Any:
        return lax.dot_general(x, table, (((np.ndim(x) - 1,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)

    if kind == lax.FftType.RFFT:
        return Parts(product(x, cosines), product(x, sines))
    n_bins = lengths[0] // 2 + 1
    return product(x.real[..., :n_bins], cosines) + product(x.imag[..., :n_bins], sines)


@functools.lru_cache(maxsize=8)
def _tables(length: int, inverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (length, length // 2 + 1) that give real and imaginary parts; of the inverse, that take them."""
    # exact multiples of the angle modulo a turn: rounded ones are wrong by much where both numbers are large
    turns = (np.arange(length)[:, None] * np.arange(length // 2 + 1)[None]) % length / length
    cosines, sines = np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)
    if inverse:
        counted = np.full(length // 2 + 1, 2.0)  # of the bins that stand for their negative frequencies as well
        counted[0] = 1.0
        if length % 2 == 0:
            counted[-1] = 1.0
        cosines, sines = (counted[:, None] * table.T / length for table in (cosines, sines))
    return cosines.astype(np.float32), sines.astype(np.float32)


RULES: dict[str, Callable[..., Any]] = {
    "complex": lambda _, real, imag: Parts(real, imag),
    "real": lambda _, x: x.real,
    "imag": lambda _, x: x.imag,
    "conj": lambda _, x: Parts(x.real, -x.imag),
    "abs": lambda _, x: lax.sqrt(x.real * x.real + x.imag * x.imag),
    "exp": lambda _, x: Parts(lax.exp(x.real) * lax.cos(x.imag), lax.exp(x.real) * lax.sin(x.imag)),
    "mul": lambda _, x, y: _product(x, y),
    "div": lambda _, x, y: _quotient(x, y),
    "convert_element_type": _converted,
    "fft": _transform,
}
"""what an operation gives of the values that it takes, of which some are complex, or it itself is"""
