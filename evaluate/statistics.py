"""What a handful of clips allows to say: means with their uncertainty, rate-distortion curves, and rates saved.

for name, points in curves(rows, "mel").items(): print(name, [(p.kbps, p.low, p.value, p.high) for p in points])
print(bd_rates(rows, "mel")["opus", "vae"].percent)

Clips are the sample, and all intervals come from drawing them anew with replacement (Efron, 1979). Pieces of one long
clip are drawn together, since they are not independent. Draws depend on the seed and the number of clips alone: systems
that were measured on the same clips are resampled alike, and neither the order of rows nor of systems matters.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from evaluate.bjontegaard import BdRate, delta_rate
from evaluate.records import SILENT
from zoo.errors import ZooError
from zoo.saved import ranking

Rate = Literal["payload_kbps", "kbps"]
Rows = Sequence[Any]
"""`records.Row`s, or dictionaries with their fields as a results.json has them."""

N_RESAMPLES = 2000
CONFIDENCE = 0.95
RATES = ("kbps", "payload_kbps")
OTHER_VALUES = ("decode_rtf", "encode_rtf", "estoi", "pesq", "stoi", "visqol")
"""Speeds and perceptual scores: what is judged beside rates and `metrics.METRICS`."""


@dataclass(frozen=True)
class Estimate:
    """A mean over clips, with the interval that covers the mean over all such clips with probability `CONFIDENCE`.

    The limits are nan for a single clip, which says nothing of others.
    """

    value: float
    low: float
    high: float
    n_clips: int
    """independent ones: pieces of a long clip count as one"""


@dataclass(frozen=True)
class Point(Estimate):
    """An operating point of a curve: a system's mean rate in kbps and the mean of a metric there."""

    system: str
    level: int | None
    kbps: float


@dataclass(frozen=True, eq=False)
class Totals:
    """What a mean over clips is made of, one entry per independent clip: sum of `values` over sum of `weights`."""

    clips: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        return float(np.sum(self.values)) / float(np.sum(self.weights))

    @property
    def standard_error(self) -> float:
        """Of the mean, with these clips as the sample (Cochran, 1977, of ratios); nan for a single one."""
        n = len(self.clips)
        if n < 2:
            return math.nan
        deviations = self.values - self.mean * self.weights
        return math.sqrt(n / (n - 1) * float(np.sum(deviations**2))) / float(np.sum(self.weights))

    def resampled(self, seed: int, n_resamples: int) -> np.ndarray:
        """Means of `n_resamples` samples drawn with replacement, (n_resamples,)."""
        counts = _draws(len(self.clips), n_resamples, seed)
        return np.asarray((counts @ self.values) / (counts @ self.weights))


def totals(rows: Rows, name: str) -> Totals:
    """Totals of the value `name` over one system's rows, which give the mean that `records.means` gives.

    Silent clips and rows in which it is None are left out; a nan counts. Raises ZooError if none is left.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: str(get(row, "clip"))):
        if not is_counted(row, name):
            continue
        value = get(row, name)
        part = (float(value), 1.0)
        if name in ("kbps", "payload_kbps"):  # all bits over all seconds
            part = (value * get(row, "seconds"), get(row, "seconds"))
        elif name in ("encode_rtf", "decode_rtf"):  # all seconds over all seconds of work
            part = (get(row, "seconds"), get(row, "seconds") / value)
        found.setdefault(independent_clip(get(row, "clip")), []).append(part)
    if not found:
        raise ZooError(f"no row has a value of {name}")
    sums = np.array([np.sum(parts, axis=0) for parts in found.values()])
    return Totals(tuple(found), sums[:, 0], sums[:, 1])


def estimate(rows: Rows, name: str, *, seed: int = 0, n_resamples: int = N_RESAMPLES) -> Estimate:
    """The mean of the value `name` over one system's rows with its bootstrap percentile interval.

    Raises ZooError if no row has the value.
    """
    sample = totals(rows, name)
    low, high = interval(sample.resampled(seed, n_resamples)) if len(sample.clips) > 1 else (math.nan, math.nan)
    return Estimate(sample.mean, low, high, len(sample.clips))


def interval(resampled: np.ndarray) -> tuple[float, float]:
    """Limits between which the central `CONFIDENCE` of resampled statistics lie; nan if one of them is."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def curves(
    rows: Rows,
    metric: str,
    *,
    rate: Rate = "payload_kbps",
    domain: str | None = None,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, list[Point]]:
    """Groups operating points by family of systems, in order of appearance, each by rising rate.

    A family is a codec with all its levels, or a rival with all its rates ("opus" for "opus:6" and "opus:12").
    `domain` None = all clips. Systems without a value of the metric are left out. Raises ZooError for an unknown
    metric.
    """
    higher_is_better(metric)
    result = {}
    for name, members in families([row for row in rows if domain in (None, get(row, "domain"))]).items():
        points = []
        for (system, level), chosen in members.items():
            measured = [row for row in chosen if is_counted(row, metric)]
            if measured:
                found = estimate(measured, metric, seed=seed, n_resamples=n_resamples)
                kbps = totals(measured, rate).mean
                points.append(Point(found.value, found.low, found.high, found.n_clips, system, level, kbps))
        if points:
            result[name] = sorted(points, key=lambda point: point.kbps)
    return result


