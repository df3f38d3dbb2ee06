"""The discriminators that trained an exported codec, in a file beside it, for those who train it on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zoo.errors import ZooError
from zoo.published import hub
from zoo.published.files import weights
from zoo.published.precision import Precision, narrow
from zoo.saved import checksums, runs
from zoo.saved.orbax_read import flat, read_tree

_STATE = "discriminator"
"""their entry of a checkpoint's training state"""


def of_run(name: str | Path) -> dict[str, np.ndarray]:
    """The discriminators of a run or of one of its checkpoints, arrays by path.

    Raises ZooError where it has none, and CheckpointError where it is damaged.
    """
    training = runs.find(name) / "training" if runs.is_run(name) else None
    state = read_tree(training, {_STATE}) if training is not None and training.is_dir() else {}
    if not (found := flat(state.get(_STATE) or {})):
        raise ZooError(f"{name} has no discriminators: only runs that were trained with adversaries do")
    return found


def write(folder: Path, arrays: Mapping[str, np.ndarray], precision: Precision) -> None:
    """Writes discriminators beside a codec; raises ZooError for numbers that the precision cannot hold."""
    weights.write_safetensors(
        folder / hub.DISCRIMINATORS, {path: narrow(array, precision) for path, array in arrays.items()}
    )


def beside(folder: Path) -> dict[str, np.ndarray]:
    """The discriminators in the folder of an exported codec; none where there are none, as in an installed package.

    Raises CheckpointError where the file is damaged.
    """
    if not (folder / hub.DISCRIMINATORS).is_file():
        return {}
    checksums.check(folder, (hub.DISCRIMINATORS,))
    return {path: np.array(array) for path, array in weights.read(folder / hub.DISCRIMINATORS).tensors.items()}
