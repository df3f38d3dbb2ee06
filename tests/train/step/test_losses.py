"""Every loss against an independent float64 implementation or a number worked out by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.step import losses
from zoo.nn import dsp
from zoo.nn.discriminators import Verdict

RATE = 8000
N_SAMPLES = 3000
LOSSES = losses.reconstruction_losses(RATE)

pytestmark = pytest.mark.usefixtures("quick_module")


def pair(seed: int = 0, batch: int = 3, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Noise in which every example and channel has another level, and a noisy copy of it."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.02, 0.5, (batch, 1, channels))
    x = rng.standard_normal((batch, N_SAMPLES, channels)) * level
    y = x + rng.standard_normal(x.shape) * level * rng.uniform(0.1, 2.0, (batch, 1, 1))
    return x.astype(np.float32), y.astype(np.float32)


@functools.cache
def compiled(name: str) -> Callable[..., tuple[jax.Array, jax.Array]]:
    def weighted(y: jax.Array, x: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = LOSSES[name](x, y)
        return (values * weights).sum(), values

    return jax.jit(jax.value_and_grad(weighted, has_aux=True))


def run(
    name: str, x: np.ndarray, y: np.ndarray, weights: tuple[float, ...] = (1, 1, 1)
) -> tuple[np.ndarray, np.ndarray]:
    """Values (3,), and the gradient with respect to y of their weighted sum; compiled once for all tests."""
    (_, values), gradient = compiled(name)(y, x, jnp.asarray(weights, jnp.float32))
    return np.asarray(values), np.asarray(gradient)


# --- independent implementations, float64, one channel (T,) at a time


def spectrogram(x: np.ndarray, n_fft: int) -> np.ndarray:
    """Complex (F, K): frames centred on multiples of a quarter window, zeros outside; no unit energy yet."""
    hop = n_fft // 4
    window = np.sin(np.pi * np.arange(n_fft) / n_fft) ** 2
    padded = np.concatenate([np.zeros(n_fft // 2), x.astype(np.float64), np.zeros(n_fft // 2)])
    starts = range(0, len(padded) - n_fft + 1, hop)
    return np.stack([np.fft.rfft(padded[start : start + n_fft] * window) for start in starts])


def unit(x: np.ndarray, n_fft: int) -> np.ndarray:
    return spectrogram(x, n_fft) / np.sqrt(3 * n_fft / 8)  # a Hann window's energy


def per_channel(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Mean over channels, which all have equally many values."""

    def over_batch(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        channels = range(x.shape[2])
        return np.array([np.mean([function(a[:, c], b[:, c]) for c in channels]) for a, b in zip(x, y)])

    return over_batch


def snr(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    noise, signal = np.mean((x - y) ** 2, (1, 2)), np.mean(x**2, (1, 2))
    return 10 * np.log10((noise + 1e-7) / (signal + 1e-7))


@per_channel
def spectrogram_mse(x: np.ndarray, y: np.ndarray) -> float:
    a, b = (np.log(np.abs(unit(z, 1024)) + 1e-5) for z in (x, y))
    return float(np.mean((a - b) ** 2))


@per_channel
def complex_stft(x: np.ndarray, y: np.ndarray) -> float:
    terms = []
    for n_fft in (256, 1024):
        a, b = unit(x, n_fft), unit(y, n_fft)
        terms.append(np.mean(np.abs(a - b) / np.sqrt(np.abs(a) + 0.01)))
    return float(np.mean(terms))


def mels(x: np.ndarray, y: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Mel spectrograms of both, for each window."""
    for n_fft, n_mels in ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10)):
        filters = dsp.mel_filterbank(RATE, n_fft, n_mels).astype(np.float64)
        yield [np.abs(spectrogram(z, n_fft)) @ filters for z in (x, y)]


@per_channel
def mel(x: np.ndarray, y: np.ndarray) -> float:
    terms = []
    for a, b in mels(x, y):
        logs = np.log10(np.maximum(a, 1e-5)) - np.log10(np.maximum(b, 1e-5))
        terms.append(np.mean(np.abs(logs)))
    return float(np.mean(terms))


@per_channel
def audible_mel(x: np.ndarray, y: np.ndarray) -> float:
    terms = []
    for a, b in mels(x, y):
        logs = np.abs(np.log10(np.maximum(a, 1e-3)) - np.log10(np.maximum(b, 1e-3)))
        terms.append(np.mean(logs + np.abs(a - b)))
    return float(np.mean(terms))


def stft(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values = []
    for a, b in zip(x, y):
        terms = []
        for n_fft in (2048, 1024, 512):
            m, n = (np.stack([np.abs(unit(z[:, c], n_fft)) for c in range(z.shape[1])]) for z in (a, b))
            terms.append(np.linalg.norm(m - n) / np.linalg.norm(m) + np.mean(np.abs(np.log(m) - np.log(n))))
        values.append(np.mean(terms))
    return np.array(values)


def compressed_magnitude(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values = []
    for a, b in zip(x, y):
        m, n = (np.stack([np.abs(unit(c, 2048)) for c in z.T]) ** 2 for z in (a, b))
        m, n = (m + 1e-6) ** 0.15, (n + 1e-6) ** 0.15
        values.append(np.mean((m - n) ** 2) / np.mean(m**2))
    return np.array(values)


def limited_snr(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    noise, signal = (np.mean(z.astype(np.float64) ** 2, axis=(1, 2)) for z in (x - y, x))
    return 10 * np.log10(noise / (signal + 1e-7) + 0.01)


@per_channel
def envelope_correlation(x: np.ndarray, y: np.ndarray) -> float:
    spectra = []
    for z in (x, y):
        padded = np.concatenate([np.zeros(128), z.astype(np.float64), np.zeros(128)])
        frames = [padded[start : start + 256] for start in range(0, len(padded) - 255, 128)]
        spectra.append(np.abs(np.fft.rfft(np.sin(np.pi * np.arange(256) / 256) ** 2 * frames)) ** 2)
    edges = np.arange(129 + 1) * RATE / 256 - RATE / 512  # of bins, each as high as its power
    envelopes = []
    for power in spectra:
        total = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, 1)], 1)
        centres = [150 * 2 ** (band / 3) for band in range(15) if 150 * 2 ** ((band + 0.5) / 3) <= RATE / 2]
        sides = [[np.interp(c * 2 ** (s / 6), edges, row) for row in total for s in (-1, 1)] for c in centres]
        envelopes.append(np.sqrt(np.diff(np.reshape(sides, (len(centres), -1, 2)))[..., 0]))
    starts = range(0, envelopes[0].shape[1] - 24 + 1, 6)
    pairs = [(a[start : start + 24], b[start : start + 24]) for a, b in zip(*envelopes) for start in starts]
    return float(np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in pairs]))


REFERENCES = {
    "waveform_l1": per_channel(lambda x, y: float(np.mean(np.abs(x.astype(np.float64) - y)))),
    "waveform_mse": per_channel(lambda x, y: float(np.mean((x.astype(np.float64) - y) ** 2))),
    "snr": snr,
    "limited_snr": limited_snr,
    "spectrogram_mse": spectrogram_mse,
    "compressed_magnitude": compressed_magnitude,
    "complex_stft": complex_stft,
    "mel": mel,
    "audible_mel": audible_mel,
    "stft": stft,
    "envelope_correlation": envelope_correlation,
}


def test_all_reconstruction_losses_are_covered() -> None:
    assert set(REFERENCES) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_agrees_with_the_reference_for_each_example(name: str) -> None:
    x, y = pair()
    found, _ = run(name, x, y)
    # `stft` has floors under its root and logarithm that the textbook form lacks: 1e-5 of magnitudes around 0.1
    np.testing.assert_allclose(found, REFERENCES[name](x, y), rtol=2e-3 if name == "stft" else 2e-5)
    assert len(set(np.round(found, 6))) == 3  # the examples differ, or independence would show nothing


@pytest.mark.parametrize("name", LOSSES)
def test_an_example_does_not_depend_on_its_neighbours(name: str) -> None:
    x, y = pair(seed=1)
    other_x, other_y = x.copy(), y.copy()
    other_x[1:], other_y[1:] = 10 * x[1:], 0.0
    np.testing.assert_allclose(run(name, other_x, other_y)[0][0], run(name, x, y)[0][0], rtol=1e-6)
    # nor does its gradient
    _, gradient = run(name, x, y, weights=(1, 0, 0))
    assert np.abs(gradient[0]).max() > 0
    assert np.abs(gradient[1:]).max() == 0


@pytest.mark.parametrize("name", LOSSES)
def test_zero_for_identical_signals_and_finite_with_its_gradient_everywhere(name: str) -> None:
    x, y = pair(seed=2)
    silence = np.zeros_like(x)
    for reference, estimate in ((x, x), (silence, silence), (x, silence), (silence, y), (x, 1e4 * y)):
        for found in run(name, reference, estimate):
            assert np.isfinite(found).all()
    same, nothing = run(name, x, x)[0], run(name, silence, silence)[0]
    if name == "limited_snr":
        np.testing.assert_allclose(same, -20.0, atol=1e-5)
        np.testing.assert_allclose(nothing, -20.0, atol=1e-5)
    elif name == "snr":  # silence kept silent has the floor of 1e-7 on both sides
        np.testing.assert_allclose(nothing, 0.0, atol=1e-6)
        np.testing.assert_allclose(same, 10 * np.log10(1e-7 / (np.mean(x**2, (1, 2)) + 1e-7)), rtol=1e-5)
    else:
        # the spectral convergence has floors of 1e-5 over 1e-3 under its roots
        np.testing.assert_allclose(same, 0.0, atol=1e-3 if name == "stft" else 1e-7)
        np.testing.assert_allclose(nothing, 0.01 if name == "stft" else 0.0, atol=1e-6)


def test_a_tenth_off_is_20_db() -> None:
    x, _ = pair(seed=3)
    # but for the floor of 1e-7 below a noise power of 1e-2 times the signal's
    np.testing.assert_allclose(run("snr", x, np.float32(0.9) * x)[0], -20.0, atol=0.05)
    np.testing.assert_allclose(run("snr", 1e3 * x, np.float32(900) * x)[0], -20.0, atol=1e-4)


def test_values_worked_out_by_hand() -> None:
    x = np.zeros((3, N_SAMPLES, 2), np.float32)
    y = x.copy()
    y[0, ::2, 0] = 0.5
    y[1, ::2] = 0.5
    np.testing.assert_allclose(run("waveform_l1", x, y)[0], [0.125, 0.25, 0.0])
    np.testing.assert_allclose(run("waveform_mse", x, y)[0], [0.0625, 0.125, 0.0])
    # ten times the amplitude is ln 10 apart in every log magnitude and 1 in every log10 mel, whatever the signal
    noise = pair(seed=4)[0] * 100
    np.testing.assert_allclose(run("spectrogram_mse", noise, 10 * noise)[0], np.log(10) ** 2, rtol=1e-3)
    # (the widest bank has more filters than its bins can fill: an empty filter is 1e-5 on both sides)
    filled = [(dsp.mel_filterbank(RATE, n, m).sum(0) > 0).mean() for n, m in losses.MEL_SCALES]
    np.testing.assert_allclose(run("mel", noise, 10 * noise)[0], np.mean(filled), rtol=1e-5)
    # ‖x − 10x‖ / ‖x‖ = 9
    np.testing.assert_allclose(run("stft", noise, 10 * noise)[0], 9 + np.log(10), rtol=1e-4)


def test_complex_stft_hears_phase_where_magnitudes_do_not() -> None:
    x, _ = pair(seed=5)
    assert run("stft", x, -x)[0].max() < 1e-3
    # |X − Y| = 2 |X|
    spectra = [[unit(z[:, c], n) for n in (256, 1024) for c in range(2)] for z in x]
    expected = [np.mean([np.mean(2 * np.abs(s) / np.sqrt(np.abs(s) + 0.01)) for s in z]) for z in spectra]
    np.testing.assert_allclose(run("complex_stft", x, -x)[0], expected, rtol=1e-4)


# --- adversarial


def verdict(logits: list[list[float]], features: tuple[list[list[float]], ...] = ()) -> Verdict:
    return Verdict(jnp.array(logits), tuple(jnp.array(f) for f in features))


def test_adversarial_losses_by_hand() -> None:
    # two examples, two scales of different size: the mean is taken within a scale first
    fake = [verdict([[0.5, -3.0], [2.0, 0.0]]), verdict([[1.0], [-1.0]])]
    real = [verdict([[0.5, 3.0], [-1.0, 1.0]]), verdict([[2.0], [0.0]])]
    hinge = losses.generator_adversarial(fake, "hinge")
    np.testing.assert_allclose(hinge, [(1.25 - 1.0) / 2, (-1.0 + 1.0) / 2], atol=1e-7)
    squares = losses.generator_adversarial(fake, "least_squares")
    np.testing.assert_allclose(squares, [((0.25 + 16) / 2 + 0) / 2, ((1 + 1) / 2 + 4) / 2])
    hinge = losses.discriminator_adversarial(real, fake, "hinge")
    # real: (0.5 + 0)/2 and 0; (2 + 0)/2 and 1. fake: (1.5 + 0)/2 and 2; (3 + 1)/2 and 0
    np.testing.assert_allclose(hinge, [(0.25 + 0.75 + 0 + 2) / 2, (1 + 2 + 1 + 0) / 2])
    squares = losses.discriminator_adversarial(real, fake, "least_squares")
    real_terms = [(0.25 + 4) / 2 + 1, (4 + 0) / 2 + 1]
    fake_terms = [(0.25 + 9) / 2 + 1, (4 + 0) / 2 + 1]
    np.testing.assert_allclose(squares, (np.array(real_terms) + np.array(fake_terms)) / 2)


def test_feature_matching_by_hand() -> None:
    real = [
        verdict([[0.0], [0.0]], ([[1.0, -3.0], [10.0, 10.0]], [[2.0], [4.0]])),
        verdict([[0.0]] * 2, ([[1.0]] * 2,)),
    ]
    fake = [verdict([[0.0], [0.0]], ([[2.0, -3.0], [10.0, 5.0]], [[1.0], [4.0]])), verdict([[0.0]] * 2, ([[1.0]] * 2,))]
    # first example: 0.5 / 2, 1 / 2, 0; second: 2.5 / 10, 0, 0
    np.testing.assert_allclose(losses.feature_matching(real, fake), [0.75 / 3, 0.25 / 3], rtol=1e-4)


def test_feature_matching_teaches_the_generator_only_and_each_example_alone() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)

    def loss(x: jax.Array, y: jax.Array) -> jax.Array:
        real, fake = Verdict(x[..., 0], (x, 2 * x)), Verdict(y[..., 0], (y, 2 * y))
        return losses.feature_matching([real], [fake])

    towards_real, towards_fake = jax.grad(lambda x, y: loss(x, y)[0], (0, 1))(jnp.asarray(x), jnp.asarray(y))
    assert np.abs(towards_real).max() == 0
    assert np.abs(towards_fake[0]).max() > 0
    assert np.abs(towards_fake[1:]).max() == 0
    louder = x.copy()
    louder[1:] *= 100
    np.testing.assert_allclose(loss(louder, y)[0], loss(x, y)[0], rtol=1e-6)


def test_hinge_stops_pushing_beyond_the_margin_and_least_squares_does_not() -> None:
    logits = jnp.array([[2.0, -2.0, 0.5]])

    def discriminator(real: jax.Array, fake: jax.Array, kind: str) -> jax.Array:
        return losses.discriminator_adversarial([Verdict(real, ())], [Verdict(fake, ())], kind)[0]

    real, fake = jax.grad(lambda r, f: discriminator(r, f, "hinge"), (0, 1))(logits, logits)
    np.testing.assert_allclose(real, [[0, -1 / 3, -1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(fake, [[1 / 3, 0, 1 / 3]], rtol=1e-6)
    real, _ = jax.grad(lambda r, f: discriminator(r, f, "least_squares"), (0, 1))(logits, logits)
    np.testing.assert_allclose(real, 2 * (np.asarray(logits) - 1) / 3, rtol=1e-6)
