"""Floating-point operations of products of matrices and of convolutions, counted in a program as it was written.

XLA's own count takes the body of a loop once, however often it runs, and knows nothing of calls of libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def of(function: Callable[..., Any], *arguments: Any) -> float:
    """Counts two operations for each multiplication of `function`, jitted or not, of arrays or their shapes.

    What is added to zeros only is not counted, such as the samples that a transposed convolution puts in between. A
    `while_loop` counts as one round of it, and a branch as the most expensive one. Those of all devices are counted.
    """
    return of_program(jax.make_jaxpr(function)(*arguments).jaxpr)


def of_program(program: Jaxpr) -> float:
    """Counts those of a traced program: see `of`."""
    total = 0.0
    for equation in program.eqns:
        name, parameters = equation.primitive.name, equation.params
        given, made = equation.invars, equation.outvars
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            total += 2.0 * math.prod(_shape(made[0])) * math.prod(_shape(given[0])[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel, of_outputs = _shape(given[1]), parameters["dimension_numbers"].rhs_spec[0]
            each = math.prod(kernel) / kernel[of_outputs] / math.prod(parameters["lhs_dilation"])
            total += 2.0 * math.prod(_shape(made[0])) * each
        else:
            inner = [of_program(each) for each in _programs_in(parameters)]
            total += _times(name, parameters) * (max(inner, default=0.0) if name == "cond" else sum(inner))
    return total


def _shape(array: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = array.aval.shape
    return shape


def _programs_in(parameters: dict[str, Any]) -> list[Jaxpr]:
    found = []
    for value in parameters.values():
        for each in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(each, ClosedJaxpr):
                found.append(each.jaxpr)
            elif isinstance(each, Jaxpr):
                found.append(each)
    return found


def _times(name: str, parameters: dict[str, Any]) -> int:
    """How often the programs within an operation run."""
    if name == "scan":
        return int(parameters["length"])
    return int(parameters["mesh"].size) if name == "shard_map" else 1
