"""Reading what orbax has written, by one process alone, as plain arrays of whatever is there."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np

from zoo import checkpoint
from zoo.errors import CheckpointError


def read_tree(folder: Path, wanted: Collection[str] | None = None) -> dict[str, Any]:
    """Entries of a saved tree, by default all, as numpy arrays; raises CheckpointError if they cannot be read."""
    import orbax.checkpoint as ocp

    # orbax logs what it is about to raise as well
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    try:
        with (
            checkpoint.quiet_failure(),
            ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer,
        ):
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
    except Exception as error:  # orbax and tensorstore raise many kinds, none of which is about us
        raise CheckpointError(f"checkpoint {folder.parent} is damaged or truncated: {reason(error)}") from None


def flat(tree: Any) -> dict[str, np.ndarray]:
    """Arrays by their path, such as params/decoder/kernel, whatever containers they are in."""
    return {path_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def path_name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def reason(error: BaseException) -> str:
    """What an error of orbax says, in one line that is not a page."""
    return " ".join(str(error).split())[:200] or type(error).__name__
