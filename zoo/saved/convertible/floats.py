"""Operations on float32: rules for those that converters and runtimes do not know, or compute only roughly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

_FRACTION_BITS, _BIAS, _NOT_FINITE = 23, 127, 255
"""of a float32: bits of the fraction, what is added to its exponent, and the exponent of infinities and NaN"""


def _bitcast(equation: Any, x: Any) -> Any:
    wanted, given = str(np.dtype(equation.params["new_dtype"])), str(x.dtype)
    if given in ("int32", "uint32") and wanted in ("int32", "uint32", "float32"):
        return _float_of(x.astype(jnp.uint32)) if wanted == "float32" else x.astype(wanted)
    if given == "float32" and wanted in ("int32", "uint32"):
        return _bits_of(x).astype(wanted)
    raise NotImplementedError(f"bits of {given} as {wanted}")


def _float_of(bits: Any) -> Any:
    """The float32 of bits uint32 as IEEE 754 has it, by arithmetic in which no step rounds."""
    fraction = (bits & jnp.uint32(2**_FRACTION_BITS - 1)).astype(jnp.float32) * 2.0**-_FRACTION_BITS
    exponent = ((bits >> jnp.uint32(_FRACTION_BITS)) & jnp.uint32(_NOT_FINITE)).astype(jnp.int32)
    size = jnp.where(exponent > 0, 1 + fraction, fraction) * _power(exponent)
    size = jnp.where(exponent < _NOT_FINITE, size, jnp.where(fraction > 0, jnp.nan, jnp.inf))
    return jnp.where(bits >> jnp.uint32(31) > 0, -size, size)


def _bits_of(x: Any) -> Any:
    """The bits uint32 of float32, by arithmetic in which no step rounds but the first guess."""
    size = jnp.abs(x)
    guess = jnp.floor(jnp.log2(jnp.clip(size, _power(1), _power(_NOT_FINITE - 1)))).astype(jnp.int32) + _BIAS
    exponent = guess - (size < _power(guess)).astype(jnp.int32)
    exponent = jnp.clip(exponent + (size >= 2 * _power(exponent)).astype(jnp.int32), 1, _NOT_FINITE - 1)
    scaled = size / _power(exponent)  # from 1 to 2, and below 1 where the exponent is 0
    is_normal = scaled >= 1
    fraction = ((scaled - is_normal.astype(jnp.float32)) * 2.0**_FRACTION_BITS).astype(jnp.int32).astype(jnp.uint32)
    bits = fraction | (jnp.where(is_normal, exponent, 0).astype(jnp.uint32) << jnp.uint32(_FRACTION_BITS))
    bits = jnp.where(size < jnp.inf, bits, jnp.uint32(_NOT_FINITE << _FRACTION_BITS))
    bits = jnp.where(x == x, bits, jnp.uint32((2 * _NOT_FINITE + 1) << (_FRACTION_BITS - 1)))
    is_negative = jnp.where(x == 0, 1 / x, x) < 0
    return jnp.where(is_negative, bits | jnp.uint32(1 << 31), bits)


def _power(exponent: Any) -> Any:
    """The power of two of a normal number's biased exponent, and that of the smallest for 0."""
    # in a table, because a runtime's powers need not be exact
    powers = jnp.asarray(np.exp2(np.clip(np.arange(_NOT_FINITE + 1), 1, _NOT_FINITE - 1) - _BIAS), jnp.float32)
    return jnp.take(powers, exponent, mode="clip")


def _erf_inv(equation: Any, x: Any) -> Any:
    """The inverse of the error function, as in Giles, "Approximating the erfinv function" (2010)."""
    if x.dtype != jnp.float32:
        return equation.primitive.bind(x, **equation.params)
    w = -jnp.log((1 - x) * (1 + x))
    ratio = jnp.where(w < 5, _polynomial(_CENTRE, w - 2.5), _polynomial(_TAIL, jnp.sqrt(w) - 3))
    return x * jnp.where(jnp.abs(x) < 1, ratio, jnp.inf)


def _comes_before(_: Any, x: Any, y: Any) -> Any:
    """Whether x is before y in the order of what jax sorts: NaN, of which it has one, comes last."""
    return (x < y) | ((x == x) & (y != y))


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """By Horner's rule, of coefficients with that of the highest power first."""
    value: Any = jnp.float32(0)
    for coefficient in coefficients:
        value = value * x + jnp.float32(coefficient)
    return value


_CENTRE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503),
    *(-0.00417768164, 0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047),
    *(1.00167406, 2.83297682),
)

RULES: dict[str, Callable[..., Any]] = {
    "bitcast_convert_type": _bitcast,
    "erf_inv": _erf_inv,
    "lt_to": _comes_before,
    "le_to": lambda _, x, y: ~_comes_before(_, y, x),
    "eq_to": lambda _, x, y: (x == y) | ((x != x) & (y != y)),
}
"""what an operation gives of the values that it takes"""
