"""Denoiser: a complex mask on the noisy spectrum, found by a small network that all bands share.

    audio → complex STFT → bands → blocks over time and over bands → complex mask · STFT → inverse STFT

It has no codes: its latent is the masked spectrum itself, and nothing stands between encoder and decoder. The mask
scales each bin by a bounded gain and, below `fine_hz`, turns it (complex ratio masking: Williamson, Wang and Wang,
2016); it lets all through before training. A gain is a logistic function of what the network finds, as the Wiener gain
is one of the logarithm of the SNR: over the whole range of SNRs, that is a straight line.
Bands have the same weights and tell themselves apart by an embedding, as the patches of a picture do: what noise is,
and what a partial, is the same thing in most of them, and is learnt from all at once. Above `fine_hz`, where the ear
hears bands and not partials, bins go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn import dsp
from zoo.nn.bottlenecks import Identity
from zoo.nn.layers import (
    Beside,
    Block,
    Conv1d,
    DepthwiseConv1d,
    Dtype,
    Layer,
    LayerNorm,
    Layers,
    Network,
    Span,
    Transform,
    apply_mask,
    inputs_of,
    per_channel,
    run,
)


class Bands(NamedTuple):
    """How the bins of a spectrum, from zero Hz up, make bands: first those of single bins, then those of groups."""

    fine: int
    """bands of single bins"""
    coarse: int
    """bands of groups of bins"""
    size: int
    """bins, or groups, in a band"""
    group: int
    """bins in a group"""
    n_bins: int


def bands_of(n_bins: int, bin_hz: float, fine_hz: float, size: int, group: int) -> Bands:
    """The bands of a spectrum; what is left at its end is filled up with zeros."""
    fine = min(math.ceil(fine_hz / bin_hz / size), math.ceil(n_bins / size))
    coarse = max(math.ceil((n_bins - fine * size) / (size * group)), 0)
    return Bands(fine, coarse, size, group, n_bins)


class BandBlock(Network, Block):
    """Mixes (B, P, F, C) over time, over neighbouring bands P and over all of them, then each place by itself.

    A depthwise convolution over time, one over bands, the mean of all bands through a dense layer; LayerNorm, two dense
    layers with a rectifier, a small layer scale, and the residual (after ConvNeXt: Liu et al., 2022).
    """

    dilation: int
    n_blocks: int
    kernel_size: int = 5
    dtype: Dtype = jnp.float32
    causal: bool = False

    def layers(self) -> Layers:
        """The one that reaches beyond a frame."""
        yield DepthwiseConv1d(
            self.kernel_size, dtype=self.dtype, causal=self.causal, dilation=self.dilation, name="over_time"
        )

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, bands, frames, channels = x.shape
        repeated = None if mask is None else jnp.repeat(mask, bands, axis=0)
        y = run(self.layers(), x.reshape(batch * bands, frames, channels), repeated).reshape(x.shape)
        kernel = self.param("over_bands", nn.initializers.normal(0.2), (3, channels), jnp.float32)
        above, below = jnp.pad(x[:, 1:], _AT_END), jnp.pad(x[:, :-1], _AT_START)
        y = y + below * per_channel(kernel[0], self.dtype)[None] + above * per_channel(kernel[2], self.dtype)[None]
        y = y + Conv1d(channels, dtype=self.dtype, masked=False, name="of_all")(x.mean(axis=1))[:, None]
        y = LayerNorm(dtype=self.dtype)(y.reshape(batch * bands, frames, channels))
        y = nn.relu(Conv1d(2 * channels, dtype=self.dtype, masked=False, name="expand")(y))
        y = Conv1d(channels, dtype=self.dtype, masked=False, name="project")(y).reshape(x.shape)
        scale = self.param("layer_scale", nn.initializers.constant(1 / self.n_blocks), (channels,), jnp.float32)
        return x + y * per_channel(scale, self.dtype)[None]


_AT_END = ((0, 0), (0, 1), (0, 0), (0, 0))
_AT_START = ((0, 0), (1, 0), (0, 0), (0, 0))


class Encoder(Network):
    """Audio (B, T, C) to its masked spectrum (B, F, 2 · C · bins), real parts before imaginary ones.

    Each channel is masked by itself.
    """

    n_fft: int
    hop_length: int
    bands: Bands
    width: int
    n_blocks: int
    dilations: tuple[int, ...]
    reach: int
    dtype: Dtype
    causal: bool

    def layers(self) -> Layers:
        around = _Around(self.reach, self.causal)
        yield Transform(self._spectrum, lambda frames: frames.analysed(*dsp.stft_window(self.n_fft, self.hop_length)))
        yield Transform(self._with_bands, around.inputs)
        for i in range(self.n_blocks):
            dilation = self.dilations[i % len(self.dilations)]
            block = BandBlock(dilation, self.n_blocks, dtype=self.dtype, causal=self.causal, name=f"block_{i}")
            yield Beside(_InEachChannel(block))
        yield self._latent

    def _spectrum(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Complex (B, F, C, K) of audio (B, T, C)."""
        window = _window(self.n_fft)
        spectrum = dsp.stft(x.swapaxes(1, 2), self.n_fft, self.hop_length, padding="same", window=window)
        return spectrum.swapaxes(1, 2)

    def _with_bands(self, spectrum: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        """Bands (B, F, C, P, width) of a spectrum: its levels, and the phases of single bins. And the spectrum."""
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        bands, end = self.bands, self.bands.fine * self.bands.size
        scale = (power + _FLOOR) ** -0.35
        features = jnp.stack([spectrum.real * scale, spectrum.imag * scale, *self._levels(power, mask)], axis=-1)
        features = features[..., :end, :]
        features = jnp.pad(features, (*((0, 0),) * 3, (0, end - features.shape[3]), (0, 0)))
        fine = Conv1d(self.width, dtype=self.dtype, masked=False, name="embed_fine")
        parts = [_each_place(fine, features.reshape(*features.shape[:3], bands.fine, -1))]
        if bands.coarse:
            total = bands.coarse * bands.size * bands.group
            grouped = jnp.pad(power[..., end:], (*((0, 0),) * 3, (0, total - power[..., end:].shape[3])))
            grouped = grouped.reshape(*grouped.shape[:3], -1, bands.group).mean(axis=-1)
            coarse = Conv1d(self.width, dtype=self.dtype, masked=False, name="embed_coarse")
            levels = jnp.stack(self._levels(grouped, mask), axis=-1)
            parts.append(_each_place(coarse, levels.reshape(*levels.shape[:3], bands.coarse, -1)))
        shape = (bands.fine + bands.coarse, self.width)
        which = self.param("which", nn.initializers.normal(0.2), shape, jnp.float32)
        return jnp.concatenate(parts, axis=3) + which.astype(self.dtype)[None, None, None], spectrum

    def _levels(self, power: jax.Array, mask: jax.Array | None) -> list[jax.Array]:
        """Log magnitudes (B, F, C, K), and by how much they are above the least and the mean of the time around them.

        The least over some half second follows steady noise (after minimum statistics: Martin, 2001).
        """
        level = 0.5 * jnp.log(power + _FLOOR)
        valid = jnp.ones(power.shape[:2], bool) if mask is None else mask
        valid = valid[:, :, None, None]
        around = _Around(self.reach, self.causal)
        count = around.total(valid.astype(jnp.float32))
        mean = around.total(jnp.where(valid, level, 0.0)) / jnp.maximum(count, 1.0)
        least = around.least(jnp.where(valid, level, jnp.inf))
        steady = jnp.where(valid, least, level)
        return [0.4 * level + 1.5, level - steady, level - mean]

    def _latent(self, signals: tuple[jax.Array, jax.Array]) -> jax.Array:
        """The masked spectrum, of what the blocks made of the bands."""
        bands, spectrum = signals
        masked = spectrum * self._mask(bands[..., : self.bands.fine, :], bands[..., self.bands.fine :, :])
        return jnp.stack([masked.real, masked.imag], axis=2).reshape(*masked.shape[:2], -1)

    def _mask(self, fine: jax.Array, coarse: jax.Array) -> jax.Array:
        """The complex mask (B, F, C, K) of bands (B, F, C, P, width)."""
        bands, zeros = self.bands, nn.initializers.zeros
        norm = LayerNorm(dtype=self.dtype, name="norm_out")
        head = Conv1d(2 * bands.size, kernel_init=zeros, dtype=self.dtype, masked=False, name="head_fine")
        found = _each_place(lambda x: head(norm(x)), fine).astype(jnp.float32)
        level, turn = jnp.moveaxis(found.reshape(*found.shape[:3], -1, 2), -1, 0)
        gain = _gain(level)
        mask = jax.lax.complex(gain, gain * turn)
        if bands.coarse:
            head_coarse = Conv1d(bands.size, kernel_init=zeros, dtype=self.dtype, masked=False, name="head_coarse")
            grouped = _each_place(lambda x: head_coarse(norm(x)), coarse).astype(jnp.float32)
            grouped = grouped.reshape(*grouped.shape[:3], -1)
            mask = jnp.concatenate([mask, jnp.repeat(_gain(grouped), bands.group, axis=-1)], axis=-1)
        return mask[..., : bands.n_bins]


@dataclass(frozen=True)
class _InEachChannel:
    """A layer of bands (B, P, F, width) as one of (B, F, C, P, width)."""

    layer: Any

    def inputs(self, span: Span) -> Span:
        return inputs_of([self.layer], span)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, channels, bands, width = x.shape
        alone = x.transpose(0, 2, 3, 1, 4).reshape(batch * channels, bands, frames, width)
        y: jax.Array = self.layer(alone, None if mask is None else jnp.repeat(mask, channels, axis=0))
        return y.reshape(batch, channels, bands, frames, width).transpose(0, 3, 1, 2, 4)


_FLOOR = 1e-7
_AT_REST = 2.0  # where the logistic function begins: far enough below its end to be steep
_STEEPNESS = 3.0


def _gain(x: jax.Array) -> jax.Array:
    """A gain between 0 and about 1.14, which is 1 at 0."""
    return jax.nn.sigmoid(_AT_REST + _STEEPNESS * x) * (1.0 + math.exp(-_AT_REST))


def _window(n_fft: int) -> np.ndarray:
    """The root of a Hann window: with the same one on the way back, what a mask breaks fades out at a frame's ends."""
    return np.sqrt(dsp.hann_window(n_fft))


@dataclass(frozen=True)
class _Around:
    """Windows of 2^reach frames around each one, or, if causal, up to it."""

    reach: int
    causal: bool

    @property
    def _before(self) -> int:
        return 2**self.reach - 1 if self.causal else 2 ** (self.reach - 1)

    def inputs(self, span: Span) -> Span:
        """The frames in the windows of `span`."""
        return Span(span.first - self._before, span.last - self._before + 2**self.reach - 1)

    def total(self, x: jax.Array) -> jax.Array:
        """The sum of (B, F, …) over the windows; beyond the ends are zeros."""
        return self._reduce(x, jnp.add, 0.0)

    def least(self, x: jax.Array) -> jax.Array:
        """The least of (B, F, …) over the windows; beyond the ends is nothing that counts."""
        return self._reduce(x, jnp.minimum, jnp.inf)

    def _reduce(self, x: jax.Array, join: Callable[[jax.Array, jax.Array], jax.Array], nothing: float) -> jax.Array:
        size, n_frames = 2**self.reach, x.shape[1]
        beyond = ((0, 0), (self._before, size - 1 - self._before), *((0, 0),) * (x.ndim - 2))
        x = jnp.pad(x, beyond, constant_values=nothing)
        for i in range(self.reach):  # windows of twice the length from two of them
            x = join(x[:, : -(2**i)], x[:, 2**i :])
        return x[:, :n_frames]


def _each_place(layer: Layer, x: jax.Array) -> jax.Array:
    """A layer that mixes channels alone, (B, T, C) -> (B, T, C'), of any number of axes before the last."""
    y: jax.Array = layer(x.reshape(len(x), -1, x.shape[-1]))
    return y.reshape(*x.shape[:-1], -1)


class Decoder(Network):
    """A spectrum (B, F, 2 · C · bins) to audio (B, F · hop, C)."""

    channels: int
    n_fft: int
    hop_length: int

    def layers(self) -> Layers:
        window = dsp.stft_window(self.n_fft, self.hop_length)
        yield Transform(self._audio, lambda samples: samples.synthesised(*window))

    def _audio(self, latent: jax.Array, mask: jax.Array | None) -> jax.Array:
        parts = latent.reshape(*latent.shape[:2], 2, self.channels, -1)
        spectrum = jax.lax.complex(parts[:, :, 0], parts[:, :, 1]).swapaxes(1, 2)  # (B, C, F, K)
        frame_mask = None if mask is None else mask[:, None]
        audio = dsp.istft(spectrum, self.n_fft, self.hop_length, mask=frame_mask, window=_window(self.n_fft))
        return apply_mask(audio.swapaxes(1, 2), mask)


def denoiser(
    *,
    sample_rate: int = 48_000,
    channels: int = 1,
    n_fft: int = 3072,
    hop_length: int = 1536,
    fine_hz: float = 6000.0,
    band_size: int = 16,
    group_size: int = 8,
    width: int = 64,
    n_blocks: int = 6,
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16),
    reach: int = 5,
    causal: bool = False,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """Builds an STFT mask estimator; it has no codes, and is trained by `--task denoise`.

    Bands are of `band_size` bins up to `fine_hz`, above it of as many groups of `group_size` bins. If `causal`, the
    convolutions look at nothing to come: what is left of latency is one STFT window.
    """
    bands = bands_of(n_fft // 2 + 1, sample_rate / n_fft, fine_hz, band_size, group_size)
    encoder = Encoder(
        n_fft,
        hop_length,
        bands=bands,
        width=width,
        n_blocks=n_blocks,
        dilations=dilations,
        reach=reach,
        dtype=dtype,
        causal=causal,
    )
    return Codec.from_parts(
        encoder,
        Identity(),
        Decoder(channels, n_fft, hop_length),
        sample_rate=sample_rate,
        hop_length=hop_length,
        channels=channels,
    )
