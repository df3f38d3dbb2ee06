"""SEANet: the strided convolutional encoder and decoder of EnCodec and Mimi.

Tagliasacchi et al., 2020, in the form of EnCodec (Défossez et al., 2022) and Mimi (Défossez et al., 2024): a stem, for
each ratio residual units and a strided convolution of twice the width, LSTM layers with a skip, a head; the decoder is
the mirror image. Its layers are listed once, and from that list come the modules, the receptive field and the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Context
from zoo.nn.layers import (
    LSTM,
    Conv1d,
    ConvTranspose1d,
    Dtype,
    Edge,
    Span,
    Steps,
    TimeGroupNorm,
    apply_mask,
    elu,
    in_windows,
)

Norm = Literal["none", "time_group_norm"]


@dataclass(frozen=True)
class Layer:
    """One layer, after an ELU if `activated`."""

    kind: Literal["conv", "unit", "up", "lstm"]
    name: str
    index: int
    """in the reference's list of modules, where activations count"""
    features: int
    kernel_size: int = 1
    stride: int = 1
    dilation: int = 1
    activated: bool = False


@dataclass(frozen=True)
class Seanet:
    """Hyper-parameters of an encoder and its decoder."""

    latent_dim: int = 128
    n_filters: int = 32
    """width at the audio's own rate"""
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    """of the decoder's upsampling, in its order; the encoder has them backwards"""
    channels: int = 1
    """of audio"""
    kernel_size: int = 7
    """of both stems"""
    last_kernel_size: int = 7
    """of both heads"""
    residual_kernel_size: int = 3
    n_residual: int = 1
    """residual units for each ratio"""
    dilation_growth: int = 2
    compress: int = 2
    """by how much residual units are narrower inside"""
    causal: bool = True
    edge: Edge = "reflect"
    norm: Norm = "none"
    conv_shortcut: bool = True
    """whether residual units have a convolution beside them rather than the identity"""
    n_lstm: int = 2
    remembers: bool = True
    """whether the LSTM goes on from chunk to chunk, or begins anew with every array"""

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return int(np.prod(self.ratios))

    def encoder_layers(self) -> list[Layer]:
        width = self.n_filters
        layers = [Layer("conv", "stem", 0, width, self.kernel_size)]
        index = 1
        for i, ratio in enumerate(reversed(self.ratios)):
            layers += self._units(i, index, width)
            index += self.n_residual + 1
            width *= 2
            layers.append(Layer("conv", f"down_{i}", index, width, 2 * ratio, ratio, activated=True))
            index += 1
        layers += self._memory(index, width)
        index += len(self._memory(index, width)) + 1
        return [*layers, Layer("conv", "head", index, self.latent_dim, self.last_kernel_size, activated=True)]

    def decoder_layers(self) -> list[Layer]:
        width = self.n_filters * 2 ** len(self.ratios)
        layers = [Layer("conv", "stem", 0, width, self.kernel_size), *self._memory(1, width)]
        index = len(layers)
        for i, ratio in enumerate(self.ratios):
            width //= 2
            layers.append(Layer("up", f"up_{i}", index + 1, width, 2 * ratio, ratio, activated=True))
            index += 2
            layers += self._units(i, index, width)
            index += self.n_residual
        return [*layers, Layer("conv", "head", index + 1, self.channels, self.last_kernel_size, activated=True)]

    def min_first_frames(self) -> int:
        """How many first frames of a clip must be known for the first of them to be known, both ways.

        A causal convolution mirrors the beginning of a clip, and so hears there what is yet to come.
        """
        return max(_opening(self, self.encoder_layers(), 1), _opening(self, self.decoder_layers(), self.hop_length))

    def _units(self, i: int, index: int, width: int) -> list[Layer]:
        size, growth = self.residual_kernel_size, self.dilation_growth
        return [
            Layer("unit", f"unit_{i}_{j}", index + j, width, size, dilation=growth**j) for j in range(self.n_residual)
        ]

    def _memory(self, index: int, width: int) -> list[Layer]:
        return [Layer("lstm", "lstm", index, width)] if self.n_lstm else []


