"""What a run of a model of latents takes besides: the codec that it models, and that codec's latents of its data."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.base import Augmentation, Config
from train import data
from train.data.latents import LatentCrops
from train.step.prior_task import PriorTask
from zoo import families, loading
from zoo.errors import ZooError
from zoo.generating import latents
from zoo.generating.ready import CODEC
from zoo.published import load as published
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint, checksums, whole

MAX_LABELS = 1000


def check(config: Config) -> None:
    """Raises ZooError for settings that no run of a model of latents can have."""
    if config.task != "generate":
        if config.codec is not None:
            raise ZooError(f"codec {config.codec} is for models of latents, such as --model latent_flow")
        return
    if config.model.family not in families.PRIORS:
        known = ", ".join(families.PRIORS)
        raise ZooError(f"task generate: {config.model.family!r} is no model of latents; there are: {known}")
    if config.codec is None:
        raise ZooError(f"model {config.model.family!r} is of a codec's latents: name one with --codec runs/vae")
    if config.init is not None:
        raise ZooError("init: a model of latents begins with weights of its own")
    if config.augmentation != Augmentation() or config.data.gain_db:
        raise ZooError("latents are computed once: leave augmentation as it is, and data.gain_db at 0")


def of_codec(workdir: Path, config: Config, say: Callable[[str], None]) -> Config:
    """The configuration with all that its codec and its data say of the model; of other tasks, as it is.

    A run that goes on keeps what it has: raises ZooError for a codec that is another one.
    """
    if config.task != "generate":
        return config
    codec = codec_of(str(workdir), str(config.codec))
    model: Any = config.model
    if codec.denoises:
        raise ZooError(f"codec {config.codec}: is a denoiser, not a codec whose latents can be modelled")
    digest = codec.digest.hex()
    if Path(str(config.codec)).exists():
        config = replace(config, codec=str(Path(str(config.codec)).absolute()))
    if model.codec_hash:
        if model.codec_hash != digest:
            raise ZooError(
                f"{workdir} models the latents of another codec: its weights are {model.codec_hash}, those of "
                f"{config.codec} {digest}{_kept(workdir, model.codec_hash)}"
            )
        return config
    dim = latents.latent_dim(codec)
    module = codec.module
    model = replace(
        model,
        codec_hash=digest,
        latent_dim=dim,
        components=min(model.components or dim, dim),
        window=max(8, round(config.data.segment_s * module.frame_rate_hz)),
        labels=_labels(config, codec, say),
        sample_rate=module.sample_rate,
        hop_length=module.hop_length,
        channels=module.channels,
    )
    return replace(config, model=model)


def _kept(workdir: Path, digest: str) -> str:
    """What a run whose codec has been trained on, or replaced, can go on with; empty where that is gone too."""
    with contextlib.suppress(ZooError):
        if loading.load(workdir / CODEC).digest.hex() == digest:
            return f"; --codec {workdir / CODEC} goes on with the one that the run has kept"
    return ""


def make_source(task: PriorTask, workdir: Path, say: Callable[[str], None]) -> LatentCrops:
    """The crops of latents that a task is trained on, which it is also told the statistics of."""
    config, module = task.config, task.module
    codec = codec_of(str(workdir), str(config.codec))
    source = LatentCrops(
        _library(config, codec, say),
        codec,
        window=module.window,
        labels=module.labels,
        balance=config.data.balance,
        say=say,
    )
    model: Any = config.model
    task.statistics = source.statistics(module.components, model.whitening)
    return source


def codec_of(workdir: str, name: str) -> ReadyCodec:
    """The codec of that name, or where it is no longer there, the one that a run has kept."""
    try:
        return loading.load(name)
    except ZooError:
        if (Path(workdir) / CODEC).is_dir():
            return loading.load(Path(workdir) / CODEC)
        raise


def keep_codec(workdir: Path, config: Config) -> None:
    """Copies the codec into the run, so that generating takes nothing else; does nothing where it is there."""
    place = workdir / CODEC
    codec = codec_of(str(workdir), str(config.codec))
    with contextlib.suppress(ZooError):
        if place.is_dir() and loading.load(place).digest == codec.digest:
            return
    source = Path(str(codec.metadata.get("path", "")))
    with whole.folder(place) as part:
        if (source / "metadata").is_dir() and (source / "codec").is_dir():
            part.mkdir()
            for name in ("codec", "metadata"):
                shutil.copytree(source / name, part / name)
            if (source / checksums.FILE).is_file():
                shutil.copy(source / checksums.FILE, part)
            checkpoint.load(part)  # a copy that cannot be read is noticed now
        else:
            published.export(codec, part)


def _library(config: Config, codec: ReadyCodec, say: Callable[[str], None]) -> data.CropSource:
    return data.make_source(
        config.data,
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        hop_length=codec.hop_length,
        seed=config.seed,
        on_skip=lambda path, reason: say(f"skipped {path}: {reason}"),
        on_note=say,
    )


def _labels(config: Config, codec: ReadyCodec, say: Callable[[str], None]) -> tuple[str, ...]:
    """The folders of the data, or none where there are not two."""
    groups = {recording.group for recording in _library(config, codec, say).recordings() if not recording.held_out}
    names = sorted(groups - {""})
    if len(names) > MAX_LABELS:
        say(f"{config.data.root} has {len(names)} folders, too many to be labels: none are learnt")
        return ()
    return tuple(names) if len(groups) > 1 else ()
