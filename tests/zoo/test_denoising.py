"""Denoising: exactly as long as what went in, however it came in, and no more of it than was asked for."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import zoo
from zoo.bitstream.entropy import Fitter
from zoo.denoising import StreamDenoiser
from zoo.errors import ZooError
from zoo.random_weights import random_like

RATE = 8000
pytestmark = pytest.mark.usefixtures("quick_module")


def ready(family: str, **hyperparameters) -> zoo.ReadyCodec:
    module = zoo.create(family, **hyperparameters)
    audio = jax.ShapeDtypeStruct((1, 960, module.channels), np.float32)
    params = random_like(jax.eval_shape(module.init, jax.random.key(0), audio)["params"])
    coder = Fitter(module.bottleneck.symbols()).fit()
    return zoo.ReadyCodec(module, {"params": params}, coder, {"family": family, "model": hyperparameters})


@pytest.fixture(scope="module")
def codec() -> zoo.ReadyCodec:
    """A mask of random weights, which is another one for every sound."""
    return ready(
        "denoiser", sample_rate=RATE, n_fft=120, hop_length=60, fine_hz=1500.0, group_size=4, width=8, n_blocks=2
    )


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def in_blocks(codec: zoo.ReadyCodec, audio: np.ndarray, rate: int, cuts: list[int], **options) -> np.ndarray:
    stream = StreamDenoiser(codec.engine, rate, audio.shape[1], **options)
    parts = [stream.push(block) for block in np.split(audio, cuts)]
    return np.concatenate([*parts, stream.finish()])


def test_the_mask_does_something_and_nothing_that_is_not_there(codec):
    audio = noise(3 * RATE, 1)
    clean = zoo.denoise(codec, audio)
    assert 1e-3 < np.square(clean - audio).mean() / np.square(audio).mean() < 2
    np.testing.assert_array_equal(zoo.denoise(codec, np.zeros(500, np.float32)), np.zeros(500))


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_blocks_of_any_size_give_what_one_gives(codec, rate):
    audio = noise(rate + 77, 2, seed=1)
    whole = zoo.denoise(codec, audio, rate)
    assert whole.shape == audio.shape
    cuts = sorted(np.random.default_rng(rate).integers(0, len(audio), 9).tolist())
    np.testing.assert_array_equal(in_blocks(codec, audio, rate, cuts), whole)


def test_chunks_of_another_length_change_nothing_that_is_heard(codec):
    audio = noise(2 * RATE, 1, seed=2)
    long, short = in_blocks(codec, audio, RATE, []), in_blocks(codec, audio, RATE, [], chunk_s=0.1)
    np.testing.assert_allclose(short, long, atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (7, 1), (701,), (900, 2), (2, 333, 1), (3, 64, 2)])
def test_shapes_are_kept(codec, shape):
    assert zoo.denoise(codec, noise(*shape)).shape == shape


def test_channels_and_clips_are_cleaned_by_themselves(codec):
    audio = noise(2, 1500, 2)
    together = zoo.denoise(codec, audio)
    for b in range(2):
        for c in range(2):
            np.testing.assert_allclose(zoo.denoise(codec, audio[b, :, c]), together[b, :, c], atol=1e-6)


def test_the_mix_is_between_what_was_and_what_is_clean(codec):
    audio = noise(2000, 1)
    clean = zoo.denoise(codec, audio)
    np.testing.assert_allclose(zoo.denoise(codec, audio, mix=0.0), audio, atol=1e-7)
    half = zoo.denoise(codec, audio, mix=0.5)
    np.testing.assert_allclose(half, (audio + clean) / 2, atol=1e-6)


def test_the_equaliser_comes_behind(codec):
    audio = noise(RATE, 1)
    plain, dull = zoo.denoise(codec, audio), zoo.denoise(codec, audio, eq="3000:-20")
    power = [np.square(np.abs(np.fft.rfft(x[:, 0])))[2990:3010].sum() for x in (plain, dull)]
    assert 10 * np.log10(power[1] / power[0]) == pytest.approx(-20, abs=1)


@pytest.mark.parametrize(
    ("family", "hyperparameters"),
    [
        ("vae", {"sample_rate": 8000, "latent_dim": 8, "widths": (8, 8), "strides": (5, 8), "dilations": (1,)}),
        (
            "gan_vocoder",
            {"sample_rate": 8000, "n_fft": 80, "hop_length": 40, "latent_dim": 8, "encoder_width": 8,
             "encoder_blocks": 1, "decoder_width": 8, "decoder_blocks": 1, "n_codebooks": 2, "codebook_size": 16,
             "code_dim": 2},
        ),
    ],
)  # fmt: skip
def test_a_codec_denoises_through_its_codes_at_the_highest_rate(family, hyperparameters):
    codec = ready(family, **hyperparameters)
    audio = noise(1800, 1)
    expected = codec.decode(codec.encode(audio, level=codec.n_levels - 1))
    np.testing.assert_allclose(zoo.denoise(codec, audio), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"mix": 2.0}, "mix 2 is not between 0"),
        ({"mix": float("nan")}, "mix nan is not between 0"),
        ({"mix": "much"}, "mix must be a number"),
        ({"eq": "loud"}, "a band is HZ:DB"),
        ({"eq": "5000:3"}, "the frequency must lie between 0 and 4000 Hz"),
        ({"sample_rate": 0}, "sample_rate 0"),
    ],
)
def test_values_without_sense_are_refused(codec, options, complaint):
    with pytest.raises(ZooError, match=complaint):
        zoo.denoise(codec, noise(100), **options)


def test_what_is_no_stream_or_block_of_it_is_refused(codec):
    for rate, channels, message in ((0, 1, "sample_rate 0"), (8000, "2", "channels must be a number"), (8000, 0, "0")):
        with pytest.raises(ZooError, match=message):
            StreamDenoiser(codec.engine, rate, channels)
    stream = StreamDenoiser(codec.engine, 8000, 2)
    for block, message in (
        (np.zeros((2, 9), np.float32), r"a block must be \(m, 2\), got shape \(2, 9\); give block.T"),
        (np.full((9, 2), np.nan, np.float32), "NaN"),
        (np.zeros((9, 2), np.int64), "no full scale"),
    ):
        with pytest.raises(ZooError, match=message):
            stream.push(block)


def test_audio_that_is_none_is_refused(codec):
    with pytest.raises(ZooError, match="NaN"):
        zoo.denoise(codec, np.array([0.0, np.nan], np.float32))
    with pytest.raises(ZooError, match="not empty"):
        zoo.denoise(codec, np.zeros(0, np.float32))
