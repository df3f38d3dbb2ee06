"""Reading what orbax has written, by one process alone, as plain arrays of whatever is there."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo.errors import CheckpointError, one_line


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[Any]:
    """Wraps a read by this process alone: gives orbax's options, and turns whatever is raised into CheckpointError."""
    import orbax.checkpoint as ocp

    # orbax logs what it is about to raise as well
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    own = jax.process_index()
    try:
        with quiet_failure():
            yield ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    except Exception as error:  # orbax and tensorstore raise many kinds, none of which is about us
        raise CheckpointError(f"checkpoint {folder.parent} is damaged or truncated: {one_line(error)}") from None


def restore(folder: Path, template: dict[str, Any]) -> dict[str, Any]:
    """A saved tree of exactly the shapes and types of `template`, on this process's first device.

    Raises CheckpointError if it cannot be read, or is of others.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), template)
    with _reading(folder) as alone, ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        restored: dict[str, Any] = checkpointer.restore(folder.absolute(), target)
        return restored


def read_tree(folder: Path, wanted: Collection[str] | None = None) -> dict[str, Any]:
    """Entries of a saved tree, by default all, as numpy arrays; raises CheckpointError if they cannot be read."""
    import orbax.checkpoint as ocp

    with _reading(folder) as alone:
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            if (described := checkpointer.metadata(folder.absolute()).item_metadata) is None:
                raise ValueError(f"the description of the arrays in {folder.name}/ cannot be read")
            stored = dict(described.tree)
            keys = stored if wanted is None else wanted
            item = {
                key: tree if key in keys else jax.tree.map(lambda _: ocp.PLACEHOLDER, tree)
                for key, tree in stored.items()
            }
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
            args = ocp.args.PyTreeRestore(item=item, restore_args=as_numpy)
            restored = checkpointer.restore(folder.absolute(), args)
            return {key: restored[key] for key in keys}


def flat(tree: Any) -> dict[str, np.ndarray]:
    """Arrays by their path, such as params/decoder/kernel, whatever containers they are in."""
    return {path_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def path_name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


@contextlib.contextmanager
def quiet_failure() -> Iterator[None]:
    """Silences the other reads that orbax had begun when one of them failed and its error was caught.

    They end in the garbage collector or in threads, at some later time, and would print a page for each: so the filter,
    for just that complaint, stays after a failure.
    """
    try:
        yield
    except BaseException:
        if not isinstance(sys.unraisablehook, _WithoutClosedLoops):  # once, however many reads fail
            sys.unraisablehook = _WithoutClosedLoops(sys.unraisablehook)
        gc.collect()
        raise


class _WithoutClosedLoops:
    """An unraisable hook that passes on all but the complaint of an abandoned read."""

    def __init__(self, hook: Callable[[Any], object]) -> None:
        self._hook = hook

    def __call__(self, info: Any) -> None:
        if "Event loop is closed" not in str(info.exc_value):
            self._hook(info)
