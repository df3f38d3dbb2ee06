"""MDCT and PCA as a codec: the basis against numpy, near-perfect reconstruction, and the gain that meets a rate."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate import pca
from evaluate.clips import Clip
from evaluate.run import run
from evaluate.systems import CodecSystem
from zoo import families
from zoo.bitstream.entropy import Fitter
from zoo.errors import ZooError
from zoo.nn import dsp
from zoo.ready import ReadyCodec

RATE = 8000


@functools.cache
def autoencoder(channels: int = 1, latent_dim: int = 16, levels: tuple[int, ...] = (63, 15)) -> ReadyCodec:
    model: dict[str, Any] = {
        "sample_rate": RATE,
        "channels": channels,
        "hop_length": 32,
        "latent_dim": latent_dim,
        "levels": levels,
        "width": 8,
        "n_blocks": 1,
        "companding": 0.7,
        "latent_scale": 8.0,
    }
    module = families.create("autoencoder", **model)
    # its own weights play no part
    return ReadyCodec(module, {}, Fitter(module.bottleneck.symbols()).fit(), {"family": "autoencoder", "model": model})


def clip(seed: int, n: int = 4000, channels: int = 1) -> Clip:
    """Noise with a spectrum that falls and a level that changes."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, channels))
    for _ in range(2):
        x = np.convolve(x[:, 0], [0.5, 0.5], "same")[:, None] * np.ones(channels) + 0.05 * x
    loudness = 0.1 + 0.1 * np.sin(np.arange(n) / 900)[:, None]
    return Clip(f"clip{seed}", "noise", (loudness * x).astype(np.float32), RATE)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_in=st.integers(2, 12), n_rows=st.integers(20, 9000))
def test_basis_is_orthonormal_and_that_of_eigh(seed: int, n_in: int, n_rows: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n_rows, n_in)) @ rng.standard_normal((n_in, n_in)) + 0.3).astype(np.float32)
    n = int(rng.integers(1, n_in + 1))
    found = pca.principal_components(x, n)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(n), atol=1e-5)
    values, vectors = np.linalg.eigh(x.T.astype(np.float64) @ x / n_rows)
    np.testing.assert_allclose(found.variances, values[::-1], rtol=1e-4, atol=1e-4 * values[-1])
    assert abs(found.basis[:, 0] @ vectors[:, -1]) == pytest.approx(1, abs=1e-3)
    # the components' powers are the eigenvalues, in falling order
    powers = np.mean((x @ found.basis) ** 2, axis=0)
    np.testing.assert_allclose(powers, values[::-1][:n], rtol=1e-3, atol=1e-4 * values[-1])


def test_analysis_is_the_mdct_of_the_padded_clip() -> None:
    found = pca.Analysis(autoencoder().metadata["model"], 1.0)(clip(0, 1000))
    padded = np.pad(clip(0, 1000).samples[:, 0], (16, 32 * 33 - 1016))
    expected = np.asarray(dsp.mdct(jnp.asarray(padded), 32))
    assert found.shape == (33, 32)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    companded = pca.Analysis(autoencoder().metadata["model"], 0.5)(clip(0, 1000))
    big = np.abs(expected) > 0.05
    np.testing.assert_allclose(companded[big], (np.sign(expected) * np.abs(expected) ** 0.5)[big], atol=0.04)


@pytest.mark.parametrize(("companding", "channels"), [(1.0, 1), (0.7, 1), (1.0, 2)])
def test_all_dimensions_and_many_levels_reconstruct_nearly_perfectly(companding: float, channels: int) -> None:
    codec = autoencoder(channels, 32 * channels, (1023,))
    analysis = pca.Analysis(codec.metadata["model"], companding)
    measured = clip(1, channels=channels)
    transform = pca.principal_components(np.concatenate([analysis(clip(0, channels=channels))]), 32 * channels)
    peak = np.abs(analysis(measured) @ transform.basis).max()
    rival = pca.rival_codec(codec, transform, companding, 500 / peak)
    encoded = rival.encode(measured.samples)
    error = rival.decode(encoded) - measured.samples
    assert 10 * np.log10(np.sum(measured.samples**2) / np.sum(error**2)) > 45
    # few dimensions keep the share of the energy that their eigenvalues promise
    few = pca.principal_components(analysis(measured), 4)
    if companding == 1.0 and channels == 1:
        small = autoencoder(1, 4, (1023,))
        lossy = pca.rival_codec(small, few, 1.0, 500 / peak)
        error = lossy.decode(lossy.encode(measured.samples)) - measured.samples
        lost = few.variances[4:].sum() / few.variances.sum()
        assert np.sum(error**2) / np.sum(measured.samples**2) == pytest.approx(lost, rel=0.15)


@settings(max_examples=30, deadline=None)
@given(target=st.floats(0.5, 200), scale=st.floats(1, 1000))
def test_gain_meets_the_rate(target: float, scale: float) -> None:
    def rate(gain: float) -> float:
        return 20 * math.log2(1 + gain / scale)

    assert rate(pca.find_gain(rate, target)) == pytest.approx(target, rel=pca.RATE_TOLERANCE)


def test_impossible_rates_are_errors() -> None:
    with pytest.raises(ZooError, match="does not reach"):
        pca.find_gain(lambda gain: 1 - 1 / (1 + gain), 2.0)
    with pytest.raises(ZooError, match="costs more"):
        pca.find_gain(lambda gain: 3 + gain, 2.0)
    with pytest.raises(ZooError, match="no training audio"):
        pca.fit_rival(autoencoder(), [], [clip(0)], 10.0, 1.0)


@pytest.mark.usefixtures("quick")
def test_rival_costs_what_was_asked_and_beats_any_other_basis(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = autoencoder()
    training, measured = [clip(i) for i in range(2, 6)], [clip(0), clip(1, 3900)]
    rival = pca.fit_rival(codec, training, measured, 8.0, 1.0)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 16)))
    other = pca.Transform(rotation.astype(np.float32), np.ones(32))
    monkeypatch.setattr(pca, "principal_components", lambda coefficients, n: other)
    worse = pca.fit_rival(codec, training, measured, 8.0, 1.0)
    errors = []
    for system in (rival, worse):
        trials = [run(CodecSystem(system, "mdct_pca"), one) for one in measured]
        assert sum(t.coded.payload_bytes for t in trials) == pytest.approx(8.0 * 125 * 7900 / RATE, rel=0.01)
        errors.append(sum(np.sum((t.reference - t.estimate) ** 2) for t in trials))
    assert errors[0] < 0.5 * errors[1]
    # the first latents carry the most
    kernel = rival.variables["params"]["encoder"]["trunk"]["linear"]["kernel"][0]
    powers = np.mean((pca.Analysis(codec.metadata["model"], 1.0)(training[0]) @ kernel) ** 2, axis=0)
    assert powers[0] > powers[5] > powers[15]


def test_training_clips_are_deterministic_and_last_as_long_as_asked() -> None:
    found = [list(pca.training_clips(None, autoencoder(), 9.0)) for _ in range(2)]
    assert [len(c.samples) for c in found[0]] == [4 * RATE] * 3
    for a, b in zip(*found):
        np.testing.assert_array_equal(a.samples, b.samples)
