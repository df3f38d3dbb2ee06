"""Rate control: which level each packet is coded at, so that the payload's mean rate lands just below a target.

Rates are of entropy-coded payload, in kbps of all channels together, 1 kbps = 1000 bits per second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from zoo.errors import ZooError

RESERVOIR_S = 4.0
"""How many seconds' worth of bits that quiet passages left are kept for later ones."""

_CHANCE = 0.5
"""share of what a packet is expected to cost by which its cost may be another"""

Sizes = Callable[[int], float]
"""bytes that a packet takes at a level"""


class LevelPolicy(Protocol):
    """Chooses a level for each packet in turn, and is told what it cost."""

    def choose(self, sizes: Sizes, seconds: float) -> int: ...

    def spent(self, n_bytes: int) -> None: ...


class Constant:
    """The same level for every packet: constant quality."""

    def __init__(self, level: int) -> None:
        self._level = level

    def choose(self, sizes: Sizes, seconds: float) -> int:
        return self._level

    def spent(self, n_bytes: int) -> None:
        pass


class Planned:
    """Levels that are known beforehand."""

    def __init__(self, levels: Sequence[int]) -> None:
        self._levels = iter(levels)

    def choose(self, sizes: Sizes, seconds: float) -> int:
        return next(self._levels)

    def spent(self, n_bytes: int) -> None:
        pass


class Reservoir:
    """The policy for streams, whose future is not known: the highest level that the bits saved so far pay for.

    At no time has a stream spent more than its target for the time so far, unless level 0 itself costs more. Saved bits
    are kept up to `reservoir_s` seconds' worth, and a packet takes at most half of them, so that levels do not jump.
    """

    def __init__(self, kbps: float, n_levels: int, reservoir_s: float = RESERVOIR_S) -> None:
        self._bytes_per_s = kbps * 125.0
        self._n_levels = n_levels
        self._capacity = reservoir_s * self._bytes_per_s
        self._saved = 0.0
        self._budget = 0.0

    def choose(self, sizes: Sizes, seconds: float) -> int:
        self._budget = self._bytes_per_s * seconds
        limit = self._budget + (0.5 if self._saved > 0 else 1.0) * self._saved
        return highest(sizes, self._n_levels, limit)

    def spent(self, n_bytes: int) -> None:
        self._saved = min(self._saved + self._budget - n_bytes, self._capacity)


class Steered:
    """Levels by what packets are expected to cost, in bytes (packets, levels), and what those before them did cost.

    Each packet gets the highest common level that pays for it and all that follow, or one more where the rest of the
    bytes pay for its share of those. What the lowest level needs for those that follow is not touched: where a packet
    could, which is near the end, it is sized.
    """

    def __init__(self, expected: np.ndarray, target: float) -> None:
        self._expected = expected
        # of each packet and all that follow, and of nothing after the last
        self._rest = _from_here_on(expected)
        # at the lowest level, and by how much packets may cost more by chance
        self._kept = self._rest[:, 0] + _CHANCE * np.sqrt(_from_here_on(np.square(expected[:, :1]))[:, 0])
        self._rank = np.argsort(spread(len(expected)))
        self._left = target
        self._seen = np.full(2, 0.1 * target)  # expected and spent: as if a tenth had come as expected
        self._next = 0
        self._level = 0

    def choose(self, sizes: Sizes, seconds: float) -> int:
        p, (n, n_levels) = self._next, self._expected.shape
        dearer = self._seen[1] / self._seen[0]
        costs = self._rest[p] * dearer
        level = affordable(costs, self._left)
        if level + 1 < n_levels:
            share = (self._left - costs[level]) / max(costs[level + 1] - costs[level], 1e-9)
            level += int((self._rank[p] + 0.5) / n < share)
        if p == n - 1:
            level = n_levels - 1
        limit = self._left - self._kept[p + 1] * dearer
        if (1 + 2 * _CHANCE) * self._expected[p, level] * dearer > limit and sizes(level) > limit:
            level = highest(sizes, level, limit)
        self._level = level
        return level

    def spent(self, n_bytes: int) -> None:
        self._left -= n_bytes
        self._seen[0] += self._expected[self._next, self._level]
        self._seen[1] += n_bytes
        self._next += 1


def _from_here_on(values: np.ndarray) -> np.ndarray:
    """Sums (n + 1, …) of values (n, …) from each on, the last of which is 0."""
    return np.concatenate([np.cumsum(values[::-1], axis=0)[::-1], np.zeros_like(values[:1])])


def affordable(costs: np.ndarray, limit: float) -> int:
    """The highest level whose costs (levels,) are within a limit; the lowest where none are."""
    return int(np.max(np.flatnonzero(costs <= limit), initial=0))


def highest(sizes: Sizes, n_levels: int, limit: float) -> int:
    """The highest level within `limit` bytes, by bisection: a packet's size grows with its level."""
    low, high = 0, n_levels - 1
    while low < high:
        middle = (low + high + 1) // 2
        if sizes(middle) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def plan(sizes: np.ndarray, seconds: float, kbps: float) -> list[int]:
    """Levels for packets whose bytes at every level are known, (packets, levels), so that their sum is just affordable.

    All packets get the highest common level that the target pays for; what is then left raises as many as it can,
    spread evenly over time. Raises ZooError, with the lowest rate there is, if level 0 already costs more.
    """
    target = kbps * 125.0 * seconds
    totals = sizes.sum(axis=0)
    if totals[0] > target:
        lowest = totals[0] / 125.0 / seconds
        raise ZooError(f"bitrate {kbps:g} kbps cannot be reached: the codec's lowest level takes {lowest:.2f} kbps")
    level = int(np.max(np.flatnonzero(totals <= target)))
    levels = np.full(len(sizes), level)
    left = target - totals[level]
    # a second round lets a packet climb further, where packets are too few for an even spread to fill the target
    for _ in range(sizes.shape[1]):
        changed = False
        for p in spread(len(sizes)):
            if levels[p] + 1 < sizes.shape[1]:
                cost = sizes[p, levels[p] + 1] - sizes[p, levels[p]]
                if cost <= left:
                    levels[p] += 1
                    left -= cost
                    changed = True
        if not changed:
            break
    return [int(x) for x in levels]


def spread(n: int) -> list[int]:
    """0 … n − 1 in an order whose every beginning is spread evenly (multiples of the golden ratio)."""
    return [int(i) for i in np.argsort((np.arange(n) * 0.6180339887498949) % 1.0, kind="stable")]


def kbps(n_bytes: int, seconds: float) -> float:
    """Thousands of bits a second, 0 where there is no sound."""
    return n_bytes / 125 / seconds if seconds else 0.0
