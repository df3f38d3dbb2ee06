"""The bottleneck of the spectral family against its formulas in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from tests.zoo.nn.test_bottlenecks import BOTTLENECKS, compiled, init, jit, keys, noise
from zoo.nn.bands import N_ENVELOPE, Bands
from zoo.nn.bottlenecks.spectral import SpectralGrid


def spectral_latent(powers, coefficients, envelope=None):
    """A latent (1, F, D) of band powers, of which the bottleneck takes log2, envelopes (F, 4) and coefficients."""
    envelope = np.zeros((len(powers), N_ENVELOPE)) if envelope is None else envelope
    parts = np.log2(powers), envelope, coefficients, np.zeros((len(powers), 1))
    return jnp.asarray(np.concatenate(parts, -1)[None], jnp.float32)


def test_spectral_coefficients_round_up_from_six_tenths_of_a_step():
    module = BOTTLENECKS["spectral"]
    latent = spectral_latent([[1.0], [1.0]], [[0.29, 0.31, -0.31], [-0.79, 0.81, 300.0]])
    quantised = compiled(module)(init(module), latent, level=2)
    np.testing.assert_array_equal(quantised.codes[0, :, 5:] - 511, [[0, 1, -1], [-1, 2, 511]])
    np.testing.assert_array_equal(quantised.latent[0, :, 5:], [[0, 0.5, -0.5, -1], [-0.5, 1, 255.5, -1]])


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
    module = SpectralGrid(Bands((0, 1), shaping=0.0), grid_steps=(1.0,), default=0)
    base, weights = np.log(0.7) / 10, np.log(np.arange(1, 22).reshape(3, 7) / 10) / 10
    params = {"base_tenths": jnp.full(1, base), "context_tenths": jnp.asarray(weights, jnp.float32)}
    values = np.array([0.0, 3.0, 0.4, -20.0])
    frames = spectral_latent(np.ones((4, 1)), values[:, None])
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
            return module.apply(variables, latent, keys=key, level=jnp.zeros(1, jnp.int32)).latent[..., 5:8].sum()

        return jax.grad(total)(latent)

    np.testing.assert_array_equal(gradient(latent)[0], np.tile([0.0] * 5 + [1, 1, 1, 0], (4, 1)))


def test_an_envelope_is_what_its_four_numbers_tell_and_steps_are_its_power():
    bands = Bands(tuple(range(0, 33, 4)), shaping=0.5)
    cosines = np.cos(np.pi / 8 * np.arange(4)[:, None] * (np.arange(8) + 0.5)) * np.sqrt([[1], [2], [2], [2]])
    numbers = np.array([[-20.0, 6.0, -2.0, 4.0], [-6.0, 0.0, 0.0, -4.0], [-36.0, 8.0, 2.0, 0.0]], np.float32)
    log_powers = jnp.asarray(numbers @ cosines, jnp.float32)[None]
    np.testing.assert_allclose(bands.envelope(log_powers)[0], numbers, atol=1e-5)
    symbols = bands.coded(bands.envelope(log_powers))
    np.testing.assert_array_equal(symbols[0], [[7, 5, 2, 5], [0, 2, 3, 1], [15, 6, 4, 3]])
    np.testing.assert_array_equal(bands.decoded(symbols)[0], numbers)
    # a quarter of log2 of the power is half of log2 of the amplitude
    expected = 3.0 + 0.25 * (numbers @ cosines + 16)
    np.testing.assert_allclose(
        bands.log_steps(jnp.asarray(numbers)[None], jnp.full((1, 1, 1), 3.0))[0], expected, rtol=1e-5
    )


def test_numbers_beyond_the_alphabet_are_its_ends():
    bands = Bands(tuple(range(9)), channels=2)
    for value, expected in ((1e3, [0, 0, 7, 7, 7, 7, 7, 7]), (-1e3, [15, 15, 0, 0, 0, 0, 0, 0])):
        np.testing.assert_array_equal(bands.coded(jnp.full((1, 1, 8), value))[0, 0], expected)


def test_bands_of_two_channels_stand_side_by_side():
    bands = Bands((0, 1, 4), channels=2)
    x = jnp.asarray(np.array([1, 10, 2, 20, 3, 30, 4, 40], np.float32))[None, None]
    np.testing.assert_allclose(bands.means(x)[0, 0], [1, 10, 3, 30], rtol=1e-6)
    np.testing.assert_array_equal(bands.spread(x[..., :4])[0, 0], [1, 10, 2, 20, 2, 20, 2, 20])


def test_quantised_steps_follow_the_envelope():
    module = SpectralGrid(Bands((0, 1, 3), shaping=1.0), grid_steps=(0.5,), default=0)
    envelope = np.tile([-14.0, 0, 0, 0], (2, 1))
    quantised = compiled(module)(init(module), spectral_latent(np.ones((2, 2)), [[0.7, 1.3, -2.2]] * 2, envelope))
    # two above the reference of -16, so that steps are twice the level's
    np.testing.assert_array_equal(quantised.latent[0, 0, 6:9], [1.0, 1.0, -2.0])
    np.testing.assert_array_equal(quantised.latent[0, 0, 2:6], envelope[0])
    restored = jit(lambda codes: module.apply(init(module), codes, method="dequantise"))(quantised.codes)
    np.testing.assert_array_equal(restored, quantised.latent)
