"""Run directories: which checkpoints one has, the newest and the best of them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path

from zoo.arguments import as_path
from zoo.errors import CheckpointError
from zoo.saved.checkpoint import read_metadata
from zoo.saved.ranking import higher_is_better


def steps(run: str | Path) -> list[int]:
    """Steps of the finished checkpoints of a run, oldest first; empty where there are none."""
    folder = Path(run) / "checkpoints"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir()) if folder.is_dir() else []


def best_step(values: Mapping[int, float | None], metric: str) -> int | None:
    """The step with the best value, of equals the last; None where no value is a finite number.

    Lower is better, unless `higher_is_better` says otherwise.
    """
    finite = {step: value for step, value in values.items() if value is not None and math.isfinite(value)}
    sign = -1.0 if higher_is_better(metric) else 1.0
    return min(finite, key=lambda step: (sign * finite[step], -step), default=None)


def best(run: str | Path) -> Path:
    """The checkpoint of a run with the best value of the metric that its configuration names in `keep_best`.

    Raises CheckpointError where it names none, or no checkpoint has a value.
    """
    values: dict[int, float | None] = {}
    metric = ""
    for step in steps(run):
        with contextlib.suppress(CheckpointError):  # a damaged one is not the best
            metadata = read_metadata(Path(run) / "checkpoints" / str(step))
            metric = metadata.get("config", {}).get("keep_best", "")
            values[step] = metadata.get("metrics", {}).get(metric)
    if not metric:
        raise CheckpointError(f"{run} has no best checkpoint: it was not trained with keep_best")
    if (found := best_step(values, metric)) is None:
        raise CheckpointError(f"{run} has no best checkpoint: none of steps {sorted(values)} has a value of {metric}")
    return Path(run) / "checkpoints" / str(found)


def find(path: str | Path) -> Path:
    """The checkpoint folder meant by a run directory (its newest), its `checkpoints/`, or a checkpoint itself.

    `RUN/checkpoints/best` means what `best(RUN)` finds. Raises CheckpointError where there is none.
    """
    path = Path(as_path(path))
    if means_best(path):
        return best(path.parent.parent)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}: there is no such file or folder")
    for run in (path, path.parent) if path.name == "checkpoints" else (path,):
        if found := steps(run):
            return run / "checkpoints" / str(found[-1])
    if (path / "metadata").exists() and (path / "codec").exists():
        return path
    raise CheckpointError(f"no checkpoint at {path}: expected a run directory with checkpoints/STEP, or one such STEP")


def is_run(path: str | Path) -> bool:
    """Whether `path` is a run directory, its checkpoints/, or one of its checkpoints, damaged ones included."""
    path = Path(as_path(path))
    if means_best(path) or (path.is_dir() and path.parent.name == "checkpoints" and path.name.isdigit()):
        return True
    parts = ("checkpoints", "metadata", "codec")
    return path.is_dir() and (path.name == "checkpoints" or any((path / part).exists() for part in parts))


def means_best(path: Path) -> bool:
    """Whether `path` is `RUN/checkpoints/best`, which stands for what `best(RUN)` finds."""
    return path.name == "best" and path.parent.name == "checkpoints"
