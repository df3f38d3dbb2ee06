"""How fast training data comes: `python -m train.data_bench --data.root DIR`.

DIR is a prepared folder or a folder of audio files, none the embedded generator. Batches go through the loop's own
pipeline onto the loop's own mesh; a step that trains at a given pace, but computes nothing, shows the share of waiting.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs import base
from evaluate import cli, table
from zoo.console.command import command
from zoo.errors import ZooError


@dataclass(frozen=True)
class Delivery:
    """What a source delivers."""

    source: str
    batch_size: int
    segment_s: float
    threads: int
    audio_per_s: float
    """seconds of audio that arrive on the devices per wall second, where nothing else happens"""
    cpu_ms_per_s: float
    """processor time for a second of audio, in ms: what remains the same on a busy machine"""
    first_batch_s: float
    """wall time from opening the source to its first batch"""
    step_audio_per_s: float
    """pace of the step for which data is then fetched, in seconds of audio per wall second"""
    wait_share: float
    """of this step's wall time, spent waiting for data"""


@dataclass(frozen=True)
class Options:
    """Measures how many seconds of audio reach the training step per wall second, and how long a step waits for them.

    The second figure is of a step that leaves the processor alone, as one on an accelerator does.
    """

    data: base.Data = field(default_factory=base.Data)
    batch_size: int = 16
    sample_rate: int = 24000
    """Hz"""
    channels: int = 1
    seconds: float = 10.0
    """wall seconds to measure for, each of the two"""
    step_audio_per_s: float | None = None
    """pace of the step, in seconds of audio per wall second; None = two thirds of what the source delivers"""
    output: str | None = None
    """JSON file to write"""


def measure(options: Options) -> Delivery:
    """Opens the source and fetches batches; raises ZooError for data or numbers that cannot be used."""
    from train import data
    from train.devices import parallel

    if options.seconds <= 0 or (options.step_audio_per_s is not None and options.step_audio_per_s <= 0):
        raise ZooError("--seconds and --step_audio_per_s must be positive")
    mesh = parallel.make_mesh()
    parallel.check_batch_size(options.batch_size, mesh)
    started = time.perf_counter()
    source = data.make_source(
        options.data, sample_rate=options.sample_rate, channels=options.channels, hop_length=1, seed=0
    )
    batches = data.batches(source, batch_size=options.batch_size, data=options.data)
    batch_s = options.batch_size * source.segment_samples / source.sample_rate
    _fetch(batches, mesh)
    first_s = time.perf_counter() - started
    for _ in range(options.data.prefetch):  # what was read ahead meanwhile
        _fetch(batches, mesh)
    n, started, cpu_started = 0, time.perf_counter(), time.process_time()
    while (elapsed := time.perf_counter() - started) < options.seconds:
        _fetch(batches, mesh)
        n += 1
    cpu_s = time.process_time() - cpu_started
    audio_per_s = n * batch_s / elapsed
    pace = options.step_audio_per_s or audio_per_s * 2 / 3
    return Delivery(
        source=f"{type(source).__name__} {options.data.root or ''}".strip(),
        batch_size=options.batch_size,
        segment_s=source.segment_samples / source.sample_rate,
        threads=options.data.threads,
        audio_per_s=audio_per_s,
        cpu_ms_per_s=1000 * cpu_s / (n * batch_s),
        first_batch_s=first_s,
        step_audio_per_s=pace,
        wait_share=_wait_share(batches, mesh, batch_s / pace, options.seconds),
    )


def _fetch(batches: Iterator[Any], mesh: Any) -> None:
    import jax

    from train.devices import parallel

    jax.block_until_ready(parallel.next_batch(batches, mesh, {})[0])


def _wait_share(batches: Iterator[Any], mesh: Any, step_s: float, seconds: float) -> float:
    """Waiting time over wall time; the host is one step ahead of the step that runs, as in the loop."""
    import jax

    from train.devices import parallel

    started = time.perf_counter()
    waited_s, ends = 0.0, started
    while (now := time.perf_counter()) - started < seconds:
        jax.block_until_ready(parallel.next_batch(batches, mesh, {})[0])
        arrived = time.perf_counter()
        waited_s += max(arrived - max(ends, now), 0.0)
        # the step on this batch begins when the one before has ended; until then the host sleeps
        begins = max(ends, arrived)
        time.sleep(max(begins - arrived, 0.0))
        ends = begins + step_s
    return waited_s / (time.perf_counter() - started)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train.data_bench", run, arguments, cached=False, extra="train")


def run(options: Options) -> None:
    """Measures, prints and writes."""
    import jax

    cli.check_results_file(options.output)
    delivery = measure(options)
    print(
        f"{delivery.source}: {delivery.audio_per_s:.0f} s of audio/s on {len(jax.devices())} × "
        f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPU cores, batches of {delivery.batch_size} × "
        f"{delivery.segment_s:g} s, {delivery.threads} threads; {delivery.cpu_ms_per_s:.2f} ms of processor time for "
        f"each; first batch after {delivery.first_batch_s:.2f} s"
    )
    print(f"a step at {delivery.step_audio_per_s:.0f} s of audio/s waits {100 * delivery.wait_share:.2f} % of its time")
    if options.output is not None:
        table.write_text(Path(options.output), json.dumps(dataclasses.asdict(delivery), indent=2) + "\n")


if __name__ == "__main__":
    main()
