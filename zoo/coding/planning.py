"""Levels for a file at a bitrate: foreseen from how much is in its packets, and steered by what they cost.

To size a packet at a level takes the entropy coder as long as to code it. So what is in its codes is counted instead,
at all levels at once; a few packets that are sized tell what that costs (video coders foresee rates from the share of
zeros; He and Mitra, 2001), and while packets are coded, each of them tells it better.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from zoo.coding.engine import Engine
from zoo.coding.rate import LevelPolicy, Planned, Steered, affordable, plan

IN_MEMORY = 64 << 20
"""bytes of latents that are kept in memory, about ten minutes of mono; more go to a temporary file"""
N_SIZED = (2, 4)
"""packets that are sized before a file is coded, spread over it, and again at the level that the first of them tell:
what content costs differs a little from level to level"""
SAFE = 0.8
"""share of the target that the lowest level may be expected to cost: above it, each packet is sized at each level"""


class StoredLatents(contextlib.AbstractContextManager["StoredLatents"]):
    """Packets of latents (N, n, D) in float32: first all of them are put in, then they are read in any order.

    What they contain at each level is counted meanwhile, in a thread.
    """

    def __init__(self, engine: Engine, packet_frames: int) -> None:
        self._engine, self.packet_frames = engine, packet_frames
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._shapes: list[tuple[int, ...]] = []
        self._starts = [0]
        self._pool = ThreadPoolExecutor(1)
        self._counts: list[Future[np.ndarray]] = []

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._file.close()

    def extend(self, packets: Iterable[np.ndarray]) -> None:
        for latents in packets:
            self._file.write(np.ascontiguousarray(latents, np.float32).tobytes())
            self._shapes.append(latents.shape)
            self._starts.append(self._file.tell())
            if self._counts:  # so that few packets wait in memory
                self._counts[-1].result()
            self._counts.append(self._pool.submit(self._engine.contents, latents, self.packet_frames))

    def contents(self) -> np.ndarray:
        """`Engine.contents` of each packet, (packets, n_levels)."""
        return np.stack([count.result() for count in self._counts])

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, p: int) -> np.ndarray:
        start, end = self._starts[p], self._starts[p + 1]
        self._file.seek(start)
        return np.frombuffer(self._file.read(end - start), np.float32).reshape(self._shapes[p])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[p] for p in range(len(self)))


def policy_for(engine: Engine, packets: StoredLatents, *, seconds: float, kbps: float) -> LevelPolicy:
    """The policy by which the payload of `packets` stays just below `kbps`.

    Raises ZooError, with the lowest rate there is, where level 0 costs more.
    """

    def size(latents: np.ndarray, level: int) -> float:
        return engine.packet_bytes(engine.quantise(latents, level, packets.packet_frames), level)

    n, n_levels, target = len(packets), engine.symbols.n_levels, kbps * 125.0 * seconds
    if n > 2 and n_levels > 1:
        contents, level = packets.contents(), n_levels // 2
        for n_sized in N_SIZED:
            sized = sorted({int(p) for p in np.linspace(0, n - 1, n_sized)})
            at, costs = level, np.array([size(packets[p], level) for p in sized])
            expected = contents * (float(costs.sum()) / float(contents[sized, at].sum()))
            level = affordable(expected.sum(axis=0), target)
        if expected[:, 0].sum() < SAFE * target:
            expected[sized] *= (costs / expected[sized, at])[:, None]
            return Steered(expected, target)
    if not n:
        return Planned([])
    return Planned(plan(np.array([[size(x, k) for k in range(n_levels)] for x in packets]), seconds, kbps))
