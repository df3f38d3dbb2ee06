"""Weights of discriminators where there are none: refused, on the command line and in a configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.train.test_cli import MY_CONFIG, complaint, config_of, stored_run
from train import cli


@pytest.mark.parametrize("name", ["adversarial", "feature_matching"])
def test_weights_of_discriminators_that_never_join_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config_of("--model", "vae", f"--loss.{name}", "1")
    assert f"loss.{name} is 1, but adversarial_start is -1" in capsys.readouterr().err
    config_of("--model", "gan_vocoder", "--adversarial_start", "-1")  # the recipe's own weights may stay


@pytest.mark.parametrize("name", ["adversarial", "feature_matching"])
def test_a_users_own_file_is_refused_as_the_command_line_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.py"
    path.write_text(MY_CONFIG.replace("waveform_l1=2.0", f"waveform_l1=2.0, {name}=1.0"))
    said = complaint(capsys, "--config", str(path))
    assert f"loss.{name} is 1, but adversarial_start is -1" in said
    arguments = ["--config", str(path), "--workdir", str(tmp_path / "run")]
    _, config = cli.parse([*arguments, "--adversarial_start", "0"])
    stored_run(tmp_path / "run", dataclasses.replace(config, adversarial_start=-1))
    cli.parse([*arguments, "--resume"])  # it goes on as it was begun
