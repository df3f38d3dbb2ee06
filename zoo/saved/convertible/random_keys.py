"""Keys of random numbers: rules that draw the same bits as jax from them, by operations on integers.

Converters know no keys, or draw other numbers from them. An array of keys becomes two, of the halves of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

NAME = "random keys"
EACH = (
    *("broadcast_in_dim", "concatenate", "copy", "dynamic_slice", "gather", "reshape", "rev", "select_n", "slice"),
    *("squeeze", "transpose"),
)
"""operations on both parts alike"""
_THREEFRY = "key<fry>"
"""type of the keys of jax's default generator"""


class Parts(NamedTuple):
    """An array of keys of 64 bits: two of uint32."""

    high: Any
    low: Any


def holds(dtype: Any) -> bool:
    """Whether arrays of this type are keys."""
    return bool(jnp.issubdtype(dtype, jax.dtypes.prng_key))


def split(x: Any) -> Parts:
    """Both parts of a known array."""
    _check(x.dtype)
    return _halves(jax.random.key_data(x))


def _check(dtype: Any) -> None:
    """Raises NotImplementedError for keys whose bits are drawn otherwise than here."""
    if str(dtype) != _THREEFRY:
        raise NotImplementedError(f"random keys of type {dtype}")
    if not jax.config.jax_threefry_partitionable:  # type: ignore[attr-defined]
        raise NotImplementedError("random bits without jax_threefry_partitionable")


def _halves(words: Any) -> Parts:
    return Parts(words[..., 0], words[..., 1])


def _wrap(equation: Any, words: Any) -> Parts:
    _check(equation.outvars[0].aval.dtype)
    return _halves(words)


def _seed(equation: Any, seed: Any) -> Parts:
    _check(equation.outvars[0].aval.dtype)
    if jnp.dtype(seed.dtype).itemsize > 4:
        raise NotImplementedError(f"a random seed of type {seed.dtype}")
    low = lax.convert_element_type(seed, jnp.uint32)
    return Parts(jnp.zeros_like(low), low)


def _bits(equation: Any, keys: Parts) -> Any:
    width, shape = equation.params["bit_width"], equation.params["shape"]
    if width > 32:
        raise NotImplementedError(f"random numbers of {width} bits")
    high, low = _blocks(keys, shape)
    return lax.convert_element_type(high ^ low, jnp.dtype(f"uint{width}"))


def _blocks(keys: Parts, shape: tuple[int, ...]) -> Parts:
    """Of each of keys (…,) as many blocks of 64 bits as `shape` (…, *shape) has elements."""
    size = math.prod(shape)
    if size >= 2**31:
        raise NotImplementedError(f"{size} random numbers of one key")
    rank = keys.low.ndim
    count = jnp.arange(size, dtype=jnp.int32).astype(jnp.uint32).reshape((1,) * rank + shape)
    keys = Parts(*(jnp.expand_dims(half, range(rank, rank + len(shape))) for half in keys))
    return threefry(keys, Parts(jnp.zeros_like(count), count))


def threefry(keys: Parts, blocks: Parts) -> Parts:
    """The cipher Threefry-2x32 of 20 rounds (Salmon, Moraes, Dror and Shaw, 2011), of uint32."""
    schedule = (keys.high, keys.low, keys.high ^ keys.low ^ jnp.uint32(_PARITY))
    first, second = blocks.high + schedule[0], blocks.low + schedule[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            first = first + second
            second = first ^ ((second << jnp.uint32(turn)) | (second >> jnp.uint32(32 - turn)))
        first = first + schedule[(group + 1) % 3]
        second = second + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return Parts(first, second)


_PARITY = 0x1BD11BDA
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))

RULES: dict[str, Callable[..., Any]] = {
    "random_wrap": _wrap,
    "random_unwrap": lambda _, keys: jnp.stack(keys, axis=-1),
    "random_seed": _seed,
    "random_fold_in": lambda _, keys, data: threefry(keys, Parts(jnp.zeros_like(data), data)),
    "random_split": lambda equation, keys: _blocks(keys, equation.params["shape"]),
    "random_bits": _bits,
}
"""what an operation gives of the values that it takes, of which some are keys, or it itself is"""
