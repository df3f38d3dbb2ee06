"""The one training loop: workdir, data, steps, checkpoints, and what a finished run leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from configs import loading
from configs.base import Config, Published
from train import data, initial, parallel
from train.checkpoints import Checkpoints
from train.finish import finish
from train.progress import Progress
from train.report import MetricsLog
from train.state import TrainState, create_state
from train.step import make_step
from train.tables import TableFitter
from train.task import CodecTask
from zoo import checkpoint, families
from zoo.cli import use_compilation_cache
from zoo.errors import ZooError


def run(name: str, config: Config, *, model_overrides: Collection[str] = ()) -> None:
    """Trains a configuration to its last step: from scratch, `config.init`, or its workdir's newest checkpoint.

    `model_overrides` are hyper-parameters that were asked for beside the configuration. Raises ZooError for whatever is
    wrong with the input: before anything is compiled or overwritten, where that can be known.
    """
    workdir = Path(config.workdir or f"runs/{name}")
    _check_workdir(workdir, config)
    _check_counts(config)
    use_compilation_cache()
    mesh = parallel.make_mesh()
    parallel.check_batch_size(config.batch_size, mesh)
    config, begun_with = _initial(workdir, config, model_overrides)
    task = CodecTask(config)
    progress = Progress(config.steps)
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
    _announce(name, config, task, source, workdir)
    state = create_state(task, config.seed)
    if begun_with is not None:
        state, said = initial.begin(state, begun_with)
        print(said, flush=True)
        del begun_with
    state = parallel.replicate(state, mesh)
    _prepare_workdir(workdir, config)
    checkpoints = Checkpoints(workdir, config)
    log = MetricsLog(workdir, tensorboard=config.tensorboard)
    try:
        if config.resume:
            if (restored := checkpoints.restore(state, mesh)) is not None:
                state = restored
                print(f"resuming after step {int(state.step)}")
            # a run that was killed before its first checkpoint has rows to drop, too
            log.truncate_after(int(state.step))
        # only now: overrides that do not fit the checkpoint must not spoil the run's own configuration
        _write_config(workdir, config)
        codec = families.create(config.model.family, **config.model.kwargs())
        fitter = TableFitter(codec, source, seconds=config.evaluation.table_s)
        _train(state, mesh, task, source, checkpoints, fitter, log, progress)
    finally:
        log.close()
        checkpoints.close()
    if jax.process_index() == 0:
        finish(name, workdir, config)


def _train(
    state: TrainState,
    mesh: Mesh,
    task: CodecTask,
    source: data.CropSource,
    checkpoints: Checkpoints,
    fitter: TableFitter,
    log: MetricsLog,
    progress: Progress,
) -> None:
    config = task.config
    first = int(state.step)
    if first >= config.steps:
        print(f"the run already has its {config.steps} steps")
        return
    batches = _batches(source, config, int(state.next_example))
    audio_s = config.batch_size * source.segment_samples / source.sample_rate
    phases = {False: parallel.map_step(make_step(task, adversarial=False), mesh)}
    if task.adversarial:
        phases[True] = parallel.map_step(make_step(task, adversarial=True), mesh)
    phase: bool | None = None
    metrics: dict[str, jax.Array] = {}
    with progress:
        for step in range(first, config.steps):
            started = time.monotonic()
            batch, waited = parallel.next_batch(batches, mesh, metrics)
            adversarial = task.adversarial and step >= config.adversarial_start
            if adversarial != phase:
                progress.mark_compile()
                phase = adversarial
            previous, (state, metrics) = metrics, phases[adversarial](state, batch)
            # one step behind the device: it always has work, and the host never runs far ahead
            _check_finite(previous, config, step)
            shown: dict[str, float] = {}
            done = step + 1
            if done % config.log_every == 0 or done == config.steps or step == first:
                values = {key: float(value) for key, value in metrics.items()}
                speed = {"wait_share": progress.wait_share, "audio_per_s": progress.audio_per_second}
                log.log(done, values | {key: round(value, 4) for key, value in speed.items() if np.isfinite(value)})
                shown = {key: value for key, value in values.items() if not key.startswith("skipped")}
                shown["skipped_steps"] = values["skipped"]
            else:
                jax.block_until_ready(previous)
            progress.update(done, shown, audio_s=audio_s, wait_s=waited, step_s=time.monotonic() - started)
            if done % config.checkpoint_every == 0 or done == config.steps:
                _check_finite(metrics, config, done)
                checkpoints.save(state, fitter.fit(state.ema))


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


def _check_workdir(workdir: Path, config: Config) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise ZooError(f"workdir {workdir} is not a folder")
    if not workdir.is_dir() or not any(workdir.iterdir()):
        return
    if not config.resume and not config.overwrite:
        raise ZooError(
            f"{workdir} exists already: --resume continues it, --overwrite deletes it, --workdir takes another"
        )
    if not (workdir / "config.json").is_file():
        flag = "--resume" if config.resume else "--overwrite"
        raise ZooError(f"{workdir} is no run (it has no config.json), so {flag} leaves it alone")


def _initial(workdir: Path, config: Config, overrides: Collection[str]) -> tuple[Config, initial.Source | None]:
    """What `config.init` gives a new run, and the configuration with its architecture; nothing where one continues."""
    if config.init is None:
        if config.init_optimisers or config.init_weights != "averaged":
            raise ZooError(f"init_{'optimisers' if config.init_optimisers else 'weights'} is for --init CKPT")
        return config, None
    if config.resume and (own := checkpoint.steps(workdir)):
        print(f"{workdir} continues with its own checkpoints: --init {config.init} is not read")
        begun = checkpoint.read_metadata(workdir / "checkpoints" / str(own[-1]))["config"]
        fields = ("init", "init_weights", "init_optimisers")
        return replace(config, **{field: begun[field] for field in fields if field in begun}), None
    if config.overwrite and Path(config.init).resolve().is_relative_to(workdir.resolve()):
        raise ZooError(f"--init {config.init} is in {workdir}, which --overwrite deletes: choose another --workdir")
    source = initial.read(config.init, weights=config.init_weights, optimisers=config.init_optimisers)
    return initial.architecture(config, source, overrides), source


def _check_counts(config: Config) -> None:
    for name in ("steps", "checkpoint_every", "keep_checkpoints", "log_every"):
        if getattr(config, name) < 1:
            raise ZooError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.evaluation.clips < 1 or not config.evaluation.clip_s > 0:
        raise ZooError("evaluation.clips and evaluation.clip_s must be positive")


def _prepare_workdir(workdir: Path, config: Config) -> None:
    if config.overwrite and not config.resume and workdir.is_dir():
        shutil.rmtree(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if not (workdir / "config.json").exists():
        _write_config(workdir, config)


def _write_config(workdir: Path, config: Config) -> None:
    scratch = workdir / "config.json.tmp"
    scratch.write_text(json.dumps(loading.to_dict(config), indent=2) + "\n")
    os.replace(scratch, workdir / "config.json")


def _announce(name: str, config: Config, task: CodecTask, source: Any, workdir: Path) -> None:
    devices = jax.devices()
    module = task.module
    print(f"devices: {len(devices)} × {devices[0].device_kind} ({jax.default_backend()})")
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        hint = "pip install -e '.[cuda]'"
        print(f"warning: an NVIDIA GPU is here, but jax only sees the CPU: {hint}", file=sys.stderr)
    where = config.data.root or "the embedded generator"
    what = f"{name}'s recipe for {config.model.family}" if isinstance(config.model, Published) else name
    print(
        f"{what}: {module.sample_rate} Hz, {module.channels} channel(s), {module.frame_rate_hz:g} frames/s; "
        f"crops of {source.segment_samples / source.sample_rate:.2f} s from {where}; "
        f"{config.steps} steps of {config.batch_size}; run directory {workdir}"
    )
    losses = {key: value for key, value in asdict(config.loss).items() if value}
    print("losses: " + ", ".join(losses), flush=True)