def bd_rate(anchor: Sequence[Point], test: Sequence[Point], *, higher_is_better: bool) -> BdRate:
    """Bjøntegaard delta rate of `test` against `anchor` in percent, without an interval.

    See `bjontegaard.delta_rate`; `higher_is_better` is that of the metric.
    """
    sign = 1.0 if higher_is_better else -1.0
    qualities = [np.array([sign * point.value for point in curve]) for curve in (anchor, test)]
    rates = [np.array([point.kbps for point in curve]) for curve in (anchor, test)]
    return delta_rate(rates[0], qualities[0], rates[1], qualities[1])


def bd_rates(
    rows: Rows,
    metric: str,
    *,
    rate: Rate = "payload_kbps",
    domain: str | None = None,
    seed: int = 0,
    n_resamples: int = 200,
) -> dict[tuple[str, str], BdRate]:
    """{(anchor, test): BdRate} for every ordered pair of families, on the clips that both have at all their points.

    Intervals are paired: both curves are drawn from the same clips; 0 resamples = no intervals. Raises ZooError for an
    unknown metric.
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    measured = [row for row in rows if domain in (None, get(row, "domain")) and is_counted(row, metric)]
    found = families(measured)
    result: dict[tuple[str, str], BdRate] = {}
    for i, test in enumerate(found):
        for anchor in list(found)[:i]:
            members = [list(found[name].values()) for name in (anchor, test)]
            clips = set.intersection(*({get(row, "clip") for row in point} for curve in members for point in curve))
            forth = back = BdRate(None, "no clip is common to all points")
            if clips:
                several = len({independent_clip(clip) for clip in clips}) > 1
                r_anchor, q_anchor, r_test, q_test = (
                    _resampled_points(curve, name, clips, seed, n_resamples) * factor
                    for curve in members
                    for name, factor in ((rate, 1.0), (metric, sign))
                )
                forth = delta_rate(r_anchor[0], q_anchor[0], r_test[0], q_test[0])
                if forth.percent is not None and n_resamples and several:
                    forth = _with_interval(forth, [delta_rate(*x) for x in zip(r_anchor, q_anchor, r_test, q_test)][1:])
                back = forth.reversed()
            result[anchor, test], result[test, anchor] = forth, back
    return result


def higher_is_better(name: str) -> bool:
    """Whether more of a value is better; raises ZooError for a name that is none, listing those there are."""
    if name not in (known := known_values()):
        raise ZooError(f"unknown metric {name!r}; there are {', '.join(known)}")
    return ranking.higher_is_better(name)


def known_values() -> list[str]:
    """Names of all values that can be judged: rates, metrics, speeds."""
    from evaluate.metrics import METRICS

    return [*RATES, *METRICS, *OTHER_VALUES]


def get(row: Any, name: str) -> Any:
    """A field of a row, or of a dictionary with a row's fields; None if it has it not."""
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)


def is_counted(row: Any, name: str) -> bool:
    """Whether a row's value `name` is part of a mean: the row has one, and its clip is not silent."""
    return get(row, name) is not None and get(row, "remark") != SILENT


def independent_clip(name: str) -> str:
    """The recording that a clip was cut from, by the places that stand behind its name; any other clip is its own.

    A piece of `clips.pieces` is called song.wav@30s, a clip of a file that a run holds out song.wav@12.5s.
    """
    return re.sub(r"(@\d+(\.\d+)?s)+$", "", name)


def family(system: str, level: int | None) -> str:
    """The curve on which an operating point lies: "opus" for the rival "opus:12", a codec's name for its levels."""
    return system.split(":")[0] if level is None else system


def by_system(rows: Rows) -> dict[tuple[str, int | None], list[Any]]:
    """Rows of each system and level, in order of appearance."""
    groups: dict[tuple[str, int | None], list[Any]] = {}
    for row in rows:
        groups.setdefault((get(row, "system"), get(row, "level")), []).append(row)
    return groups


def families(rows: Rows) -> dict[str, dict[tuple[str, int | None], list[Any]]]:
    """{family: {(system, level): rows}}, in order of appearance."""
    result: dict[str, dict[tuple[str, int | None], list[Any]]] = {}
    for key, members in by_system(rows).items():
        result.setdefault(family(*key), {})[key] = members
    return result


@functools.lru_cache(maxsize=4)
def _draws(n_clips: int, n_resamples: int, seed: int) -> np.ndarray:
    """How often each clip is drawn, (n_resamples, n_clips)."""
    counts = np.random.default_rng([seed, n_clips]).multinomial(n_clips, np.full(n_clips, 1 / n_clips), n_resamples)
    counts = counts.astype(np.float64)
    counts.flags.writeable = False
    return counts


def _resampled_points(curve: Sequence[Rows], name: str, clips: set[str], seed: int, n_resamples: int) -> np.ndarray:
    """Means at each point of a curve, (1 + n_resamples, points); the first row are those of the clips themselves."""
    samples = [totals([row for row in rows if get(row, "clip") in clips], name) for rows in curve]
    drawn = [np.concatenate([[x.mean], x.resampled(seed, n_resamples)]) for x in samples]
    return np.stack(drawn, axis=1)


def _with_interval(found: BdRate, resampled: Sequence[BdRate]) -> BdRate:
    percents = [x.percent for x in resampled if x.percent is not None]
    # curves that part in many resamples would give an interval of the lucky ones
    if len(percents) < CONFIDENCE * len(resampled):
        return found
    low, high = interval(np.array(percents))
    return replace(found, low=low, high=high)
