"""Chunks and streams: the same codes, bytes and audio however a clip comes in, and no later than promised."""

from __future__ import annotations

import dataclasses
import functools
import io

import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from zoo import audio as zoo_audio
from zoo.audio.resampler import Resampler
from zoo.bitstream import layout
from zoo.bitstream.container import ContainerReader
from zoo.coding.chunks import Chunks
from zoo.coding.stream import FrameEncoder, packets_to_warm_up
from zoo.errors import BitstreamError, ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8_000
NAMES = ("autoencoder", "vae", "gan_vocoder", "causal")

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

some = settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
cuts = st.lists(st.sampled_from([1, 7, 40, 333, 2048, 8000, 20_000]), min_size=1, max_size=6)


def noise(n_samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(0.02 * rng.standard_normal((n_samples, channels)), axis=0).astype(np.float32) % 1.0 - 0.5


def blocks(samples: np.ndarray, sizes: list[int]):
    start, k = 0, 0
    while start < len(samples):
        yield samples[start : start + sizes[k % len(sizes)]]
        start += sizes[k % len(sizes)]
        k += 1


@pytest.mark.parametrize("name", NAMES)
def test_chunks_give_the_codes_and_audio_of_one_pass(build, name):
    codec = build(name)
    module, level = codec.module, codec.default_level

    @jit
    def coded(variables, audio, n_samples):
        latent = module.apply(variables, audio, n_samples, method="encode")
        return module.apply(variables, latent, level, method="quantise").codes

    @jit
    def decoded(variables, codes, n_samples):
        return module.apply(variables, codes, longest, n_samples, level, method="decode_codes")

    # a batch, which is compiled once
    lengths = np.array([1, 39, 41, 8000, 8001, 27_123], np.int32)
    longest = int(lengths.max())
    clips = [noise(n, seed=n) for n in lengths]
    batch = np.stack([np.pad(clip, ((0, longest - len(clip)), (0, 0))) for clip in clips])
    codes = np.array(coded(codec.variables, batch, lengths))
    encoded = [codec.encode(clip) for clip in clips]
    for row, one, n in zip(codes, encoded, lengths):
        assert one.codes.shape == (1, module.n_frames(n), codes.shape[2])
        frames = row[: one.codes.shape[1]]
        assert (one.codes[0] != frames).mean() <= 1e-4
        frames[:] = one.codes[0]
    whole = np.asarray(decoded(codec.variables, codes, lengths))
    for row, one, n in zip(whole, encoded, lengths):
        np.testing.assert_allclose(codec.decode(one), row[:n], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_context_too_small_is_noticed(build, name, side):
    # what the test above relies on: every frame of the context is needed
    codec = build(name)
    context = codec.module.encoder_context
    if getattr(context, side) == 0:
        pytest.skip("causal: there is nothing to take away")
    less = dataclasses.replace(context, **{side: getattr(context, side) - 1})
    x = noise(24_000)[None]

    def latents(module):
        encoder = FrameEncoder(Chunks(module, codec.variables, 50), 1)
        return np.concatenate(encoder.push(x) + encoder.finish(), axis=1)

    assert np.abs(latents(codec.module) - latents(codec.module.clone(encoder_context=less))).max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
@given(
    n_samples=st.integers(0, 26_000),
    into=cuts,
    out=cuts,
    channels=st.integers(1, 2),
    rate=st.sampled_from([8000, 11_025]),
)
@some
def test_streams_equal_files_whatever_the_blocks(build, name, n_samples, into, out, channels, rate):
    codec = build(name)
    x = noise(n_samples, channels, seed=n_samples)
    encoder = codec.stream_encoder(rate, channels)
    blob = b"".join([encoder.push(block) for block in blocks(x, into)] + [encoder.finish()])
    if n_samples:
        assert blob == codec.compress(x, rate)
    decoder = codec.stream_decoder()
    pieces = [decoder.push(blob[i : i + n]) for i, n in _spans(len(blob), out)]
    streamed = np.concatenate([*(p for p in pieces if len(p)), decoder.finish()])
    audio, sample_rate = codec.decompress(blob)
    assert (audio.shape, sample_rate, decoder.channels) == ((n_samples, channels), rate, channels)
    np.testing.assert_array_equal(streamed, audio)


def _spans(n: int, sizes: list[int]):
    start, k = 0, 0
    while start < n:
        yield start, sizes[k % len(sizes)]
        start += sizes[k % len(sizes)]
        k += 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packet_s", [1.0, 0.1])
def test_a_stream_is_no_later_than_promised(build, name, packet_s):
    codec = build(name)
    x = noise(3 * RATE)
    encoder, decoder = codec.stream_encoder(RATE, packet_s=packet_s), codec.stream_decoder()
    latency = codec.stream_latency_s(packet_s) * RATE
    came, late = 0, []
    for start in range(0, len(x), 40):
        came += len(decoder.push(encoder.push(x[start : start + 40])))
        late.append(start + 40 - came)
    assert max(late) <= latency
    assert max(late[len(late) // 2 :]) > latency - 0.1 * RATE  # nor is more promised than it takes


def test_a_causal_model_waits_for_a_window_and_no_more(build):
    # 80 samples of window at 40 a frame, whose first one weighs nothing; centred convolutions wait for many frames
    assert build("causal").module.algorithmic_latency_samples == 79
    assert build("gan_vocoder").module.algorithmic_latency_samples > 500


def test_packets_need_as_much_warm_up_as_is_stated(build):
    codec = build("gan_vocoder", decoder_blocks=3)
    context = codec.module.decoder_context
    assert packets_to_warm_up(codec.module, context.before + context.after) == 1
    assert packets_to_warm_up(codec.module, context.before + context.after - 1) == 2


@given(
    n_samples=st.integers(0, 5000),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=5),
    rates=st.tuples(*[st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000, 44_101])] * 2),
)
@some
def test_resampling_in_blocks_is_resampling(n_samples, sizes, rates):
    x = noise(n_samples, 2)
    resampler = Resampler(*rates, 2)
    pieces = [resampler.push(block) for block in blocks(x, sizes)]
    whole = zoo_audio.resample(x, *rates)
    np.testing.assert_array_equal(np.concatenate([*pieces, resampler.finish()]), whole)


def test_what_a_stream_refuses(build):
    codec = build("vae")
    encoder = codec.stream_encoder(RATE, 2)
    with pytest.raises(ZooError, match=r"\(m, 2\)"):
        encoder.push(np.zeros((5, 3)))
    encoder.push(np.zeros((4, 2)))
    with pytest.raises(ZooError, match="first at sample 7"):
        encoder.push(np.array([[0, 0]] * 3 + [[0, np.nan]]))
    for packet_s in (0.0, 1e-4, 1e9, float("nan")):
        with pytest.raises(ZooError, match="packets of"):
            codec.stream_encoder(RATE, packet_s=packet_s)
    decoder = codec.stream_decoder()
    with pytest.raises(BitstreamError, match="ends before"):
        decoder.finish()
    blob = bytearray(codec.compress(noise(2 * RATE)))
    blob[len(blob) // 2] ^= 1
    with pytest.raises(BitstreamError, match="packet"):
        codec.stream_decoder().push(bytes(blob))


def altered(
    blob: bytes,
    *,
    finals: dict[int, int] | None = None,
    levels: dict[int, int] | None = None,
    n_samples: int | None = None,
    moved: int = 0,
    drop_last: bool = False,
) -> bytes:
    """A file with checksums that fit, in which packets are marked as final, have other levels or are left out.

    Or whose trailer has another number of samples, or moves bytes from the first entry of the seek table to the second.
    """
    reader = ContainerReader(io.BytesIO(blob))
    header = layout.pack_header(reader.header)
    seed = layout.seed(header)
    packets = list(reader)[: -1 if drop_last else None]
    ends = {packets[-1].index: packets[-1].n_frames} if finals is None else finals
    data = [
        layout.pack_packet(seed, p.index, (levels or {}).get(p.index, p.level), p.payload, ends.get(p.index))
        for p in packets
    ]
    groups = [sum(map(len, data[k : k + 8])) for k in range(0, len(data), 8)]
    groups[0], groups[1] = groups[0] - moved, groups[1] + moved
    samples = reader.n_samples if n_samples is None else n_samples
    return header + b"".join(data) + layout.pack_trailer(seed, samples, len(data), groups)


def test_a_stream_refuses_what_the_format_has_a_reader_refuse(build):
    codec = build("vae")
    blob = codec.compress(noise(10 * RATE), packet_s=1.0)
    size = codec.packet_frames(1.0)
    last = list(ContainerReader(io.BytesIO(blob)))[-1].n_frames
    assert altered(blob) == blob
    faults = {
        altered(blob, finals={3: size}): r"packet 3 \(at 0:03\) says that it is the last one, but more follows",
        altered(blob, finals={3: size - 1}): r"packet 3 \(at 0:03\) says that it is the last one, but more follows",
        # whether its payload can be of one frame is up to the codec
        altered(
            blob, finals={9: last, 5: 1}
        ): r"packet 5( \(at 0:05\) says that it is the last one|: payload is damaged)",
        altered(blob, moved=1): "seek table says other lengths",
        altered(blob, moved=-100): "seek table says other lengths",
        altered(blob, drop_last=True): "take 11 packets, but the trailer counts 10",
        altered(blob, levels={2: codec.n_levels}): rf"packet 2 \(at 0:02\) has level {codec.n_levels}",
        altered(blob, n_samples=9 * RATE): "72000 samples take 10 packets, but the trailer counts 11",
        altered(blob, n_samples=10 * RATE + 80): "80080 samples take 2003 frames, but the file has 2001",
        blob + b"\0": "followed by other bytes",
        blob + blob: "followed by other bytes",
        blob[:-1]: "ends inside its trailer",
    }
    for hurt, message in faults.items():
        with pytest.raises(BitstreamError):
            codec.decompress(hurt)
        for pieces in ([hurt], [hurt[k : k + 1000] for k in range(0, len(hurt), 1000)]):
            decoder = codec.stream_decoder()
            with pytest.raises(BitstreamError, match=message):  # noqa: PT012  # at some byte, or at the end
                for piece in pieces:
                    decoder.push(piece)
                decoder.finish()
            if hurt != blob[:-1]:
                for call in (decoder.finish, lambda d=decoder: d.push(b"")):
                    with pytest.raises(BitstreamError, match=message):
                        call()


def test_a_stream_that_was_refused_stays_so(build):
    # to go on behind a payload that is none would leave a gap, of which nobody is told
    codec = build("vae")
    blob = codec.compress(noise(4 * RATE), packet_s=1.0)
    reader = ContainerReader(io.BytesIO(blob))
    seed = layout.seed(blob[: layout.HEADER_LENGTH])
    packets = [layout.pack_packet(seed, p.index, p.level, b"\xff" * 500 if p.index == 1 else p.payload) for p in reader]
    decoder = codec.stream_decoder()
    assert len(decoder.push(blob[: layout.HEADER_LENGTH] + packets[0])) > 0
    for packet in packets[1:4]:
        with pytest.raises(BitstreamError, match="packet 1:"):
            decoder.push(packet)
    with pytest.raises(BitstreamError, match="packet 1:"):
        decoder.finish()
