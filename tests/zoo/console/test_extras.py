"""What a small installation has, and what it is told where a command needs more."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from zoo.console import extras
from zoo.errors import ZooError

ROOT = Path(__file__).parents[3]
# stands for an installation without the extras: their modules cannot be found
WITHOUT = """
import importlib.abc, runpy, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {missing} else find(name)
sys.argv = {argv}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)
"""
OF_TRAINING = {"grain", "tensorboardX", "matplotlib"}


def run_without(missing: set[str], *argv: str) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(missing=missing, argv=list(argv))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_table_is_that_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, packages in extras.EXTRAS.items():
        wanted = {re.split(r">=|\[", line)[0] for line in project["optional-dependencies"][name]}
        assert set(packages) == {package for package in wanted if package != "codec-zoo"}
    # what decodes a file needs nothing that only training does
    assert not {line.split(">=")[0] for line in project["dependencies"]} & OF_TRAINING


@pytest.mark.parametrize("command", ["train", "train.bench"])
def test_training_names_what_is_missing_and_its_install_line(command: str) -> None:
    done = run_without({"grain", "matplotlib"}, command, "--model", "vae")
    assert done.returncode == 2
    assert done.stderr == "error: grain, matplotlib are missing: pip install -e '.[train]'\n"


def test_coding_takes_none_of_it() -> None:
    done = run_without(OF_TRAINING, "zoo", "list")
    assert done.returncode == 0, done.stderr
    assert "descript/dac_44khz" in done.stdout


def test_one_package_is_named_in_the_singular(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "grain" else name)
    with pytest.raises(ZooError, match=r"^grain is missing: pip install -e '\.\[train\]'$"):
        extras.require("train")
