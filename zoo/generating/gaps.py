"""Which samples of a clip are to be replaced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo import arguments
from zoo.errors import ZooError


@dataclass(frozen=True)
class Gap:
    """The samples [start, stop) of a clip of `n_samples` that are to be replaced."""

    start: int
    stop: int
    n_samples: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def find_gap(n_samples: int, sample_rate: int, start_s: float, seconds: float, name: str = "audio") -> Gap:
    """The gap of `seconds` from `start_s` on; raises ZooError where it is none, or not within the clip.

    One that reaches its end is none either: nothing is known of what comes after it.
    """
    total_s = n_samples / sample_rate
    start_s, seconds = arguments.number(start_s, "start"), arguments.number(seconds, "seconds")
    if not (seconds > 0 and 0 <= start_s < math.inf):
        raise ZooError(f"{name}: a gap of {seconds:g} s from {start_s:g} s on is none")
    if seconds >= total_s:
        raise ZooError(f"{name}: a gap of {seconds:g} s is longer than the {total_s:.3f} s that there are")
    # a start beyond all that can be counted in samples is one behind the end
    start, stop = (round(min(place, 2 * total_s) * sample_rate) for place in (start_s, start_s + seconds))
    if stop >= n_samples:
        where = "outside" if start >= n_samples else "at the very end of"
        raise ZooError(
            f"{name}: a gap from {start_s:g} to {start_s + seconds:g} s lies {where} its {total_s:.3f} s: to go on "
            "behind an end is --continue (zoo.generating.extend)"
        )
    if stop <= start:
        raise ZooError(f"{name}: a gap of {seconds:g} s holds no sample")
    return Gap(start, stop, n_samples)


def emptied(samples: np.ndarray, gap: Gap) -> np.ndarray:
    """A copy of samples (T, …) with zeros in the gap: what is to be replaced need not be audio at all."""
    copy = np.array(samples)
    copy[gap.start : gap.stop] = 0
    return copy
