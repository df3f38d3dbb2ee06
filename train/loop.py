"""The one training loop: workdir, data, steps, checkpoints, and what a finished run leaves behind."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.sharding import Mesh

from configs.base import Config, Distributed, Published
from train import augment, codebooks, data, distributed, folder, initial, parallel, profile, summary
from train.checkpoints import Checkpoints, check_metric
from train.data import inventory
from train.finish import finish
from train.lock import RunLock
from train.metrics_log import MetricsLog
from train.observe import HELD_OUT, HeldOut, Observer
from train.phases import Phases
from train.profile import Profiler
from train.progress import Progress
from train.state import TrainState, create_state
from train.stopping import Stopping
from train.tables import TableFitter, TableKeeper
from train.task import CodecTask
from zoo import checkpoint, families
from zoo.cli import use_compilation_cache
from zoo.errors import CheckpointError, ZooError


def run(name: str, config: Config, *, model_overrides: Collection[str] = ()) -> None:
    """Trains a configuration to its last step: from scratch, `config.init`, or its workdir's newest checkpoint.

    `model_overrides` are hyper-parameters that were asked for beside the configuration. Raises ZooError for whatever is
    wrong with the input: before anything is compiled or overwritten, where that can be known. Raises StoppedError, with
    all that was done saved, after SIGTERM or Ctrl-C.
    """
    workdir = Path(config.workdir or f"runs/{name}")
    lock = RunLock(workdir)
    try:
        _run(name, config, workdir, lock, model_overrides)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ZooError(f"{workdir}: {error.strerror}; its checkpoints are intact: make room, and --resume") from None
    finally:
        lock.release()


def _run(name: str, config: Config, workdir: Path, lock: RunLock, model_overrides: Collection[str]) -> None:
    distributed.initialise(config.distributed)
    distributed.check_agreement(config)
    # where a process stands among others is no part of what is trained
    config = replace(config, distributed=Distributed())
    distributed.first_does(lambda: folder.reserve(workdir, config, lock))
    _check_counts(config)
    use_compilation_cache()
    mesh = parallel.make_mesh()
    parallel.check_batch_size(config.batch_size, mesh, config.accumulate)
    config, begun_with = _initial(workdir, config, model_overrides)
    task = CodecTask(config)
    progress = Progress(config.steps, stream=distributed.stream())
    source = data.make_source(
        config.data,
        sample_rate=task.module.sample_rate,
        channels=task.module.channels,
        hop_length=task.module.hop_length,
        seed=config.seed,
        on_skip=lambda path, reason: progress.message(
            f"skipped {reason}" if str(path) in reason else f"skipped {path}: {reason}"
        ),
    )
    source[0]  # whatever makes every crop impossible shows now
    audio_now = inventory.of(source)
    if config.resume and checkpoint.steps(workdir):
        inventory.check(workdir, audio_now, root=config.data.root, accept_changes=config.data.accept_changes)
    if distributed.is_first():
        _announce(name, config, task, source, workdir)
    state = create_state(task, config.seed)
    summary.show(task, state.params, state.discriminator)
    if begun_with is not None:
        state, said = initial.begin(state, begun_with)
        distributed.say(said)
        del begun_with
    state = parallel.replicate(distributed.same_everywhere(state), mesh)
    if config.codebooks.kmeans and task.codebooks_move(state.params) and config.init is None:
        fresh = not (config.resume and checkpoint.steps(workdir))
        state = codebooks.initialise(state, task, mesh, _batches(source, config, 0)) if fresh else state
    distributed.first_does(lambda: folder.prepare(workdir, config, lock))
    with Stopping() as stopping, contextlib.ExitStack() as open_files:
        checkpoints = Checkpoints(workdir, config)
        open_files.callback(checkpoints.close)
        log = MetricsLog(workdir, tensorboard=config.tensorboard, silent=not distributed.is_first())
        open_files.callback(log.close)
        if config.resume:
            if (restored := checkpoints.restore(state, mesh)) is not None:
                state = restored
                distributed.say(f"resuming after step {int(state.step)}")
            # a run that was killed before its first checkpoint has rows to drop, too
            log.truncate_after(int(state.step))
        # only now: overrides that do not fit the checkpoint must not spoil the run's own configuration
        if distributed.is_first():
            folder.write_config(workdir, config)
            inventory.write(workdir, audio_now)
        codec = families.create(config.model.family, **config.model.kwargs())
        fitter = TableFitter(codec, source, seconds=config.evaluation.table_s)
        tables = TableKeeper(fitter, checkpoints.tables)
        held_out = HeldOut(config, source)
        observer = Observer(config, codec, log, held_out)
        _Run(task, mesh, source, checkpoints, tables, observer, log, progress, stopping).train(state)
    if stopping.signal is not None:
        raise stopping.stopped(config.steps, config.steps)
    distributed.leave()
    if distributed.is_first():
        finish(name, workdir, config, held_out)
        if (best := checkpoints.best) is not None:
            print(f"the best checkpoint by {config.keep_best}: {workdir}/checkpoints/best (step {best})")


@dataclass(frozen=True)
class _Run:
    """All that a run works with."""

    task: CodecTask
    mesh: Mesh
    source: data.CropSource
    checkpoints: Checkpoints
    tables: TableKeeper
    observer: Observer
    log: MetricsLog
    progress: Progress
    stopping: Stopping

    def train(self, state: TrainState) -> None:
        """From the steps that `state` has to the last one."""
        config, progress, phases = self.task.config, self.progress, Phases(self.task, self.mesh)
        first = int(state.step)
        if first >= config.steps:
            distributed.say(f"the run already has its {config.steps} steps")
            return
        profiler = Profiler(config.profile, self.log.path.parent, config.steps - first)
        batches = _batches(self.source, config, int(state.next_example))
        audio_s = config.batch_size * self.source.segment_samples / self.source.sample_rate
        phase: str | None = None
        metrics: dict[str, jax.Array] = {}
        with progress, profiler:
            for step in range(first, config.steps):
                if self.stopping.at(step):
                    self._stop(state, metrics, new=step > first)
                self.checkpoints.check()
                started = time.monotonic()
                batch, waited = parallel.next_batch(batches, self.mesh, metrics)
                if (now := phases.at(step)) != phase:
                    progress.mark_compile()
                    phase = now
                profiler.before(step - first + 1, metrics)
                previous, (state, metrics) = metrics, phases[phase](state, batch)
                if (said := profiler.after(step - first + 1, metrics)) is not None:
                    progress.message(said)
                # one step behind the device: it always has work, and the host never runs far ahead
                _check_finite(previous, config, step)
                if step == first and config.keep_best:
                    later = jax.eval_shape(phases[phases.at(config.steps)], state, batch)[1]
                    check_metric(config.keep_best, sorted({*metrics, *later, *HELD_OUT}))
                done = step + 1
                saves = done % config.checkpoint_every == 0 or done == config.steps
                row: dict[str, float] = {}
                if saves or done % config.log_every == 0 or step == first:
                    row = self._logged(done, metrics, self.observer.at_checkpoint(done, state.ema) if saves else {})
                else:
                    jax.block_until_ready(previous)
                step_s = time.monotonic() - started
                progress.update(done, _shown(row, metrics), audio_s=audio_s, wait_s=waited, step_s=step_s)
                if saves:
                    _check_finite(metrics, config, done)
                    self.checkpoints.save(state, self.tables.at(state.ema, done, last=done == config.steps), row)

    def _logged(self, step: int, metrics: dict[str, jax.Array], observed: dict[str, float]) -> dict[str, float]:
        """The row of a step, written to the log."""
        speed = {"wait_share": self.progress.wait_share, "audio_per_s": self.progress.audio_per_second}
        row = {name: float(value) for name, value in metrics.items()}
        row |= {name: round(value, 4) for name, value in speed.items() if np.isfinite(value)}
        row |= {name: float(rate(step - 1)) for name, rate in self.task.learning_rates.items()}
        self.log.log(step, row | observed)
        return row | observed

    def _stop(self, state: TrainState, metrics: dict[str, jax.Array], *, new: bool) -> NoReturn:
        """Saves what this start of the run has done, unless that is saved, and raises StoppedError."""
        config, step = self.task.config, int(state.step)
        if new and step % config.checkpoint_every:
            _check_finite(metrics, config, step)
            values = {name: float(value) for name, value in metrics.items()}
            self.checkpoints.save(state, self.tables.at(state.ema, step, hurried=True), values)
        raise self.stopping.stopped(step, config.steps)


def _shown(row: dict[str, float], metrics: dict[str, jax.Array]) -> dict[str, float]:
    """What the progress line shows of a step that was logged: losses and norms, and how many steps were skipped."""
    if not row:
        return {}
    shown = {name: row[name] for name in metrics if "skipped" not in name and "/" not in name}
    return shown | {"skipped_steps": row["skipped"]}


def _batches(source: data.CropSource, config: Config, start_example: int) -> Iterator[dict[str, np.ndarray]]:
    return data.batches(
        source,
        batch_size=config.batch_size,
        start_example=start_example,
        data=config.data,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def _check_finite(metrics: dict[str, jax.Array], config: Config, step: int) -> None:
    limit = config.optim.max_skipped_steps
    if metrics and int(metrics["skipped_in_a_row"]) >= limit:
        raise ZooError(
            f"the last {limit} steps before step {step} had losses or gradients that are not finite; the checkpoints "
            "before them are intact: lower optim.learning_rate or optim.clip_norm and --resume"
        )


def _initial(workdir: Path, config: Config, overrides: Collection[str]) -> tuple[Config, initial.Source | None]:
    """What `config.init` gives a new run, and the configuration with its architecture; nothing where one continues."""
    if config.init is None:
        if config.init_optimisers or config.init_weights != "averaged":
            raise ZooError(f"init_{'optimisers' if config.init_optimisers else 'weights'} is for --init CKPT")
        return config, None
    if config.resume and (own := checkpoint.steps(workdir)):
        distributed.say(f"{workdir} continues with its own checkpoints: --init {config.init} is not read")
        fields = ("init", "init_weights", "init_optimisers")
        for step in reversed(own):
            with contextlib.suppress(CheckpointError):  # a damaged one: the one before it says the same
                begun = checkpoint.read_metadata(workdir / "checkpoints" / str(step))["config"]
                return replace(config, **{field: begun[field] for field in fields if field in begun}), None
        return config, None
    if config.overwrite and Path(config.init).resolve().is_relative_to(workdir.resolve()):
        raise ZooError(f"--init {config.init} is in {workdir}, which --overwrite deletes: choose another --workdir")
    source = initial.read(config.init, weights=config.init_weights, optimisers=config.init_optimisers)
    return initial.architecture(config, source, overrides), source


def _check_counts(config: Config) -> None:
    for name in ("steps", "checkpoint_every", "keep_checkpoints", "log_every"):
        if getattr(config, name) < 1:
            raise ZooError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.profile is not None:
        profile.check(config.profile, config.steps)
    if config.evaluation.clips < 1 or not config.evaluation.clip_s > 0:
        raise ZooError("evaluation.clips and evaluation.clip_s must be positive")
    augment.check(config.augmentation)


def _announce(name: str, config: Config, task: CodecTask, source: Any, workdir: Path) -> None:
    devices = jax.devices()
    module = task.module
    print(f"devices: {len(devices)} × {devices[0].device_kind} ({jax.default_backend()})")
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        hint = "pip install -e '.[cuda]'"
        print(f"warning: an NVIDIA GPU is here, but jax only sees the CPU: {hint}", file=sys.stderr)
    where = config.data.root or "the embedded generator"
    if source.held_out:
        where += f", of which {len(source.held_out)} files are held out"
    what = f"{name}'s recipe for {config.model.family}" if isinstance(config.model, Published) else name
    print(
        f"{what}: {module.sample_rate} Hz, {module.channels} channel(s), {module.frame_rate_hz:g} frames/s; "
        f"crops of {source.segment_samples / source.sample_rate:.2f} s from {where}; "
        f"{config.steps} steps of {config.batch_size}; run directory {workdir}"
    )
    losses = {key: value for key, value in asdict(config.loss).items() if value}
    print("losses: " + ", ".join(losses), flush=True)
