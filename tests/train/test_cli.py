"""From the command line to a configuration, and what wrong arguments are told."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs import loading
from configs.autoencoder import Autoencoder
from configs.base import Config, LossWeights, Schedule
from train import cli
from zoo.console import terminal

ROOT = Path(__file__).parents[2]
MY_CONFIG = """
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.base import Config, LossWeights, ModelConfig


@dataclass(frozen=True)
class Mine(ModelConfig):
    family: ClassVar[str] = "vae"
    latent_dim: int = 12


CONFIG = Config(model=Mine(), steps=7, loss=LossWeights(waveform_l1=2.0))
"""


def config_of(*arguments: str) -> Config:
    return cli.parse(arguments)[1]


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command line that is refused, without its "error: "."""
    with pytest.raises(SystemExit) as exit_info:
        cli.parse(arguments)
    printed = capsys.readouterr()
    assert exit_info.value.code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ").strip()


@pytest.mark.parametrize("name", ["autoencoder", "vae", "gan_vocoder"])
def test_no_other_flag_is_the_configuration_as_it_stands(name: str) -> None:
    found, config = cli.parse(["--model", name])
    assert found == name
    assert config == dataclasses.replace(loading.get(name), workdir=f"runs/{name}")


def test_everyday_flags() -> None:
    config = config_of(
        *("--model", "gan_vocoder", "--workdir", "a/b", "--steps", "12", "--batch_size", "8", "--seed", "-3"),
        *("--checkpoint_every", "4", "--adversarial_start", "6", "--data.root", "music", "--resume", "--overwrite"),
    )
    base = loading.get("gan_vocoder")
    assert config == dataclasses.replace(
        base,
        workdir="a/b",
        steps=12,
        batch_size=8,
        seed=-3,
        checkpoint_every=4,
        adversarial_start=6,
        data=dataclasses.replace(base.data, root="music"),
        resume=True,
        overwrite=True,
    )
    assert config_of("--model", "gan_vocoder", "--adversarial_start", "-1").adversarial_start == -1
    assert config_of("--model", "vae", "--steps=9").steps == 9


def test_section_overrides_touch_nothing_else() -> None:
    config = config_of(
        *("--model", "vae", "--model.latent_dim", "64", "--model.widths", "8", "16", "24", "--optim.learning_rate"),
        *("1e-4", "--data.segment_s", "2", "--precision", "bfloat16", "--no_tensorboard", "--discriminator.loss"),
        "least_squares",
    )
    base = loading.get("vae")
    model = dataclasses.replace(base.model, latent_dim=64, widths=(8, 16, 24))  # type: ignore[call-arg]
    assert config == dataclasses.replace(
        base,
        workdir="runs/vae",
        model=model,
        optim=dataclasses.replace(base.optim, learning_rate=1e-4),
        data=dataclasses.replace(base.data, segment_s=2.0),
        discriminator=dataclasses.replace(base.discriminator, loss="least_squares"),
        precision="bfloat16",
        tensorboard=False,
    )
    assert type(config.model) is type(base.model)
    assert config_of("--model", "vae", "--model.latent-dim", "64").model.kwargs()["latent_dim"] == 64


def test_loss_weights_are_numbers_or_schedules() -> None:
    loss = config_of(
        *("--model", "vae", "--loss.mel", "3", "--loss.kl", "linear:0:1:100", "--loss.stft", "cosine:1:0.5:20")
    ).loss
    assert loss.mel == 3.0
    assert loss.kl == Schedule("linear", 0.0, 1.0, 100)
    assert loss.stft == Schedule("cosine", 1.0, 0.5, 20)
    assert loss.snr == loading.get("vae").loss.snr


@pytest.mark.parametrize("weight", [0.07, 1e-6, 15.0, Schedule("linear", 0.0, 0.07, 500), Schedule("cosine", 1, -2, 3)])
def test_a_weight_is_shown_as_it_is_typed(weight: float | Schedule) -> None:
    assert cli.parse_weight(cli.format_weight(weight)) == weight


def test_a_users_own_file(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(MY_CONFIG)
    name, config = cli.parse(["--config", str(path), "--model.latent_dim", "5", "--loss.mel", "1"])
    assert name == "my"
    assert config.workdir == "runs/my"
    assert config.steps == 7
    assert config.model.family == "vae"
    assert config.model.kwargs() == {"latent_dim": 5}
    assert config.loss == LossWeights(waveform_l1=2.0, mel=1.0)


# --- resuming


def stored_run(workdir: Path, config: Config) -> None:
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps(loading.to_dict(config)))


