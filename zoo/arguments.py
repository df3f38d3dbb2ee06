"""What a user hands over — arrays of any library, numbers, bytes, paths — as what is computed with."""

from __future__ import annotations

import os
import sys
from typing import Any, TypeVar

import numpy as np

from zoo.bitstream.layout import MAX_SAMPLE_RATE
from zoo.errors import ZooError, one_line

_Kind = TypeVar("_Kind")


def as_array(values: Any, name: str) -> np.ndarray:
    """Real numbers in an array-like of any library as numpy; raises ZooError, naming it, for what is none."""
    if _is_traced(values):
        raise ZooError(
            f"{name} is being traced by jax (jit, grad, vmap), which only pure functions can be: there use "
            f"codec.module.apply(codec.variables, …)"
        )
    if isinstance(values, str | os.PathLike):
        reads = {"codes": "zoo.tokens.load(…) reads a token file"}.get(name, "zoo.audio.read(…).samples reads a file")
        raise ZooError(f"{name} must be an array of numbers, got a name: {reads}")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever its library raises: of tensors on a GPU, say
        if isinstance(values, list | tuple) and isinstance(error, ValueError):
            raise ZooError(f"{name} must be an array, got parts of different shapes") from None
        raise ZooError(f"{name} cannot be read as an array ({type(values).__name__}): {one_line(error)}") from None
    if array.dtype.kind in "OSUMmc" or array.dtype.names is not None:
        raise ZooError(f"{name} must be an array of numbers, got {type(values).__name__} ({array.dtype})")
    return array


def instance(value: Any, kind: type[_Kind], name: str, source: str) -> _Kind:
    """A value of a class; raises ZooError, which says what `source` makes one, for anything else."""
    if isinstance(value, kind):
        return value
    if isinstance(value, str | bytes | os.PathLike | int | float | None):
        given = " ".join(repr(value).split())[:80]
    else:
        given = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
    raise ZooError(f"{name} must be what {source} gives, of type {kind.__name__}, got {given}")


def _is_traced(value: Any) -> bool:
    """Whether jax is tracing it; where nobody has imported jax, which takes a second, nothing is."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.core.Tracer)


def as_bytes(data: Any) -> bytes:
    """The bytes of any buffer; raises ZooError for what is none."""
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise ZooError(f"coded audio must be bytes, got {type(data).__name__}") from None


def as_path(path: Any) -> str:
    """A path of str, bytes or pathlib, in which ~ is the home directory; raises ZooError for what is none."""
    try:
        text = os.path.expanduser(os.fsdecode(path))
    except TypeError:
        raise ZooError(f"{' '.join(repr(path).split())[:80]} is no path") from None
    if not text:
        raise ZooError("'' is no path")
    return text


def number(value: Any, name: str) -> int | float:
    """A number of Python, or a scalar of numpy or jax; raises ZooError, naming it, for anything else."""
    if getattr(value, "shape", None) == () and not _is_traced(value):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ZooError(f"{name} must be a number, got {' '.join(repr(value).split())[:80]}")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number, which may be a float (24000.0); raises ZooError, naming it, for anything else."""
    found = number(value, name)
    if found % 1 != 0:  # NaN and infinity included
        raise ZooError(f"{name} must be a whole number, got {found!r}")
    return int(found)


def count(value: Any, name: str) -> int:
    """A whole number from 1 on; raises ZooError, naming it, for anything else."""
    found = whole(value, name)
    if found < 1:
        raise ZooError(f"{name} must be at least 1, got {found}")
    return found


def sample_rate(value: Any) -> int:
    """Whole Hz, as many as a file can have; raises ZooError for anything else."""
    rate = whole(value, "sample_rate")
    if not 1 <= rate <= MAX_SAMPLE_RATE:
        raise ZooError(f"sample_rate {rate} is not between 1 and {MAX_SAMPLE_RATE} Hz")
    return rate
