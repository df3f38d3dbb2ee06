"""The one training loop: workdir, data, steps, checkpoints, and what a finished run leaves behind."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np
from jax.sharding import Mesh

from configs.base import Config, Distributed
from train import data
from train.data import inventory
from train.devices import parallel, processes
from train.run import folder, init_from, prior, start
from train.run.checkpoints import Checkpoints, check_metric
from train.run.finish import finish
from train.run.lock import RunLock
from train.run.signals import Stopping
from train.run.tables import TableFitter, TableKeeper
from train.step import codebooks
from train.step.losses import Reconstruction
from train.step.phases import Phases
from train.step.state import TrainState, create_state
from train.step.task import CodecTask
from train.step.tasks import make_task
from train.watch import summary
from train.watch.latents import LatentObserver
from train.watch.log import MetricsLog
from train.watch.observe import Observer
from train.watch.profile import Profiler
from train.watch.progress import Progress
from zoo import families
from zoo.console.command import use_compilation_cache
from zoo.errors import ZooError
from zoo.saved import runs


def run(
    name: str,
    config: Config,
    *,
    model_overrides: Collection[str] = (),
    extra_losses: Mapping[str, Reconstruction] | None = None,
) -> None:
    """Trains a configuration to its last step: from scratch, `config.init`, or its workdir's newest checkpoint.

    `model_overrides` are hyper-parameters that were asked for beside the configuration, `extra_losses` losses of the
    caller's own, as `CodecTask` takes them. Raises ZooError for whatever is wrong with the input: before anything is
    compiled or overwritten, where that can be known. Raises StoppedError, with all that was done saved, after SIGTERM
    or Ctrl-C.
    """
    workdir = Path(config.workdir or f"runs/{name}")
    lock = RunLock(workdir)
    try:
        _run(name, config, workdir=workdir, lock=lock, model_overrides=model_overrides, extra_losses=extra_losses)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ZooError(
            f"out of memory ({str(error).splitlines()[0]}): lower batch_size, data.segment_s or the model's size, or "
            f"compute a batch in parts with --accumulate; checkpoints in {workdir}, if any, are intact"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ZooError(f"{workdir}: {error.strerror}; its checkpoints are intact: make room, and --resume") from None
    finally:
        lock.release()


def _run(
    name: str,
    config: Config,
    workdir: Path,
    lock: RunLock,
    model_overrides: Collection[str],
    extra_losses: Mapping[str, Reconstruction] | None,
) -> None:
    processes.initialise(config.distributed)
    processes.check_agreement(config)
    # where a process stands among others is no part of what is trained
    config = replace(config, distributed=Distributed())
    processes.on_first(lambda: folder.reserve(workdir, config, lock))
    start.check_counts(config)
    use_compilation_cache()
    mesh = parallel.make_mesh()
    parallel.check_batch_size(config.batch_size, mesh, config.accumulate)
    asked = config
    config, begun_with = processes.on_all(lambda: start.initial_weights(workdir, asked, model_overrides))
    progress = Progress(config.steps, stream=processes.stream())
    chosen = config
    config = processes.on_all(lambda: prior.of_codec(workdir, chosen, progress.message))
    task = make_task(config, extra_losses)
    source = processes.on_all(lambda: start.make_source(task, progress.message, workdir=workdir))
    audio_now = inventory.of(source)
    if others := processes.unlike_first(audio_now.digest):
        raise ZooError(f"{config.data.root} of process {others} holds other audio than that of process 0")
    if config.resume and runs.steps(workdir):
        accept = config.data.accept_changes
        inventory.check(workdir, audio_now, root=config.data.root, accept_changes=accept)
    if processes.is_first():
        start.announce(name, task, source, workdir)
    state = create_state(task, config.seed)
    summary.show(task, state.params, state.discriminator)
    if begun_with is not None:
        state, said = init_from.begin(state, begun_with)
        processes.print_once(said)
        del begun_with
    state = parallel.replicate(processes.same_everywhere(state), mesh)
    phases = Phases(task, mesh)
    if config.keep_best:
        check_metric(config.keep_best, start.logged_names(task, mesh, phases, state, source))
    if config.codebooks.kmeans and task.has_trainable_codebooks(state.params) and config.init is None:
        fresh = not (config.resume and runs.steps(workdir))
        state = codebooks.initialise(state, task, mesh, start.batches(source, config, 0)) if fresh else state
    processes.on_first(lambda: folder.prepare(workdir, config, lock))
    with Stopping() as stopping, contextlib.ExitStack() as open_files:
        checkpoints = Checkpoints(workdir, config)
        open_files.callback(checkpoints.close)
        log = MetricsLog(workdir, tensorboard=config.tensorboard, silent=not processes.is_first())
        open_files.callback(log.close)
        if config.resume:
            if (restored := checkpoints.restore(state, mesh)) is not None:
                state = restored
                processes.print_once(f"resuming after step {int(state.step)}{start.own_model(name, config)}")
            else:
                processes.print_once(f"there is no checkpoint in {workdir}: a new run begins")
            # a run that was killed before its first checkpoint has rows to drop, too
            log.truncate_after(int(state.step))
        # only now: overrides that do not fit the checkpoint must not spoil the run's own configuration
        processes.on_first(lambda: start.write_down(workdir, config, audio_now))
        codec: Any = families.create_model(config.model.family, **config.model.kwargs())
        fitter = TableFitter(codec, source, seconds=config.evaluation.table_s)
        tables = TableKeeper(fitter, checkpoints.tables)
        held_out, observer = start.make_observer(config, codec, log, source)
        processes.on_all(lambda: held_out.clips)  # what cannot be read fails now, not at the first checkpoint
        with processes.together():
            _Run(
                task,
                mesh,
                phases=phases,
                source=source,
                checkpoints=checkpoints,
                tables=tables,
                observer=observer,
                log=log,
                progress=progress,
                stopping=stopping,
            ).train(state)
    if stopping.signal is not None:
        raise stopping.stopped(config.steps, config.steps)
    processes.leave()
    if processes.is_first():
        finish(name, workdir, config, held_out)
        if (best := checkpoints.best) is not None:
            print(f"the best checkpoint by {config.keep_best}: {workdir}/checkpoints/best (step {best})")


@dataclass(frozen=True)
class _Run:
    """All that a run works with."""

    task: CodecTask
    mesh: Mesh
    phases: Phases
    source: data.CropSource
    checkpoints: Checkpoints
    tables: TableKeeper
    observer: Observer | LatentObserver
    log: MetricsLog
    progress: Progress
    stopping: Stopping

    def train(self, state: TrainState) -> None:
        """Trains from the steps that `state` has to the last one."""
        config, progress, phases = self.task.config, self.progress, self.phases
        first = int(state.step)
        if first >= config.steps:
            processes.print_once(f"the run already has its {config.steps} steps")
            if (fitted := self.checkpoints.tables) is not None and fitted.step != first:
                what = "nothing" if fitted.step is None else f"step {fitted.step}"
                processes.print_once(
                    f"it was stopped with an entropy coder fitted to {what}: one step more fits it anew"
                )
            return
        profiler = Profiler(config.profile, self.log.path.parent, config.steps - first)
        batches = start.batches(self.source, config, int(state.next_example))
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
                done = step + 1
                last = done == config.steps
                saves = done % config.checkpoint_every == 0 or last
                # whoever is about to end this process gives it little time; of several all must do the same
                hurried = self.stopping.signal is not None and jax.process_count() == 1 and not last
                row: dict[str, float] = {}
                if saves or done % config.log_every == 0 or step == first:
                    observes = saves and not hurried
                    row = self._logged(done, metrics, self.observer.at_checkpoint(done, state.ema) if observes else {})
                else:
                    jax.block_until_ready(previous)
                step_s = time.monotonic() - started
                progress.update(done, _shown(row, metrics), audio_s=audio_s, wait_s=waited, step_s=step_s)
                if saves:
                    _check_finite(metrics, config, done)
                    self.checkpoints.save(state, self.tables.at(state.ema, done, last=last, hurried=hurried), row)

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


def _check_finite(metrics: dict[str, jax.Array], config: Config, step: int) -> None:
    limit = config.optim.max_skipped_steps
    if metrics and int(metrics["skipped_in_a_row"]) >= limit:
        raise ZooError(
            f"the last {limit} steps before step {step} had losses or gradients that are not finite; the checkpoints "
            "before them are intact: lower optim.learning_rate or optim.clip_norm and --resume"
        )
