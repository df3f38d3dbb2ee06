"""A repository of a hub as a store: hf://, by huggingface_hub's file system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, serve
from tests.zoo.conftest import complaint
from tests.zoo.tokenise.conftest import contents
from zoo.library import copies
from zoo.library.store import Remote

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The library at hf://datasets/user/set/in."""
    hub = Hub("user/set")
    hub.files = {f"in/{name}": data for name, data in contents(library).items()}
    monkeypatch.setenv("HF_TOKEN", "")
    with serve(hub):
        # as HF_ENDPOINT does, which is read when the package is imported
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE
        template = template.replace(constants.ENDPOINT, hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        yield hub


def test_a_repository_is_read_and_written_like_a_folder(tokenise, hub):
    cut = ("--unit_mb", "0.07")
    assert tokenise("out", *cut) == 0
    hub.fail_every = 35  # for each of which the library waits for a second
    assert tokenise("hf://datasets/user/set/out", *cut, source="hf://datasets/user/set/in") == 0
    expected = contents(Path("out"))
    assert {k.removeprefix("out/"): data for k, data in hub.files.items() if k.startswith("out/")} == expected
    assert hub.n_commits >= len(expected)
    # what a second run finds done is not written again
    n_commits = hub.n_commits
    del hub.files["out/manifest.json"]
    assert tokenise("hf://datasets/user/set/out", *cut, source="hf://datasets/user/set/in") == 0
    assert hub.n_commits < n_commits + 5
    assert "out/manifest.json" in hub.files


def test_a_copy_of_a_repository_is_fetched_once(hub, library, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lines: list[str] = []
    for _ in range(2):
        found = copies.folder("hf://datasets/user/set/in", say=lines.append)
        assert contents(found) == contents(library)
    assert len(lines) == 1
    hub.files["in/a.wav"] = hub.files["in/e.wav"]  # another of the same name
    assert contents(copies.folder("hf://datasets/user/set/in", say=lines.append))["a.wav"] == hub.files["in/e.wav"]
    assert "copying 1 files" in lines[1]


def test_no_byte_of_a_file_is_asked_for_twice(hub, monkeypatch):
    monkeypatch.setattr("zoo.library.store.DOWNLOAD_BLOCK", 1 << 20)
    hub.files["in/long.wav"] = bytes(range(256)) * (1 << 14)
    with Remote("hf://datasets/user/set/in").local("long.wav") as path:
        assert path.read_bytes() == hub.files["in/long.wav"]
    assert hub.n_sent == len(hub.files["in/long.wav"])


def test_what_a_repository_lacks_is_one_line(hub, capfd):
    missing = complaint(capfd, "tokenise", "hf://datasets/user/none/in", "x")
    assert "hf://datasets/user/none/in: there is nothing there" in missing
    assert "repository not found" in missing
    for place in ("hf://datasets/user/set/nowhere", "hf://datasets/user/set/in/none.wav"):
        assert complaint(capfd, "tokenise", place, "x").rstrip().endswith(f"{place}: there is nothing there")
    assert "hf://datasets: cannot be read" in complaint(capfd, "tokenise", "hf://datasets", "x")
    said = complaint(capfd, "tokenise", "hf://datasets/user/set/in", "hf://datasets/user/none/out")
    assert "hf://datasets/user/none/out/plan.json: there is nothing there" in said
    hub.token = "secret"
    assert "401" in complaint(capfd, "tokenise", "hf://datasets/user/set/in", "x")
