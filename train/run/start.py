"""What a run needs before its first step: settings that can be, weights to begin with, data that can be read."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from configs import loading
from configs.base import Augmentation, Config, Data, Published
from train import data
from train.data import memory, silence
from train.data.files import report_note, skipped_line
from train.data.inventory import Inventory
from train.data.latents import LatentCrops
from train.devices import parallel, processes
from train.run import folder, init_from, prior, ranges
from train.step import augment, corrupt
from train.step.losses import ADVERSARIAL
from train.step.phases import Phases
from train.step.prior_task import PriorTask
from train.step.state import TrainState
from train.step.task import CodecTask
from train.watch import latents, observe, profile
from train.watch.latents import HeldOutLatents, LatentObserver
from train.watch.log import MetricsLog
from train.watch.observe import HeldOut, Observer
from zoo.console.terminal import printable
from zoo.errors import CheckpointError, ZooError
from zoo.saved import checkpoint, runs
from zoo.wording import counted

_NOISE_SEED = 0x6E6F6973
"""added to the run's own for the draws of recorded noises"""


def check_counts(config: Config) -> None:
    """Raises ZooError for settings that no run can have."""
    ranges.check(config)
    if config.profile is not None:
        profile.check(config.profile, config.steps)
    if config.evaluation.clip_s == 0:
        raise ZooError("evaluation.clip_s must be positive, got 0")
    augment.check(config.augmentation)
    # an example that is its own neighbour is mixed with itself, which trains nothing and says nothing
    if config.loss.mix_consistency != 0 and config.batch_size < 2 * config.accumulate:
        raise ZooError(
            f"loss.mix_consistency mixes examples that are computed together, and batch_size {config.batch_size} in "
            f"{counted(config.accumulate, 'part')} (accumulate) leaves one by itself: take fewer parts"
        )
    if config.augmentation.mix and config.batch_size < 2:
        raise ZooError(f"augmentation.mix mixes examples of a batch, and batch_size is {config.batch_size}")
    if config.task == "denoise":
        corrupt.check(config.corruption)
        if config.corruption.coding and config.augmentation != Augmentation():
            raise ZooError(
                "augmentation changes what a crop is, but not what a codec has made of it: set corruption.coding or "
                "augmentation to 0"
            )
    elif config.data.noise is not None:
        raise ZooError(f"data.noise {config.data.noise} is for --task denoise")
    prior.check(config)


def initial_weights(
    workdir: Path, config: Config, overrides: Collection[str]
) -> tuple[Config, init_from.Source | None]:
    """What `config.init` gives a new run, and the configuration with its architecture; nothing where one continues."""
    if config.init is None:
        if config.init_optimisers or config.init_weights != "averaged":
            raise ZooError(f"init_{'optimisers' if config.init_optimisers else 'weights'} is for --init CKPT")
        return config, None
    if config.resume and (own := runs.steps(workdir)):
        processes.print_once(f"{workdir} continues with its own checkpoints: --init {config.init} is not read")
        fields = ("init", "init_weights", "init_optimisers")
        for step in reversed(own):
            with contextlib.suppress(CheckpointError):  # a damaged one: the one before it says the same
                begun = checkpoint.read_metadata(workdir / "checkpoints" / str(step))["config"]
                return replace(config, **{field: begun[field] for field in fields if field in begun}), None
        return config, None
    if config.overwrite and Path(config.init).resolve().is_relative_to(workdir.resolve()):
        raise ZooError(f"--init {config.init} is in {workdir}, which --overwrite deletes: choose another --workdir")
    source = init_from.read(config.init, weights=config.init_weights, optimisers=config.init_optimisers)
    config = init_from.architecture(config, source, overrides)
    for line in init_from.differences(config, source):
        processes.print_once(line)
    return config, source


