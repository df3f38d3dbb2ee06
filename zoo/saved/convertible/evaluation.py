"""A traced function computed anew, operation by operation, each by the rule that there is for it.

Rules are by operation, not by model. Those in `complex_numbers` and `random_keys` say how arrays of kinds that are not
known elsewhere are computed in two known ones, those in `floats` and `indexing` how operations are computed by
simpler ones. What has no rule stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from zoo.saved.convertible import complex_numbers, floats, indexing, random_keys

_SPLIT = (complex_numbers, random_keys)
"""modules of the kinds of arrays that are computed in two"""
_SIMPLER = {**floats.RULES, **indexing.RULES}
_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def convertible(function: Callable[..., Any], *example: Any) -> Callable[..., list[jax.Array]]:
    """A function that computes the same of arrays of these shapes and types, in operations that are known elsewhere.

    It takes and gives arrays of numbers that are not complex. Raises NotImplementedError for operations on complex
    numbers or on random keys that have no rule.
    """
    traced = jax.make_jaxpr(function)(*example)

    def anew(*arguments: jax.Array) -> list[Any]:
        return _evaluated(traced, arguments)

    return jaxpr_as_fun(jax.make_jaxpr(anew)(*example))


def _evaluated(traced: Any, arguments: Sequence[Any]) -> list[Any]:
    jaxpr: Any = traced.jaxpr
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*map(_split, traced.consts), *arguments)))

    def value(variable: Any) -> Any:
        if not isinstance(variable, Literal):
            return known[variable]
        dtype: Any = variable.aval.dtype  # type: ignore[attr-defined]
        return _split(np.asarray(variable.val, dtype))

    for equation in jaxpr.eqns:
        found = _computed(equation, [value(variable) for variable in equation.invars])
        known.update(zip(equation.outvars, found))
    return [value(variable) for variable in jaxpr.outvars]


def _computed(equation: Any, values: list[Any]) -> Sequence[Any]:
    """The results of an operation."""
    name, inner = equation.primitive.name, _inner(equation)
    if name in _CALLS and len(inner) == 1:
        return _evaluated(inner[0], values)
    if name in _LOOPS:
        return _LOOPS[name](equation.params, values)
    for kind in _SPLIT:
        is_given, is_found = (
            (isinstance(x, kind.Parts) for x in values),
            (kind.holds(x.aval.dtype) for x in equation.outvars),
        )
        if any(is_given) or any(is_found):
            return [_of_parts(kind, equation, values)]
    return _of_numbers(equation, values)


def _of_numbers(equation: Any, values: list[Any]) -> Sequence[Any]:
    name = equation.primitive.name
    if name in _SIMPLER:
        return [_SIMPLER[name](equation, *values)]
    found = equation.primitive.bind(*values, **equation.params)
    return found if equation.primitive.multiple_results else [found]


def _of_parts(kind: Any, equation: Any, values: list[Any]) -> Any:
    name = equation.primitive.name
    if name in kind.RULES:
        return kind.RULES[name](equation, *values)
    if name in kind.EACH:
        of_each = [
            _of_numbers(equation, [getattr(x, part) if isinstance(x, kind.Parts) else x for x in values])
            for part in kind.Parts._fields
        ]
        return kind.Parts(*(found for (found,) in of_each))
    raise NotImplementedError(f"{name} of {kind.NAME}")


def _inner(equation: Any) -> list[Any]:
    """The functions that an operation calls, each with its constants."""
    return [
        x if hasattr(x, "consts") else ClosedJaxpr(x, ())  # from jax 0.12 on either is a Jaxpr
        for x in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr))
        if isinstance(x, Jaxpr | ClosedJaxpr)
    ]


def _split(x: Any) -> Any:
    for kind in _SPLIT:
        if kind.holds(x.dtype):
            return kind.split(x)
    return x


def _scan(parameters: dict[str, Any], values: list[Any]) -> Sequence[Any]:
    n_consts, n_carry = parameters["num_consts"], parameters["num_carry"]
    consts, carry, rows = values[:n_consts], values[n_consts : n_consts + n_carry], values[n_consts + n_carry :]

    def step(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        found = _evaluated(parameters["jaxpr"], [*consts, *carry, *row])
        return found[:n_carry], found[n_carry:]

    options = {key: parameters[key] for key in ("length", "reverse", "unroll")}
    last, stacked = lax.scan(step, carry, rows, **options)
    return [*last, *stacked]


def _while(parameters: dict[str, Any], values: list[Any]) -> Sequence[Any]:
    n_cond, n_body = parameters["cond_nconsts"], parameters["body_nconsts"]
    of_cond, of_body, carry = values[:n_cond], values[n_cond : n_cond + n_body], values[n_cond + n_body :]
    found: list[Any] = lax.while_loop(
        lambda carry: _evaluated(parameters["cond_jaxpr"], [*of_cond, *carry])[0],
        lambda carry: _evaluated(parameters["body_jaxpr"], [*of_body, *carry]),
        carry,
    )
    return found


def _cond(parameters: dict[str, Any], values: list[Any]) -> Sequence[Any]:
    def branch(traced: Any) -> Callable[..., list[Any]]:
        return lambda *operands: _evaluated(traced, operands)

    found: list[Any] = lax.switch(
        lax.convert_element_type(values[0], np.int32),
        [branch(traced) for traced in parameters["branches"]],
        *values[1:],
    )
    return found


_LOOPS: dict[str, Callable[[dict[str, Any], list[Any]], Sequence[Any]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
"""operations that compute other functions several times, or one of several"""
