"""Arrays as other libraries hand them over: the same kinds everywhere, scaled alike; and what cannot be right."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.zoo.conftest import RATE, sound
from zoo.audio.samples import LARGEST_SAMPLE
from zoo.errors import ZooError

LENGTH = 3000
PCM = np.round(sound(LENGTH) * 2**14).astype(np.int16)
PCM[:2] = [[-(2**15)], [2**15 - 1]]
EXACT = PCM / np.float32(2**15)


class Tensor:
    """What numpy takes by its `__array__`, such as a tensor of torch."""

    def __init__(self, values: np.ndarray, error: Exception | None = None) -> None:
        self._values, self._error = values, error

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if self._error is not None:
            raise self._error
        return self._values if dtype is None else self._values.astype(dtype)


def eight_bits(offset: int) -> np.ndarray:
    return ((PCM.astype(np.int32) >> 8) + offset).astype(np.uint8 if offset else np.int8)


ARRAYS = {
    "float16": (EXACT.astype(np.float16), EXACT.astype(np.float16).astype(np.float32)),
    "bfloat16": (jnp.asarray(EXACT, jnp.bfloat16), np.asarray(jnp.asarray(EXACT, jnp.bfloat16), np.float32)),
    "float64": (EXACT.astype(np.float64), EXACT),
    "big-endian float32": (EXACT.astype(">f4"), EXACT),
    "big-endian float64": (EXACT.astype(">f8"), EXACT),
    "int8": (eight_bits(0), eight_bits(0) / np.float32(2**7)),
    "int16": (PCM, EXACT),
    "big-endian int16": (PCM.astype(">i2"), EXACT),
    "int32": (PCM.astype(np.int32) << 16, EXACT),
    "big-endian int32": ((PCM.astype(np.int32) << 16).astype(">i4"), EXACT),
    "uint8": (eight_bits(128), eight_bits(0) / np.float32(2**7)),
    "every second": (np.repeat(PCM, 2, axis=0)[::2], EXACT),
    "backwards": (PCM[::-1], EXACT[::-1]),
    "Fortran": (np.asfortranarray(np.repeat(EXACT, 2, axis=1))[:, 1:], EXACT),
    "read only": (np.frombuffer(PCM.tobytes(), np.int16)[:, None], EXACT),
    "list": (EXACT.tolist(), EXACT),
    "jax": (jnp.asarray(EXACT), EXACT),
    "jax int16": (jnp.asarray(PCM), EXACT),
    "tensor": (Tensor(PCM), EXACT),
}


def streamed(codec, audio, sample_rate=RATE, channels=1) -> bytes:
    encoder = codec.stream_encoder(sample_rate, channels)
    return encoder.push(audio) + encoder.finish()


def refused(call) -> str:
    with pytest.raises(ZooError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def everywhere(codec, audio, sample_rate=RATE, channels=1) -> set[str]:
    """What files, codes, latents and streams say of audio that they refuse."""
    return {
        refused(lambda: codec.compress(audio, sample_rate)),
        refused(lambda: codec.encode(audio, sample_rate)),
        refused(lambda: codec.encode_latents(audio, sample_rate)),
        refused(lambda: streamed(codec, audio, sample_rate, channels)),
    }


@pytest.mark.parametrize("kind", ARRAYS)
def test_files_codes_latents_and_streams_take_the_same_arrays_and_scale_them_alike(build, kind):
    codec = build("autoencoder")
    given, samples = ARRAYS[kind]
    samples = np.ascontiguousarray(samples, np.float32)
    blob = codec.compress(samples)
    assert codec.compress(given) == blob
    assert streamed(codec, given) == blob
    encoded = codec.encode(given)
    np.testing.assert_array_equal(encoded.codes, codec.encode(samples).codes)
    assert codec.decode(encoded).shape == samples.shape
    np.testing.assert_array_equal(codec.encode_latents(given), codec.encode_latents(samples))


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.uint32, bool])
def test_a_type_without_a_known_full_scale_is_named(build, kind):
    (said,) = everywhere(build("autoencoder"), np.zeros((50, 1), kind))
    assert said.startswith(f"audio of type {np.dtype(kind)} has no full scale that is known: ")


@pytest.mark.parametrize(
    ("audio", "said"),
    [
        (np.zeros(50, np.complex64), "audio must be an array of numbers, got ndarray (complex64)"),
        (np.array([0.1, None]), "audio must be an array of numbers, got ndarray (object)"),
        (None, "audio must be an array of numbers, got NoneType (object)"),
        ("song.wav", "audio must be an array of numbers, got a name: zoo.audio.read(…).samples reads a file"),
        ([[0.0], [0.1, 0.2]], "audio must be an array, got parts of different shapes"),
        (Tensor(PCM, TypeError("it is on\nthe GPU")), "audio cannot be read as an array (Tensor): it is on the GPU"),
        (Tensor(PCM, RuntimeError("detach it")), "audio cannot be read as an array (Tensor): detach it"),
    ],
)
def test_what_is_no_array_is_named(build, audio, said):
    assert everywhere(build("autoencoder"), audio) == {said}


def test_audio_that_is_being_traced_is_sent_to_the_pure_module(build):
    codec = build("autoencoder")
    for call in (codec.compress, codec.encode, codec.encode_latents, codec.stream_encoder(RATE).push):
        assert "use codec.module.apply(" in refused(lambda call=call: jax.jit(call)(EXACT))


@pytest.mark.parametrize(
    ("peak", "divisor"),
    [
        (32_767.0, "32768"), (32_768.0, "32768"), (129.0, "32768"), (32_769.0, "8388608"), (2.0**23, "8388608"),
        (2.0**31, "2147483648"), (1e12, "what stands for full scale"), (1e300, "what stands for full scale"),
    ],
)  # fmt: skip
def test_integers_that_were_stored_as_floats_are_told_what_to_divide_by(build, peak, divisor):
    audio = np.zeros((50, 1))
    audio[7] = -peak
    (said,) = everywhere(build("autoencoder"), audio)
    assert said == f"float samples reach {peak:g}; audio is expected in [-1, 1]: divide by {divisor}"


def test_audio_beyond_full_scale_is_still_audio(build):
    codec = build("autoencoder")
    audio = LARGEST_SAMPLE * sound(2000) / np.abs(sound(2000)).max()
    assert np.abs(codec.decompress(codec.compress(audio)).audio).max() > 0.5
    # what is no number at all is named as that
    assert "NaN" in refused(lambda: codec.compress(np.array([1e9, np.nan])))
    assert "infinity" in refused(lambda: codec.compress(np.array([0.0, np.inf], np.float16)))


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((2, 48_000), "48000 channels of 2 samples, since it is (T, C) or (B, T, C): give audio.T"),
        ((1, 48_000), "48000 channels of 1 samples, since it is (T, C) or (B, T, C): give audio.T"),
        ((2, 9), "9 channels of 2 samples, since it is (T, C) or (B, T, C): give audio.T"),
        ((1000, 65), "65 channels of 1000 samples, since it is (T, C) or (B, T, C), and no codec takes more than 64"),
        ((4, 1, 48_000), "48000 channels of 1 samples, since it is (T, C) or (B, T, C): give audio.swapaxes(1, 2)"),
    ],
)
def test_channels_that_must_be_samples_are_told_at_once(build, shape, hint):
    codec = build("autoencoder")
    audio = np.zeros(shape, np.float32)
    for call in (codec.compress, codec.encode, codec.encode_latents):
        assert refused(lambda call=call: call(audio)) == f"audio of shape {shape} would be {hint}"


@pytest.mark.parametrize("shape", [(1, 2), (1, 6), (2, 3), (3, 8)])
def test_a_clip_of_a_few_samples_may_have_more_channels(build, shape):
    codec = build("autoencoder")
    audio = np.full(shape, 0.1, np.float32)
    assert codec.decompress(codec.compress(audio)).audio.shape == shape
    assert streamed(codec, audio, channels=shape[1]) == codec.compress(audio)


def test_a_stream_knows_its_channels(build):
    codec = build("autoencoder")
    block = np.zeros((2, 100), np.float32)
    assert refused(lambda: streamed(codec, block, channels=2)).endswith("(m, 2), got shape (2, 100); give block.T")
    assert refused(lambda: streamed(codec, block[0], channels=2)).endswith("(m, 2), got shape (100,)")
    for channels in (0, -1, 65, 48_000):
        assert "1 to 64 channels" in refused(lambda n=channels: codec.stream_encoder(RATE, n))
    for channels in (1.5, "2", None, True):
        assert refused(lambda n=channels: codec.stream_encoder(RATE, n)).startswith("channels must be a ")
    assert streamed(codec, block.T, channels=np.int64(2)) == streamed(codec, block.T, channels=2.0)


@pytest.mark.parametrize("rate", [11_025.0, np.int64(11_025), np.float32(11_025), np.uint16(11_025), jnp.int32(11_025)])
def test_a_rate_is_a_whole_number_of_whatever_type(build, rate):
    codec = build("autoencoder")
    blob = codec.compress(EXACT, 11_025)
    assert codec.compress(EXACT, rate) == streamed(codec, EXACT, rate) == blob
    encoded = codec.encode(EXACT, rate)
    assert (encoded.sample_rate, type(encoded.sample_rate)) == (11_025, int)
    np.testing.assert_array_equal(codec.encode_latents(EXACT, rate), codec.encode_latents(EXACT, 11_025))


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (24_000.5, "sample_rate must be a whole number, got 24000.5"),
        (float("nan"), "sample_rate must be a whole number, got nan"),
        (float("inf"), "sample_rate must be a whole number, got inf"),
        ("24000", "sample_rate must be a number, got '24000'"),
        (True, "sample_rate must be a number, got True"),
        (np.array([1, 2]), "sample_rate must be a number, got array([1, 2])"),
        (0, "sample_rate 0 is not between 1 and 1000000 Hz"),
        (-8000.0, "sample_rate -8000 is not between 1 and 1000000 Hz"),
        (10**7, "sample_rate 10000000 is not between 1 and 1000000 Hz"),
    ],
)
def test_a_rate_that_is_none_is_named_everywhere(build, rate, said):
    assert everywhere(build("autoencoder"), EXACT, rate) == {said}


def test_other_numbers_latents_and_bytes_are_checked_as_well(build):
    codec = build("autoencoder")
    assert "bitrate must be a number" in refused(lambda: codec.compress(EXACT, bitrate="12"))
    assert "packet_s must be a number" in refused(lambda: codec.compress(EXACT, packet_s="1"))
    for latents in (np.zeros((1, 4, 20), np.complex64), np.zeros((1, 4, 20), bool), "latents", None):
        assert refused(lambda x=latents: codec.decode_latents(x)).startswith("latents must be ")
    for call in (codec.decompress, codec.stream_decoder().push):
        assert refused(lambda call=call: call("a.zac")) == "coded audio must be bytes, got str"


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_all_pieces_of_a_stream_can_be_concatenated(build, channels):
    codec = build("autoencoder")
    audio = sound(9000, channels)
    blob = codec.compress(audio)
    decoder = codec.stream_decoder()
    assert decoder.channels is None
    pieces = [decoder.push(blob[i : i + 1]) for i in range(len(blob))]
    assert decoder.channels == channels
    whole = np.concatenate([*pieces, decoder.finish()])
    np.testing.assert_array_equal(whole, codec.decompress(blob).audio)
    assert {piece.shape[1] for piece in pieces} == {channels}


def test_a_stream_ends_once(build):
    codec = build("autoencoder")
    encoder, decoder = codec.stream_encoder(RATE), codec.stream_decoder()
    blob = encoder.push(EXACT) + encoder.finish()
    assert encoder.finish() == b""
    assert refused(lambda: encoder.push(EXACT[:1])) == "this stream is finished: another one takes a new stream_encoder"
    audio = np.concatenate([decoder.push(blob), decoder.finish()])
    assert decoder.finish().shape == decoder.push(b"").shape == (0, 1)
    assert refused(lambda: decoder.push(blob)) == "this stream is finished: another one takes a new stream_decoder"
    np.testing.assert_array_equal(audio, codec.decompress(blob).audio)


# --- copies


def test_a_codec_that_was_used_can_be_pickled_and_copied(build):
    codec = build("autoencoder", n_blocks=0)
    audio = sound(9000)
    encoded, blob = codec.encode(audio), codec.compress(audio)
    decoded = codec.decode(encoded)
    for other in (pickle.loads(pickle.dumps(codec)), copy.deepcopy(codec)):
        assert (other.digest, repr(other)) == (codec.digest, repr(codec))
        again = other.encode(audio)
        np.testing.assert_array_equal(again.codes, encoded.codes)
        np.testing.assert_array_equal(other.decode(again), decoded)
        assert other.compress(audio) == blob
