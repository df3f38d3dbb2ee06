"""Levels for a file at a bitrate: foreseen from how much is in its packets, and steered by what they cost.

To size a packet at a level takes the entropy coder as long as to code it. So what is in its codes is counted instead,
at all levels at once; a few packets that are sized tell what that costs (video coders foresee rates from the share of
zeros; He and Mitra, 2001), and while packets are coded, each of them tells it better.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from zoo.coding.engine import Engine
from zoo.coding.rate import LevelPolicy, Planned, Steered, affordable, plan

IN_MEMORY = 64 << 20
"""bytes of latents that are kept in memory, about ten minutes of mono; more go to a temporary file"""
N_SIZED = 6
"""packets that are sized before a file is coded, spread over it"""
SAFE = 0.8
"""share of the target that the lowest level may be expected to cost: above it, each packet is sized at each level"""


class StoredLatents(contextlib.AbstractContextManager["StoredLatents"]):
    """Packets of latents (N, n, D) in float32: first all of them are put in, then they are read in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._shapes: list[tuple[int, ...]] = []
        self._starts = [0]

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def extend(self, packets: Iterable[np.ndarray]) -> None:
        for latents in packets:
            self._file.write(np.ascontiguousarray(latents, np.float32).tobytes())
            self._shapes.append(latents.shape)
            self._starts.append(self._file.tell())

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, p: int) -> np.ndarray:
        start, end = self._starts[p], self._starts[p + 1]
        self._file.seek(start)
        return np.frombuffer(self._file.read(end - start), np.float32).reshape(self._shapes[p])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[p] for p in range(len(self)))


def policy_for(
    engine: Engine, packets: StoredLatents, packet_frames: int, *, seconds: float, kbps: float
) -> LevelPolicy:
    """The policy by which the payload of `packets` stays just below `kbps`.

    Raises ZooError, with the lowest rate there is, where level 0 costs more.
    """

    def size(latents: np.ndarray, level: int) -> float:
        return engine.packet_bytes(engine.quantise(latents, level, packet_frames), level)

    n, n_levels, target = len(packets), engine.symbols.n_levels, kbps * 125.0 * seconds
    if n > 2 and n_levels > 1:
        contents = np.stack([engine.contents(latents, packet_frames) for latents in packets])
        sized = sorted(set(np.linspace(0, n - 1, N_SIZED).astype(int)))
        level = n_levels // 2
        for _ in range(2):  # what content costs differs a little from level to level
            at, costs = level, np.array([size(packets[p], level) for p in sized])
            expected = contents * (costs.sum() / contents[sized, at].sum())
            level = affordable(expected.sum(axis=0), target)
        if expected[:, 0].sum() < SAFE * target:
            expected[sized] *= (costs / expected[sized, at])[:, None]
            return Steered(expected, target)
    if not n:
        return Planned([])
    return Planned(plan(np.array([[size(x, k) for k in range(n_levels)] for x in packets]), seconds, kbps))
