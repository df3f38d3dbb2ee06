"""Embeddings: of any length, rate and number of channels; what follows the waveform is told from what does not."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, SMALL, make, sound
from zoo.bitstream import entropy
from zoo.errors import ZooError
from zoo.random_weights import random_variables
from zoo.recognise import clips, embedding, layers


def close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 2e-3) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance)


def test_a_padded_batch_gives_what_its_clips_give_alone(small):
    pieces = [sound(n, seed=n) for n in (RATE // 2, 1234, 3)]
    batch = np.stack([np.pad(piece, ((0, RATE // 2 - len(piece)), (0, 0)), constant_values=9) for piece in pieces])
    together = small(batch, np.array([len(piece) for piece in pieces], np.int32))
    for i, piece in enumerate(pieces):
        alone = small(piece[None], np.array([len(piece)], np.int32))
        close({name: x[i] for name, x in together.items()}, {name: x[0] for name, x in alone.items()})


def denoiser() -> zoo.ReadyCodec:
    """Its encoder works on bands, in arrays of four axes: only some of its layers are sequences."""
    module = zoo.create("denoiser", sample_rate=RATE, n_fft=80, hop_length=40, width=8, n_blocks=4)
    fitted = entropy.Fitter(module.bottleneck.symbols()).fit()
    return zoo.ReadyCodec(module, random_variables(module), fitted, {})


@pytest.mark.parametrize("name", ["autoencoder", "vae", "gan_vocoder", "denoiser"])
def test_layers_of_every_family_are_found(name):
    codec = make(name) if name in SMALL else denoiser()
    paths = layers.choose(codec.module, codec.variables)
    assert 4 <= len(paths) <= layers.MOST
    n = codec.hop_length * 9
    found = jax.eval_shape(
        lambda audio, lengths: layers.encode(codec.module, codec.variables, audio, lengths, paths),
        jax.ShapeDtypeStruct((2, n, codec.channels), np.float32),
        jax.ShapeDtypeStruct((2,), np.int32),
    )
    assert set(found.layers) == set(paths)
    for output in found.layers.values():
        assert output.ndim == 3
        assert output.shape[1] % found.latent.shape[1] == 0


def test_what_follows_the_waveform_is_known_by_its_sign(small):
    """The latents of an MDCT are odd in the sound, and only their levels count; log spectra are even."""
    linear = embedding.embedder(make("autoencoder", n_blocks=0), ("latent",)).calibrations["latent"]
    assert linear.evenness.max() < 0.05
    clip = sound(RATE // 2)
    one, other = (clips.vectors(embedding.restored(make("autoencoder", n_blocks=0), (), {"latent": linear.arrays}),
                                sign * clip, RATE)["latent"] for sign in (1, -1))  # fmt: skip
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_channels_and_rates_are_the_codecs_and_long_clips_are_averaged(small, monkeypatch):
    clip = sound(RATE)
    mono = clips.vectors(small, clip, RATE)
    close(clips.vectors(small, np.repeat(clip, 2, axis=1), RATE), mono)
    close(clips.vectors(small, clip[:, 0], RATE), mono)
    monkeypatch.setattr(clips, "PIECE_S", 0.5)
    halves = [clips.vectors(small, half, RATE) for half in np.split(clip, 2)]
    close(clips.vectors(small, clip, RATE), {name: (halves[0][name] + halves[1][name]) / 2 for name in mono})


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.zeros(1, np.float32), np.ones(3, np.float32)])
def test_silence_and_clips_shorter_than_a_frame_have_vectors(small, samples):
    for vector in clips.vectors(small, samples, RATE).values():
        assert np.isfinite(vector).all()


def test_an_embedder_is_made_again_of_its_arrays(small):
    again = embedding.restored(small.codec, small.paths, {k: v.arrays for k, v in small.calibrations.items()})
    close(clips.vectors(again, sound(2000), RATE), clips.vectors(small, sound(2000), RATE), 0)


def test_only_one_clip_at_a_time(small):
    with pytest.raises(ZooError, match=r"a clip is \(T,\) or \(T, C\)"):
        clips.vectors(small, np.zeros((2, 100, 1), np.float32), RATE)


def test_padding_wastes_a_quarter_at_most():
    for n in (1, 100, 1999, 2000, 2001, 39_999, 40_000, 80_000):
        padded = clips._padded(n, RATE)
        assert n <= padded <= max(1.26 * n, RATE / 4)
