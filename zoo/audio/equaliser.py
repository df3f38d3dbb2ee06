"""An equaliser of peaking filters, block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zoo.errors import ZooError

LARGEST_DB = 40.0
OCTAVE_Q = math.sqrt(2)
"""of a bell that is an octave wide"""


@dataclass(frozen=True)
class Band:
    """One bell: its centre in Hz, its gain there in dB, and its quality, centre over bandwidth."""

    frequency_hz: float
    gain_db: float
    q: float = OCTAVE_Q

    def __str__(self) -> str:
        return f"{self.frequency_hz:g}:{self.gain_db:+g}"


def parse_bands(text: str) -> tuple[Band, ...]:
    """Bands of "200:-3,3000:+2": Hz and dB, and, if another width than an octave is wanted, a third number, Q.

    Raises ZooError, naming the part, for anything else.
    """
    bands = []
    if not isinstance(text, str):
        raise ZooError(f"eq must be a text such as 200:-3,3000:+2, got {str(text)[:80]!r}")
    for part in text.split(","):
        try:
            numbers = [float(word) for word in part.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3):
            raise ZooError(f"eq {part!r}: a band is HZ:DB or HZ:DB:Q, such as 200:-3")
        bands.append(Band(*numbers))
    return tuple(bands)


class Equaliser:
    """Peaking filters one after the other (Bristow-Johnson, Audio EQ Cookbook); what comes out is not delayed.

    However a signal is cut into blocks, the outputs together are the same.
    """

    def __init__(self, bands: Sequence[Band], sample_rate: int, channels: int) -> None:
        """Raises ZooError for a band beyond half the sample rate (Hz), and for values that make no sense."""
        for band in bands:
            if not 0 < band.frequency_hz < sample_rate / 2:
                raise ZooError(f"eq {band}: the frequency must lie between 0 and {sample_rate / 2:g} Hz")
            if not -LARGEST_DB <= band.gain_db <= LARGEST_DB:
                raise ZooError(f"eq {band}: the gain must lie within ±{LARGEST_DB:g} dB")
            if not 0.05 <= band.q <= 100:
                raise ZooError(f"eq {band}: Q must lie between 0.05 and 100, got {band.q:g}")
        self._sections = np.array([_bell(band, sample_rate) for band in bands])
        self._state = np.zeros((len(bands), 2, channels))

    def push(self, block: np.ndarray) -> np.ndarray:
        """The next samples (m, C), equalised, float32."""
        if not len(self._sections) or not len(block):
            return block
        from scipy.signal import sosfilt

        filtered, self._state = sosfilt(self._sections, block.astype(np.float64), axis=0, zi=self._state)
        return filtered.astype(np.float32)


def _bell(band: Band, sample_rate: int) -> list[float]:
    """A second-order section: numerator, then denominator that begins with 1."""
    amplitude = 10 ** (band.gain_db / 40)
    angle = 2 * math.pi * band.frequency_hz / sample_rate
    width = math.sin(angle) / (2 * band.q)
    first = 1 + width / amplitude
    sections = [
        1 + width * amplitude,
        -2 * math.cos(angle),
        1 - width * amplitude,
        first,
        -2 * math.cos(angle),
        1 - width / amplitude,
    ]
    return [value / first for value in sections]
