"""All cores and devices of this machine at work on units: processes with cores of their own, or a thread per device."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any

import jax

from zoo.console.command import use_compilation_cache
from zoo.errors import ZooError
from zoo.ready import ReadyCodec
from zoo.tokenise.plan import Unit
from zoo.tokenise.work import Work, Worker

MOST_PROCESSES = 16
"""where nobody asks for more: each has a copy of the codec"""
ATTEMPTS = 3
"""at a unit whose worker dies, which another unit, or another program, may have been the cause of"""
OnDone = Callable[[Unit], object]


def default_workers() -> int:
    """As many as there are accelerators, or else cores that this process may use."""
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        return len(devices)
    return min(len(_cores()), MOST_PROCESSES)


def run(work: Work, codec: ReadyCodec, units: Sequence[Unit], n_workers: int, on_done: OnDone) -> None:
    """Does all units; raises ZooError, and stops, where one cannot be done."""
    if not units:
        return
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        _in_threads(work, codec, units, n_workers, on_done, devices)
    elif n_workers == 1:
        worker = Worker(work, codec, ahead=len(_cores()) > 1)
        for unit in units:
            worker.run(unit)
            on_done(unit)
    else:
        in_processes(work, units, min(n_workers, len(units)), on_done)


def _in_threads(
    work: Work, codec: ReadyCodec, units: Sequence[Unit], n: int, on_done: OnDone, devices: Sequence[jax.Device]
) -> None:
    """A thread to each accelerator, which reads ahead in another: the work of both is outside of Python."""
    placed = [replace(codec, variables=jax.device_put(codec.variables, device)) for device in devices[:n]]
    stop = threading.Event()
    idle = [Worker(work, placed[i % len(placed)], ahead=True, stop=stop) for i in range(n)]
    waiting = iter(units)
    running: dict[Future[Any], tuple[Worker, Unit]] = {}
    with ThreadPoolExecutor(n) as pool:
        try:
            while True:
                while idle and (unit := next(waiting, None)) is not None:
                    worker = idle.pop()
                    running[pool.submit(worker.run, unit)] = (worker, unit)
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    worker, unit = running.pop(future)
                    future.result()
                    idle.append(worker)
                    on_done(unit)
        except BaseException:
            stop.set()
            raise


@dataclass
class _Process:
    """A worker in a process of its own, and the unit that it is at."""

    process: BaseProcess
    connection: Connection
    unit: Unit | None = None


def in_processes(work: Work, units: Sequence[Unit], n: int, on_done: OnDone) -> None:
    """Does units as `run` does, in processes that each have some of the cores; one that dies is replaced."""
    context = multiprocessing.get_context("spawn")
    scratch = tempfile.TemporaryDirectory(prefix="zoo-")  # of a worker that dies nothing stays behind
    shares = _shares(_cores(), n)
    deaths: Counter[int] = Counter()
    waiting = list(reversed(units))
    workers: dict[int, _Process] = {}

    def start(place: int) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, work, shares[place], scratch.name), daemon=True)
        process.start()
        theirs.close()
        workers[place] = _Process(process, ours)
        give(place)

    def give(place: int) -> None:
        worker = workers[place]
        worker.unit = waiting.pop() if waiting else None
        with contextlib.suppress(OSError):  # it has died, which is found out below
            worker.connection.send(worker.unit)

    def buried(place: int) -> None:
        worker = workers.pop(place)
        worker.process.join()
        unit = worker.unit
        assert unit is not None
        deaths[unit.index] += 1
        if deaths[unit.index] == ATTEMPTS:
            files = ", ".join(file.key for file in unit.files[:3]) + (" and others" if len(unit.files) > 3 else "")
            how = _death(worker.process.exitcode)
            raise ZooError(f"{ATTEMPTS} workers {how} while they coded {files}; the rest can be had by running again")
        waiting.append(unit)
        start(place)

    try:
        for place in range(n):
            start(place)
        while any(worker.unit for worker in workers.values()):
            places = {worker.connection: place for place, worker in workers.items() if worker.unit}
            for connection in wait_for(list(places)):
                place = places[connection]  # type: ignore[index]
                try:
                    error = workers[place].connection.recv()
                except (EOFError, OSError):
                    buried(place)
                    continue
                if error is not None:
                    raise ZooError(error)
                unit = workers[place].unit
                assert unit is not None
                on_done(unit)
                give(place)
    finally:
        for worker in workers.values():
            if worker.unit:
                worker.process.kill()  # what it has not finished was never there
            worker.connection.close()
        for worker in workers.values():
            worker.process.join()
        scratch.cleanup()


def _serve(connection: Connection, work: Work, cores: Sequence[int], scratch: str) -> None:
    """Does the units that come through a pipe, until None does; sends None for each, or why it could not be done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: whoever started this ends it
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # before jax counts them
    tempfile.tempdir = scratch
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        use_compilation_cache()
        worker = Worker(work, work.load(), ahead=len(cores) > 1)
    except ZooError as error:
        connection.recv()
        connection.send(str(error))
        return
    while (unit := connection.recv()) is not None:
        try:
            worker.run(unit)
            connection.send(None)
        except ZooError as error:
            connection.send(str(error))


def _end_with_parent() -> None:
    """A parent that is killed cannot tell its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"were killed ({signal.Signals(-code).name})"
    return f"ended with status {code}"


def _cores() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _shares(cores: Sequence[int], n: int) -> list[list[int]]:
    """Cores for each of n workers: as many for all, one at least, which workers beyond their number share."""
    each = max(len(cores) // n, 1)
    return [[cores[(place * each + i) % len(cores)] for i in range(each)] for place in range(n)]
