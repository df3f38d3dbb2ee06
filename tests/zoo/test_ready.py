"""The codec that a user holds: shapes, rates, channels, lengths, levels, and what it refuses.

Most tests use an autoencoder that quantises so finely that audio comes back as it was, so that a channel in
the wrong place, a delay or a wrong scale is heard.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import zoo
from zoo.bitstream.entropy import Fitter
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 16_000

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

some = settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def ready(family: str, **hyperparameters) -> zoo.ReadyCodec:
    module = zoo.create(family, sample_rate=RATE, **hyperparameters)
    audio = jnp.zeros((1, 4 * module.hop_length, module.channels))
    variables = jit(module.init)(jax.random.key(0), audio)
    return zoo.ReadyCodec(module, variables, Fitter(module.bottleneck.symbols()).fit())


def fine(channels: int) -> zoo.ReadyCodec:
    return ready(
        "autoencoder",
        channels=channels,
        hop_length=40,
        latent_dim=40 * channels,
        levels=(65_535,),
        n_blocks=0,
        companding=1.0,
        latent_scale=1000.0,
    )


@pytest.fixture(scope="module")
def mono():
    return fine(1)


@pytest.fixture(scope="module")
def stereo():
    return fine(2)


@pytest.fixture(scope="module")
def vq():
    options = {"latent_dim": 8, "encoder_width": 16, "encoder_blocks": 1, "decoder_width": 16, "decoder_blocks": 1}
    return ready("gan_vocoder", n_fft=160, hop_length=40, n_codebooks=4, codebook_size=16, code_dim=3, **options)


@pytest.fixture(scope="module")
def vae():
    options = {"latent_dim": 20, "widths": (8, 8), "strides": (5, 4), "dilations": (1,)}
    return ready("vae", grid_steps=(8.0, 2.0, 0.5), **options)


def sound(*shape: int, sample_rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Low sines of random frequency per channel and clip, (..., T, C), that fade in and out."""
    rng = np.random.default_rng(seed)
    *batch, length, channels = shape
    t = np.arange(length)[:, None] / sample_rate
    frequency = rng.uniform(200, 900, (*batch, 1, channels))
    fade = np.sin(np.pi * (np.arange(length) + 0.5) / length)[:, None]
    return (0.5 * fade * np.sin(2 * np.pi * frequency * t + rng.uniform(0, 6))).astype(np.float32)


def snr_db(reference, estimate) -> float:
    error = np.asarray(reference, np.float64) - np.asarray(estimate, np.float64)
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / np.square(error).sum()))


@pytest.mark.parametrize("shape", [(600,), (600, 1), (600, 2), (1, 600, 1), (2, 600, 1), (2, 600, 2)])
@pytest.mark.parametrize("name", ["mono", "stereo"])
def test_audio_of_every_layout_comes_back_as_it_was(name, shape, request):
    codec = request.getfixturevalue(name)
    audio = sound(*shape) if len(shape) > 1 else sound(600, 1)[:, 0]
    encoded = codec.encode(audio)
    decoded = codec.decode(encoded)
    assert decoded.shape == shape
    assert decoded.dtype == np.float32
    assert snr_db(audio, decoded) > 40
    assert encoded.codes.dtype == np.int32
    clips = 1 if len(shape) < 3 else shape[0]
    channels = 1 if len(shape) < 2 else shape[-1]
    rows = clips * (channels if codec.channels < channels else 1)
    assert encoded.codes.shape == (rows, codec.module.n_frames(600), codec.symbols.n_codebooks)


def test_mono_through_a_stereo_codec_is_both_channels(stereo):
    audio = sound(600, 1)
    encoded = stereo.encode(audio)
    both = stereo.encode(np.repeat(audio, 2, axis=1))
    np.testing.assert_array_equal(encoded.codes, both.codes)


def test_integers_are_pcm(mono):
    exact = sound(600, 1)
    sixteen = np.round(exact * 2**15).astype(np.int16)
    thirty_two = sixteen.astype(np.int32) * 2**16
    expected = mono.encode(sixteen.astype(np.float32) / 2**15).codes
    np.testing.assert_array_equal(mono.encode(sixteen).codes, expected)
    np.testing.assert_array_equal(mono.encode(thirty_two).codes, expected)
    np.testing.assert_array_equal(mono.encode(jnp.asarray(sixteen)).codes, expected)
    eight = np.round(exact * 2**7).astype(np.int8)
    np.testing.assert_array_equal(mono.encode(eight).codes, mono.encode(eight / np.float32(2**7)).codes)