def make_source(
    task: CodecTask, say: Callable[[str], None] = report_note, *, workdir: Path | None = None
) -> data.CropSource:
    """The training data of a task, in which there is something to learn from; raises ZooError otherwise.

    `say` gets a line for each file that is left out, and one where much of the rest is silent. `workdir` is where the
    run may have kept its codec.
    """
    config, module = task.config, task.module
    share = max(config.batch_size // jax.process_count(), 1)
    memory.check_batches(config.data, batch_size=share, sample_rate=module.sample_rate, channels=module.channels)
    second_bytes = module.sample_rate * module.channels * 4
    memory.check_total(config.evaluation.table_s, second_bytes, "evaluation.table_s", "training audio")
    if isinstance(task, PriorTask):
        return prior.make_source(task, workdir or Path(), say)
    source = _source(task, config.data, task.module.channels, say)
    silence.check(
        source,
        where=config.data.root or "the embedded generator",
        say=say,
        # the two channels of what a mono model gets as one
        unmixed=(lambda: _source(task, config.data, 2, lambda _: None)) if task.module.channels == 1 else None,
    )
    return _corrupted(task, source, say) if task.restores else source


def _corrupted(task: CodecTask, clean: data.CropSource, say: Callable[[str], None]) -> data.CropSource:
    """The source of a task that restores: with recorded noises, and crops that went through codecs of others."""
    config, corruption = task.config, task.config.corruption
    noise = None
    if config.data.noise is not None and corruption.noise and corruption.recordings:
        # every file is as much of a noise as any other, whatever its level
        settings = replace(config.data, root=config.data.noise, held_out=0.0, gain_db=0.0, balance=0.0)
        noise = _source(task, settings, task.module.channels, say, seed=config.seed + _NOISE_SEED)
        silence.check(noise, where=config.data.noise, say=say)
    return data.CorruptedCrops(clean, noise=noise, coding=corruption.coding, coding_kbps=corruption.coding_kbps)


def _source(
    task: CodecTask, settings: Data, channels: int, say: Callable[[str], None], seed: int | None = None
) -> data.CropSource:
    return data.make_source(
        settings,
        sample_rate=task.module.sample_rate,
        channels=channels,
        hop_length=task.module.hop_length,
        seed=task.config.seed if seed is None else seed,
        on_skip=lambda path, reason: say(skipped_line(path, reason)),
        on_note=say,
    )


def make_observer(
    config: Config, module: Any, log: MetricsLog, source: data.CropSource
) -> tuple[HeldOut | HeldOutLatents, Observer | LatentObserver]:
    """What a run is measured on, and what measures it."""
    if isinstance(source, LatentCrops):
        crops = HeldOutLatents(config, source)
        return crops, LatentObserver(module, crops)
    clips = HeldOut(config, source)
    return clips, Observer(config, module, log, clips)


def write_down(workdir: Path, config: Config, audio: Inventory) -> None:
    """Writes what the run is, and keeps the codec that it models, now that nothing speaks against it."""
    folder.write_down(workdir, config, audio)
    if config.task == "generate":
        prior.keep_codec(workdir, config)


def batches(source: data.CropSource, config: Config, start_example: int) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of a run's batches from an example on."""
    return data.batches(
        source,
        batch_size=config.batch_size,
        start_example=start_example,
        data=config.data,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def logged_names(task: CodecTask, mesh: Mesh, phases: Phases, state: TrainState, source: data.CropSource) -> list[str]:
    """Names all that a run logs from its first step to its last; nothing is computed."""
    batch = parallel.shard_batch(next(batches(source, task.config, 0)), mesh)
    ends = (phases[phases.at(step)] for step in (0, task.config.steps))
    held_out = latents.HELD_OUT if isinstance(task, PriorTask) else observe.HELD_OUT
    return sorted({*held_out, *(name for step in ends for name in jax.eval_shape(step, state, batch)[1])})


def announce(name: str, task: CodecTask, source: data.CropSource, workdir: Path) -> None:
    """Says on what, of what and to which end a run is trained."""
    config = task.config
    devices = jax.devices()
    module = task.module
    print(f"devices: {len(devices)} × {devices[0].device_kind} ({jax.default_backend()})")
    if jax.default_backend() == "cpu" and shutil.which("nvidia-smi"):
        hint = "pip install -e '.[cuda]'"
        print(f"warning: an NVIDIA GPU is here, but jax only sees the CPU: {hint}", file=sys.stderr)
    where = printable(config.data.root or "the embedded generator")
    if source.held_out:
        n_held_out = len(source.held_out)
        where += f", of which {counted(n_held_out, 'file')} {'is' if n_held_out == 1 else 'are'} held out"
    what = f"{name}'s recipe for {config.model.family}" if isinstance(config.model, Published) else name
    print(
        f"{what}: {module.sample_rate} Hz, {counted(module.channels, 'channel')}, {module.frame_rate_hz:g} frames/s; "
        f"crops of {source.segment_samples / source.sample_rate:.2f} s from {where}; "
        f"{counted(config.steps, 'step')} of {config.batch_size}; run directory {workdir}"
    )
    never = () if task.adversarial else ADVERSARIAL
    losses = [key for key, value in asdict(config.loss).items() if value and key not in never]
    print("losses: " + (", ".join(losses) or "none has a weight, so nothing is learnt"), flush=True)


def own_model(name: str, config: Config) -> str:
    """What the model of a resumed run has that the configuration of that name has not, to be said; maybe nothing."""
    theirs = loading.get(name).model if name in loading.names() else None
    if theirs is None or type(theirs) is not type(config.model):
        return ""
    wanted = theirs.kwargs()
    apart = {key: value for key, value in config.model.kwargs().items() if value != wanted[key]}
    own = ", ".join(f"{key} {value} ({name}: {wanted[key]})" for key, value in apart.items())
    return f", with the run's own model: {own}" if own else ""
