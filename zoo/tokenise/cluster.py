"""All nodes of a Ray cluster at work on units: actors of Ray Data that each load the codec once."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from zoo.audio.places import is_uri
from zoo.console import extras
from zoo.console.command import use_compilation_cache
from zoo.errors import ZooError, one_line
from zoo.tokenise.plan import Unit
from zoo.tokenise.work import Work, Worker

_BLOCKS = 4096
"""into which units are put at most, for Ray to spread"""
_ONE_CORE = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
"""environment of an actor that has a core to itself: Ray does not keep it from using others"""


def run(work: Work, units: Sequence[Unit], n_workers: int | None, on_done: Callable[[Unit], object]) -> None:
    """Does all units on the cluster that RAY_ADDRESS names, or on one that is started here.

    There is an actor to each GPU, or else to each core, or n_workers of them. Nodes must see the input, the output and
    the codec at the same places. Raises ZooError where a unit cannot be done, or Ray fails.
    """
    extras.require("ray")
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what it will do anyway, without a warning
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    try:
        _run(work, units, n_workers, on_done)
    except ray.exceptions.RayError as error:
        raise ZooError(f"ray: {one_line(error)}") from None


def _run(work: Work, units: Sequence[Unit], n_workers: int | None, on_done: Callable[[Unit], object]) -> None:
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    by_index = {unit.index: unit for unit in units}
    items = [{"unit": unit} for unit in units]
    data = ray.data.from_items(items, override_num_blocks=min(len(items), _BLOCKS)).map_batches(
        Actor,
        fn_constructor_args=(_everywhere(work),),
        batch_size=1,
        concurrency=min(n_workers or gpus or max(int(there.get("CPU", 1)), 1), len(items)),
        num_cpus=1,
        num_gpus=1 if gpus else 0,
        runtime_env={"env_vars": {} if gpus else _ONE_CORE},
    )
    for row in data.iter_rows():
        if row["error"]:
            raise ZooError(row["error"])
        on_done(by_index[row["index"]])


def _everywhere(work: Work) -> Work:
    """With paths that do not depend on where a process runs."""
    places = {name: getattr(work, name) for name in ("input", "output")}
    return replace(work, **{name: place if is_uri(place) else os.path.abspath(place) for name, place in places.items()})


class Actor:
    """A worker, which Ray makes on a node."""

    def __init__(self, work: Work) -> None:
        use_compilation_cache()
        self._worker = Worker(work, work.load(), ahead=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Does the units of a batch."""
        errors = []
        for unit in batch["unit"]:
            try:
                self._worker.run(unit)
                errors.append("")
            except ZooError as error:
                errors.append(str(error))
        return {"index": [unit.index for unit in batch["unit"]], "error": errors}