@pytest.mark.parametrize("convert", [jnp.asarray, np.float64, lambda x: x.tolist()])
def test_other_containers_give_the_same_codes(mono, convert):
    audio = sound(600, 1)
    np.testing.assert_array_equal(mono.encode(convert(audio)).codes, mono.encode(audio).codes)


def test_half_precision_is_read_too(mono):
    audio = jnp.asarray(sound(600, 1), jnp.bfloat16)
    np.testing.assert_array_equal(mono.encode(audio).codes, mono.encode(audio.astype(jnp.float32)).codes)


@pytest.mark.parametrize("sample_rate", [8000, 11_025, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_other_rates_come_back_at_theirs(mono, sample_rate, channels):
    audio = sound(1500, channels, sample_rate=sample_rate)
    encoded = mono.encode(audio, sample_rate)
    assert encoded.model_samples == -(-1500 * RATE // sample_rate)
    decoded = mono.decode(encoded)
    assert decoded.shape == audio.shape
    assert snr_db(audio, decoded) > 30


@some
@given(st.integers(1, 500), st.sampled_from([RATE, 8000, 22_050, 44_100]), st.sampled_from([1, 2]))
def test_any_length_comes_back_exactly(mono, n_samples, sample_rate, channels):
    audio = sound(n_samples, channels, sample_rate=sample_rate, seed=n_samples)
    decoded = mono.decode(mono.encode(audio, sample_rate))
    assert decoded.shape == audio.shape
    if sample_rate == RATE:
        assert snr_db(audio, decoded) > 40


def test_a_clip_is_coded_alike_alone_and_in_a_batch(vae):
    audio = sound(3, 300, 1)
    together = vae.encode(audio)
    for i in range(3):
        np.testing.assert_array_equal(vae.encode(audio[i]).codes[0], together.codes[i])


def test_fewer_codebooks_are_a_prefix_and_decode(vq):
    audio = sound(600, 1)
    full = vq.encode(audio)
    assert full.codes.shape[-1] == 4
    decode = jit(functools.partial(vq.module.apply, length=600, method="decode_codes"))
    for n in range(1, 5):
        encoded = vq.encode(audio, n_codebooks=n)
        assert encoded.level == n - 1
        np.testing.assert_array_equal(encoded.codes, full.codes[..., :n])
        np.testing.assert_allclose(vq.decode(encoded), decode(vq.variables, full.codes, level=n - 1)[0], atol=1e-5)
        # bare codes say by their number which level they are
        np.testing.assert_array_equal(vq.decode(encoded.codes, length=600)[0], vq.decode(encoded))
        np.testing.assert_array_equal(vq.encode(audio, level=n - 1).codes, encoded.codes)


def test_a_higher_level_is_nearer_to_the_audio(vae):
    audio = sound(600, 1)
    noise_db = [-snr_db(audio, vae.decode(vae.encode(audio, level=level))) for level in range(vae.n_levels)]
    assert noise_db == sorted(noise_db, reverse=True)
    assert noise_db[0] - noise_db[-1] > 10
    default = vae.encode(audio)
    assert default.level == vae.default_level
    np.testing.assert_array_equal(vae.encode(audio, level=vae.default_level).codes, default.codes)


def test_bare_codes_decode_to_the_length_asked_for(vae):
    audio = sound(2, 590, 1)
    encoded = vae.encode(audio, level=2)
    expected = vae.decode(encoded)
    np.testing.assert_array_equal(vae.decode(encoded.codes, length=590, level=2), expected)
    np.testing.assert_array_equal(vae.decode(encoded.codes.tolist(), length=590, level=2), expected)
    whole = vae.decode(jnp.asarray(encoded.codes), level=2)
    assert whole.shape == (2, vae.module.max_samples(encoded.codes.shape[1]), 1)
    # the frames beyond the clip only follow it: all but its last overlap is the same
    np.testing.assert_allclose(whole[:, :500], expected[:, :500], atol=1e-4)
    assert not np.allclose(vae.decode(encoded.codes, length=590, level=0), expected, atol=1e-3)


def test_each_frame_of_bare_codes_has_the_level_of_its_codes(vq):
    audio = sound(2, 590, 1)
    full = vq.encode(audio).codes
    n_frames = full.shape[1]
    counts = np.random.default_rng(0).integers(1, 5, (2, n_frames))
    codes = np.where(np.arange(4) < counts[..., None], full, -1)
    module = vq.module
    every = [module.apply(vq.variables, full, level, method="dequantise") for level in range(4)]
    latents = np.take_along_axis(np.stack(every), (counts - 1)[None, ..., None], axis=0)[0]
    np.testing.assert_allclose(vq.decode(codes, length=590), vq.decode_latents(latents, 590), atol=1e-6)
    # all of one level, with the columns of the others or without
    padded = np.where(np.arange(4) < 2, full, -1).astype(np.int16)
    np.testing.assert_array_equal(vq.decode(padded), vq.decode(full[..., :2]))
    np.testing.assert_array_equal(vq.decode(full, level=1), vq.decode(full[..., :2]))
    np.testing.assert_array_equal(vq.decode(codes, level=0), vq.decode(full[..., :1]))
    for spoil, message in (
        ((slice(None), 3, slice(None)), r"codes of clip 0, frame 3: a frame has its first 1, 2, 3, 4 codes.*-1 -1 -1"),
        ((1, 2, slice(0, 1)), r"codes of clip 1, frame 2: .* this one is -1 "),
    ):
        bad = full.copy()
        bad[spoil] = -1
        with pytest.raises(ZooError, match=message):
            vq.decode(bad)
    with pytest.raises(ZooError, match=r"frame \d+: [12], but level 2 has more"):
        vq.decode(codes, level=2)
    with pytest.raises(ZooError, match="out of range"):
        vq.decode(np.where(codes < 0, -2, codes))


@pytest.mark.parametrize("name", ["vae", "vq"])
def test_bytes_are_those_of_the_entropy_coder(name, request):
    codec = request.getfixturevalue(name)
    audio = sound(2, 600, 1)
    for level in range(codec.n_levels):
        encoded = codec.encode(audio, level=level)
        step = codec.packet_frames()
        packets = [clip[None, i : i + step] for clip in encoded.codes for i in range(0, clip.shape[0], step)]
        payloads = [codec.entropy.encode(codes, level) for codes in packets]
        assert codec.count_bytes(encoded) == sum(map(len, payloads))
        for payload, codes in zip(payloads, packets):
            decoded = codec.entropy.decode(payload, n_streams=1, n_frames=codes.shape[1], level=level)
            np.testing.assert_array_equal(decoded, codes)


NAN = np.zeros((2, 50, 1), np.float32)
NAN[1, 7] = np.nan


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (NAN, r"NaN or infinity, first at index \(1, 7, 0\)"),
        (np.array([0.0, np.inf], np.float32), "NaN or infinity"),
        (np.zeros(0, np.float32), "empty"),
        (np.zeros((0, 1), np.float32), "empty"),
        (np.zeros((50, 0), np.float32), "empty"),
        (np.float32(0.5), "got shape"),
        (np.zeros((1, 1, 50, 1), np.float32), "got shape"),
        (np.zeros(50, np.uint16), "uint16"),
        (np.zeros(50, np.int64), "int64"),
        (np.zeros(50, np.complex64), "complex64"),
        (np.zeros(50, bool), "bool"),
        (np.array(["a", "b"]), "audio"),
        ("song.wav", "audio"),
        (None, "audio"),
        ([[0.0, 0.1], [0.2]], "audio"),
    ],
)
def test_audio_that_is_none_is_refused_in_one_line(mono, audio, message):
    with pytest.raises(ZooError, match=message) as caught:
        mono.encode(audio)
    assert "\n" not in str(caught.value)


def test_channels_that_do_not_fit_are_refused(stereo):
    with pytest.raises(ZooError, match="3 channels"):
        stereo.encode(np.zeros((50, 3), np.float32))


@pytest.mark.parametrize("sample_rate", [0, -1])
def test_a_rate_that_is_none_is_refused(mono, sample_rate):
    with pytest.raises(ZooError, match=f"{sample_rate}"):
        mono.encode(sound(50, 1), sample_rate)


def test_operating_points_that_are_none_are_refused(mono, vae, vq):
    audio = sound(50, 1)
    for codec in (mono, vae, vq):
        for level in (-1, codec.n_levels):
            with pytest.raises(ZooError, match=f"level {level} is not between 0 and {codec.n_levels - 1}"):
                codec.encode(audio, level=level)
    for n in (0, 5):
        with pytest.raises(ZooError, match=f"n_codebooks {n} is not between 1 and 4"):
            vq.encode(audio, n_codebooks=n)
    with pytest.raises(ZooError, match="n_codebooks"):
        vae.encode(audio, n_codebooks=2)
    with pytest.raises(ZooError, match="both"):
        vq.encode(audio, n_codebooks=2, level=1)
    for wrong in (1.5, "1", True):
        with pytest.raises(ZooError, match="level must be a "):
            vae.encode(audio, level=wrong)
        with pytest.raises(ZooError, match="n_codebooks must be a "):
            vq.encode(audio, n_codebooks=wrong)
    np.testing.assert_array_equal(vae.encode(audio, level=1.0).codes, vae.encode(audio, level=np.int8(1)).codes)


def test_latents_that_are_none_are_refused(vae):
    good = vae.encode_latents(sound(300, 1))
    assert vae.latent_dim == good.shape[2]
    for bad, message in (
        (good[0], "latents must be"),
        (good[..., :3], f"latents have 3 dimensions, this codec's have {vae.latent_dim}"),
        (np.where(good == good.max(), np.nan, good), "latents hold NaN or infinity"),
    ):
        with pytest.raises(ZooError, match=message):
            vae.decode_latents(bad)


def test_what_is_not_encoded_by_this_codec_is_refused(vae, vq):
    encoded = vae.encode(sound(300, 1))
    for call in (vae.tokens, vae.count_bytes):
        with pytest.raises(ZooError, match="expected what encode returns, an Encoded, got ndarray"):
            call(encoded.codes)
    for call in (vq.tokens, vq.count_bytes):
        with pytest.raises(ZooError, match="codes must be integers"):
            call(encoded)
    with pytest.raises(ZooError, match=r"expected Tokens.* got Encoded"):
        zoo.tokens.save("song.npy", encoded)


def test_codes_that_are_none_are_refused(vae):
    good = vae.encode(sound(300, 1)).codes
    longest = vae.module.max_samples(good.shape[1])
    for bad, message in (
        (good[0], "codes must be"),
        (good.astype(np.float32), "float32"),
        (good[..., :-1], r"codes must be integers \(B, F, 20\)"),
        (good - 1000, "out of range"),
        (good + 1000, "out of range"),
        (good[:0], "codes must be"),
        (good[:, :0], "codes must be"),
        (None, "codes must be"),
        ("song.npy", "codes must be an array of numbers, got a name: zoo.tokens.load"),
    ):
        with pytest.raises(ZooError, match=message) as caught:
            vae.decode(bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(ZooError, match="length must be a whole number"):
        vae.decode(good, length=10.5)
    for length in (-1, longest + 1):
        with pytest.raises(ZooError, match=f"length {length}"):
            vae.decode(good, length=length)
    with pytest.raises(ZooError, match="level 3"):
        vae.decode(good, level=3)
    with pytest.raises(ZooError, match="at which of the 3 levels"):
        vae.decode(good)


def test_what_an_encoded_knows_is_not_asked_again(vae, vq):
    encoded = vae.encode(sound(300, 1))
    with pytest.raises(ZooError, match="length"):
        vae.decode(encoded, length=300)
    with pytest.raises(ZooError, match="level"):
        vae.decode(encoded, level=1)
    with pytest.raises(ZooError, match="codes must be"):
        vq.decode(encoded)
    with pytest.raises(ZooError, match="codes must be"):
        vae.decode(dataclasses.replace(encoded, codes=encoded.codes[..., :3]))


def test_repr_is_one_line_that_says_what_it_is():
    module = zoo.create("vae", latent_dim=8, widths=(8, 8), strides=(5, 8), dilations=(1,), sample_rate=8000)
    params = {"params": {"a": np.zeros((1000, 1000))}}
    codec = zoo.ReadyCodec(module, params, np.zeros((8, 8, 1023), np.int32), {"family": "vae", "step": 12})
    expected = "ReadyCodec(vae, 8000 Hz, 1 channel, 200 frames/s of 8 codes, 8 levels, 1.0 M parameters, step 12)"
    assert repr(codec) == expected
