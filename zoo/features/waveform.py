"""What frames of the waveform give without a transform: zero-crossing rate and root mean square."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from zoo.features.analysis import Analysis
from zoo.nn import dsp

_ZERO = 1e-10
"""Magnitude up to which a sample counts as zero, which is taken for positive."""


def _centred(clips: Analysis, values: jax.Array) -> jax.Array:
    """Zeros around (B, T), so that frame f begins at f * hop_length and the last one is whole."""
    n_fft, hop_length = clips.settings.n_fft, clips.settings.hop_length
    length = (clips.valid.shape[1] - 1) * hop_length + n_fft
    return jnp.pad(values, ((0, 0), (n_fft // 2, n_fft // 2)))[:, :length]


def _sums(clips: Analysis, values: jax.Array) -> jax.Array:
    """Sums of (B, T) over each frame, (B, F, 1); of blocks first, which overlapping frames share."""
    n_fft, hop_length = clips.settings.n_fft, clips.settings.hop_length
    block = math.gcd(n_fft, hop_length)
    blocks = _centred(clips, values).reshape(values.shape[0], -1, block).sum(axis=-1)
    return dsp.frame(blocks, n_fft // block, hop_length // block).sum(axis=-1, keepdims=True)


def rms(clips: Analysis) -> jax.Array:
    return jnp.sqrt(_sums(clips, jnp.square(clips.audio)) / clips.settings.n_fft)


def zero_crossing_rate(clips: Analysis) -> jax.Array:
    negative = clips.audio < -_ZERO
    # nothing is crossed where the clip begins or ends
    place = jnp.arange(1, negative.shape[1])[None, :]
    crossed = (negative[:, 1:] != negative[:, :-1]) & (place < clips.n_samples[:, None])
    crossings = jnp.pad(crossed.astype(jnp.float32), ((0, 0), (1, 0)))
    # a crossing into a frame's first sample happened outside it
    n_fft, hop_length, n_frames = clips.settings.n_fft, clips.settings.hop_length, clips.valid.shape[1]
    first = _centred(clips, crossings)[:, : (n_frames - 1) * hop_length + 1 : hop_length, None]
    return (_sums(clips, crossings) - first) / n_fft
