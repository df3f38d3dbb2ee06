"""What counts as silence: an inaudible clip, to which no output can be compared."""

from __future__ import annotations

import numpy as np

STEP = 2.0**-15
"""of 16 bits: dither, or what rounding leaves of two channels in opposite phase, goes no further from silence"""


def silent(samples: np.ndarray) -> np.ndarray:
    """Whether each channel of (T, C) stays within a step of 16 bits of one value: bool (C,); of (T,), a single bool.

    So a constant offset is silence, being inaudible; a single sample is not, being a click.
    """
    if len(samples) == 1:
        return np.asarray(np.abs(samples[0]) <= STEP)
    return np.asarray(np.ptp(samples, axis=0) <= 2 * STEP)
