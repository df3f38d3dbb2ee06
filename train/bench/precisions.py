"""Ways of computing that a device may have, and how each is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Precision:
    """A type for the arithmetic of networks, and how exact products of float32 matrices are."""

    dtype: Literal["float32", "bfloat16"]
    products: str
    """as `jax_default_matmul_precision` has it"""


PRECISIONS = {
    "float32": Precision("float32", "float32"),
    "tf32": Precision("float32", "tensorfloat32"),
    "bfloat16": Precision("bfloat16", "default"),
}
"""TF32 is float32 whose products have ten bits of mantissa: jax's default on NVIDIA GPUs."""


@contextmanager
def products_of(name: str) -> Iterator[None]:
    """A context in which what is traced has the products of a precision."""
    import jax

    with jax.default_matmul_precision(PRECISIONS[name].products):
        yield
