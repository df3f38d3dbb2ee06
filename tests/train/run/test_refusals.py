"""What a run refuses before anything is compiled or created."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from configs.base import (
    Augmentation,
    Codebooks,
    Config,
    Data,
    Discriminator,
    Evaluation,
    LossWeights,
    ModelConfig,
    Optim,
    Schedule,
)
from tests.train import tiny
from tests.train.run.initialised import refused
from train.run import loop

TINY = dataclasses.replace(tiny.RUN, loss=LossWeights(waveform_l1=1.0))


def at(workdir: Path, **changes: Any) -> Config:
    return dataclasses.replace(TINY, workdir=str(workdir), **changes)


@pytest.fixture
def _nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiles(*_: object) -> None:
        pytest.fail("got as far as the model's initialisation")

    monkeypatch.setattr(loop, "create_state", compiles)


@pytest.mark.usefixtures("_nothing_compiles")
@pytest.mark.parametrize("flag", ["overwrite", "resume"])
def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path, flag: str) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    refused(at(tmp_path, **{flag: True}), f"no config.json.*--{flag}")
    refused(at(tmp_path), "exists already")
    refused(at(tmp_path / "thesis.txt"), "not a folder")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "ten years"


@dataclasses.dataclass(frozen=True)
class Unknown(ModelConfig):
    family = "opus"


@pytest.mark.usefixtures("_nothing_compiles")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": Data(root="{tmp}/missing")}, "missing"),
        ({"data": Data(root="{tmp}")}, "{tmp}"),
        ({"data": Data(segment_s=0.0)}, "segment_s"),
        ({"model": Unknown()}, "unknown model 'opus'; there are: .*vae"),
        ({"batch_size": 6}, "batch_size 6 .* 4"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"keep_checkpoints": 0}, "keep_checkpoints must be at least 1"),
        ({"discriminator": Discriminator(n_layers=0)}, "discriminator.n_layers must be at least 1, got 0"),
        ({"optim": Optim(max_skipped_steps=0)}, "optim.max_skipped_steps must be at least 1"),
        ({"data": Data(segment_s=0.1, threads=-1)}, "data.threads must be at least 0, got -1"),
        (
            {"data": Data(segment_s=1e9)},
            "4 crops of 1e.09 s take .* GiB, and this host has .*: data.segment_s of .* fit",
        ),
        ({"data": Data(segment_s=float("inf"))}, "data.segment_s must be positive and finite"),
        ({"batch_size": 10**12, "data": Data(segment_s=1.0)}, "segment_s of .*, or batch_size .*, would fit"),
        ({"data": Data(segment_s=1.0, prefetch=10**9)}, "data.prefetch keeps 1000000000 batches .*: data.prefetch "),
        ({"data": Data(prefetch=-1)}, "data.prefetch must be at least 0"),
        ({"evaluation": Evaluation(table_s=float("nan"))}, "evaluation.table_s must be"),
        ({"evaluation": Evaluation(table_s=-1.0)}, "evaluation.table_s must be a number from 0 to .*, got -1"),
        ({"evaluation": Evaluation(table_s=1e9)}, r"evaluation.table_s 1e\+09 asks for .* GiB of training audio"),
        ({"evaluation": Evaluation(clip_s=0.0)}, "evaluation.clip_s must be positive"),
        ({"evaluation": Evaluation(clip_s=float("inf"))}, "evaluation.clip_s must be"),
        ({"evaluation": Evaluation(samples=-1)}, "evaluation.samples must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seed": 2**40}, "seed must be at most 4294967295"),
        ({"data": Data(threads=10**6)}, "data.threads must be at most 1024"),
        ({"data": Data(gain_db=float("inf"))}, "data.gain_db must be a number from 0 to 200, got inf"),
        ({"data": Data(silence_db=float("nan"))}, "data.silence_db must be a number .*, got nan"),
        ({"optim": Optim(weight_decay=-1.0)}, "optim.weight_decay must be"),
        ({"optim": Optim(beta2=float("nan"))}, "optim.beta2 must be"),
        ({"codebooks": Codebooks(usage_decay=2.0)}, "codebooks.usage_decay must be a number from 0 to 1, got 2"),
        ({"codebooks": Codebooks(kmeans_frames=0)}, "codebooks.kmeans_frames must be at least 1"),
        ({"discriminator": Discriminator(warmup_steps=-1)}, "discriminator.warmup_steps must be at least 0"),
        ({"loss": LossWeights(mel=-1.0)}, "loss.mel must be a number from 0 to .*, got -1"),
        ({"loss": LossWeights(mel=float("nan"))}, "loss.mel must be a number from 0 to .*, got nan"),
        ({"loss": LossWeights(mel=1e308)}, r"loss.mel must be a number from 0 to 1e\+12, got 1e\+308"),
        ({"loss": LossWeights(mel=Schedule("linear", 0.0, 1e308, 5))}, "loss.mel must be a number from 0 to"),
        ({"optim": Optim(learning_rate=1e308)}, "optim.learning_rate must be a number from 0 to 100, got"),
        ({"optim": Optim(discriminator_learning_rate=1e9)}, "optim.discriminator_learning_rate must be a number from"),
        ({"optim": Optim(final_learning_rate_ratio=1e5)}, "optim.final_learning_rate_ratio must be a number from"),
        ({"optim": Optim(warmup_steps=10**18)}, "optim.warmup_steps must be at most 2147483647"),
        ({"steps": 10**18}, "steps must be at most 2147483647"),
        ({"adversarial_start": 10**18}, "adversarial_start must be at most 2147483647"),
        ({"discriminator": Discriminator(n_layers=1000)}, "discriminator.n_layers must be at most 64, got 1000"),
        ({"loss": LossWeights(mel=Schedule("linear", 0.0, float("nan"), 5))}, "loss.mel .* got nan"),
        ({"adversarial_start": 3}, "loss.adversarial is 0"),
        (
            {"adversarial_start": 3, "loss": LossWeights(mel=Schedule("linear", 1.0, 0.0, 9), adversarial=1.0)},
            "loss.mel: 0 by step 999, which leaves the generator no gradient.*optim.balancer",
        ),
        (
            {"adversarial_start": 0, "loss": LossWeights(adversarial=Schedule("cosine", 1.0, 0.0, 9))},
            "loss.adversarial: 0 by step 999",
        ),
        (
            {"loss": LossWeights(mix_consistency=0.1), "batch_size": 4, "accumulate": 4},
            "loss.mix_consistency .* batch_size 4 in 4 parts .* leaves one by itself",
        ),
        ({"augmentation": Augmentation(mix=0.5), "batch_size": 1}, "augmentation.mix .* batch_size is 1"),
        (
            {"loss": LossWeights(mel=Schedule("linear", 0.0, 1.0, 0))},
            "loss.mel: the steps of a schedule must be at least 1",
        ),
    ],
)
def test_bad_input_is_an_error_before_anything_is_compiled_or_created(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    if isinstance(found := changes.get("data"), Data) and found.root:
        changes = {"data": dataclasses.replace(found, root=found.root.replace("{tmp}", str(tmp_path)))}
    refused(at(tmp_path / "run", **changes), message.replace("{tmp}", str(tmp_path)))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    refused(at(tmp_path / "run", loss=LossWeights(mel=1.0, kl=1.0)), "loss.kl is set, but .* it has: rate")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("_nothing_compiles")
def test_a_place_that_cannot_be_a_folder_is_refused_first_of_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for workdir in (tmp_path / "file", tmp_path / "file" / "run" / "x"):
        refused(at(workdir, data=Data(root="missing")), rf"workdir {workdir}: {tmp_path}/file is not a folder")
