"""Gaps in recordings, filled by a prior, by extrapolation, and by a straight line: how near each comes inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from evaluate import metrics
from evaluate.statistics import totals
from zoo import generating
from zoo.generating import ReadyPrior, Sampling, burg
from zoo.generating.gaps import find_gap

FILL, BURG, LINEAR, CODED = "fill", "Burg", "linear", "codec"
Filler = Callable[[np.ndarray, int, float, float], np.ndarray]
"""of a recording (T, C), its rate, and where its gap begins and how long it is in seconds: all of it (T, C)"""
_mel_distance = jax.jit(metrics.mel_distance, static_argnums=3)


@dataclass(frozen=True)
class GapRow:
    """One way to fill gaps of one length, over all clips."""

    system: str
    gap_ms: float
    n_clips: int
    n_recordings: int
    mel: float
    """mean mel distance inside the gap"""
    standard_error: float
    """of it; clips of one recording count as one"""
    better_than_burg: float
    """share of the clips"""


def evaluate(
    fillers: dict[str, Filler],
    clips: Sequence[np.ndarray],
    sample_rate: int,
    gaps_s: Sequence[float],
    on_clip: Callable[[], None] = lambda: None,
    coded: Callable[[np.ndarray], np.ndarray] | None = None,
    recordings: Sequence[str] | None = None,
) -> list[GapRow]:
    """A row for each gap and filler; the gap is in the middle of every clip (T, C); no filler is given what it held.

    But for `coded`, which gives a clip as the prior's codec has it: nothing that is decoded can come much nearer.
    `recordings` names the recording that each clip was cut from, by default one of its own.
    """
    rows = []
    names = [str(number) for number in range(len(clips))] if recordings is None else recordings
    for gap_s in gaps_s:
        found: dict[str, list[float]] = {name: [] for name in (*fillers, *([CODED] if coded else []))}
        for clip in clips:
            start_s = (len(clip) / sample_rate - gap_s) / 2
            gap = find_gap(len(clip), sample_rate, start_s, gap_s)
            given = clip.copy()
            given[gap.start : gap.stop] = 0.0
            made = {name: filler(given, sample_rate, start_s, gap_s) for name, filler in fillers.items()}
            if coded is not None:
                made[CODED] = coded(clip)
            for name, filled in made.items():
                inside = [np.asarray(x[None, gap.start : gap.stop], np.float32) for x in (clip, filled)]
                length = np.full(1, gap.length, np.int32)
                found[name].append(float(_mel_distance(*inside, length, sample_rate)[0]))
            on_clip()
        for name, values in found.items():
            sample = totals([{"clip": clip, "mel": value} for clip, value in zip(names, values, strict=True)], "mel")
            better = [ours < theirs for ours, theirs in zip(values, found.get(BURG, values))]
            rows.append(
                GapRow(
                    name,
                    1000 * gap_s,
                    n_clips=len(values),
                    n_recordings=len(sample.clips),
                    mel=sample.mean,
                    standard_error=sample.standard_error,
                    better_than_burg=sum(better) / len(better),
                )
            )
    return rows


def fillers(prior: ReadyPrior, sampling: Sampling) -> dict[str, Filler]:
    """What `zoo.generating.fill` does, and what it is compared with."""

    def by_fill(samples: np.ndarray, rate: int, start_s: float, seconds: float) -> np.ndarray:
        return generating.fill(prior, samples, rate, start_s=start_s, seconds=seconds, sampling=sampling)[0]

    return {FILL: by_fill, BURG: by_extrapolation, LINEAR: by_line}


def by_extrapolation(samples: np.ndarray, rate: int, start_s: float, seconds: float) -> np.ndarray:
    """Burg's extrapolation from both sides, cross-faded."""
    gap, out = find_gap(len(samples), rate, start_s, seconds), samples.copy()
    for channel in range(samples.shape[1]):
        before, after = samples[: gap.start, channel], samples[gap.stop :, channel]
        out[gap.start : gap.stop, channel] = np.clip(burg.fill(before, after, gap.length), -1, 1)
    return out


def by_line(samples: np.ndarray, rate: int, start_s: float, seconds: float) -> np.ndarray:
    """A straight line from the last sample before the gap to the first one behind it."""
    gap, out = find_gap(len(samples), rate, start_s, seconds), samples.copy()
    share = ((np.arange(gap.length) + 1) / (gap.length + 1))[:, None]
    first = samples[gap.start - 1][None] if gap.start else samples[gap.stop][None]
    out[gap.start : gap.stop] = (1 - share) * first + share * samples[gap.stop][None]
    return out
