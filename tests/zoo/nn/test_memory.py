"""Layers that remember: the LSTM against its equations, chunks against one pass, positions that a stream sets."""

import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from zoo import coding
from zoo.bitstream import entropy
from zoo.bitstream.container import ContainerReader
from zoo.codec import Codec, Reach
from zoo.coding.stream import Chunks, FrameDecoder, FrameEncoder, packets_to_warm_up
from zoo.nn.bottlenecks import FSQ
from zoo.nn.layers import LSTM, Conv1d, apply_mask, carrying

pytestmark = pytest.mark.usefixtures("quick_module")

RATE, HOP, DIM = 8_000, 10, 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_lstm_is_its_equations():
    x = np.random.default_rng(0).standard_normal((2, 9, DIM)).astype(np.float32)
    module = LSTM(n_layers=2)
    params = jax.device_get(jax.jit(module.init)(jax.random.key(1), x)["params"])
    params = jax.tree.map(lambda p: p + np.float32(0.1), params)
    expected = x.astype(np.float64)
    for i in range(2):
        kernel, recurrent, bias = (np.asarray(params[f"{name}_{i}"]) for name in ("kernel", "recurrent", "bias"))
        h, c = np.zeros((2, DIM)), np.zeros((2, DIM))
        outputs = []
        for frame in range(9):
            i_gate, f_gate, g_gate, o_gate = np.split(expected[:, frame] @ kernel + h @ recurrent + bias, 4, axis=-1)
            c = sigmoid(f_gate) * c + sigmoid(i_gate) * np.tanh(g_gate)
            h = sigmoid(o_gate) * np.tanh(c)
            outputs.append(h)
        expected = np.stack(outputs, axis=1)
    np.testing.assert_allclose(jax.jit(module.apply)({"params": params}, x), expected, atol=1e-6)


class Counted(nn.Module):
    """Adds a number that depends on the absolute latent frame, of which a window only knows through its position."""

    before: int
    beside: int

    @nn.compact
    def __call__(self, x, mask=None):
        first = jnp.int32(0)
        if carrying(self):
            position = self.variable("carry", "position", lambda: jnp.int32(0))
            first = position.value - self.before
            position.value = position.value + x.shape[1] - self.beside
        return apply_mask(x + jnp.sin((first + jnp.arange(x.shape[1])) * 1.0)[None, :, None], mask)


class Encoder(nn.Module):
    """A convolution, an LSTM that must start where the convolution is whole, and one more convolution."""

    @nn.nowrap
    def inputs(self, frames):
        frames = Conv1d(1, 5).inputs(frames)
        return Conv1d(1, 3).inputs(frames).analysed(HOP, HOP, 0)

    @nn.compact
    def __call__(self, audio, mask=None):
        x = Conv1d(DIM, HOP, stride=HOP, name="down")(audio, mask)
        x = Conv1d(DIM, 3, name="below")(x, mask)
        x = x + LSTM(2, first=1, beside=6, name="memory")(x, mask)
        return 20 * Conv1d(DIM, 5, name="above")(x, mask)


class Decoder(nn.Module):
    @nn.nowrap
    def inputs(self, samples):
        return Conv1d(1, 3).inputs(Conv1d(1, 3).inputs(samples.synthesised(HOP, HOP, 0)))

    @nn.compact
    def __call__(self, latent, mask=None):
        x = Conv1d(DIM, 3, name="below")(latent, mask)
        x = Counted(before=2, beside=4, name="counted")(x, mask)
        x = x + LSTM(1, first=1, beside=4, name="memory")(x, mask)
        x = Conv1d(HOP, 3, name="above")(x, mask)
        return apply_mask(x.reshape(x.shape[0], -1, 1), mask)


