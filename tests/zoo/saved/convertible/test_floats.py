"""Numbers of bits, and the inverse of the error function, by arithmetic alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from zoo.saved.convertible import convertible

pytestmark = pytest.mark.usefixtures("quick_module")


def of_bits(bits: np.ndarray, dtype: type) -> np.ndarray:
    (found,) = convertible(lambda x: jax.lax.bitcast_convert_type(x, dtype), bits)(bits)
    return np.asarray(found)


def test_bits_are_the_numbers_of_ieee_754() -> None:
    exponents = np.arange(1, 255, dtype=np.uint32)[:, None] << 23  # of all normal numbers
    bits = np.concatenate([(exponents + np.array([0, 1, 0x2AAAAA, 2**23 - 1], np.uint32)).reshape(-1), [0, 0x7F800000]])
    bits = np.concatenate([bits, bits + 2**31]).astype(np.uint32)
    np.testing.assert_array_equal(of_bits(bits, jnp.float32), bits.view(np.float32))
    np.testing.assert_array_equal(of_bits(bits.view(np.int32), jnp.float32), bits.view(np.float32))
    np.testing.assert_array_equal(of_bits(bits, jnp.int32), bits.view(np.int32))
    np.testing.assert_array_equal(of_bits(bits.view(np.float32), jnp.uint32), bits)
    np.testing.assert_array_equal(of_bits(np.array([np.nan], np.float32), jnp.int32), 0x7FC00000)
    assert np.all(np.isnan(of_bits(np.array([0x7FC00000, 0xFF800001], np.uint32), jnp.float32)))


def test_bits_of_other_sizes_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="bits of float16 as int16"):
        of_bits(np.ones(3, np.float16), jnp.int16)


def test_the_inverse_of_the_error_function() -> None:
    x = np.concatenate([np.linspace(-1, 1, 1001), 1 - 2.0 ** -np.arange(1, 25), 1e-6 * np.arange(5)]).astype(np.float32)
    (found,) = convertible(jax.lax.erf_inv, x)(x)
    np.testing.assert_allclose(found, scipy.special.erfinv(x.astype(np.float64)), rtol=2e-6)


def test_an_order_has_nan_last() -> None:
    sorted_ = np.array([-np.inf, -1.0, 0.0, 0.0, 2.0, np.inf, np.nan], np.float32)
    asked = np.array([np.nan, -2.0, 0.0, -0.0, 3.0, np.inf, -np.inf], np.float32)
    for side in ("left", "right"):

        def places(x: jax.Array, side: str = side) -> jax.Array:
            return jnp.searchsorted(sorted_, x, side=side)

        known = convertible(places, asked)
        assert "_to " not in str(jax.make_jaxpr(known)(asked))
        np.testing.assert_array_equal(known(asked)[0], np.searchsorted(sorted_, asked, side=side))
