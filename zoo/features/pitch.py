"""Pitch classes: how much of each frame's power lies at each note of the octave, and how a clip is tuned."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from zoo.features.analysis import TINY, Analysis

_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0
_TUNING_RANGE_HZ = (150.0, 4000.0)
_TUNING_STEPS = 100
_PEAK_SHARE = 0.1
"""of a frame's largest power, below which a peak is no pitch"""
_A440_OCTAVE_0_HZ = 440.0 / 16


def chroma(clips: Analysis) -> jax.Array:
    """Power in pitch classes, C first, of which the largest in each frame is 1."""
    n_clips, n_chroma, tuning = clips.power.shape[0], clips.settings.n_chroma, clips.settings.tuning
    fixed = None if tuning is None else jnp.full(n_clips, tuning, jnp.float32)
    filters = _filters(clips, estimate_tuning(clips) if fixed is None else fixed)
    raw = jnp.matmul(clips.power, filters, precision=jax.lax.Precision.HIGHEST)
    largest = jnp.max(raw, axis=-1, keepdims=True)
    return jnp.roll(raw, -3 * (n_chroma // 12), axis=-1) / jnp.where(largest < TINY, 1.0, largest)


def _filters(clips: Analysis, tuning: jax.Array) -> jax.Array:
    """Gaussians around each pitch class, from A on, for clips tuned by `tuning` (B,): (B, n_fft // 2 + 1, n_chroma)."""
    n, n_fft = clips.settings.n_chroma, clips.settings.n_fft
    frequencies = np.linspace(0, clips.settings.sample_rate, n_fft, endpoint=False)[1:]
    bins = n * np.log2(frequencies / _A440_OCTAVE_0_HZ)
    bins = np.concatenate([[bins[0] - 1.5 * n], bins])  # 0 Hz, an octave and a half below the first bin
    widths = np.maximum(np.diff(bins), 1.0)[: n_fft // 2 + 1]
    bins = bins[: n_fft // 2 + 1]
    # float32 from here on: folded into an octave first, where it is fine enough
    half = np.round(n / 2)
    folded = np.mod(bins[:, None] - np.arange(n)[None, :] + half, n).astype(np.float32)
    distance = jnp.mod(folded[None] - tuning[:, None, None], n) - jnp.float32(half)
    weights = jnp.exp(-0.5 * jnp.square(2.0 * distance / widths.astype(np.float32)[None, :, None]))
    weights /= jnp.sqrt(jnp.sum(jnp.square(weights), axis=-1, keepdims=True))
    octaves = (bins.astype(np.float32)[None, :] - tuning[:, None]) / n
    return weights * jnp.exp(-0.5 * jnp.square((octaves - _CENTRE_OCTAVE) / _OCTAVE_WIDTH))[..., None]


def estimate_tuning(clips: Analysis) -> jax.Array:
    """The commonest deviation (B,) of spectral peaks from A = 440 Hz, in hundredths of a chroma bin from -0.5 on.

    Of local maxima between 150 and 4000 Hz, interpolated by a parabola, the louder half is counted. 0 where there are
    none.
    """
    settings, power = clips.settings, clips.power
    low, high = _TUNING_RANGE_HZ[0], min(_TUNING_RANGE_HZ[1], settings.sample_rate / 2)
    grid = np.arange(settings.n_fft // 2 + 1) * (settings.sample_rate / settings.n_fft)
    inside = np.flatnonzero((grid >= low) & (grid < high))
    if not len(inside):
        return jnp.zeros(power.shape[0], jnp.float32)
    first, last = int(inside[0]), int(inside[-1])
    floor = _PEAK_SHARE * jnp.max(power, axis=-1, keepdims=True)
    left, here, right = (power[..., first + i : last + 1 + i] for i in (-1, 0, 1))
    bend, slope = left + right - 2.0 * here, 0.5 * (right - left)
    shift = jnp.where(jnp.abs(slope) >= jnp.abs(bend), 0.0, -slope / jnp.where(bend == 0.0, 1.0, bend))
    # what lies below the floor counts as zero
    is_peak = (here > floor) & (here > left) & (here >= right) & clips.valid[..., None]
    height = here + 0.5 * slope * shift
    places = np.arange(first, last + 1, dtype=np.float32)[None, None, :]
    pitch = (places + shift) * np.float32(settings.sample_rate / settings.n_fft)
    counts = is_peak & (height >= _upper_median(height, is_peak)[:, None, None])
    notes = settings.n_chroma * jnp.log2(jnp.maximum(pitch, 1.0) / _A440_OCTAVE_0_HZ)
    step = jnp.floor(jnp.mod(notes + 0.5, 1.0) * _TUNING_STEPS).astype(jnp.int32)
    step = jnp.where(counts, jnp.minimum(step, _TUNING_STEPS - 1), _TUNING_STEPS)
    histogram = jax.vmap(lambda steps: jnp.zeros(_TUNING_STEPS + 1, jnp.int32).at[steps.reshape(-1)].add(1))(step)
    best = jnp.argmax(histogram[:, :_TUNING_STEPS], axis=-1)
    return jnp.where(jnp.any(counts, axis=(1, 2)), best / _TUNING_STEPS - 0.5, 0.0)


def _upper_median(values: jax.Array, counted: jax.Array) -> jax.Array:
    """The median (B,) of positive values (B, F, n), those of (B, F, n) that are counted; the upper one of two.

    Bit by bit, since positive floats are ordered as their bits are: so many values would be slow to sort.
    """
    bits = jnp.where(counted, jax.lax.bitcast_convert_type(values, jnp.int32), jnp.iinfo(jnp.int32).max)
    rank = jnp.sum(counted, axis=(1, 2)) // 2

    def narrow(i: jax.Array, found: jax.Array) -> jax.Array:
        candidate = found | (1 << (30 - i))
        n_below = jnp.sum(bits < candidate[:, None, None], axis=(1, 2))
        return jnp.where(n_below <= rank, candidate, found)

    found = jax.lax.fori_loop(0, 31, narrow, jnp.zeros(bits.shape[0], jnp.int32))
    return jax.lax.bitcast_convert_type(found, jnp.float32)
