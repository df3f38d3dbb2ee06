"""Onsets, and the tempo at which they come again."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.features.analysis import TINY, Analysis
from zoo.nn import dsp

_TEMPOGRAM_S = 8.0
_MAX_BPM = 320.0
_OCTAVES = 1.0
"""standard deviation of the tempo that is looked for"""


def onset_strength(clips: Analysis) -> jax.Array:
    """How much louder, in decibels, mel bands are than a frame earlier: the mean of the rises."""
    settings, log_mel = clips.settings, clips.log_mel
    rises = jnp.mean(jnp.maximum(0.0, log_mel[:, 1:] - log_mel[:, :-1]), axis=-1, keepdims=True)
    # an onset is where a frame begins to hold it, not where it is centred
    shift = 1 + settings.n_fft // (2 * settings.hop_length)
    return jnp.pad(rises, ((0, 0), (shift, 0), (0, 0)))[:, : log_mel.shape[1]]


def tempo(clips: Analysis) -> jax.Array:
    """Beats per minute (B,): the lag at which 8 s of onset strength resemble themselves most, near start_bpm.

    Autocorrelations are averaged as power spectra, so that one transform goes back instead of one for each frame.
    """
    settings = clips.settings
    size = int(_TEMPOGRAM_S * settings.sample_rate) // settings.hop_length
    if size < 2:
        raise ZooError(f"a tempo needs a hop_length below {int(_TEMPOGRAM_S * settings.sample_rate) // 2} samples")
    strength = jnp.where(clips.valid, onset_strength(clips)[..., 0], 0.0)
    ramped, n = _ramped(strength, clips.n_frames, size // 2), strength.shape[1]
    # at a hop of 1, `dsp.frame` would join hundreds of slices, which takes long to compile
    frames = jax.vmap(lambda at: jax.lax.dynamic_slice_in_dim(ramped, at, size, axis=1), out_axes=1)(jnp.arange(n))
    frames = frames * dsp.hann_window(size)[None, None, :]
    energy = jnp.sum(jnp.square(frames), axis=-1)
    weights = jnp.where(clips.valid, 1.0 / jnp.where(energy < TINY, 1.0, energy), 0.0)
    n_fft = _smooth(2 * size - 1)
    spectrum = jnp.fft.rfft(frames, n_fft)
    power = jnp.square(jnp.real(spectrum)) + jnp.square(jnp.imag(spectrum))
    mean_power = jnp.sum(power * weights[..., None], axis=1) / clips.n_frames[:, None]
    likeness = jnp.maximum(0.0, jnp.fft.irfft(mean_power, n_fft)[:, :size])
    with np.errstate(divide="ignore"):
        bpm = 60.0 * settings.sample_rate / (settings.hop_length * np.arange(size))
    bpm[0] = np.inf
    prior = -0.5 * ((np.log2(bpm) - np.log2(settings.start_bpm)) / _OCTAVES) ** 2
    prior[: np.argmax(bpm < _MAX_BPM)] = -np.inf
    best = jnp.argmax(jnp.log1p(1e6 * likeness) + prior.astype(np.float32)[None, :], axis=-1)
    return jnp.asarray(bpm, jnp.float32)[best]


def _ramped(strength: jax.Array, n_frames: jax.Array, n: int) -> jax.Array:
    """Onset strengths (B, F) between `n` values each side, a linear rise from zero, and a fall at a clip's own end."""
    before = strength[:, :1] * (np.arange(n, dtype=np.float32) / max(n, 1))[None, :]
    last = jnp.take_along_axis(strength, n_frames[:, None] - 1, axis=1)
    beyond = jnp.arange(strength.shape[1] + n)[None, :] - (n_frames[:, None] - 1)
    fall = last * jnp.maximum(0.0, 1.0 - beyond / max(n, 1))
    held = jnp.pad(strength, ((0, 0), (0, n)))
    return jnp.concatenate([before, jnp.where(beyond > 0, fall, held)], axis=1)


def _smooth(n: int) -> int:
    """The least number from n on without prime factors above 5: a size that transforms quickly."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1
