"""Gathers and scatters by rows of a matrix give what XLA's give, and nothing is left of arrays without elements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.saved.convertible import convertible

pytestmark = pytest.mark.usefixtures("quick_module")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 7, 4)).astype(np.float32)
PLACES = np.array([[0, 6, 2], [5, -1, 3], [9, 1, 7]], np.int32)
"""some of them outside of an axis of 7"""
MODES = ("clip", "fill", "promise_in_bounds")


def kept(places: jax.Array, mode: str) -> jax.Array:
    return jnp.clip(places, 0, 6) if mode == "promise_in_bounds" else places


def taken(x: jax.Array, places: jax.Array, mode: str) -> list[jax.Array]:
    places = kept(places, mode)
    pairs = jnp.stack([places % 3, places], axis=-1)
    numbers = jax.lax.GatherDimensionNumbers(offset_dims=(0, 2, 4), collapsed_slice_dims=(), start_index_map=(0, 1))
    return [
        x.at[:, places].get(mode=mode),
        jnp.take_along_axis(x, places[..., None], axis=1, mode=mode),
        jnp.take_along_axis(x[..., 0], places, axis=1, mode=mode),
        x.at[:, places, 1].get(mode=mode),
        x.at[places % 3, places].get(mode=mode, fill_value=5.0),
        (100 * x).astype(jnp.int32).at[1, places].get(mode=mode),
        jax.lax.gather(x, pairs, numbers, slice_sizes=(2, 3, 4), mode=mode if mode != "promise_in_bounds" else "clip"),
        jax.vmap(lambda row, place: jax.lax.dynamic_slice(row, (place, 1), (3, 2)))(x, places[:, 0]),
    ]


def written(x: jax.Array, places: jax.Array, mode: str) -> list[jax.Array]:
    places, rows = kept(places, mode), jnp.arange(3)[:, None]
    values = jnp.arange(36.0).reshape(3, 3, 4)

    def window(row: jax.Array, place: jax.Array, values: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice(row, values, (place,))

    return [
        x.at[rows, places].set(values, mode=mode, unique_indices=True),
        x.at[rows, places, 2].add(values[..., 0], mode=mode),
        x.at[:, places[0]].max(values[0], mode=mode),
        x.at[:, places].min(0.5, mode=mode),
        x.at[1, :, places[:, 1] % 4].multiply(2.0, mode=mode),
        jax.vmap(window)(x[..., 0], places[:, 0], values[:, 0]),
    ]


def indexing_of(jaxpr) -> list:
    return [equation for equation in jaxpr.eqns if equation.primitive.name.startswith(("gather", "scatter"))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [taken, written])
def test_what_is_read_and_written_is_the_same(function, mode: str) -> None:
    def of_mode(x: jax.Array, places: jax.Array) -> list[jax.Array]:
        return function(x, places, mode)

    known = convertible(of_mode, X, PLACES)
    left = indexing_of(jax.make_jaxpr(known)(X, PLACES))
    assert left
    for equation in left:  # each number is that of a row
        assert [x.aval.ndim for x in equation.invars[:2]] == [2, 2]
        assert equation.invars[1].aval.shape[1] == 1
    found, wanted = jax.jit(known)(X, PLACES), jax.jit(of_mode)(X, PLACES)
    for i, (ours, its) in enumerate(zip(found, wanted, strict=True)):
        np.testing.assert_array_equal(ours, its, err_msg=f"number {i}")


def test_nothing_is_joined_that_has_no_elements() -> None:
    def joined(x: jax.Array) -> jax.Array:
        none = jnp.zeros((3, 0), x.dtype)
        return jnp.concatenate([none, x, jnp.pad(none, ((0, 0), (1, 2)), constant_values=4.0), none[:, :0]], axis=1)

    def of_nothing(x: jax.Array) -> jax.Array:
        return jnp.concatenate([x[:, :0], x[:, 7:]], axis=1)

    known = convertible(joined, X[..., 0])
    (equation,) = (e for e in jax.make_jaxpr(known)(X[..., 0]).eqns if e.primitive.name == "concatenate")
    assert [x.aval.shape for x in equation.invars] == [(3, 7), (3, 3)]
    np.testing.assert_array_equal(known(X[..., 0])[0], joined(X[..., 0]))
    assert convertible(of_nothing, X)(X)[0].shape == (3, 0, 4)
