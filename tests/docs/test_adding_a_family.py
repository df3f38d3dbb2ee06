"""The family that docs/CONTRIBUTING.md adds, from a package of its own: it is found, trains, and is used."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import zoo
from configs import loading
from train import cli
from train.run import loop
from zoo import families

PAGE = Path(__file__).parents[2] / "docs" / "CONTRIBUTING.md"
SECTION = "## Adding a family, worked through"
TINY = [
    *("--steps", "3", "--batch_size", "4", "--log_every", "1", "--no-tensorboard"),
    *("--model.latent_dim", "4", "--model.width", "8", "--model.n_levels", "15", "--loss.complex_stft", "0"),
    *(
        "--data.segment_s",
        "0.1",
        "--evaluation.clips",
        "1",
        "--evaluation.clip_s",
        "0.3",
        "--evaluation.table_s",
        "0.5",
    ),
]


def section() -> str:
    return PAGE.read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]


def install(text: str, place: Path) -> None:
    """Writes the files that a text names in the paragraphs before its code blocks, and, as pip, the metadata."""
    files = {}
    for before, code in re.findall(r"((?:.+\n)+)\n```\w+\n((?:.*\n)*?)```", text):
        if named := re.search(r"`([\w/]+\.(?:py|toml))`", before):
            files[named[1]] = code
    assert set(files) == {"toy_codec/toy.py", "toy_codec/config.py", "pyproject.toml"}
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    info = place / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The section's text, with its package installed beside Codec Zoo."""
    text = section()
    install(text, tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield text
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_codec"]:
        del sys.modules[name]


@pytest.fixture
def short(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends without an evaluation."""
    monkeypatch.setattr(loop, "finish", lambda *_: None)


def test_the_family_of_the_page_is_trained_and_used(installed: str, tmp_path: Path, short: None) -> None:
    assert "toy" in zoo.names()
    assert "toy" in loading.names()
    loop.run(*cli.parse(["--model", "toy", "--workdir", str(tmp_path / "run"), *TINY]))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if "loss" in row]
    assert [row["step"] for row in trained] == [1, 2, 3]
    assert all(np.isfinite(row["rate"]) for row in trained)
    codec = zoo.load(tmp_path / "run")
    assert codec.metadata["family"] == "toy"
    audio = 0.1 * np.random.default_rng(0).standard_normal((1000, 1)).astype(np.float32)
    assert codec.decompress(codec.compress(audio)).audio.shape == audio.shape
    zoo.verify_codec(codec, audio)


def test_the_page_verifies_its_family(installed: str, quick: None) -> None:
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", installed, re.DOTALL) if "verify" in code]
    exec(compile(block, str(PAGE), "exec"), {})


def test_a_run_of_it_is_resumed_with_its_own_configuration(installed: str) -> None:
    config = loading.get("toy")
    assert loading.from_dict(json.loads(json.dumps(loading.to_dict(config)))) == config
    _, parsed = cli.parse(["--model", "toy", "--model.width", "8"])
    assert parsed.model.kwargs()["width"] == 8


def test_a_package_that_cannot_be_imported_is_named(installed: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "toy_codec" / "toy.py").write_text("import nowhere_to_be_found")
    (tmp_path / "site" / "toy_codec" / "config.py").write_text("CONFIG = 1 / 0")
    with pytest.raises(zoo.ZooError, match=r"family 'toy' \(toy_codec.toy\) cannot be imported: No module named"):
        families.module_of("toy")
    with pytest.raises(loading.ConfigError, match=r"'toy' \(toy_codec.config\) cannot be imported: division"):
        loading.get("toy")


def test_without_the_package_there_is_no_such_family() -> None:
    with pytest.raises(zoo.ZooError, match="unknown model 'toy'; there are: autoencoder"):
        zoo.create("toy")
    with pytest.raises(loading.ConfigError, match="unknown model 'toy'"):
        loading.get("toy")


def test_the_page_names_the_fault_that_it_describes(installed: str, tmp_path: Path, quick: None) -> None:
    place = tmp_path / "site" / "toy_codec" / "toy.py"
    place.write_text(place.read_text().replace('name="head"', 'masked=False, name="head"'))
    with pytest.raises(zoo.ZooError, match="a padded batch is not its single clips"):
        zoo.verify_codec(zoo.create("toy", latent_dim=4, width=8), np.random.default_rng(0).standard_normal(1000) / 10)
