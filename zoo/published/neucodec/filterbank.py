"""The semantic encoder's input: Kaldi's logarithmic mel energies, every two windows side by side, and resampling."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn import dsp

PER_FRAME = 2
"""windows"""
_FULL_SCALE = 2.0**15
"""Kaldi's samples are 16-bit integers"""
_PREEMPHASIS = 0.97
_LOWEST_HZ = 20.0
_SMALLEST_ENERGY = float(np.finfo(np.float32).eps)
_SMALLEST_VARIANCE = 1e-7
_CROSSINGS = 64
"""of the resampling filter, either side"""
_KAISER_BETA = 7.857
"""for side lobes 80 dB down"""
_CUTOFF = 0.96
"""of half the lower sample rate, where a sinc is 6 dB down"""


def features(audio: jax.Array, mask: jax.Array | None, sample_rate: int, hop_length: int, n_mels: int) -> jax.Array:
    """Normalised log mel energies (B, F, 2 · n_mels) of (B, T), where F · hop_length + 3/4 · hop_length samples count.

    Windows of 5/4 of a hop begin at every half hop, the first of them with the first sample; each channel has no mean
    and unit deviation over the clip, which are the frames of `mask` (B, F). As SeamlessM4T's feature extractor.
    """
    shift = hop_length // PER_FRAME
    size = 5 * shift // 2
    frames = dsp.frame(audio.astype(jnp.float32) * _FULL_SCALE, size, shift)
    n_windows = frames.shape[1] // PER_FRAME * PER_FRAME
    frames = frames[:, :n_windows]
    frames = frames - frames.mean(axis=-1, keepdims=True)
    before = jnp.concatenate([frames[..., :1], frames[..., :-1]], axis=-1)
    n_fft = 1 << (size - 1).bit_length()
    spectrum = jnp.fft.rfft((frames - _PREEMPHASIS * before) * _povey(size)[None, None], n_fft)
    power = jnp.square(jnp.real(spectrum)) + jnp.square(jnp.imag(spectrum))
    filters = _kaldi_mels(sample_rate, n_fft, n_mels)
    energies = jnp.tensordot(power, filters, axes=1, precision=jax.lax.Precision.HIGHEST)
    logarithms = jnp.log(jnp.maximum(energies, _SMALLEST_ENERGY))
    valid = jnp.ones(logarithms.shape[:2], bool) if mask is None else jnp.repeat(mask, PER_FRAME, axis=1)
    inside, n = valid[..., None], valid.sum(axis=1).astype(jnp.float32)[:, None, None]

    def total(x: jax.Array) -> jax.Array:
        return jnp.where(inside, x, 0.0).sum(axis=1, keepdims=True)

    centred = logarithms - total(logarithms) / jnp.maximum(n, 1.0)
    variance = total(centred * centred) / jnp.maximum(n - 1.0, 1.0)
    normed = jnp.where(inside, centred / jnp.sqrt(variance + _SMALLEST_VARIANCE), 0.0)
    return normed.reshape(len(audio), n_windows // PER_FRAME, PER_FRAME * n_mels)


def resampled(audio: jax.Array, up: int, down: int) -> jax.Array:
    """Audio (B, T, 1), T a multiple of `down`, at up / down of its sample rate: (B, T · up / down, 1).

    Sample m lies where sample m · down / up was; beyond the ends is silence. The filter is a sinc in a Kaiser
    window. `up` and `down` have no common divisor.
    """
    if up == down:
        return audio
    half = _CROSSINGS * max(1.0, down / up)  # input samples
    blocks = math.ceil(half / down)  # of `down` samples each, before and after the one that is resampled
    padded = jnp.pad(audio[..., 0], ((0, 0), (blocks * down, blocks * down)))
    padded = padded.reshape(len(audio), -1, down)
    places = np.arange(-blocks * down, (blocks + 1) * down)[:, None]
    taps = _sinc(np.arange(up)[None] * down / up - places, half, min(1.0, up / down))
    kernel = jnp.asarray(taps.reshape(-1, down, up), audio.dtype)
    y = jax.lax.conv_general_dilated(
        padded, kernel, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC"), precision=jax.lax.Precision.HIGHEST
    )
    return y.reshape(len(audio), -1, 1)


def _sinc(t: np.ndarray, half: float, ratio: float) -> np.ndarray:
    """The resampling filter at times `t` (input samples), for a cutoff of `ratio` times the input's."""
    cutoff = _CUTOFF * ratio
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (t / half) ** 2, 0, None))) / np.i0(_KAISER_BETA)
    found: np.ndarray = (cutoff * np.sinc(cutoff * t) * np.where(np.abs(t) <= half, window, 0)).astype(np.float32)
    return found


@functools.cache
def _povey(size: int) -> np.ndarray:
    """A symmetric Hann window to the power 0.85, (size,)."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    return (hann**0.85).astype(np.float32)


@functools.cache
def _kaldi_mels(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Filters (n_fft // 2 + 1, n_mels) that are triangles over mels, not over frequencies as `dsp.mel_filterbank`'s."""

    def mels(hz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    lowest, highest = mels(np.array([_LOWEST_HZ, sample_rate / 2]))
    corners = np.linspace(lowest, highest, n_mels + 2)
    bins = mels(np.arange(n_fft // 2 + 1) * sample_rate / n_fft)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