def test_resume_continues_the_stored_configuration_with_overrides_on_top(tmp_path: Path) -> None:
    begun = Config(
        model=Autoencoder(width=24),
        workdir="elsewhere",
        steps=33,
        overwrite=True,
        loss=LossWeights(rate=Schedule("linear", 0, 0.5, 9)),
    )
    stored_run(tmp_path / "run", begun)
    arguments = ["--model", "autoencoder", "--workdir", str(tmp_path / "run"), "--resume"]
    name, config = cli.parse([*arguments, "--steps", "44", "--model.n_blocks", "2"])
    assert name == "autoencoder"
    # --overwrite was of the first start only
    assert config == dataclasses.replace(
        begun,
        model=Autoencoder(width=24, n_blocks=2),
        workdir=str(tmp_path / "run"),
        steps=44,
        resume=True,
        overwrite=False,
    )
    # without --resume what is stored does not matter
    assert cli.parse(arguments[:-1])[1].steps == loading.get("autoencoder").steps


def test_resume_of_nothing_starts_afresh(tmp_path: Path) -> None:
    config = config_of("--model", "vae", "--workdir", str(tmp_path / "new"), "--resume")
    assert config == dataclasses.replace(loading.get("vae"), workdir=str(tmp_path / "new"), resume=True)


def test_resume_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored_run(tmp_path / "run", Config(model=Autoencoder()))
    said = complaint(capsys, "--model", "vae", "--workdir", str(tmp_path / "run"), "--resume")
    assert said == f"{tmp_path / 'run'} holds a run of model 'autoencoder', not 'vae'"


def test_resume_of_another_model_of_the_family_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    stored_run(tmp_path / "run", loading.get("gan_vocoder_causal"))
    arguments = ["--workdir", run, "--resume", "--steps", "44"]
    said = complaint(capsys, "--model", "gan_vocoder", *arguments)
    apart = "its model.causal is True, not False"
    assert said == f"{run} holds a run of model 'gan_vocoder_causal', not 'gan_vocoder': {apart}"
    for same in (["--model", "gan_vocoder_causal"], ["--model", "gan_vocoder", "--model.causal"]):
        assert config_of(*same, *arguments).model == loading.get("gan_vocoder_causal").model
    stored_run(tmp_path / "other", loading.get("gan_vocoder"))
    said = complaint(capsys, "--model", "gan_vocoder_causal", "--workdir", str(tmp_path / "other"), "--resume")
    assert said.endswith(
        "holds a run of model 'gan_vocoder', not 'gan_vocoder_causal': its model.causal is False, not True"
    )
    # a file's own class of the same model
    path = tmp_path / "my.py"
    path.write_text(MY_CONFIG.replace("12", "192"))
    stored_run(tmp_path / "mine", loading.from_file(path))
    assert config_of("--config", str(path), "--workdir", str(tmp_path / "mine"), "--resume").resume


@pytest.mark.parametrize("content", ['{"model": {"family": "vae"}, "stepz": 3}', '{"model', "[1]", "{}", "\udcff"])
def test_resume_of_a_damaged_configuration_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    said = complaint(capsys, "--model", "vae", "--workdir", str(tmp_path), "--resume")
    assert str(tmp_path / "config.json") in said


# --- wrong arguments


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--steps abc", "--steps: 'abc' is not an int"),
        ("--steps=1.5", "--steps: '1.5' is not an int"),
        ("--seed 1 --steps 3 --steps x", "--steps: 'x' is not an int"),
        ("--optim.learning_rate fast", "--optim.learning_rate: 'fast' is not a number"),
        ("--optim.learning-rate fast", "--optim.learning_rate: 'fast' is not a number"),
        ("--precision float16", "--precision: 'float16' is not one of float32, bfloat16"),
        ("--discriminator.periods 2 x", "--discriminator.periods: '2 x' is not a list, each item an int"),
        ("--steps", "--steps: a value is missing (an int)"),
        ("--data.root --steps 3", "--data.root: a value is missing (a string)"),
        ("extra", "unexpected argument 'extra'"),
        ("--seed 1 2", "unexpected argument '2'"),
        ("--overwrite 3", "unexpected argument '3'"),
    ],
)
def test_the_culprit_and_what_it_should_be(capsys: pytest.CaptureFixture[str], arguments: str, expected: str) -> None:
    assert complaint(capsys, "--model", "vae", *arguments.split()) == expected


@pytest.mark.parametrize(
    "weight", ["abc", "linear:0:1", "linear:0:1:x", "square:0:1:10", "linear:0:1:0", "linear:0:1:2:3"]
)
def test_a_weight_that_is_none(capsys: pytest.CaptureFixture[str], weight: str) -> None:
    said = complaint(capsys, "--model", "vae", "--loss.mel", weight)
    assert said.startswith(f"--loss.mel: {weight!r} is not a number or a schedule such as linear:")


