"""`.zac` files in memory: what comes back, at what rate, from where on, and what damage costs."""

from __future__ import annotations

import dataclasses
import io

import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.zoo.bitstream import fuzz, fuzz_codec, fuzz_packets
from zoo import coding
from zoo.bitstream.container import ContainerReader
from zoo.errors import BitstreamError, ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8_000
NAMES = ("autoencoder", "vae", "gan_vocoder")
some = settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def tones(n_samples: int, channels: int = 1, sample_rate: int = RATE) -> np.ndarray:
    """Sines of 200 Hz and up, another one in each channel, swelling differently."""
    t = np.arange(n_samples)[:, None] / sample_rate
    frequencies = 200 + 130 * np.arange(channels)
    return (0.4 * np.sin(2 * np.pi * frequencies * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * t))).astype(np.float32)


def fine(build, channels: int = 1):
    """A codec that quantises so finely that audio comes back as it was: what is swapped, delayed or scaled is heard."""
    return build(
        "autoencoder",
        channels=channels,
        latent_dim=40 * channels,
        levels=(4001,),
        n_blocks=0,
        companding=1.0,
        latent_scale=1000.0,
    )


def snr_db(x: np.ndarray, y: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(x**2) / np.sum((x - y) ** 2)))


@given(
    n_samples=st.integers(1, 30_000),
    channels=st.integers(1, 3),
    sample_rate=st.sampled_from([4_000, 8_000, 11_025, 44_100]),
)
@some
def test_what_goes_in_comes_back(build, n_samples, channels, sample_rate):
    x = tones(n_samples, channels, sample_rate)
    audio, rate = fine(build).decompress(fine(build).compress(x, sample_rate))
    assert (audio.shape, audio.dtype, rate) == (x.shape, np.float32, sample_rate)
    edge = sample_rate // 20  # a resampler rings where a clip begins in the middle of a wave
    if n_samples > 4 * edge:
        assert snr_db(x[edge:-edge], audio[edge:-edge]) > 40


@pytest.mark.parametrize("channels", [1, 2])
def test_a_stereo_codec(build, channels):
    codec = fine(build, 2)
    x = tones(12_345, channels)
    assert snr_db(x, codec.decompress(codec.compress(x)).audio) > 40
    with pytest.raises(ZooError, match="3 channels"):
        codec.compress(tones(100, 3))


def test_mid_and_side_make_two_equal_channels_cheap(build):
    codec = fine(build)
    x = tones(4 * RATE)
    once = len(codec.compress(x))
    twice = len(codec.compress(np.repeat(x, 2, axis=1)))
    separate = bytearray()
    coding.encode_blocks(
        codec.engine, [np.repeat(x, 2, axis=1)], RATE, 2, write=separate.extend, mid_side=False
    )  # fmt: skip
    assert twice < 1.3 * once < 0.8 * len(separate)
    audio = codec.decompress(bytes(separate)).audio
    assert snr_db(np.repeat(x, 2, axis=1), audio) > 40


