"""What a feature is computed with: one frozen record of all parameters, which a compiled program is made for."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from zoo import arguments
from zoo.errors import ZooError
from zoo.nn import dsp

_WHOLE = ("sample_rate", "n_fft", "hop_length", "n_mels", "n_mfcc", "n_chroma")


def n_frames(n_samples: Any, hop_length: int = 512) -> Any:
    """How many frames clips of so many samples have; an integer, or an array of them.

    Raises ZooError for what are no whole numbers, and for a hop below 1.
    """
    hop = arguments.count(hop_length, "hop_length")
    if not hasattr(n_samples, "shape"):
        return 1 + arguments.whole(n_samples, "n_samples") // hop
    if not jnp.issubdtype(n_samples.dtype, jnp.integer):
        raise ZooError(f"n_samples must be integers, got {n_samples.dtype}")
    return 1 + n_samples // hop


@dataclass(frozen=True)
class Settings:
    """Parameters of all features; the defaults are those of librosa."""

    sample_rate: int
    """Hz"""
    n_fft: int = 2048
    """samples of a frame"""
    hop_length: int = 512
    """samples from one frame to the next"""
    n_mels: int = 128
    f_min: float = 0.0
    """Hz, of the lowest mel filter"""
    f_max: float | None = None
    """Hz, of the highest mel filter; None = half the sample rate"""
    top_db: float | None = 80.0
    """decibels below a clip's loudest mel band at which its log-mel spectrogram is cut off; None = nowhere"""
    n_mfcc: int = 20
    n_chroma: int = 12
    tuning: float | None = None
    """of chroma, in fractions of a chroma bin above A = 440 Hz; None = estimated for each clip"""
    roll_percent: float = 0.85
    """share of the magnitudes that lie at or below the roll-off"""
    start_bpm: float = 120.0
    """beats per minute around which a tempo is looked for"""

    def __post_init__(self) -> None:
        for name in _WHOLE:
            object.__setattr__(self, name, arguments.count(getattr(self, name), name))
        for name in ("f_min", "f_max", "top_db", "tuning", "roll_percent", "start_bpm"):
            value = getattr(self, name)
            if value is None and name in ("f_max", "top_db", "tuning"):
                continue
            value = float(arguments.number(value, name))
            if not math.isfinite(value):
                raise ZooError(f"{name} must be finite, got {value}")
            object.__setattr__(self, name, value)
        arguments.sample_rate(self.sample_rate)
        if self.n_fft % 2 or self.n_fft < 4:
            raise ZooError(f"n_fft must be even and at least 4, got {self.n_fft}")
        if self.top_db is not None and self.top_db < 0:
            raise ZooError(f"top_db must not be negative, got {self.top_db:g}")
        if not 0 < self.roll_percent < 1:
            raise ZooError(f"roll_percent must lie between 0 and 1, got {self.roll_percent:g}")
        if self.start_bpm <= 0:
            raise ZooError(f"start_bpm must be positive, got {self.start_bpm:g}")

    @staticmethod
    def of(sample_rate: Any, parameters: dict[str, Any]) -> Settings:
        """Raises ZooError for a parameter that there is not, and for values that cannot be used."""
        known = [field.name for field in dataclasses.fields(Settings)][1:]
        for name in parameters:
            if name not in known:
                raise ZooError(f"unknown parameter {name!r} of features; there are {', '.join(known)}")
        return Settings(sample_rate, **parameters)

    @property
    def mel_filters(self) -> np.ndarray:
        """Filters (n_fft // 2 + 1, n_mels); raises ZooError where some of them have no bin of the spectrum."""
        if self.f_max is not None and self.f_max > self.sample_rate / 2:
            raise ZooError(f"f_max {self.f_max:g} Hz is above half the sample rate of {self.sample_rate} Hz")
        filters = dsp.mel_filterbank(self.sample_rate, self.n_fft, self.n_mels, self.f_min, self.f_max)
        # librosa lets one that begins at 0 Hz be empty
        first = int(self.f_min == 0)
        n_empty = int(np.sum(filters[:, first:].max(axis=0, initial=0.0) == 0))
        if n_empty:
            raise ZooError(
                f"{n_empty} of n_mels {self.n_mels} filters hold no bin of n_fft {self.n_fft} at "
                f"{self.sample_rate} Hz: take fewer, or a larger n_fft"
            )
        return filters
