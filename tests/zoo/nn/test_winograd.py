"""Convolutions by values of polynomials against the sum written out in double precision, and where they are chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.nn.layers import convolve, winograd


def written_out(x: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    n = x.shape[1] - (len(kernel) - 1) * dilation
    shifted = (x[:, i * dilation : i * dilation + n].astype(np.float64) for i in range(len(kernel)))
    return sum(part @ tap.astype(np.float64) for part, tap in zip(shifted, kernel))


@pytest.mark.parametrize(
    ("taps", "dilation", "length"),
    [(7, 1, 7), (7, 1, 150), (7, 3, 151), (7, 9, 301), (5, 2, 90), (3, 1, 33), (2, 1, 2), (2, 1, 40)],
)
def test_it_is_the_sum_written_out(taps, dilation, length):
    rng = np.random.default_rng(taps * length)
    x = rng.standard_normal((2, length, 24)).astype(np.float32)
    kernel = rng.standard_normal((taps, 24, 17)).astype(np.float32)
    expected = written_out(x, kernel, dilation)
    found = np.asarray(jax.jit(winograd.convolve, static_argnums=2)(x, kernel, dilation))
    assert found.shape == expected.shape
    # as exact as sums in single precision are
    assert np.abs(found - expected).max() < 2e-6 * np.abs(expected).max() * np.sqrt(taps * 24)


def test_its_gradients_are_those_of_the_convolution():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 60, 12)).astype(np.float32)
    kernel = rng.standard_normal((7, 12, 10)).astype(np.float32)
    weight = rng.standard_normal((2, 42, 10)).astype(np.float32)

    def plain(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "VALID", rhs_dilation=(3,), dimension_numbers=("NWC", "WIO", "NWC")
        )

    expected = jax.jit(jax.grad(lambda *a: (plain(*a) * weight).sum(), (0, 1)))(x, kernel)
    found = jax.jit(jax.grad(lambda *a: (winograd.convolve(*a, 3) * weight).sum(), (0, 1)))(x, kernel)
    for a, b in zip(found, jax.device_get(expected)):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_layers_choose_it_where_it_pays():
    x, kernel = jnp.zeros((1, 2000, 64)), jnp.zeros((7, 64, 64))
    assert winograd.pays(x, kernel, 1)
    assert not winograd.pays(x[:, :200], kernel, 1)  # the kernel would be transformed for few
    assert not winograd.pays(x.astype(jnp.bfloat16), kernel, 1)
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(a.shape).astype(np.float32) for a in (x, kernel))
    y = jax.jit(lambda x, k: convolve.convolve(x, k, 3))
    np.testing.assert_allclose(y(jnp.asarray(x), jnp.asarray(kernel)), written_out(x, kernel, 3), atol=2e-4)
    for channels, features in ((1, 64), (2, 5), (64, 1), (5, 2)):  # beside the waveform
        x = rng.standard_normal((2, 50, channels)).astype(np.float32)
        kernel = rng.standard_normal((7, channels, features)).astype(np.float32)
        np.testing.assert_allclose(
            y(jnp.asarray(x), jnp.asarray(kernel)), written_out(x, kernel, 3), atol=1e-5 * channels * 7
        )
