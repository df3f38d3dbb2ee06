"""Maps the per-device step over devices and processes.

`jax.pmap` is a wrapper of `jit(shard_map)` today; the loop uses that form itself. The partitioning is not left to
`jit` on sharded inputs: it would gather the whole batch around each FFT.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from train.devices.data_wait import DataWait
from train.step.state import Batch, Step
from zoo.errors import ZooError


def make_mesh(devices: Any = None) -> Mesh:
    """One axis, "data", over all devices of all processes (or those given)."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), devices=devices, axis_types=(AxisType.Auto,))


def map_step(step: Step, mesh: Mesh) -> Step:
    """The step jitted over the mesh: state replicated and donated, batch split, metrics replicated."""
    # With check_vma=True the gradient of replicated parameters is already summed over devices, and the
    # step's pmean would leave it N times too large.
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False)
    return jax.jit(mapped, donate_argnums=0)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same values on every device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's share of a global batch, spread over its devices."""
    place = functools.partial(jax.make_array_from_process_local_data, NamedSharding(mesh, P("data")))
    return {name: place(values) for name, values in batch.items()}


def next_batch(batches: Iterator[dict[str, np.ndarray]], mesh: Mesh, running: Any) -> tuple[Batch, float]:
    """The next batch on its devices, and the seconds for which they waited for it.

    `running` are results of the step that was dispatched last: as long as they are not ready, nobody waits.
    """
    idle = DataWait(running)
    batch = shard_batch(next(batches), mesh)
    return batch, idle.seconds()


def check_batch_size(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises ZooError unless every device gets equally many examples, and equally many in each of its parts."""
    if accumulate < 1:
        raise ZooError(f"accumulate must be at least 1, got {accumulate}")
    if batch_size < 1 or batch_size % (mesh.size * accumulate):
        parts = f" times accumulate, {mesh.size} · {accumulate}" if accumulate > 1 else f", {mesh.size}"
        raise ZooError(f"batch_size {batch_size} is not a positive multiple of the number of devices{parts}")


def own_copy(tree: Any) -> Any:
    """Replicated arrays as this process's own, to compute with them without the others."""
    return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)
