"""Layers that keep their last inputs: random stacks of them, chunk by chunk, are one pass over the clip."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.zoo.nn.test_context import random_like
from zoo.codec import Codec, Reach
from zoo.coding.chunks import Chunks
from zoo.coding.stream import FrameDecoder, FrameEncoder, packets_to_warm_up
from zoo.nn.bottlenecks import FSQ
from zoo.nn.layers import (
    LSTM,
    Conv1d,
    ConvTranspose1d,
    DepthwiseConv1d,
    Network,
    Residual,
    ResidualUnit,
    Span,
    Steps,
    Sum,
    windowed,
)

DIM = 3
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Stack(Network):
    """Layers drawn by a seed, which change the rate by the steps: down, or up if negative."""

    seed: int
    steps: tuple[int, ...]
    features: int
    causal: bool = False
    memory: bool = False

    def layers(self) -> Any:
        rng = np.random.default_rng(self.seed)
        memory = [Sum([], [LSTM(name="memory")])] if self.memory else []
        yield from memory if self.steps[0] < 0 else []
        for i, step in enumerate(self.steps):
            for j in range(rng.integers(0, 3)):
                yield mixer(rng, self.causal, f"mixer_{i}_{j}")
            yield jnp.tanh
            left = int(rng.integers(0, abs(step) + 1))
            if step > 0:
                yield Conv1d(DIM, 2 * step, step, left=step if self.causal else left, name=f"down_{i}")
            else:
                yield ConvTranspose1d(DIM, -step, left=0 if self.causal else left, name=f"up_{i}")
        yield from memory if self.steps[0] > 0 else []
        yield Conv1d(self.features, int(rng.choice([1, 3])), causal=self.causal, name="head")


def mixer(rng: np.random.Generator, causal: bool, name: str) -> Any:
    kind, dilation, size = rng.integers(0, 5), int(rng.integers(1, 4)), int(rng.integers(2, 6))
    left = int(rng.integers(0, (size - 1) * dilation + 1))
    if kind == 0:
        return ResidualUnit(dilation, 1 if causal else 3, name=name)
    if kind == 1:
        return windowed(Inner(size, dilation, causal, name=name), Steps(1, 1), 4)
    if kind == 2:
        return Beside(size, dilation, causal, name=name)
    conv = Conv1d(DIM, size, dilation=dilation, left=None if causal else left, causal=causal, name=name)
    return Sum([jnp.tanh, conv], [DepthwiseConv1d(3, causal=causal, name=f"{name}_beside")]) if kind == 3 else conv


class Inner(Network):
    size: int
    dilation: int
    causal: bool

    def layers(self) -> Any:
        yield Conv1d(DIM, self.size, dilation=self.dilation, causal=self.causal, name="first")
        yield jnp.tanh
        yield Conv1d(DIM, 2, causal=self.causal, name="second")


class Beside(Residual):
    size: int
    dilation: int
    causal: bool

    def layers(self) -> Any:
        return Inner.layers(self)


def made(seed: int, steps: tuple[int, ...], **options: Any) -> tuple[Codec, Any]:
    hop = int(np.prod(steps))
    encoder = Stack(seed, steps, DIM, **options)
    decoder = Stack(seed + 1, tuple(-step for step in reversed(steps)), 1, **options)
    codec = Codec.from_parts(encoder, FSQ((15,) * DIM), decoder, sample_rate=1000, hop_length=hop)
    return codec, random_like(jax.eval_shape(codec.init, jax.random.key(0), jnp.zeros((1, 4 * hop, 1))))


@pytest.mark.parametrize(
    ("seed", "steps", "chunk_frames", "options"),
    [
        (0, (2,), 2, {}),
        (10, (3, 2), 9, {}),
        (30, (2, 3, 2), 3, {}),
        (70, (2, 3), 4, {"causal": True}),
        (80, (3, 1), 5, {"memory": True}),
    ],
)
def test_chunks_are_one_pass(seed, steps, chunk_frames, options, quick):
    codec, variables = made(seed, steps, **options)
    assert codec.encoder_continues
    assert codec.decoder_continues
    rng, hop, chunks = np.random.default_rng(seed), codec.hop_length, Chunks(codec, variables, chunk_frames)
    n = max(6 * chunk_frames, 26) + 1
    audio = rng.standard_normal((1, n * hop - 1, 1)).astype(np.float32)
    encoder = FrameEncoder(chunks, 1)
    parts = [*encoder.push(audio[:, : hop + 1]), *encoder.push(audio[:, hop + 1 :]), *encoder.finish()]
    latent = jit(functools.partial(codec.apply, method="encode"))(variables, audio)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), latent, atol=1e-5)

    packets = [latent[:, start : start + chunk_frames] for start in range(0, n, chunk_frames)]
    valid = np.ones((1, n), bool)
    valid[:, 2 * chunk_frames : 3 * chunk_frames] = False
    decode = jit(functools.partial(codec.apply, method="decode_frames"))
    for lost, mask in ((None, np.ones_like(valid)), (2, valid)):
        decoder = FrameDecoder(chunks, 1)
        pieces = [decoder.push(packet, lost=i == lost) for i, packet in enumerate(packets)]
        found = np.concatenate([*pieces, decoder.finish(n * hop)], axis=1)
        np.testing.assert_allclose(found, decode(variables, latent, mask), atol=1e-5)

    # begun with the second packet it is the same in every bit, as soon as what came before no longer matters
    if "memory" not in options:
        middle = FrameDecoder(chunks, 1, chunk_frames)
        pieces = [middle.push(packet, lost=i == 2) for i, packet in enumerate(packets[1:], start=1)]
        end = np.concatenate([*pieces, middle.finish(n * hop)], axis=1)
        warm = (1 + packets_to_warm_up(codec, chunk_frames)) * chunk_frames * hop
        assert warm < n * hop
        np.testing.assert_array_equal(end[:, warm - chunk_frames * hop :], found[:, warm:])


def test_a_clip_shorter_than_a_chunk_is_one_pass(quick):
    codec, variables = made(10, (3, 2))
    audio = np.random.default_rng(0).standard_normal((1, 17, 1)).astype(np.float32)
    encoder = FrameEncoder(Chunks(codec, variables, 9), 1)
    assert encoder.push(audio) == []
    latent = codec.apply(variables, audio, method="encode")
    np.testing.assert_allclose(encoder.finish()[0], latent, atol=1e-5)


class Plain(Network):
    def layers(self) -> Any:
        yield Conv1d(4, 5, dilation=2, left=6, name="mixing")
        yield Conv1d(4, 6, 3, left=2, name="down")
        yield Conv1d(DIM, 3, causal=True, name="head")


def test_layers_keep_what_their_kernels_reach_and_no_more():
    codec = Codec.from_parts(Plain(), FSQ((15,) * DIM), Stack(1, (-3,), 1), sample_rate=1000, hop_length=3)
    variables = random_like(jax.eval_shape(codec.init, jax.random.key(0), jnp.zeros((1, 12, 1))))
    kept = jax.tree.map(np.shape, Chunks(codec, variables, 7).encoder_carry()["encoder"])
    # the first one is given whole frames, of which not all samples are needed yet; a stride begins with a whole step
    early = (codec.encoder_context.after + 1) * 3 - 1 - codec.encoder.inputs(Span(0, 0)).last
    assert kept == {"past_0": (1, 8 + early, 1), "past_1": (1, 6 - 3 + 1, 4), "past_2": (1, 2, 4)}


class Grid(nn.Module):
    """The mean of pairs of samples, counted from the beginning of a clip."""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return Span(span.first // 2 * 2, span.last // 2 * 2 + 1)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        pairs = x.reshape(len(x), -1, 2, x.shape[-1])
        return jnp.broadcast_to(pairs.mean(axis=2, keepdims=True), pairs.shape).reshape(x.shape)


class Gridded(Network):
    def layers(self) -> Any:
        return [Conv1d(DIM, 2, 2, name="down"), Grid(name="grid"), Conv1d(DIM, 3, name="head")]


def test_what_cannot_continue_or_says_other_contexts_goes_on_with_windows():
    def codec(encoder: Network, multiple: int = 1, **options: Any) -> Codec:
        decoder = Stack(1, (-2,), 1)
        made = Codec.from_parts(encoder, FSQ((15,)), decoder, sample_rate=1000, hop_length=2, frame_multiple=multiple)
        return made.clone(**options)

    assert codec(Stack(0, (2,), DIM)).encoder_continues
    assert not codec(Stack(0, (2,), DIM), encoder_context=Reach(1, 9)).encoder_continues
    assert not codec(Stack(0, (2,), DIM), encodes_whole=True).encoder_continues
    assert not codec(Gridded(), 2).encoder_continues
