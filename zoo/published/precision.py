"""Weights in half the bytes: what a codec is when they are rounded to bfloat16 or float16."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from zoo import given
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

Precision = Literal["float32", "bfloat16", "float16"]


def narrow(array: np.ndarray, precision: Precision) -> np.ndarray:
    """Rounds an array of float32 to the nearest numbers of a type, as which they are then stored; integers stay.

    Raises ZooError for what the type cannot hold: float16 ends at 65504.
    """
    if array.dtype.kind != "f" or precision == "float32":
        return array
    with np.errstate(over="ignore"):
        rounded = array.astype(jnp.dtype(precision))
    if not np.array_equal(np.isfinite(rounded.astype(np.float32)), np.isfinite(array)):
        raise ZooError(f"the weights reach {np.abs(array).max():.3g}, which is beyond {precision}")
    return rounded


def rounded(codec: ReadyCodec, precision: Precision) -> ReadyCodec:
    """The codec whose weights are those of `codec` as a type has them, in float32 again; errors as of `narrow`."""
    codec = given.codec(codec)
    if precision == "float32":
        return codec

    def back(leaf: jax.Array) -> np.ndarray:
        array = np.asarray(leaf)
        return narrow(array, precision).astype(array.dtype)

    return dataclasses.replace(codec, variables=jax.tree.map(back, codec.variables))
