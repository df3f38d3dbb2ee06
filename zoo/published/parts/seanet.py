"""SEANet: the strided convolutional encoder and decoder of EnCodec and Mimi.

Tagliasacchi et al., 2020, in the form of EnCodec (Défossez et al., 2022) and Mimi (Défossez et al., 2024): a stem, for
each ratio residual units and a strided convolution of twice the width, LSTM layers with a skip, a head; the decoder is
the mirror image. Its layers are listed once, and from that list come the modules, the receptive field and the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.nn.layers import (
    LSTM,
    Conv1d,
    ConvTranspose1d,
    Dtype,
    Edge,
    Layers,
    Network,
    Span,
    Steps,
    Sum,
    TimeGroupNorm,
    apply_mask,
    asking,
    elu,
    inputs_of,
    windowed,
)

Norm = Literal["none", "time_group_norm"]


@dataclass(frozen=True)
class Row:
    """A row of the list: one layer, after an ELU if `activated`."""

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

    def __post_init__(self) -> None:
        if not self.ratios or min(self.ratios) < 2:
            raise ZooError(f"ratios must be at least 2 each, got {list(self.ratios)}")

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return int(np.prod(self.ratios))

    def encoder_rows(self) -> list[Row]:
        width = self.n_filters
        rows = [Row("conv", "stem", 0, width, self.kernel_size)]
        index = 1
        for i, ratio in enumerate(reversed(self.ratios)):
            rows += self._units(i, index, width)
            index += self.n_residual + 1
            width *= 2
            rows.append(
                Row(
                    "conv",
                    f"down_{i}",
                    index=index,
                    features=width,
                    kernel_size=2 * ratio,
                    stride=ratio,
                    activated=True,
                )
            )
            index += 1
        rows += self._memory(index, width)
        index += len(self._memory(index, width)) + 1
        return [*rows, Row("conv", "head", index, self.latent_dim, self.last_kernel_size, activated=True)]

    def decoder_rows(self) -> list[Row]:
        width = self.n_filters * 2 ** len(self.ratios)
        rows = [Row("conv", "stem", 0, width, self.kernel_size), *self._memory(1, width)]
        index = len(rows)
        for i, ratio in enumerate(self.ratios):
            width //= 2
            rows.append(
                Row(
                    "up",
                    f"up_{i}",
                    index=index + 1,
                    features=width,
                    kernel_size=2 * ratio,
                    stride=ratio,
                    activated=True,
                )
            )
            index += 2
            rows += self._units(i, index, width)
            index += self.n_residual
        return [*rows, Row("conv", "head", index + 1, self.channels, self.last_kernel_size, activated=True)]

    def min_first_frames(self) -> int:
        """How many first frames of a clip must be known for the first of them to be known, both ways.

        A causal convolution mirrors the beginning of a clip, and so depends there on what is yet to come.
        """
        return max(
            _min_first_frames(self, self.encoder_rows(), 1),
            _min_first_frames(self, self.decoder_rows(), self.hop_length),
        )

    def _units(self, i: int, index: int, width: int) -> list[Row]:
        size, growth = self.residual_kernel_size, self.dilation_growth
        return [
            Row("unit", f"unit_{i}_{j}", index + j, width, size, dilation=growth**j) for j in range(self.n_residual)
        ]

    def _memory(self, index: int, width: int) -> list[Row]:
        return [Row("lstm", "lstm", index, width)] if self.n_lstm else []


class SeanetEncoder(Network):
    """Audio (B, F · hop_length, channels) -> latents (B, F, latent_dim)."""

    spec: Seanet
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        rows, width = self.spec.encoder_rows(), self.spec.n_filters
        for ratio in reversed(_windowed(self.spec)):
            end = next(i for i, row in enumerate(rows) if row.stride > 1) + 1
            stage = Stage(self.spec, tuple(rows[:end]), self.dtype)
            yield windowed(stage, Steps(ratio, 1), _WINDOW // width, merged=True)
            rows, width = rows[end:], 2 * width
        yield from _layers(self.spec, rows, self.dtype)


class SeanetDecoder(Network):
    """Latents (B, F, latent_dim) -> audio (B, F · hop_length, channels)."""

    spec: Seanet
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        rows, ratios = self.spec.decoder_rows(), _windowed(self.spec)
        starts = [i for i, row in enumerate(rows) if row.stride > 1]
        starts = [*starts[len(starts) - len(ratios) :], len(rows)]
        yield from _layers(self.spec, rows[: starts[0]], self.dtype)
        width = self.spec.n_filters * 2 ** len(ratios)
        for ratio, start, end in zip(ratios, starts, starts[1:]):
            width //= 2
            stage = Stage(self.spec, tuple(rows[start:end]), self.dtype)
            yield windowed(stage, Steps(1, ratio), _WINDOW // width, merged=True)


class Stage(Network):
    """Some of an encoder's or decoder's layers, whose parameters are among those of all."""

    spec: Seanet
    rows: tuple[Row, ...]
    dtype: Dtype

    def layers(self) -> Layers:
        return _layers(self.spec, self.rows, self.dtype)


_WINDOW = 4096 * 64
"""numbers in what is computed at once, which stays in a core's cache"""
_WINDOWED = 2
"""stages next to the audio; in others kernels are larger than what they are applied to"""