@pytest.mark.parametrize("name", ["vae", "gan_vocoder"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_bitrate_is_met_from_below(build, name, channels):
    codec = build(name)
    rng = np.random.default_rng(0)
    # loud and soft seconds, or all packets would cost the same
    seconds = 24
    x = tones(seconds * RATE, channels)
    x *= np.repeat(10 ** rng.uniform(-2, 0, (seconds, 1)), RATE, axis=0).astype(np.float32)
    x += 0.002 * rng.standard_normal(x.shape).astype(np.float32)
    rates = [
        coding.compress(codec.engine, x, RATE, level=level).payload_bytes / 125 / seconds
        for level in (0, codec.n_levels - 1)
    ]
    for share in (0.2, 0.5, 0.8):
        wanted = rates[0] + share * (rates[1] - rates[0])
        file = coding.compress(codec.engine, x, RATE, bitrate=wanted)
        assert 0.95 * wanted <= file.payload_bytes / 125 / seconds <= wanted
        assert codec.decompress(file.data).audio.shape == x.shape
        encoder = codec.stream_encoder(RATE, channels, bitrate=wanted)
        streamed = len(encoder.push(x) + encoder.finish())
        assert 0.75 * wanted <= encoder.payload_bytes / 125 / seconds <= wanted * 1.02
        assert streamed == encoder.file_bytes
    with pytest.raises(ZooError, match="cannot be reached"):
        codec.compress(x, bitrate=0.5 * rates[0])
    more = coding.compress(codec.engine, x, RATE, bitrate=10 * rates[1])
    assert more.payload_bytes == coding.compress(codec.engine, x, RATE, level=codec.n_levels - 1).payload_bytes


def test_a_codec_of_one_rate_says_so_when_asked_for_less(build):
    codec = build("autoencoder")
    x = tones(2 * RATE)
    file = coding.compress(codec.engine, x, RATE)
    kbps = file.payload_bytes / 125 / 2
    assert codec.compress(x, bitrate=1.1 * kbps) == file.data
    with pytest.raises(ZooError, match="cannot be reached"):
        codec.compress(x, bitrate=0.9 * kbps)


@pytest.mark.parametrize("name", NAMES)
def test_overhead_is_small(build, name):
    codec = build(name)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (20 * RATE, 1)).astype(np.float32)
    encoder = codec.stream_encoder(RATE)
    file = encoder.push(x) + encoder.finish()
    assert len(file) - encoder.payload_bytes <= 128 + 10 * len(encoder.levels)
    ideal = 0.0
    codes = codec.encode(x).codes
    size = codec.packet_frames()
    for start in range(0, codes.shape[1], size):
        ideal += codec.entropy.bits(codes[:, start : start + size], codec.default_level) / 8
    assert encoder.payload_bytes <= 1.01 * ideal + 5 * len(encoder.levels)


@given(start=st.integers(0, 44_000), length=st.integers(0, 20_000), rate=st.sampled_from([8_000, 6_000, 11_025]))
@some
def test_any_part_is_that_of_the_whole(build, start, length, rate):
    codec = build("vae")
    blob = codec.compress(tones(45_000, 2), rate, packet_s=0.5)
    reader = ContainerReader(io.BytesIO(blob))
    coding.expect(codec.engine, reader)
    part = np.concatenate([np.zeros((0, 2)), *coding.decode_range(codec.engine, reader, start, start + length)])
    whole = codec.decompress(blob).audio[start : start + length]
    assert part.shape == whole.shape
    np.testing.assert_allclose(part, whole, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_damage_costs_its_own_second_and_is_told(build, name):
    codec = build(name)
    x = tones(8 * RATE)
    blob = codec.compress(x)
    whole = codec.decompress(blob).audio
    hurt = bytearray(blob)
    hurt[len(blob) // 2] ^= 0x10
    with pytest.raises(BitstreamError, match="packet"):
        codec.decompress(bytes(hurt))
    reader = ContainerReader(io.BytesIO(bytes(hurt)), lenient=True)
    coding.expect(codec.engine, reader)
    damaged: list[int] = []
    audio = np.concatenate(list(coding.decode_blocks(codec.engine, reader, damaged)))
    (index,) = damaged
    assert audio.shape == whole.shape
    context = codec.module.decoder_context
    first = (index * RATE) - (context.after + 1) * 40
    last = (index + 1) * RATE + (context.before + 1) * 40
    np.testing.assert_array_equal(audio[:first], whole[:first])
    np.testing.assert_allclose(audio[last:], whole[last:], atol=1e-6)
    assert not np.array_equal(audio[first:last], whole[first:last])


def test_a_file_of_other_weights_is_refused_by_name(build):
    codec = build("vae")
    blob = codec.compress(tones(RATE))
    moved = jax.tree.map(lambda x: x + 1e-3, codec.variables)
    other = dataclasses.replace(codec, variables=moved, metadata={**codec.metadata, "path": "runs/other"})
    with pytest.raises(BitstreamError, match=rf"{codec.digest.hex()}.*{other.digest.hex()} \(runs/other\)"):
        other.decompress(blob)
    with pytest.raises(BitstreamError, match="weights"):
        other.stream_decoder().push(blob)
    same = dataclasses.replace(codec, metadata={**codec.metadata, "step": 7})
    np.testing.assert_array_equal(same.decompress(blob).audio, codec.decompress(blob).audio)


def test_what_compress_refuses(build):
    codec = build("vae")
    x = tones(500)
    for options, complaint in (
        ({"bitrate": 3.0, "level": 1}, "give one"),
        ({"bitrate": -1.0}, "not positive"),
        ({"bitrate": float("nan")}, "not positive"),
        ({"level": 9}, "level 9"),
        ({"packet_s": 0.0}, "packets of"),
    ):
        with pytest.raises(ZooError, match=complaint):
            codec.compress(x, **options)
    with pytest.raises(ZooError, match="one clip"):
        codec.compress(x[None])
    with pytest.raises(ZooError, match="NaN"):
        codec.compress(np.array([0.0, np.nan]))


def test_truncation_at_every_length_is_an_error(build):
    codec = build("gan_vocoder")
    blob = codec.compress(tones(1500), packet_s=0.1)
    for n in range(len(blob)):
        with pytest.raises(BitstreamError) as error:
            codec.decompress(blob[:n])
        assert "\n" not in str(error.value)


def test_mutated_files_are_refused_or_decode_alike():
    # for as many files as one likes: python tests/zoo/bitstream/fuzz.py --target tests.zoo.bitstream.fuzz_codec:codes
    outcomes = fuzz.run(fuzz_codec.codes(), files=600)
    assert outcomes["refused"] > 400
    assert outcomes["lenient accepted"] > 100
    assert sum(fuzz.run(fuzz_codec.audio(), files=60).values()) == 120
    assert fuzz.run(fuzz_packets.streams(), files=60)["refused"] > 40
