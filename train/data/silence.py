"""Whether there is anything to learn from in a source: how many of its draws are silent, and why all of them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from train.data.source import CropSource, sound_db
from zoo.console.terminal import printable
from zoo.errors import ZooError

FIRST, ENOUGH = 8, 64
"""examples that are looked at: as few as tell that all is well, at most"""
FEW_SILENT, MANY_SILENT = 0.1, 0.2
"""shares of the draws: up to the one no more are looked at, above the other it is said"""


@dataclass(frozen=True)
class Silence:
    """What the first examples of a source took."""

    examples: int
    silent: int
    """examples of which no draw was loud enough, the last of which is kept"""
    draws: int
    rejected: int
    """draws that were too quiet"""

    @property
    def share(self) -> float:
        """The share of the draws."""
        return self.rejected / self.draws


def listen(source: CropSource) -> Silence:
    """How the first examples were drawn, as many as it takes; raises ZooError where one cannot be read."""
    draws: list[int] = []
    loud: list[bool] = []
    while True:
        for k in range(len(draws), max(2 * len(draws), FIRST)):
            drawn = source.drawn(k)
            draws.append(drawn.draws)
            loud.append(drawn.loud)
        found = Silence(len(loud), loud.count(False), sum(draws), sum(draws) - loud.count(True))
        if found.examples >= ENOUGH or found.share <= FEW_SILENT:
            return found


def check(
    source: CropSource,
    *,
    where: str,
    say: Callable[[str], None],
    unmixed: Callable[[], CropSource] | None = None,
) -> None:
    """Says so where many of the draws are silent; raises ZooError where all are, or one example cannot be read.

    `where` names the source. `unmixed` gives the same one before its channels were mixed to one.
    """
    found = listen(source)
    threshold = f"data.silence_db, {source.silence_db:g} dB"
    if found.silent == found.examples:
        raise ZooError(
            f"{where}: there is nothing to learn from: none of {found.draws} crops reaches {threshold} "
            f"({_reason(source, unmixed)})"
        )
    if found.share > MANY_SILENT:
        kept = f"; {100 * found.silent / found.examples:.0f} % of the examples stay silent" if found.silent else ""
        say(
            f"warning: {100 * found.share:.0f} % of the crops drawn from {printable(where)} are below {threshold}, and "
            f"are drawn again{kept}"
        )


def _reason(source: CropSource, unmixed: Callable[[], CropSource] | None) -> str:
    """Why no crop is loud enough."""
    may_cancel = "silence"
    if unmixed is not None:
        try:
            if any(unmixed().drawn(k).loud for k in range(FIRST)):
                return "their channels cancel out when they are mixed to one"
        except ZooError:  # as one channel is all that was prepared
            may_cancel = "silence, or channels that cancelled out when they were mixed to one"
    crops = [source.drawn(k).samples.astype(np.float64) / source.full_scale for k in range(FIRST)]
    if max(np.mean(samples**2) for samples in crops) >= 10 ** (source.silence_db / 10):
        return "a constant offset, which is no sound"
    loudest_db = max(sound_db(samples) for samples in crops)
    return f"the loudest of {len(crops)} has {loudest_db:.0f} dB" if np.isfinite(loudest_db) else may_cancel