def _windowed(spec: Seanet) -> tuple[int, ...]:
    """Ratios of the stages that are computed in windows, in the decoder's order."""
    return spec.ratios[-_WINDOWED:] if spec.norm == "none" else ()


class ResidualUnit(Network):
    """ELU, dilated convolution, ELU, pointwise convolution, beside the identity or a pointwise convolution."""

    spec: Seanet
    row: Row
    dtype: Dtype

    def layers(self) -> Layers:
        spec, row, width = self.spec, self.row, self.row.features
        rows = [
            Row("conv", "dilated", 1, width // spec.compress, row.kernel_size, dilation=row.dilation),
            Row("conv", "pointwise", 3, width),
            *([Row("conv", "shortcut", 0, width)] if spec.conv_shortcut else []),
        ]
        dilated, pointwise, *shortcut = (_NormConv(spec, row, self.dtype, name=row.name) for row in rows)
        yield Sum([elu, dilated, elu, pointwise], shortcut)


class _NormConv(Network):
    spec: Seanet
    row: Row
    dtype: Dtype

    def layers(self) -> Layers:
        row, left = self.row, _left(self.spec, self.row)
        sizes = (row.features, row.kernel_size, row.stride, row.dilation)
        yield Conv1d(*sizes, dtype=self.dtype, left=left, edge=self.spec.edge, name="conv")
        if self.spec.norm == "time_group_norm":
            yield TimeGroupNorm(self.dtype, name="norm")


class _NormConvTranspose(nn.Module):
    spec: Seanet
    row: Row
    dtype: Dtype

    @nn.nowrap
    def _conv(self, left: int) -> ConvTranspose1d:
        return ConvTranspose1d(self.row.features, self.row.stride, dtype=self.dtype, left=left, name="conv")

    @asking
    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        return self._conv(_left(self.spec, self.row)).inputs(span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        left = _left(self.spec, self.row)
        if self.spec.norm == "none":
            return self._conv(left)(x, mask)
        # the norm is over what is cut off, too, on both sides
        whole = jnp.pad(apply_mask(x, mask), ((0, 0), (0, 1), (0, 0)))
        y = TimeGroupNorm(self.dtype, name="norm")(self._conv(0)(whole))
        return y[:, left : left + x.shape[1] * self.row.stride]


def _layers(spec: Seanet, rows: Sequence[Row], dtype: Dtype) -> Layers:
    """The layers of so many rows of the list."""
    for row in rows:
        if row.activated:
            yield elu
        if row.kind == "lstm":
            yield Sum([], [LSTM(spec.n_lstm, dtype=dtype, remembers=spec.remembers, name=row.name)])
        else:
            yield _KINDS[row.kind](spec, row, dtype, name=row.name)


_KINDS: dict[str, Any] = {"conv": _NormConv, "unit": ResidualUnit, "up": _NormConvTranspose}


@asking
def _inputs(spec: Seanet, rows: Sequence[Row], span: Span) -> Span:
    return inputs_of(_layers(spec, rows, jnp.float32), span)


def _min_first_frames(spec: Seanet, rows: Sequence[Row], samples: int) -> int:
    """Smallest n for which the first n frames, of so many samples each on the far side, need only the first n."""
    hop = spec.hop_length // samples

    def enough(frames: int) -> bool:
        span = Span(0, frames * samples - 1)
        for row in reversed(rows):
            span = _inputs(spec, [row], span)
            if spec.edge == "reflect" and row.kind in ("conv", "unit"):
                span = span | Span(0, _left(spec, row))
        return span.last < frames * hop

    return next((n for n in range(1, 64) if enough(n)), 64) if spec.causal else 1


def _left(spec: Seanet, row: Row) -> int:
    """Samples before the first that a convolution reads, or of those that a transposed one drops."""
    total = (row.kernel_size - 1) * row.dilation + 1 - row.stride
    if row.kind == "up":
        return 0 if spec.causal else total - total // 2
    return total if spec.causal else total - total // 2
