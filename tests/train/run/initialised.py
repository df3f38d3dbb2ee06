"""Small runs and a small published model, for the tests of runs that begin with the weights of others."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from configs.base import Config, LossWeights, Optim
from configs.gan_vocoder import GanVocoder
from tests.complaint import complaint as of_command
from tests.train import tiny
from train import __main__ as command
from train.run import init_from, loop
from train.step.state import TrainState, create_state
from train.step.task import CodecTask
from zoo.errors import ZooError

STEPS = 4
TINY = dataclasses.replace(
    tiny.RUN,
    steps=STEPS,
    checkpoint_every=2,
    adversarial_start=1,
    loss=LossWeights(waveform_l1=1.0, rate=0.1, adversarial=0.1),
    optim=Optim(weight_decay=0.1),
)
DAC = {
    "sample_rate": 8000,
    "encoder_width": 2,
    "encoder_rates": [8],
    "decoder_width": 4,
    "decoder_rates": [8],
    "latent_dim": 6,
    "n_codebooks": 2,
    "codebook_size": 8,
    "code_dim": 3,
    "quantiser_dropout": 0.0,
}
RECIPE = dataclasses.replace(
    TINY, model=GanVocoder(), adversarial_start=-1, loss=LossWeights(waveform_l1=1.0, codebook=1.0, commitment=0.25)
)


def at(workdir: Path, config: Config = TINY, **changes: Any) -> Config:
    return dataclasses.replace(config, workdir=str(workdir), **changes)


def saved(workdir: Path, step: int, item: str = "training") -> dict[str, np.ndarray]:
    """What a checkpoint holds, as flat path → array."""
    with ocp.StandardCheckpointer() as checkpointer:
        return flat(checkpointer.restore((workdir / "checkpoints" / str(step) / item).absolute()))


def flat(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def below(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    found = {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}
    assert found
    return found


def differing(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> set[str]:
    assert a.keys() == b.keys()
    return {key for key in a if a[key].dtype != b[key].dtype or a[key].tobytes() != b[key].tobytes()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def begun(config: Config, place: Path, **options: Any) -> tuple[TrainState, TrainState, str]:
    """A new run's state before and after it took a checkpoint over, and what was said."""
    source = init_from.read(str(place), **options)
    config = init_from.architecture(config, source)
    before = create_state(CodecTask(config), seed=5)
    after, said = init_from.begin(before, source)
    return before, after, said


def refused(config: Config, message: str, kind: type[Exception] = ZooError) -> None:
    with pytest.raises(kind, match=message) as error:
        loop.run("tiny", config)
    assert "\n" not in str(error.value)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that ends with status 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *arguments])
        return of_command(capsys, lambda _: command.main(), arguments)


def truncate(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and "d" in path.parent.name:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
