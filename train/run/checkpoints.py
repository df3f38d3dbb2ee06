"""Writing and reading a run's checkpoints (their layout: zoo/checkpoint.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from configs import loading
from configs.base import Config
from train.devices import parallel, processes
from train.run.init_from import RECIPES_OWN
from train.run.tables import Tables
from train.step.state import TrainState
from zoo import families
from zoo.bitstream.entropy import EntropyModel
from zoo.errors import CheckpointError, ZooError, one_line
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint, checksums, runs
from zoo.saved.orbax_read import flat, path_name, read_tree

ITEMS = ("codec", "training", "metadata")
STATE_FIELDS = sorted(field.name for field in dataclasses.fields(TrainState))
DAMAGED = "damaged"
TEMPORARY = ".orbax-checkpoint-tmp"
"""in the names of folders that are being written"""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""errors of a disk that takes no more"""


class Checkpoints:
    """The checkpoints of one run, written asynchronously; a half-written one is never seen under its name.

    The newest `keep_checkpoints` are kept, and the best one by the metric `keep_best`.
    """

    def __init__(self, workdir: Path, config: Config) -> None:
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        self._folder = (workdir / "checkpoints").absolute()
        self._config = config
        steps = runs.steps(workdir)
        self._values = {step: _metric_of(self._folder / str(step), config.keep_best) for step in steps}
        policy = _NewestAndBest(config.keep_checkpoints, config.keep_best, self._values)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
        )
        with self._named("begun"):
            self._manager = ocp.CheckpointManager(self._folder, options=options, item_names=ITEMS)
        self._saving: int | None = None
        self.tables: Tables | None = None
        """the entropy coder's tables in the checkpoint that was restored"""

    def save(
        self, state: TrainState, tables: Tables | EntropyModel, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Saves everything after `state.step` steps; step and data position stand in the metadata too.

        `tables` were fitted to this very codec, or say to which; `metrics` are what the best checkpoint is chosen by.
        Returns once the arrays are on the host; raises CheckpointError if they, or those before, cannot be written.
        """
        step = int(state.step)
        fitted = tables if isinstance(tables, Tables) else Tables(tables, step)
        config = self._config
        numbers = {name: float(value) for name, value in (metrics or {}).items()}
        metadata = {
            "format": checkpoint.format_of(fitted.entropy),
            "family": config.model.family,
            "model": config.model.kwargs(),
            "step": step,
            "next_example": int(state.next_example),
            "metrics": {name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "tables_step": fitted.step,
            "state_fields": STATE_FIELDS,
            "config": json.loads(json.dumps(loading.to_dict(config))),
        }
        if processes.is_first():  # it writes them
            module: Any = families.create_model(config.model.family, **config.model.kwargs())
            # by which the codec of a coded file is found
            metadata["weights_hash"] = ReadyCodec(module, {"params": state.ema}, fitted.entropy, metadata).digest.hex()
        args = ocp.args.Composite(
            codec=ocp.args.StandardSave({"params": state.ema, "entropy": checkpoint.stored_tables(fitted.entropy)}),
            training=ocp.args.StandardSave(state),
            metadata=ocp.args.JsonSave(metadata),
        )
        self.check(wait=True)
        self._values[step] = numbers.get(config.keep_best)
        self._saving = step
        with self._named(f"written after step {step}"):
            self._manager.save(step, args=args, force=True)

    def _seal(self) -> None:
        """Adds the checksums, once all is written and before it gets its name."""
        if processes.is_first():
            for scratch in self._folder.glob(f"{self._saving}{TEMPORARY}*"):
                checksums.write(scratch, ITEMS)

    def check(self, *, wait: bool = False) -> None:
        """Raises CheckpointError if what was saved last could not be written; only waits for that if asked to."""
        if self._saving is None or (self._manager.is_saving_in_progress() and not wait):
            return
        with self._named(f"written after step {self._saving}"):
            self._manager.wait_until_finished()
        self._saving = None

    @contextlib.contextmanager
    def _named(self, what: str) -> Any:
        try:
            yield
        except Exception as error:  # orbax and tensorstore raise many kinds
            self._saving = None
            with contextlib.suppress(OSError):  # what there is of it takes the space that is missing
                for path in self._folder.glob(f"*{TEMPORARY}*"):
                    shutil.rmtree(path, ignore_errors=True)
            intact = runs.steps(self._folder.parent)
            last = f"; the one of step {intact[-1]} is intact" if intact else ""
            raise CheckpointError(f"checkpoint in {self._folder} cannot be {what}{last}: {_cause(error)}") from None

    def restore(self, template: TrainState, mesh: Mesh) -> TrainState | None:
        """The newest state that can be read, replicated over the mesh; None where there is no checkpoint.

        A damaged one is named on standard error, put aside under another name, and the one before it is taken. Raises
        CheckpointError if none can be read, or the newest that can does not fit the configuration.
        """
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            state, why = self._read(step, template)
            if not _all_agree(state is not None):
                damaged[step] = why or "another process cannot read it"
                continue
            self._put_aside(damaged, step)
            return parallel.replicate(state, mesh)
        if damaged:
            named = "; ".join(f"{step}: {why}" for step, why in damaged.items())
            raise CheckpointError(f"no checkpoint in {self._folder} can be resumed: {named}")
        return None

    def _read(self, step: int, template: TrainState) -> tuple[TrainState | None, str]:
        """A state of numpy arrays, or in one line why it cannot be read; raises CheckpointError if it does not fit."""
        place = self._folder / str(step)
        try:
            metadata = checkpoint.read_metadata(place)
            checksums.check(place, ("metadata", "training"))
        except CheckpointError as error:
            return None, str(error)
        _check_fit(place, metadata, self._config, template)
        try:
            arrays = flat(read_tree(place / "training"))
        except CheckpointError as error:
            return None, str(error)
        _check_arrays(place, arrays, template, metadata, self._config)
        with contextlib.suppress(CheckpointError, ZooError):  # to go on takes no tables
            checksums.check(place, ("codec",))
            tables = read_tree(place / "codec", {"entropy"})["entropy"]
            module = families.create_model(metadata["family"], **metadata["model"])
            self.tables = Tables(
                checkpoint.entropy_model(module, dict(flat(tables))), metadata.get("tables_step", step)
            )
        leaves, structure = jax.tree_util.tree_flatten_with_path(template)
        return jax.tree_util.tree_unflatten(structure, [arrays[path_name(path)] for path, _ in leaves]), ""

    def _put_aside(self, damaged: Mapping[int, str], used: int) -> None:
        """Renames what cannot be read, so that nothing is in the way of the run's next checkpoints, nor deleted."""
        for step, why in damaged.items():
            names = [f"{step}.{DAMAGED}{n}" for n in ("", *(f"-{n}" for n in range(2, 100)))]
            kept = next(name for name in names if not (self._folder / name).exists())
            if processes.is_first():
                os.replace(self._folder / str(step), self._folder / kept)
                print(f"warning: {why}; resuming from step {used}, keeping it as {kept}", file=sys.stderr, flush=True)
            self._values.pop(step, None)
        if damaged:
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("codec_zoo damaged checkpoints")
            self._manager.reload()

    @property
    def best(self) -> int | None:
        """The step of the best checkpoint by `keep_best`."""
        return runs.best_step(self._values, self._config.keep_best) if self._config.keep_best else None

    def close(self) -> None:
        """Waits until what was saved is on disk; raises CheckpointError if it cannot be written."""
        try:
            self.check(wait=True)
        finally:
            with contextlib.suppress(Exception):  # said already
                self._manager.close()


@dataclasses.dataclass
class _NewestAndBest:
    """A preservation policy for orbax; `values` are the steps' values of the metric, and change as the run goes on."""

    newest: int
    metric: str
    values: Mapping[int, float | None]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        steps = sorted(info.step for info in checkpoints)
        best = runs.best_step({step: self.values.get(step) for step in steps}, self.metric)
        return [info.step in steps[-self.newest :] or (info.step == best and bool(self.metric)) for info in checkpoints]


def check_metric(name: str, known: Sequence[str]) -> None:
    """Raises ZooError if checkpoints shall be chosen by a metric that there is none of."""
    if name and name not in known:
        raise ZooError(f"keep_best: there is no metric {name!r}; there are: {', '.join(known)}")


def _metric_of(place: Path, name: str) -> float | None:
    with contextlib.suppress(CheckpointError):
        value = checkpoint.read_metadata(place).get("metrics", {}).get(name)
        return None if value is None else float(value)
    return None


def _all_agree(here: bool) -> bool:
    if jax.process_count() == 1:
        return here
    return bool(np.all(multihost_utils.process_allgather(np.asarray(here))))


def _cause(error: BaseException) -> str:
    """An error of the operating system as such, where one stands at the bottom of a heap of others."""
    chain: list[BaseException] = [error]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    said = [one.strerror for one in chain if isinstance(one, OSError) and one.strerror]
    # tensorstore says it in words, after a path and before the places in its source
    said += [os.strerror(code) for code in FULL for one in chain if os.strerror(code) in str(one)]
    return said[0] if said else one_line(error)


def _check_fit(place: Path, metadata: Mapping[str, Any], config: Config, template: TrainState) -> None:
    """Raises CheckpointError where the model is another, or shapes have changed, of which orbax complains at length.

    Some hyper-parameters, such as the sample rate, change no shape: the weights would fit, and mean something else.
    """
    if metadata.get("state_fields") != STATE_FIELDS:
        raise CheckpointError(
            f"checkpoint {place} was written by another version of this program: it cannot be continued, only begun "
            f"from, in another --workdir with --init {place}"
        )
    sections = ["model", "discriminator"] if template.discriminator else ["model"]
    then, now = metadata["config"], json.loads(json.dumps(loading.to_dict(config)))
    changed = _changed(then, now, sections, but=("loss", "warmup_steps", *RECIPES_OWN))
    if (task := then.get("task", now["task"])) != now["task"]:
        changed.append(f"its task is {task}, not {now['task']}")
    had = then["adversarial_start"] >= 0 and then["loss"]["adversarial"] != 0
    if had != bool(template.discriminator):
        changed.append(f"it was begun {'with' if had else 'without'} discriminators")
    if (frozen := then.get("freeze", [])) != now["freeze"]:
        names = [" ".join(parts) or "nothing" for parts in (frozen, now["freeze"])]
        changed.append("it was begun with {} frozen, not {}".format(*names))
    if changed:
        raise CheckpointError(f"checkpoint {place} cannot be resumed: {', '.join(changed)}")


def _changed(then: Any, now: Any, sections: Sequence[str], *, but: Sequence[str] = ()) -> list[str]:
    return [
        f"its {section}.{key} is {then[section][key]}, not {value}"
        for section in sections
        for key, value in now[section].items()
        if key not in but and key in then.get(section, {}) and then[section][key] != value
    ]


def _check_arrays(
    place: Path, arrays: Mapping[str, np.ndarray], template: TrainState, metadata: Mapping[str, Any], config: Config
) -> None:
    """Raises CheckpointError where a state that can be read is not of the shape that this run has."""
    wanted = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(template)}
    apart = [name for name in wanted if name not in arrays] + [name for name in arrays if name not in wanted]
    apart += [n for n, x in wanted.items() if n in arrays and (x.shape, x.dtype) != (arrays[n].shape, arrays[n].dtype)]
    if apart:
        now = json.loads(json.dumps(loading.to_dict(config)))
        changed = _changed(metadata["config"], now, ("optim", "codebooks", "discriminator", "model"))
        raise CheckpointError(
            f"checkpoint {place} cannot be resumed: its training state has another shape ({apart[0]}"
            f"{f' and {len(apart) - 1} more' if len(apart) > 1 else ''}): "
            + (", ".join(changed) or f"it is of another version; --init {place} in another --workdir begins with it")
        )
