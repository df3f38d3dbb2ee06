"""What several features have in common, computed at most once: framed, transformed and filtered clips."""

from __future__ import annotations

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from zoo.features.settings import Settings, n_frames
from zoo.nn import dsp

TINY = float(np.finfo(np.float32).tiny)
_AMIN = 1e-10
"""Power below which decibels stay where they are, as in librosa."""


def product(x: jax.Array, matrix: jax.Array | np.ndarray) -> jax.Array:
    """Products of the last axis with a matrix, in full float32 on accelerators too."""
    return jnp.matmul(x, jnp.asarray(matrix), precision=jax.lax.Precision.HIGHEST)


class Analysis:
    """Clips (B, T) float32 of `n_samples` (B,) each, inside a compiled program; frames are (B, F, n).

    Frames beyond a clip's own hold anything here: whatever looks at several frames takes `valid` into account.
    """

    def __init__(self, audio: jax.Array, n_samples: jax.Array, settings: Settings) -> None:
        self.settings = settings
        self.n_samples = n_samples
        self.n_frames = n_frames(n_samples, settings.hop_length)
        inside = jnp.arange(audio.shape[1])[None, :] < n_samples[:, None]
        # where, not a product: padding may hold anything
        self.audio = jnp.where(inside, audio, 0.0)
        self.valid = jnp.arange(n_frames(audio.shape[1], settings.hop_length))[None, :] < self.n_frames[:, None]
        """(B, F) bool: the frames that are a clip's own"""

    @cached_property
    def spectrum(self) -> jax.Array:
        """Complex (B, F, n_fft // 2 + 1)."""
        return dsp.stft(self.audio, self.settings.n_fft, self.settings.hop_length)

    @cached_property
    def power(self) -> jax.Array:
        return jnp.square(jnp.real(self.spectrum)) + jnp.square(jnp.imag(self.spectrum))

    @cached_property
    def magnitude(self) -> jax.Array:
        # not the root of the power: decoders leave silence of 1e-34, whose square is 0
        return jnp.abs(self.spectrum)

    @cached_property
    def frequencies(self) -> np.ndarray:
        """Hz of each bin, (n_fft // 2 + 1,)."""
        n_fft = self.settings.n_fft
        return (np.arange(n_fft // 2 + 1) * (self.settings.sample_rate / n_fft)).astype(np.float32)

    @cached_property
    def mel(self) -> jax.Array:
        return product(self.power, self.settings.mel_filters)

    @cached_property
    def log_mel(self) -> jax.Array:
        decibels = 10.0 * jnp.log10(jnp.maximum(self.mel, _AMIN))
        if self.settings.top_db is None:
            return decibels
        loudest = jnp.max(jnp.where(self.valid[..., None], decibels, -jnp.inf), axis=(1, 2), keepdims=True)
        return jnp.maximum(decibels, loudest - self.settings.top_db)
