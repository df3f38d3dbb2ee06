"""The work of tokenising a folder as benchmarks give it out, and how fast processes do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.audio.taking import Channels
    from zoo.ready import ReadyCodec
    from zoo.tokenise.plan import Unit
    from zoo.tokenise.work import Work


def planned(
    source: str,
    out: str,
    codec: ReadyCodec,
    load: Callable[[], ReadyCodec],
    *,
    level: int | None = None,
    channels: Channels = "each",
    workers: int = 0,
) -> tuple[Work, list[Unit]]:
    """All of a folder cut into units, about eight to each of `workers` where the usual ones are fewer.

    Raises ZooError where there are not even four to each.
    """
    from zoo.library.clips import is_input
    from zoo.library.store import open_input
    from zoo.tokenise import plan
    from zoo.tokenise.rows import Settings
    from zoo.tokenise.work import Work

    store, _ = open_input(source)
    files = [file for file in store.files() if is_input(file.key)]
    unit_bytes, ends = plan.units_of(files, None)
    if len(ends) < 8 * workers:
        cost = sum(file.bytes + plan.FILE_BYTES for file in files)
        _, ends = plan.units_of(files, min(unit_bytes, cost // (8 * workers)))
    if len(ends) < 4 * workers:
        raise ZooError(f"{source}: {len(ends)} units of work are too few for {workers} workers")
    settings = Settings(
        level=codec.engine.level(level),
        channels=channels,
        mid_side=True,
        packet_frames=codec.packet_frames(),
        row_bytes=8_000_000,
    )
    work = Work(source, out, load, codec.digest.hex(), settings, format="npy", shard_bytes=32_000_000)
    return work, [plan.Unit(i, tuple(files[start:stop])) for i, (start, stop) in enumerate(ends)]


def speed(work: Work, units: Sequence[Unit], n: int) -> float:
    """Seconds of audio a second, of n processes, from the end of the first unit of each on."""
    from zoo.library.store import open_store
    from zoo.tokenise import local, manifest

    ends: list[tuple[float, int]] = []
    local.in_processes(work, units, n, lambda unit: ends.append((time.perf_counter(), unit.index)))
    seconds = {
        record["unit"]: record["seconds"]
        for record in manifest.records(open_store(work.output), [u.index for u in units])
    }
    started = ends[n - 1][0]  # by then each has compiled
    return sum(seconds[index] for _, index in ends[n:]) / (ends[-1][0] - started)
