"""Random numbers by operations on integers are those that jax draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.saved.convertible import convertible

pytestmark = pytest.mark.usefixtures("quick_module")

NUMBERS = np.array([0, 1, 7, 2**31 - 1], np.int32)


def of_frames(numbers: jax.Array) -> jax.Array:
    key = jax.random.fold_in(jax.random.key(3), 11)
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (5, 2)))(numbers)


def of_seeds(numbers: jax.Array) -> tuple[jax.Array, ...]:
    keys = jax.vmap(jax.random.key)(numbers - 1)
    few = jax.random.split(keys[1], (2, 3))[1, ::-1]
    return jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=-2.0))(keys), jax.random.key_data(few)


def of_words(numbers: jax.Array) -> jax.Array:
    key = jax.random.wrap_key_data(numbers[:2].astype(jnp.uint32))
    key = jnp.where(numbers[0] > 5, jax.random.key(1), key)
    return jnp.stack([jax.random.bits(key, (7,), f"uint{width}").astype(jnp.uint32) for width in (8, 16, 32)])


def in_a_loop(numbers: jax.Array) -> jax.Array:
    def step(key: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        key, drawn = jax.random.split(jax.random.fold_in(key, number))
        return key, jax.random.randint(drawn, (3,), -5, 1000)

    return jax.lax.scan(step, jax.random.key(0), numbers)[1]


@pytest.mark.parametrize("function", [of_frames, of_seeds, of_words, in_a_loop])
def test_what_is_drawn_is_the_same(function) -> None:
    known = convertible(function, NUMBERS)
    left = str(jax.make_jaxpr(known)(NUMBERS))
    assert not any(word in left for word in ("key<", "random_", "threefry2x32", "bitcast_convert_type", "erf_inv"))
    found, wanted = jax.jit(known)(NUMBERS), jax.tree.leaves(function(NUMBERS))
    for ours, its in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, its, rtol=2e-6 if ours.dtype == np.float32 else 0, atol=0)


def test_other_generators_are_named() -> None:
    def bits(number: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.key(number, impl="rbg"), (3,))

    with pytest.raises(NotImplementedError, match="random keys of type key<rbg>"):
        convertible(bits, NUMBERS[0])
    with jax.threefry_partitionable(False), pytest.raises(NotImplementedError, match="jax_threefry_partitionable"):
        convertible(of_frames, NUMBERS)