class SeanetEncoder(nn.Module):
    """Audio (B, F · hop_length, channels) -> latents (B, F, latent_dim)."""

    spec: Seanet
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        return _inputs(self.spec, self.spec.encoder_layers(), frames)

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        context = Context.of_encoder(self, self.spec.hop_length)
        layers = self.spec.encoder_layers()
        x, width = audio, self.spec.n_filters
        for ratio in _windowed(self.spec, audio)[::-1]:
            end = next(i for i, layer in enumerate(layers) if layer.stride > 1) + 1
            stage = Stage(self.spec, tuple(layers[:end]), self.dtype)
            nn.share_scope(self, stage)
            x = in_windows(stage, x, mask, Steps(ratio, 1), _WINDOW // width)
            layers, width = layers[end:], 2 * width
        return _apply(self.spec, layers, x, mask, context, Span(0, 0), self.dtype)


class SeanetDecoder(nn.Module):
    """Latents (B, F, latent_dim) -> audio (B, F · hop_length, channels)."""

    spec: Seanet
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, samples: Span) -> Span:
        return _inputs(self.spec, self.spec.decoder_layers(), samples)

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        hop = self.spec.hop_length
        context = Context.of_decoder(self, hop)
        layers, ratios = self.spec.decoder_layers(), _windowed(self.spec, latent)
        starts = [i for i, layer in enumerate(layers) if layer.stride > 1]
        starts = [*starts[len(starts) - len(ratios) :], len(layers)]
        span = _inputs(self.spec, layers[starts[0] :], Span(0, hop - 1))
        x = _apply(self.spec, layers[: starts[0]], latent, mask, context, span, self.dtype)
        width = self.spec.n_filters * 2 ** len(ratios)
        for ratio, start, end in zip(ratios, starts, starts[1:]):
            width //= 2
            stage = Stage(self.spec, tuple(layers[start:end]), self.dtype)
            nn.share_scope(self, stage)
            x = in_windows(stage, x, mask, Steps(1, ratio), _WINDOW // width)
        return x


class Stage(nn.Module):
    """Some of an encoder's or decoder's layers, whose parameters are among those of all."""

    spec: Seanet
    layers: tuple[Layer, ...]
    dtype: Dtype

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return _inputs(self.spec, self.layers, span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        return _apply(self.spec, self.layers, x, mask, Context(0, 0), Span(0, 0), self.dtype)


_WINDOW = 4096 * 64
"""numbers in what is computed at once, which stays in a core's cache"""
_WINDOWED = 2
"""stages next to the audio; in others kernels are larger than what they are applied to"""


def _windowed(spec: Seanet, x: jax.Array) -> tuple[int, ...]:
    """Ratios of the stages that are computed in windows, in the decoder's order."""
    return spec.ratios[-_WINDOWED:] if spec.norm == "none" else ()


class ResidualUnit(nn.Module):
    """ELU, dilated convolution, ELU, pointwise convolution, beside the identity or a pointwise convolution."""

    spec: Seanet
    kernel_size: int
    dilation: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        width, spec = x.shape[-1], self.spec
        hidden = Layer("conv", "dilated", 1, width // spec.compress, self.kernel_size, dilation=self.dilation)
        y = elu(_NormConv(spec, hidden, self.dtype, name="dilated")(elu(x), mask))
        y = _NormConv(spec, Layer("conv", "pointwise", 3, width), self.dtype, name="pointwise")(y, mask)
        if spec.conv_shortcut:
            x = _NormConv(spec, Layer("conv", "shortcut", 0, width), self.dtype, name="shortcut")(x, mask)
        return x + y


class _NormConv(nn.Module):
    spec: Seanet
    layer: Layer
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        x = _convolution(self.spec, self.layer, self.dtype, name="conv")(x, mask)
        return TimeGroupNorm(self.dtype, name="norm")(x) if self.spec.norm == "time_group_norm" else x


class _NormConvTranspose(nn.Module):
    spec: Seanet
    layer: Layer
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        stride, left = self.layer.stride, _left(self.spec, self.layer)
        if self.spec.norm == "none":
            return _transposed(self.spec, self.layer, self.dtype, left, name="conv")(x, mask)
        # the norm hears what is cut off on both sides
        whole = jnp.pad(apply_mask(x, mask), ((0, 0), (0, 1), (0, 0)))
        y = _transposed(self.spec, self.layer, self.dtype, 0, name="conv")(whole)
        return TimeGroupNorm(self.dtype, name="norm")(y)[:, left : left + x.shape[1] * stride]


def _apply(
    spec: Seanet,
    layers: Sequence[Layer],
    x: jax.Array,
    mask: jax.Array | None,
    context: Context,
    span: Span,
    dtype: Dtype,
) -> jax.Array:
    """What the layers make of `x`, inside a compact module; `span` is a frame of what comes out."""
    for i, layer in enumerate(layers):
        if layer.activated:
            x = elu(x)
        if layer.kind == "unit":
            x = ResidualUnit(spec, layer.kernel_size, layer.dilation, dtype, name=layer.name)(x, mask)
        elif layer.kind == "conv":
            x = _NormConv(spec, layer, dtype, name=layer.name)(x, mask)
        elif layer.kind == "up":
            x = _NormConvTranspose(spec, layer, dtype, name=layer.name)(x, mask)
        else:
            first = context.before + _inputs(spec, layers[i + 1 :], span).first
            beside = context.before + context.after
            lstm = LSTM(spec.n_lstm, first, beside, dtype, spec.remembers, name=layer.name)
            x = x + lstm(x, mask)
    return x


def _inputs(spec: Seanet, layers: Sequence[Layer], span: Span) -> Span:
    for layer in reversed(layers):
        if layer.kind == "unit":
            span = span | _convolution(spec, layer, jnp.float32).inputs(span)
        elif layer.kind == "conv":
            span = _convolution(spec, layer, jnp.float32).inputs(span)
        elif layer.kind == "up":
            span = _transposed(spec, layer, jnp.float32, _left(spec, layer)).inputs(span)
    return span


def _opening(spec: Seanet, layers: Sequence[Layer], samples: int) -> int:
    """Smallest n for which the first n frames, of so many samples each on the far side, need only the first n."""
    hop = spec.hop_length // samples

    def enough(frames: int) -> bool:
        span = Span(0, frames * samples - 1)
        for layer in reversed(layers):
            span = _inputs(spec, [layer], span)
            if spec.edge == "reflect" and layer.kind in ("conv", "unit"):
                span = span | Span(0, _left(spec, layer))
        return span.last < frames * hop

    return next((n for n in range(1, 64) if enough(n)), 64) if spec.causal else 1


def _left(spec: Seanet, layer: Layer) -> int:
    """Samples before the first that a convolution reads, or of those that a transposed one drops."""
    total = (layer.kernel_size - 1) * layer.dilation + 1 - layer.stride
    if layer.kind == "up":
        return 0 if spec.causal else total - total // 2
    return total if spec.causal else total - total // 2


def _convolution(spec: Seanet, layer: Layer, dtype: Dtype, name: str | None = None) -> Conv1d:
    return Conv1d(
        layer.features,
        layer.kernel_size,
        stride=layer.stride,
        dilation=layer.dilation,
        dtype=dtype,
        left=_left(spec, layer),
        edge=spec.edge,
        name=name,
    )


def _transposed(spec: Seanet, layer: Layer, dtype: Dtype, left: int, name: str | None = None) -> ConvTranspose1d:
    return ConvTranspose1d(layer.features, layer.stride, dtype=dtype, left=left, name=name)
