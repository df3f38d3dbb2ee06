"""Functions without complex numbers and Fourier transforms, for what can convert neither.

A complex array becomes two, of its real and its imaginary parts, and a Fourier transform a product with a matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


class Parts(NamedTuple):
    """A complex array."""

    real: Any
    imag: Any


def without_complex(traced: ClosedJaxpr) -> Callable[..., tuple[jax.Array, ...]]:
    """The traced function, of real arrays, computed in real parts.

    What is returned raises NotImplementedError for operations on complex arrays that have no rule here.
    """

    def function(*arguments: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(_evaluated(traced.jaxpr, traced.consts, arguments))

    return function


def _evaluated(jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*map(_parted, consts), *arguments)))

    def value(variable: Any) -> Any:
        return _parted(variable.val) if isinstance(variable, Literal) else known[variable]

    for equation in jaxpr.eqns:
        values = [value(variable) for variable in equation.invars]
        inner = _inner(equation)
        if equation.primitive.name in _CALLS and len(inner) == 1:
            found = _evaluated(inner[0].jaxpr, inner[0].consts, values)
        elif any(isinstance(x, Parts) for x in values) or _is_complex(equation.outvars[0]):
            found = [_ruled(equation, values)]
        else:
            result = equation.primitive.bind(*values, **equation.params)
            found = result if equation.primitive.multiple_results else [result]
        known.update(zip(equation.outvars, found))
    return [value(variable) for variable in jaxpr.outvars]


_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def _inner(equation: Any) -> list[Any]:
    """The functions that an operation calls, each with its constants."""
    return [
        x if hasattr(x, "consts") else ClosedJaxpr(x, ())  # from jax 0.12 on either is a Jaxpr
        for x in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr))
        if isinstance(x, Jaxpr | ClosedJaxpr)
    ]


def _is_complex(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.complexfloating))


def _parted(x: Any) -> Any:
    return Parts(np.real(x), np.imag(x)) if np.iscomplexobj(x) else x


def _ruled(equation: Any, values: list[Any]) -> Any:
    name, parameters = equation.primitive.name, equation.params
    if name == "fft":
        return _transform(values[0], parameters["fft_type"], parameters["fft_lengths"])
    if name == "convert_element_type":
        x = values[0]
        if isinstance(x, Parts):
            return x
        return Parts(lax.convert_element_type(x, np.float32), lax.full(np.shape(x), 0.0, np.float32))
    if name in _RULES:
        return _RULES[name](*values)
    if name in _EACH:
        of_each = [
            equation.primitive.bind(*(getattr(x, part) if isinstance(x, Parts) else x for x in values), **parameters)
            for part in Parts._fields
        ]
        return Parts(*of_each)
    raise NotImplementedError(f"{name} of complex numbers")


_EACH = (
    *("add", "sub", "neg", "copy", "reduce_sum", "select_n"),
    *("broadcast_in_dim", "concatenate", "dynamic_slice", "pad", "reshape", "rev", "slice", "squeeze", "transpose"),
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


_RULES: dict[str, Callable[..., Any]] = {
    "complex": Parts,
    "real": lambda x: x.real,
    "imag": lambda x: x.imag,
    "conj": lambda x: Parts(x.real, -x.imag),
    "abs": lambda x: lax.sqrt(x.real * x.real + x.imag * x.imag),
    "exp": lambda x: Parts(lax.exp(x.real) * lax.cos(x.imag), lax.exp(x.real) * lax.sin(x.imag)),
    "mul": _product,
    "div": _quotient,
}


def _transform(x: Any, kind: Any, lengths: tuple[int, ...]) -> Any:
    """A discrete Fourier transform over the last axis."""
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
