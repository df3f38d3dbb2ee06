"""Transforms against scipy and formulas written out in float64, inverses and transposes over random sizes."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.signal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.nn import dsp

pytestmark = pytest.mark.usefixtures("quick_module")

# every new size is compiled: few of them, and no search for a smaller failure
few = settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
# one program for each size, not one for each operation
frame = jax.jit(dsp.frame, static_argnums=(1, 2))
overlap_add = jax.jit(dsp.overlap_add, static_argnums=1)
stft = jax.jit(dsp.stft, static_argnums=(1, 2))
istft = jax.jit(dsp.istft, static_argnums=(1, 2))
mdct, imdct = (jax.jit(function, static_argnums=1) for function in (dsp.mdct, dsp.imdct))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def complex_noise(*shape, seed=0):
    return (noise(*shape, seed=seed) + 1j * noise(*shape, seed=seed + 1)).astype(np.complex64)


@pytest.mark.parametrize("n", [8, 60, 512, 2048])
def test_hann_window_is_scipys_periodic_one(n):
    np.testing.assert_allclose(dsp.hann_window(n), scipy.signal.get_window("hann", n), atol=1e-7)


@few
@given(st.integers(1, 12), st.integers(1, 40), st.integers(0, 40), st.sampled_from([(), (2,), (2, 3)]))
def test_frames_are_windows_of_the_signal(hop, length, extra, batch):
    x = noise(*batch, length + extra)
    expected = np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::hop, :]
    np.testing.assert_array_equal(frame(x, length, hop), expected)


@few
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 9), st.sampled_from([(), (2,), (2, 3)]))
def test_overlap_add_sums_shifted_frames(hop, overlap, n_frames, batch):
    frames = noise(*batch, n_frames, hop * overlap)
    expected = np.zeros((*batch, (n_frames - 1 + overlap) * hop))
    for f in range(n_frames):
        expected[..., f * hop : (f + overlap) * hop] += frames[..., f, :]
    np.testing.assert_allclose(overlap_add(frames, hop), expected, atol=1e-5)


@few
@given(st.integers(1, 3000), st.sampled_from([(512, 128), (256, 64), (60, 20), (64, 64), (400, 160)]))
def test_centred_stft_is_scipys(n_samples, sizes):
    n_fft, hop = sizes
    x = noise(2, n_samples)
    # scipy divides by the window's sum, and adds n_fft / 2 zeros each side
    window = scipy.signal.get_window("hann", n_fft)
    padded = np.pad(x.astype(np.float64), ((0, 0), (n_fft // 2, n_fft // 2)))
    *_, expected = scipy.signal.stft(
        padded, window=window, nperseg=n_fft, noverlap=n_fft - hop, boundary=None, padded=False
    )
    spec = stft(x, n_fft, hop)
    assert spec.dtype == jnp.complex64
    assert spec.shape[1] == 1 + n_samples // hop
    np.testing.assert_allclose(spec, np.swapaxes(expected, 1, 2) * window.sum(), atol=2e-4)


@pytest.mark.parametrize("padding", ["same", "none"])
def test_stft_of_other_paddings_is_the_formula(padding):
    n_fft, hop = 96, 32
    x, window = noise(2, 320), noise(n_fft, seed=5)
    padded = np.pad(x, ((0, 0), (32, 32))) if padding == "same" else x
    starts = range(0, padded.shape[1] - n_fft + 1, hop)
    expected = np.stack([np.fft.rfft(padded[:, s : s + n_fft].astype(np.float64) * window) for s in starts], axis=1)
    assert len(starts) == (10 if padding == "same" else 8)
    spec = dsp.stft(x, n_fft, hop, padding=padding, window=window)
    np.testing.assert_allclose(spec, expected, atol=1e-4)


def test_stft_computes_in_float32_whatever_comes_in():
    x = jnp.asarray(noise(512), jnp.bfloat16)
    np.testing.assert_array_equal(dsp.stft(x, 128, 32), dsp.stft(x.astype(jnp.float32), 128, 32))


@few
@given(st.integers(1, 24), st.integers(2, 6), st.integers(1, 30))
def test_istft_inverts_stft_to_the_very_edges(half_hop, overlap, n_frames):
    hop = 2 * half_hop
    n_fft = overlap * hop
    x = noise(2, n_frames * hop)

    @jax.jit
    def there_and_back(x):
        spec = dsp.stft(x, n_fft, hop, padding="same")
        return spec, dsp.istft(spec, n_fft, hop)

    spec, again = there_and_back(x)
    assert spec.shape[1] == n_frames
    np.testing.assert_allclose(again, x, atol=5e-6)


def test_istft_of_any_spectrum_is_the_least_squares_formula():
    n_fft, hop, n_frames = 128, 32, 11
    spec, window = complex_noise(n_frames, n_fft // 2 + 1), scipy.signal.get_window("hann", n_fft)
    total, envelope = np.zeros((2, (n_frames - 1) * hop + n_fft))
    for f in range(n_frames):
        total[f * hop : f * hop + n_fft] += np.fft.irfft(spec[f].astype(np.complex128)) * window
        envelope[f * hop : f * hop + n_fft] += window**2
    kept = slice((n_fft - hop) // 2, (n_fft - hop) // 2 + n_frames * hop)
    np.testing.assert_allclose(istft(spec, n_fft, hop), total[kept] / envelope[kept], atol=1e-5)


def test_masked_frames_leave_no_trace():
    n_fft, hop, lengths = 128, 32, [3, 9, 1, 12]
    spec = complex_noise(4, 12, n_fft // 2 + 1)
    mask = np.arange(12)[None, :] < np.array(lengths)[:, None]
    spec[~mask] = np.nan
    audio = np.asarray(istft(spec, n_fft, hop, mask=mask))
    for i, n in enumerate(lengths):
        alone = istft(spec[i, :n], n_fft, hop)
        np.testing.assert_allclose(audio[i, : n * hop], alone, atol=1e-6)
        assert not np.any(audio[i, n * hop :])


def test_magnitude_is_exact_and_its_gradient_finite_at_zero():
    spec = complex_noise(50)
    magnitude = jax.jit(dsp.magnitude)
    np.testing.assert_allclose(magnitude(spec), np.abs(spec.astype(np.complex128)), rtol=1e-6)
    np.testing.assert_allclose(magnitude(np.zeros(3, np.complex64), eps=1e-3), 1e-3, rtol=1e-6)

    def loss(x):
        spectrum = dsp.stft(x, 64, 16, padding="same")
        mask = jnp.arange(spectrum.shape[-2]) < 3
        return jnp.sum(dsp.magnitude(spectrum)) + jnp.sum(dsp.istft(spectrum, 64, 16, mask=mask))

    assert np.all(np.isfinite(jax.jit(jax.grad(loss))(np.zeros(160, np.float32))))
    # away from zero it is the derivative of |z|
    gradient = jax.jit(jax.grad(lambda a: dsp.magnitude(jax.lax.complex(a, 4.0 * jnp.ones(())))))(3.0)
    assert gradient == pytest.approx(0.6, rel=1e-6)


@pytest.mark.parametrize("hop", [2, 240, 512])
def test_mdct_basis_is_orthonormal_within_and_between_frames(hop):
    basis = dsp.mdct_basis(hop).astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(hop), atol=1e-5)
    np.testing.assert_allclose(basis[hop:].T @ basis[:hop], 0.0, atol=1e-5)


@pytest.mark.parametrize("hop", [2, 16, 240])
def test_mdct_is_a_folded_dct_iv(hop):
    x, half = noise(2, 6 * hop), hop // 2
    padded = np.pad(x.astype(np.float64), ((0, 0), (half, half)))
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
    expected = []
    for f in range(6):
        a, b, c, d = np.split(padded[:, f * hop : (f + 2) * hop] * window, 4, axis=1)
        folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
        expected.append(scipy.fft.dct(folded, type=4, norm="ortho"))
    np.testing.assert_allclose(mdct(x, hop), np.stack(expected, axis=1), atol=2e-5)


@few
@given(st.integers(1, 40), st.integers(1, 12))
def test_imdct_inverts_mdct_inside_and_is_its_transpose_everywhere(half_hop, n_frames):
    hop = 2 * half_hop
    x, coefficients = noise(2, n_frames * hop), noise(2, n_frames, hop, seed=1)
    transformed = np.asarray(mdct(x, hop))
    assert transformed.shape == coefficients.shape
    inside = slice(half_hop, n_frames * hop - half_hop)
    np.testing.assert_allclose(np.asarray(imdct(transformed, hop))[:, inside], x[:, inside], atol=1e-5)
    left = np.vdot(transformed, coefficients)
    right = np.vdot(x, imdct(coefficients, hop))
    assert left == pytest.approx(right, abs=float(1e-6 * np.linalg.norm(x) * np.linalg.norm(coefficients)))


def test_mdct_keeps_energy_and_a_whole_clip_between_hops_of_zeros():
    hop = 48
    x = np.pad(noise(10 * hop), hop)
    coefficients = np.asarray(mdct(x, hop))
    assert np.sum(np.square(coefficients)) == pytest.approx(np.sum(np.square(x)), rel=1e-5)
    np.testing.assert_allclose(imdct(coefficients, hop), x, atol=1e-5)


# of some filters (columns): index, strongest bin, its weight, sum of weights; computed with librosa 0.10.2, filters.mel
LIBROSA = {
    (24000, 2048, 150, 0.0, None): [
        (1, 4, 0.04092275, 0.0852102),
        (50, 100, 0.03314243, 0.08536416),
        (75, 179, 0.01845887, 0.08516266),
        (149, 1000, 0.003594174, 0.08531393),
    ],
    (44100, 512, 80, 0.0, None): [
        (1, 1, 0.01507616, 0.01507616),
        (26, 16, 0.007583462, 0.01124931),
        (40, 33, 0.0052074, 0.01128499),
        (79, 243, 0.0009142107, 0.01160087),
    ],
    (16000, 1024, 64, 50.0, 7000.0): [
        (1, 9, 0.02116108, 0.06364936),
        (21, 65, 0.0196812, 0.06364486),
        (32, 106, 0.01307713, 0.06408171),
        (63, 428, 0.003269139, 0.0639867),
    ],
}


@pytest.mark.parametrize(("arguments", "rows"), LIBROSA.items())
def test_mel_filters_are_librosas(arguments, rows):
    filters = dsp.mel_filterbank(*arguments)
    assert filters.shape == (arguments[1] // 2 + 1, arguments[2])
    for index, strongest, weight, total in rows:
        assert np.argmax(filters[:, index]) == strongest
        assert filters[strongest, index] == pytest.approx(weight, rel=1e-5)
        assert np.sum(filters[:, index]) == pytest.approx(total, rel=1e-5)


def test_mel_filters_are_unit_area_triangles_between_slaney_corners():
    # 6400 Hz is mel 15 + 27 = 42 by definition, so that 41 filters up to there have their corners on whole mels
    corners = np.array([200 / 3 * m if m <= 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in range(43)])
    n_fft = 4096
    filters = dsp.mel_filterbank(16000, n_fft, 41, 0.0, 6400.0)
    frequencies = np.arange(n_fft // 2 + 1) * 16000 / n_fft
    for i in range(41):
        low, centre, high = corners[i : i + 3]
        expected = np.interp(frequencies, [low, centre, high], [0.0, 2 / (high - low), 0.0])
        np.testing.assert_allclose(filters[:, i], expected, atol=1e-8)


def test_constants_are_cached_and_cannot_be_overwritten():
    for constant in (dsp.hann_window(64), dsp.mdct_basis(64), dsp.mel_filterbank(16000, 512, 20)):
        with pytest.raises(ValueError, match="read-only"):
            constant[0] = 1.0
    assert dsp.mel_filterbank(16000, 512, 20) is dsp.mel_filterbank(16000, 512, 20)


@pytest.mark.parametrize(
    ("call", "culprit"),
    [
        (lambda: dsp.stft(jnp.zeros(100), 64, 0), "hop_length must be at least 1, got 0"),
        (lambda: dsp.stft(jnp.zeros(100), 64, 16, padding="same"), "multiple of 16, got 100"),
        (lambda: dsp.stft(jnp.zeros(99), 66, 33, padding="same"), "n_fft - hop_length even"),
        (lambda: dsp.stft(jnp.zeros(60), 64, 16, padding="none"), "64 samples out of 60"),
        (lambda: dsp.stft(jnp.zeros(64), 64, 16, padding="reflect"), "unknown padding 'reflect'"),
        (lambda: dsp.istft(jnp.zeros((3, 40), jnp.complex64), 78, 30), "multiple of hop_length 30"),
        (lambda: dsp.istft(jnp.zeros((3, 33), jnp.complex64), 64, 24), "multiple of hop_length 24"),
        (lambda: dsp.overlap_add(jnp.zeros((3, 10)), 4), "multiple of hop_length 4"),
        (lambda: dsp.mdct(jnp.zeros(45), 15), "even hop_length, got 15"),
        (lambda: dsp.mdct(jnp.zeros(45), 16), "multiple of 16, got 45"),
        (lambda: dsp.mel_filterbank(16000, 512, 20, 5000.0, 4000.0), "f_min 5000"),
    ],
)
def test_bad_sizes_are_named(call, culprit):
    with pytest.raises(ZooError, match=culprit):
        call()


@pytest.mark.parametrize("padding", get_args(dsp.Padding))
def test_no_gather_or_scatter_is_compiled(padding):
    def loss(x):
        return jnp.sum(dsp.magnitude(dsp.stft(x, 128, 32, padding=padding)))

    text = jax.jit(jax.grad(loss)).lower(jnp.zeros((2, 640))).as_text()
    assert "fft" in text
    assert "gather" not in text
    assert "scatter" not in text


def test_third_octaves_have_powers_of_their_width_and_none_beyond_half_the_rate():
    bands = dsp.third_octaves(16000, 512, 150.0, 30)
    centres = 150.0 * 2.0 ** (np.arange(30) / 3)
    inside = centres[centres * 2 ** (1 / 6) <= 8000]
    assert bands.shape == (257, len(inside)) == (257, 17)
    # white noise: as much power as they are wide, also where a band is narrower than a bin
    np.testing.assert_allclose(bands.sum(0) * 16000 / 512, inside * (2 ** (1 / 6) - 2 ** (-1 / 6)), rtol=1e-5)
    # neighbours share the bins on their borders, and leave nothing between them
    covered = (np.arange(257) * 31.25 > inside[0]) & (np.arange(257) * 31.25 < inside[-1])
    np.testing.assert_allclose(bands.sum(1)[covered], 1.0, rtol=1e-5)
    with pytest.raises(ZooError, match="no third-octave band from 150 Hz on fits below 100 Hz"):
        dsp.third_octaves(200, 64, 150.0, 15)
