"""The bottleneck of the spectral family against its formulas in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from tests.zoo.nn.test_bottlenecks import BOTTLENECKS, compiled, init, jit, keys, noise
from zoo.nn.bottlenecks.spectral import SpectralGrid


def spectral_latent(powers, coefficients):
    """A latent (1, F, D) of band powers, of which the bottleneck takes log2, and coefficients."""
    powers, coefficients = np.asarray(powers, np.float32), np.asarray(coefficients, np.float32)
    return jnp.asarray(
        np.concatenate([np.log2(powers), coefficients, np.zeros((len(powers), 1))], -1)[None], jnp.float32
    )


def test_spectral_coefficients_round_up_from_six_tenths_of_a_step():
    module = BOTTLENECKS["spectral"]
    latent = spectral_latent([[1.0], [1.0]], [[0.29, 0.31, -0.31], [-0.79, 0.81, 300.0]])
    quantised = compiled(module)(init(module), latent, level=2)
    np.testing.assert_array_equal(quantised.codes[0, :, 1:] - 511, [[0, 1, -1], [-1, 2, 511]])
    np.testing.assert_array_equal(quantised.latent[0, :, 1:], [[0, 0.5, -0.5, -1], [-0.5, 1, 255.5, -1]])


def test_spectral_bands_are_told_in_steps_of_6_db_below_what_zeros_can_have():
    module = BOTTLENECKS["spectral"]
    ceiling = 0.12 * 0.5**2
    powers = ceiling * np.array([100, 1, 0.26, 0.25, 0.1, 4.0**-5, 4.0**-5.4, 4.0**-5.6, 1e-9])[:, None]
    quantised = compiled(module)(init(module), spectral_latent(powers, np.zeros((9, 3))), level=2)
    np.testing.assert_array_equal(quantised.codes[0, :, 0], [0, 0, 1, 1, 2, 5, 5, 6, 6])
    known = 2.0 ** np.asarray(quantised.latent[0, :, 0], np.float64) / ceiling
    np.testing.assert_allclose(known[:7], 4.0 ** -np.array([0, 0, 1, 1, 2, 5, 5]), rtol=1e-5)
    assert (known[7:] < 1e-17).all()


def test_spectral_rate_is_the_logarithm_of_the_cost_under_scales_that_neighbours_tell():
    module = SpectralGrid(0, 1, grid_steps=(1.0,), default=0)
    base, weights = np.log(0.7) / 10, np.log(np.arange(1, 22).reshape(3, 7) / 10) / 10
    params = {"base_tenths": jnp.full(1, base), "context_tenths": jnp.asarray(weights, jnp.float32)}
    values = np.array([0.0, 3.0, 0.4, -20.0])
    frames = jnp.asarray(np.stack([values, np.zeros(4)], -1)[None], jnp.float32)
    many = jnp.repeat(frames, 4000, 0)
    mean = np.exp(compiled(module)({"params": params}, many, keys=keys(4000)).losses["log_rate"]) - 8.0
    seen = np.array([0, 0, 3, 0, 15, 0])  # magnitudes, one frame of nothing at either end, and no more than 15
    scales = 0.7 + weights_of(weights, seen)

    def bits(value, scale):
        offsets = np.linspace(-0.5, 0.5, 2001)
        p = scipy.stats.logistic.cdf(value + offsets + 0.5, scale=scale) - scipy.stats.logistic.cdf(
            value + offsets - 0.5, scale=scale
        )
        return -np.log2(p + 1e-6).mean()

    expected = np.mean([bits(abs(value), scale) for value, scale in zip(values, scales)])
    np.testing.assert_allclose(np.asarray(mean).mean(), expected, rtol=0.01)


def weights_of(log_tenths, seen):
    """What the frames before and after add to the scale of the only dimension."""
    before, _, after = np.exp(10 * log_tenths)[:, 3]
    return np.array([before * seen[i] + after * seen[i + 2] for i in range(4)])


def test_spectral_gradient_passes_straight_through_to_coefficients_and_never_to_bands():
    module = BOTTLENECKS["spectral"]
    latent = spectral_latent(np.ones((4, 1)), np.asarray(noise(4, 3)))

    variables, key = init(module), keys(1)

    @jit
    def gradient(latent):
        def total(latent):
            return module.apply(variables, latent, keys=key, level=jnp.zeros(1, jnp.int32)).latent[..., 1:4].sum()

        return jax.grad(total)(latent)

    np.testing.assert_array_equal(gradient(latent)[0], np.tile([0.0, 1, 1, 1, 0], (4, 1)))
