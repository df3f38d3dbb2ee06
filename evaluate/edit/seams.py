"""Whether a join is heard: how much the spectrum changes there, beside how much it changes around it."""

from __future__ import annotations

import numpy as np

from zoo.nn.dsp import hann_window

WINDOW_S = 0.02
HOP_S = 0.005
AROUND_S = 0.5
FLOOR = 1e-4
"""of magnitudes of a window of unit sum, below which nothing is heard"""


def seam_db(samples: np.ndarray, at: int, sample_rate: int, fade_s: float = 0.0) -> float:
    """The spectral flux at a join over that of half a second on both sides, means in dB.

    `samples` (T, C) are joined at sample `at`, or, with a cross-fade, in the `fade_s` seconds from there on. 0 dB is a
    place like any other of the two sounds.
    """
    size, hop = round(WINDOW_S * sample_rate), max(1, round(HOP_S * sample_rate))
    flux, centres = spectral_flux(samples, size, hop)
    reach, around = size // 2 + hop, round(AROUND_S * sample_rate)
    end = at + round(fade_s * sample_rate)
    at_join = (centres >= at - reach) & (centres <= end + reach)
    beside = ~at_join & (centres >= at - around) & (centres <= end + around)
    if not at_join.any() or not beside.any():
        return 0.0
    return float(20 * np.log10(max(float(flux[at_join].mean()), 1e-6) / max(float(flux[beside].mean()), 1e-6)))


def spectral_flux(samples: np.ndarray, size: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """How much log-magnitudes rise and fall from window to window, mean over bins, and the instants in samples."""
    mono = np.pad(samples.mean(axis=1), (size // 2, size))
    starts = np.arange(0, max(len(samples), 1), hop)
    window = hann_window(size)
    frames = mono[starts[:, None] + np.arange(size)] * window
    magnitudes = np.abs(np.fft.rfft(frames, axis=1)) / window.sum()
    levels = np.log(np.maximum(magnitudes, FLOOR))
    return np.abs(np.diff(levels, axis=0)).mean(axis=1), starts[1:] - hop // 2
