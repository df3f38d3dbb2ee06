"""Functions in real parts give what they give with complex numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo.nn import dsp
from zoo.saved.real_parts import without_complex

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


@pytest.mark.parametrize("function", [round_trip, jax.jit(rotated), odd, squared])
def test_what_is_computed_is_the_same(function) -> None:
    traced = jax.make_jaxpr(function)(SIGNAL)
    assert has_complex(traced)
    (found,) = jax.jit(without_complex(traced))(SIGNAL)
    assert not has_complex(jax.make_jaxpr(without_complex(traced))(SIGNAL))
    wanted = function(SIGNAL)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_what_has_no_rule_is_named() -> None:
    traced = jax.make_jaxpr(lambda x: jnp.linalg.norm(jnp.fft.fft(x)))(SIGNAL)
    with pytest.raises(NotImplementedError, match="FFT"):
        without_complex(traced)(SIGNAL)
    traced = jax.make_jaxpr(lambda x: jnp.tanh(jnp.fft.rfft(x)).real)(SIGNAL)
    with pytest.raises(NotImplementedError, match="tanh of complex numbers"):
        without_complex(traced)(SIGNAL)


def test_real_functions_have_nothing_complex() -> None:
    assert not has_complex(jax.make_jaxpr(jax.jit(lambda x: x * 2))(SIGNAL))
