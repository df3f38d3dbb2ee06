"""The Bjøntegaard delta rate: how much rate one codec saves against another at the same quality."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

CLASSIC_POINTS = 4
"""Operating points for which the measure was defined; fewer are allowed, but remarked on."""


@dataclass(frozen=True)
class BdRate:
    """How much more rate a curve needs than its anchor for the same quality, in percent; negative = less."""

    percent: float | None
    remark: str = ""
    """why there is no percentage, or what limits the one there is"""
    low: float = math.nan
    high: float = math.nan
    """limits of its interval; nan where there is none"""

    def reversed(self) -> BdRate:
        """The same with anchor and test exchanged: logarithms of rates change their sign."""
        words = {"anchor": "test", "test": "anchor"}
        remark = re.sub(r"(?<=the )(anchor|test)(?= has)", lambda match: words[match[0]], self.remark)
        percent = None if self.percent is None else _turn(self.percent)
        return BdRate(percent, remark, _turn(self.high), _turn(self.low))


def delta_rate(r_anchor: np.ndarray, q_anchor: np.ndarray, r_test: np.ndarray, q_test: np.ndarray) -> BdRate:
    """Bjøntegaard delta rate of a test curve against an anchor's: rates (n,) > 0 and qualities (n,), more is better.

    Bjøntegaard, VCEG-M33, 2001: the mean distance between the logarithms of the rates over the qualities that both
    reach, here with piecewise cubic Hermite interpolation (PCHIP) as in JCTVC practice since, where M33 has one cubic.
    Points that cost no less than another and are no better are left out, since nobody would choose them, and rate is
    no function of quality with them. None where less than two points or no common quality remain.
    """
    curves: list[tuple[np.ndarray, np.ndarray]] = []
    for name, rates, qualities in (("anchor", r_anchor, q_anchor), ("test", r_test, q_test)):
        if np.isnan(qualities).any():
            return BdRate(None, f"the {name} has a point without a value")
        kept = _worth_choosing(rates, qualities)
        if len(kept) < 2:
            return BdRate(
                None, f"the {name} has only {len(kept)} point{'s' * (len(kept) != 1)} where rate buys quality"
            )
        curves.append((qualities[kept], np.log(rates[kept])))
    low, high = float(max(curve[0][0] for curve in curves)), float(min(curve[0][-1] for curve in curves))
    if not low < high:
        return BdRate(None, "the curves reach no common quality")
    anchor, test = (pchip_integral(*curve, low, high) / (high - low) for curve in curves)
    fewest = min(len(curve[0]) for curve in curves)
    share = (high - low) / float(max(curve[0][-1] for curve in curves) - min(curve[0][0] for curve in curves))
    remarks = [f"{fewest} points, fewer than the classic {CLASSIC_POINTS}"] * (fewest < CLASSIC_POINTS)
    remarks += [f"the curves share {share:.0%} of their range of quality"] * (share < 0.5)
    return BdRate(100 * math.expm1(test - anchor), "; ".join(remarks))


def _worth_choosing(rates: np.ndarray, qualities: np.ndarray) -> list[int]:
    """Indices, by rising rate, of points that are better than every one that costs no more."""
    kept: list[int] = []
    for i in sorted(range(len(rates)), key=lambda i: (rates[i], -qualities[i])):
        if rates[i] > 0 and math.isfinite(qualities[i]) and (not kept or qualities[i] > qualities[kept[-1]]):
            kept.append(i)
    return kept


def pchip_integral(x: np.ndarray, y: np.ndarray, low: float, high: float) -> float:
    """Integral from `low` to `high` of the monotone piecewise cubic through (x, y); a line for two points.

    x (n,) rises strictly and spans the limits. Slopes: Fritsch & Butland, 1984, with the three-point formula at the
    ends that Moler describes ("Numerical Computing with MATLAB", 2004).
    """
    h, slopes = np.diff(x), np.diff(y) / np.diff(x)
    d = np.full(len(x), slopes[0])
    if len(x) > 2:
        before, after = slopes[:-1], slopes[1:]
        w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
        rising = before * after > 0
        safe = [np.where(rising, s, 1.0) for s in (before, after)]
        d[1:-1] = np.where(rising, (w1 + w2) / (w1 / safe[0] + w2 / safe[1]), 0.0)
        d[0] = _end_slope(h[0], h[1], slopes[0], slopes[1])
        d[-1] = _end_slope(h[-1], h[-2], slopes[-1], slopes[-2])
    square = (3 * slopes - 2 * d[:-1] - d[1:]) / h
    cube = (d[:-1] + d[1:] - 2 * slopes) / h**2
    start, end = (np.clip(limit - x[:-1], 0, h) for limit in (low, high))
    parts = [t * (y[:-1] + t * (d[:-1] / 2 + t * (square / 3 + t * cube / 4))) for t in (start, end)]
    return float(np.sum(parts[1] - parts[0]))


def _end_slope(h0: float, h1: float, s0: float, s1: float) -> float:
    d = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    if d * s0 <= 0:
        return 0.0
    return 3 * s0 if s0 * s1 < 0 and abs(d) > abs(3 * s0) else d


def _turn(percent: float) -> float:
    return 100 * (100 / (100 + percent) - 1)
