"""SNAC 24, 32 and 44 kHz (Siuzdak, Grötschla and Lanzendörfer, 2024): residual VQ whose codebooks have several rates.

A stack of depthwise convolutions with Snake makes one *step* of latents of each hop of prod(encoder_rates) samples.
Codebook q sees the mean of vq_strides[q] steps and gives one code for all of them: the first codebooks are the slow
ones. A latent frame of the `Codec` is what a code of the slowest codebook spans, vq_strides[0] steps. Their latents lie
side by side in one vector, and the frame's 1 + 2 + 4 (+ 8) codes in one row, the slowest codebook's first, those of a
codebook in order of time. The models for music attend within windows of 32 steps, counted from the beginning of a clip,
which therefore has a multiple of `Codec.frame_multiple` frames.

The decoder adds noise. Here it is a function of the layer and of the place in the clip, not of chance: the same codes
give the same audio, in chunks and from any frame on.

An export has `config.json` and `model.safetensors`. `snac.SNAC.from_pretrained` wants a `pytorch_model.bin`; instead:

    model = snac.SNAC.from_config("out/config.json").eval()
    model.load_state_dict(safetensors.torch.load_file("out/model.safetensors"))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec, Reach
from zoo.nn.layers import (
    Conv1d,
    ConvTranspose1d,
    DepthwiseConv1d,
    Dtype,
    Layers,
    Network,
    Residual,
    Snake,
    Span,
    Sum,
    Transform,
    asking,
    carrying,
    inputs_of,
    run,
)
from zoo.published.snac.local_attention import HEAD_DIM, LocalAttention
from zoo.published.snac.multiscale_vq import MultiScaleVQ

DILATIONS = (1, 3, 9)


KERNEL_SIZE = 7


class ResidualUnit(Residual):
    """Snake, dilated depthwise convolution, Snake, pointwise convolution, and the residual."""

    dilation: int
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        yield Snake(dtype=self.dtype, name="snake_in")
        yield DepthwiseConv1d(KERNEL_SIZE, dilation=self.dilation, dtype=self.dtype, name="dilated")
        yield Snake(dtype=self.dtype, name="snake_out")
        yield Conv1d(dtype=self.dtype, masked=False, name="pointwise")


class Encoder(Network):
    dim: int
    rates: Sequence[int]
    steps: int
    """per frame"""
    window: int | None
    dtype: Dtype

    def layers(self) -> Layers:
        yield Conv1d(self.dim, KERNEL_SIZE, dtype=self.dtype, name="conv_in")
        for i, rate in enumerate(self.rates):
            yield from _units(i, self.dtype)
            yield Snake(dtype=self.dtype, name=f"snake_{i}")
            width, left = self.dim * 2 ** (i + 1), -(-rate // 2)
            yield Conv1d(width, 2 * rate, stride=rate, left=left, dtype=self.dtype, name=f"down_{i}")
        if self.window:
            yield LocalAttention(self.window, dtype=self.dtype, name="attention")
        yield DepthwiseConv1d(KERNEL_SIZE, dtype=self.dtype, name="conv_out")
        yield Transform(
            lambda x, _: x.reshape(len(x), -1, self.steps * x.shape[-1]),
            lambda frames: frames.analysed(self.steps, self.steps, 0),
        )


class Decoder(nn.Module):
    dim: int
    rates: Sequence[int]
    steps: int
    """per frame"""
    window: int | None
    noise: bool
    dtype: Dtype
    first: int = 0
    """frames before the chunk in a window of a long clip"""
    beside: int = 0
    """frames of such a window that do not belong to the chunk"""

    @nn.nowrap
    def _stem(self) -> Layers:
        yield Transform(
            lambda x, _: x.reshape(len(x), x.shape[1] * self.steps, -1),
            lambda steps: steps.synthesised(self.steps, self.steps, 0),
        )
        yield DepthwiseConv1d(KERNEL_SIZE, dtype=self.dtype, name="conv_in")
        yield Conv1d(self.dim, dtype=self.dtype, masked=False, name="expand")
        if self.window:
            yield LocalAttention(self.window, dtype=self.dtype, name="attention")

    @nn.nowrap
    def _stage(self, i: int, noise: jax.Array | None = None) -> Layers:
        """What follows the stem: stages, and last, with the number that is one too many, the waveform's convolution."""
        if i == len(self.rates):
            yield Snake(dtype=self.dtype, name="snake_out")
            yield Conv1d(1, KERNEL_SIZE, dtype=self.dtype, name="conv_out")
            yield jnp.tanh
            return
        rate, width = self.rates[i], self.dim // 2 ** (i + 1)
        yield Snake(dtype=self.dtype, name=f"snake_{i}")
        yield ConvTranspose1d(width, rate, left=-(-rate // 2), dtype=self.dtype, name=f"up_{i}")
        if self.noise:
            depth = Conv1d(use_bias=False, dtype=self.dtype, masked=False, name=f"noise_{i}")
            yield Sum([], [depth, lambda x: noise * x])
        yield from _units(i, self.dtype)

    @asking
    def inputs(self, samples: Span) -> Span:
        """The frames on which `samples` depend."""
        return inputs_of(self._stem(), self._needed(samples)[0])

    @asking
    def _needed(self, samples: Span) -> list[Span]:
        """Steps that the input of each stage must hold for `samples`."""
        span, size, needed = samples, math.prod(self.rates), []
        for i, rate in reversed(list(enumerate((*self.rates, 1)))):
            span, size = inputs_of(self._stage(i), span), size // rate
            needed.append(Span(span.first // size, span.last // size))
        return needed[::-1]

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        frames = latent.shape[1]
        n_steps, hop = frames * self.steps, self.steps * math.prod(self.rates)
        start: Any = 0
        needed = [Span(0, n_steps - 1)] * (len(self.rates) + 1)
        if carrying(self):
            position = self.variable("carry", "position", jnp.zeros, (), jnp.int32)
            start, n = position.value - self.first, frames - self.beside
            position.value = position.value + n
            # most of the work is at high rates, where little beside the chunk matters; the rest of a window is left out
            needed = self._needed(Span(self.first * hop, (self.first + n) * hop - 1))
        x = run(self._stem(), latent, mask)
        mask = None if mask is None else jnp.repeat(mask, self.steps, axis=1)
        whole, held, noise = Span(0, n_steps - 1), Span(0, n_steps - 1), None
        for i, part in enumerate(needed):
            x, held = _part(x, held, part), part
            if self.noise and i < len(self.rates):
                noise = noise_of_frames(i, start, frames, hop // math.prod(self.rates[i + 1 :])).astype(self.dtype)
                noise = _part(noise[None], whole, held)[..., None]
            x = run(self._stage(i, noise), x, None if mask is None else _part(mask, whole, held))
        missing = held.first, n_steps - 1 - held.last
        return jnp.pad(x, ((0, 0), tuple(m * hop // self.steps for m in missing), (0, 0)))


def _units(i: int, dtype: Dtype) -> Layers:
    for j, dilation in enumerate(DILATIONS):
        yield ResidualUnit(dilation, dtype=dtype, name=f"unit_{i}_{j}")


def _part(x: jax.Array, held: Span, wanted: Span) -> jax.Array:
    """The steps `wanted` of an array (B, T, …) that holds the steps `held`, of as many samples each as there are."""
    size = x.shape[1] // (held.last - held.first + 1)
    return x[:, (wanted.first - held.first) * size : (wanted.last + 1 - held.first) * size]


def noise_of_frames(layer: int, first: Any, frames: int, samples: int) -> jax.Array:
    """Standard normal noise (frames · samples,) of a decoder's layer, for frames `first` … of a clip."""
    key = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), layer)
    numbers = (first + jnp.arange(frames)).astype(jnp.uint32)
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), (samples,)))(numbers).reshape(-1)


def snac(
    *,
    sample_rate: int = 24_000,
    encoder_dim: int = 48,
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8),
    decoder_dim: int = 1024,
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2),
    attn_window_size: int | None = None,
    codebook_size: int = 4096,
    codebook_dim: int = 8,
    vq_strides: tuple[int, ...] = (4, 2, 1),
    noise: bool = True,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """SNAC, by default that of 24 kHz; `attn_window_size` and `vq_strides` count steps of prod(encoder_rates) samples.

    Raises ValueError where these numbers do not fit together.
    """
    steps, latent_dim = vq_strides[0], encoder_dim * 2 ** len(encoder_rates)
    hop = math.prod(encoder_rates) * steps
    if math.prod(decoder_rates) != math.prod(encoder_rates):
        raise ValueError(f"encoder_rates {encoder_rates} and decoder_rates {decoder_rates} must have one product")
    if any(steps % stride for stride in vq_strides):
        raise ValueError(f"vq_strides {vq_strides} must all divide the first")
    if attn_window_size and (latent_dim % HEAD_DIM or decoder_dim % HEAD_DIM):
        raise ValueError(f"attention has heads of {HEAD_DIM} channels: {latent_dim} and {decoder_dim} are no multiples")
    encoder = Encoder(encoder_dim, encoder_rates, steps, attn_window_size, dtype)
    decoder = Decoder(decoder_dim, decoder_rates, steps=steps, window=attn_window_size, noise=noise, dtype=dtype)
    multiple = math.lcm(steps, attn_window_size or 1) // steps
    reach = Reach.of_decoder(decoder, hop, multiple)
    return Codec(
        encoder=encoder,
        bottleneck=MultiScaleVQ(latent_dim, vq_strides, codebook_size, codebook_dim),
        decoder=decoder.clone(first=reach.before, beside=reach.before + reach.after),
        sample_rate=sample_rate,
        hop_length=hop,
        encoder_context=Reach.of_encoder(encoder, hop, multiple),
        decoder_context=reach,
        frame_multiple=multiple,
    )
