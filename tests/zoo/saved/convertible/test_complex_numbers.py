"""Functions in real parts give what they give with complex numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.nn import dsp
from zoo.saved.convertible import convertible

pytestmark = pytest.mark.usefixtures("quick_module")

SIGNAL = np.random.default_rng(0).standard_normal((2, 160)).astype(np.float32)


def has_complex(traced) -> bool:
    """Whether the text of a traced function, which tells the types of all arrays, names a complex one."""
    return "c64[" in str(traced)


def round_trip(x: jax.Array) -> jax.Array:
    return dsp.istft(dsp.stft(x, 32, 8, padding="same") * 2.0, 32, 8)


def rotated(x: jax.Array) -> jax.Array:
    spectrum = jnp.fft.rfft(x.reshape(-1, 20))
    turned = spectrum * jnp.exp(1j * jnp.angle(jnp.array(1.0 + 2.0j))) / (2.0 + 1.0j)
    chosen = jnp.where(x.reshape(-1, 20)[:, :11] > 0, turned, spectrum.conj())
    return jnp.concatenate([jnp.abs(chosen), jnp.pad(-chosen, ((0, 0), (1, 0))).imag], axis=1).T


def odd(x: jax.Array) -> jax.Array:
    return jnp.fft.irfft(jnp.fft.rfft(x[:, :33]), 33)


@jax.custom_vjp
def squared(x: jax.Array) -> jax.Array:
    spectrum = jnp.fft.rfft(x)
    return (spectrum * spectrum + (spectrum - 1.0)).real


squared.defvjp(lambda x: (squared(x), x), lambda x, g: (g,))


def in_loops(x: jax.Array) -> jax.Array:
    rows = jnp.fft.rfft(x.reshape(-1, 20))

    def step(sum_: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
        return sum_ * 1j + row, jax.lax.cond(sum_[0].real > 0, lambda: row, lambda: -row)

    last, seen = jax.lax.scan(step, jnp.zeros_like(rows[0]), rows, reverse=True)
    turned = jax.lax.fori_loop(0, 3, lambda i, x: x * 1j + i, last)
    return jnp.concatenate([seen, turned[None]]).imag


@pytest.mark.parametrize("function", [round_trip, jax.jit(rotated), odd, squared, in_loops])
def test_what_is_computed_is_the_same(function) -> None:
    assert has_complex(jax.make_jaxpr(function)(SIGNAL))
    known = convertible(function, SIGNAL)
    assert not has_complex(jax.make_jaxpr(known)(SIGNAL))
    (found,), wanted = jax.jit(known)(SIGNAL), function(SIGNAL)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_what_has_no_rule_is_named() -> None:
    with pytest.raises(NotImplementedError, match="FFT"):
        convertible(lambda x: jnp.linalg.norm(jnp.fft.fft(x)), SIGNAL)
    with pytest.raises(NotImplementedError, match="tanh of complex numbers"):
        convertible(lambda x: jnp.tanh(jnp.fft.rfft(x)).real, SIGNAL)


def test_real_functions_have_nothing_complex() -> None:
    assert not has_complex(jax.make_jaxpr(jax.jit(lambda x: x * 2))(SIGNAL))