@pytest.mark.parametrize(
    ("arguments", "start", "lists"),
    [
        ("--loss.loudness 3", "unknown key --loss.loudness; loss has: ", "mel"),
        ("--loss.loudness=3", "unknown key --loss.loudness; loss has: ", "feature_matching"),
        ("--model.hop 3", "unknown key --model.hop; model has: ", "latent_dim"),
        ("--lr 3 --steps 4", "unknown key --lr; there are: ", "steps"),
        ("--optim 3", "unknown key --optim; there are: ", "checkpoint_every"),
        ("--foo.bar 3 extra", "unknown key --foo.bar; there are: ", "loss.…"),
    ],
)
def test_an_unknown_key_lists_what_exists(
    capsys: pytest.CaptureFixture[str], arguments: str, start: str, lists: str
) -> None:
    said = complaint(capsys, "--model", "vae", *arguments.split())
    assert said.startswith(start)
    assert lists in said.removeprefix(start).split(", ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--model vae --stepz 3 --steps 4", "unknown key --stepz: did you mean --steps?"),
        ("--model vae --loss.melx=3", "unknown key --loss.melx: did you mean --loss.mel?"),
        ("--model vae --data_root x", "unknown key --data_root: did you mean --data.root?"),
        ("--model vae --learning_rate 1", "unknown key --learning_rate: did you mean --optim.learning_rate?"),
        ("--model vae --model.latent_dims 1", "unknown key --model.latent_dims: did you mean --model.latent_dim?"),
        ("vae --steps 4", "unexpected argument 'vae': did you mean --model vae?"),
        ("gan-vocoder", "unexpected argument 'gan-vocoder': did you mean --model gan_vocoder?"),
        ("preparee DIR OUT", "unexpected argument 'preparee': did you mean prepare?"),
        ("music", "unexpected argument 'music'"),
    ],
)
def test_a_mistyped_word_is_answered_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.parse(arguments.split(), commands=["prepare", "report"])
    assert stop.value.code == 2
    error = capsys.readouterr().err.removeprefix("error: ").strip()
    assert error == said


def test_narrow_terminals_do_not_cut_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    said = complaint(capsys, "--model", "vae", "--optim.discriminator_learning_rate", "abc")
    assert said == "--optim.discriminator_learning_rate: 'abc' is not a number"
    assert complaint(capsys, "--model", "vae", "--optim.discriminator_learning_rat", "1").startswith("unknown key")


def test_models_and_files_that_do_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(loading.names())
    assert complaint(capsys, "--model", "opus") == f"unknown model 'opus'; there are: {names}"
    assert all(name in complaint(capsys) for name in loading.names())
    assert "not both" in complaint(capsys, "--model", "vae", "--config", "my.py")
    assert str(tmp_path / "my.py") in complaint(capsys, "--config", str(tmp_path / "my.py"))
    assert "--model" in complaint(capsys, "--model")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("CONFIG = 3", "sets no CONFIG"),
        ("", "sets no CONFIG"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "no_such_module"),
        ("raise ValueError('two\\nlines')", "two lines"),
    ],
)
def test_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, says: str) -> None:
    path = tmp_path / "my.py"
    path.write_text(source)
    said = complaint(capsys, "--config", str(path))
    assert said.startswith(str(path))
    assert says in said


# --- the process


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
        timeout=60,
        check=False,
        **options,
    )


def test_help_is_worth_reading() -> None:
    done = python("-m", "train", "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    sections = ("model", "loss", "data", "optim", "discriminator", "evaluation")
    assert [section for section in sections if f"{section} options" not in done.stdout] == []
    flags = ("--model NAME", "--config", "--resume", "--data.root", "--loss.kl", "KIND:START:END:STEPS")
    assert [flag for flag in flags if flag not in done.stdout] == []
    assert [name for name in loading.names() if name not in done.stdout] == []


@pytest.mark.parametrize("module", ["train", "train.bench"])
def test_help_does_not_wait_for_what_computes(module: str) -> None:
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{module}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: pass\n"
        f"heavy = ('jax', 'flax', 'optax', 'grain', 'orbax', 'numpy', 'matplotlib', 'soundfile')\n"
        f"print(*[name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = python("-c", code)
    assert "usage" in done.stdout
    assert done.stderr.strip() == ""


def test_help_into_a_closed_pipe_ends_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "train", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == terminal.READER_GONE


def test_bad_input_ends_in_one_line_and_status_2(tmp_path: Path) -> None:
    arguments = ("--model", "vae", "--workdir", str(tmp_path / "run"), "--data.root", str(tmp_path / "none"))
    done = python("-m", "train", *arguments, "--batch_size", "8")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "none") in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["init", "workdir"])
def test_an_empty_path_is_called_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parse(["--model", "vae", f"--{option}", ""])
    assert capsys.readouterr().err == f"error: --{option} is empty\n"