@functools.cache
def remembering() -> zoo.ReadyCodec:
    encoder, decoder = Encoder(), Decoder()
    context = Reach.of_encoder(encoder, HOP), Reach.of_decoder(decoder, HOP)
    assert context == (Reach(3, 3), Reach(2, 2))
    bottleneck = FSQ((31,) * DIM)
    module = Codec(encoder, bottleneck, decoder, RATE, HOP, *context, recurrent=True)
    params = jax.jit(module.init, compiler_options={"xla_backend_optimization_level": 0})(
        jax.random.key(0), jnp.zeros((1, 40, 1))
    )["params"]
    # strong recurrence, or forgetting the past would hardly be noticed
    params = jax.tree_util.tree_map_with_path(
        lambda path, x: 3 * x if "memory" in jax.tree_util.keystr(path) else x, jax.device_get(params)
    )
    return zoo.ReadyCodec(module, {"params": params}, entropy.Fitter(bottleneck.symbols()).fit(), {"family": "toy"})


def applied(method, *args):
    """What a method of the codec gives for arrays and, behind them, a length."""
    static = [i for i, arg in enumerate(args) if isinstance(arg, int)]
    codec = remembering()
    run = jax.jit(lambda v, *args: codec.module.apply(v, *args, method=method), static_argnums=[i + 1 for i in static])
    return jax.device_get(run(codec.variables, *args))


def sound(n_samples, n_streams=1):
    return np.random.default_rng(n_samples).uniform(-1, 1, (n_streams, n_samples, 1)).astype(np.float32)


@functools.cache
def chunked(chunk_frames: int) -> Chunks:
    return Chunks(remembering().module, remembering().variables, chunk_frames)


@pytest.mark.parametrize(("chunk_frames", "n_samples"), [(1, 95), (7, 1), (7, 400), (7, 1003), (40, 95), (40, 1003)])
def test_chunks_are_one_pass(chunk_frames, n_samples):
    audio = sound(n_samples, 2)
    latents = applied("encode", audio)
    chunks = chunked(chunk_frames)
    encoder = FrameEncoder(chunks, 2)
    parts = [part for block in np.array_split(audio, 3, axis=1) for part in encoder.push(block)] + encoder.finish()
    np.testing.assert_allclose(np.concatenate(parts, axis=1), latents, atol=2e-5)
    decoder = FrameDecoder(chunks, 2)
    pieces = [decoder.push(part) for part in parts]
    whole = applied("decode", latents, n_samples)
    np.testing.assert_allclose(np.concatenate([*pieces, decoder.finish(n_samples)], axis=1), whole, atol=2e-5)


def test_a_layer_that_forgot_would_be_noticed():
    audio, chunks = sound(500), chunked(40)
    right, forgetful = FrameEncoder(chunks, 1), FrameEncoder(chunks, 1)
    assert len(right.push(audio)) == len(forgetful.push(audio)) == 1
    assert forgetful._lanes is not None
    forgetful._lanes.restart(0)
    assert np.abs(forgetful.finish()[0] - right.finish()[0]).max() > 1e-2


def test_padded_batches_are_single_clips():
    audio = sound(120, 2)
    audio[1, 75:] = 9.0  # is not to be heard
    out = applied(None, audio, np.array([120, 75]))
    alone = applied(None, audio[1:, :75])
    np.testing.assert_allclose(out.audio[1, :75], alone.audio[0], atol=1e-6)
    np.testing.assert_array_equal(out.codes[1, :8], alone.codes[0])


def test_parts_of_a_file_are_those_of_the_whole():
    codec = remembering()
    audio = sound(3 * RATE)[0]
    encoder = codec.stream_encoder(RATE, packet_s=0.5)
    blob = b"".join([encoder.push(part) for part in np.array_split(audio, 7)]) + encoder.finish()
    assert blob == codec.compress(audio, packet_s=0.5)
    whole = codec.decompress(blob).audio
    decoder = codec.stream_decoder()
    streamed = np.concatenate([*(decoder.push(blob[i : i + 999]) for i in range(0, len(blob), 999)), decoder.finish()])
    np.testing.assert_array_equal(streamed, whole)
    assert packets_to_warm_up(codec.module, 400) is None  # its decoder must hear all packets from the first

    reader = ContainerReader(io.BytesIO(blob))
    coding.expect(codec.engine, reader)
    part = np.concatenate(list(coding.decode_range(codec.engine, reader, 17_000, 18_500)))
    np.testing.assert_array_equal(part, whole[17_000:18_500])
