"""A padded batch is its single clips, and so are clips of any lengths that share compiled shapes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo.features import clips
from zoo.features.extraction import FRAMED

RATE = 8000
SIZES = {"n_fft": 256, "hop_length": 64, "n_mels": 20, "n_mfcc": 8}


def noise(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    swelling = np.abs(np.sin(np.arange(n) / 700)) + 0.01
    return (0.2 * swelling * rng.standard_normal(n)).astype(np.float32)


def agree(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    scale = max(float(np.abs(expected).max()), 1e-6)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)


def test_a_padded_batch_is_its_single_clips(quick):
    lengths = np.random.default_rng(0).integers(1, 9000, 3)
    audio = np.full((3, 10_000), np.inf, np.float32)  # padding may hold anything
    for row, n in enumerate(lengths):
        audio[row, :n] = noise(n, row)
    together = zoo.features.extract(audio, RATE, n_samples=lengths, **SIZES)
    assert set(together) == set(zoo.features.NAMES)
    for row, n in enumerate(lengths):
        alone = zoo.features.extract(audio[row, :n], RATE, **SIZES)
        n_frames = zoo.features.n_frames(int(n), 64)
        for name in together:
            found = np.asarray(together[name][row])
            if name in FRAMED:
                assert not found[n_frames:].any(), name
                found = found[:n_frames]
            agree(found, np.asarray(alone[name]))


def test_axes_before_time_count_clips(quick):
    audio = np.stack([[noise(3000, 3 * i + j) for j in range(3)] for i in range(2)])
    lengths = np.array([[3000, 500, 64], [63, 1, 2999]])
    found = zoo.features.extract(audio, RATE, ("mfcc", "tempo"), lengths, **SIZES)
    assert found["mfcc"].shape == (2, 3, 47, 8)
    assert found["tempo"].shape == (2, 3)
    flat = zoo.features.extract(audio.reshape(6, -1), RATE, ("mfcc", "tempo"), lengths.reshape(-1), **SIZES)
    agree(np.asarray(found["mfcc"]).reshape(6, 47, 8), np.asarray(flat["mfcc"]))


def test_clips_of_any_lengths_share_compiled_shapes(quick):
    lengths = np.random.default_rng(5).integers(1, 20_000, 100)
    assert len({clips.padded_length(int(n)) for n in lengths}) < 20
    # of 66 clips two are taken later than the others
    all_clips = [noise(int(n), i) for i, n in enumerate(np.random.default_rng(6).integers(8193, 9216, 66))]
    all_clips[1] = noise(700, 1)
    names = ("log_mel", "zero_crossing_rate")
    results = list(zoo.features.extract_each(iter(all_clips), RATE, names, batch_size=4, **SIZES))
    assert len(results) == len(all_clips)
    for i in (1, 65):
        alone = zoo.features.extract(all_clips[i], RATE, names, **SIZES)
        for name in names:
            agree(results[i][name], np.asarray(alone[name]))


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 5000, 44_100, 48_000 * 60, 2**20])
def test_padding_is_an_eighth_at_most(n):
    padded = clips.padded_length(n)
    assert n <= padded <= max(4096, 1.125 * n + 1)
    assert clips.padded_length(padded) == padded


def test_functions_are_pure(quick):
    audio = jnp.asarray(noise(3000, 0))
    direct = zoo.features.mfcc(audio, RATE, n_mels=20, n_mfcc=8, n_fft=256, hop_length=64)

    def mfcc(x: jax.Array, n: jax.Array) -> jax.Array:
        return zoo.features.mfcc(x, RATE, n, n_mels=20, n_mfcc=8, n_fft=256, hop_length=64)

    traced = jax.jit(jax.vmap(mfcc))(jnp.stack([audio, audio]), jnp.array([3000, 3000]))
    agree(np.asarray(traced[1]), np.asarray(direct))
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(mfcc(x, jnp.array(2000)))))(audio)
    assert np.isfinite(gradient).all()
    assert gradient[:2000].any()
    assert not gradient[2000:].any()
