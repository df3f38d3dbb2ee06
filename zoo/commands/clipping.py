"""What a file of whole numbers cannot hold is told: samples beyond full scale are clipped as they are written."""

from __future__ import annotations

import sys

import numpy as np

UNCLIPPED = ("FLOAT", "DOUBLE", "VORBIS", "OPUS")
"""subtypes that hold what lies beyond full scale, or leave it to the player"""


class Peak:
    """The largest magnitude of the blocks that have gone through."""

    def __init__(self) -> None:
        self._peak = 0.0

    def of(self, block: np.ndarray) -> np.ndarray:
        """The block (m, C) as it is."""
        self._peak = max(self._peak, float(np.abs(block).max(initial=0)))
        return block

    def warn(self, output: str, subtype: str) -> None:
        """A line on standard error, if some of what was written to `output` had to be clipped."""
        if self._peak > 1 and subtype not in UNCLIPPED:
            over_db = 20 * np.log10(self._peak)
            print(f"warning: {output}: peaks are {over_db:.1f} dB above full scale, and clipped", file=sys.stderr)
