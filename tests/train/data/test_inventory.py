"""A data folder that is not what it was when the run was begun."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from configs import loading
from configs.base import Data
from tests.train.run.initialised import TINY, at
from train import data
from train.data import inventory
from train.run import folder, loop
from zoo.errors import ZooError

RATE = 8000


def add(root: Path, name: str, seconds: float = 0.5) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(root / name, 0.25 * np.sin(0.3 * np.arange(round(seconds * RATE))), RATE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(5):
        add(tmp_path / "audio", f"{'ab'[number % 2]}/{number}.wav")
    return tmp_path / "audio"


def now(root: Path | None) -> inventory.Inventory:
    chosen = Data(root=str(root) if root else None, segment_s=0.1)
    return inventory.of(data.make_source(chosen, sample_rate=RATE, channels=1, hop_length=40, seed=0))


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Path:
    """A run on the folder as it is."""
    run = tmp_path / "run"
    (run / "checkpoints" / "3").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    inventory.write(run, now(root))
    return run


def test_what_is_written_is_read(run: Path, root: Path) -> None:
    found = inventory.read(run)
    assert found == now(root)
    assert found is not None
    assert sorted(found.frames) == ["a/0.wav", "a/2.wav", "a/4.wav", "b/1.wav", "b/3.wav"]
    assert set(found.frames.values()) == {4000}
    assert found.seconds == 2.5
    inventory.check(run, now(root), root=str(root), accept_changes=False)
    # elsewhere, with other times and tags: the same crops
    moved = root.rename(root.parent / "moved")
    assert now(moved).digest == found.digest
    assert now(None).digest != found.digest


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "fewer": (
        lambda root: [path.unlink() for path in (root / "a").glob("*")],
        r"\(5 files, .* hours, now 2 files, .* hours\): 3 missing \(a/0.wav, a/2.wav, a/4.wav\)\. Restore",
    ),
    "many fewer": (
        lambda root: [path.unlink() for path in root.glob("*/*") if path.stem != "3"],
        r": 4 missing \(a/0.wav, a/2.wav, a/4.wav and 1 more\)\. ",
    ),
    "more": (lambda root: add(root, "c.wav"), r": 1 added \(c.wav\)\. "),
    "shorter": (lambda root: add(root, "a/2.wav", 0.25), r": 1 of another length \(a/2.wav\)\. "),
    "unreadable": (lambda root: (root / "a" / "4.wav").write_bytes(b"RIFF"), r": 1 missing \(a/4.wav\)\. "),
    "renamed": (
        lambda root: (root / "b/1.wav").rename(root / "b/7.wav"),
        r"1 missing \(b/1.wav\); 1 added \(b/7.wav\)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changed_is_refused_before_anything_is_compiled(
    run: Path, root: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, message = CHANGES[change]
    how(root)
    monkeypatch.setattr(loop, "create_state", lambda *_: pytest.fail("the change went unnoticed"))
    before = (run / inventory.FILE).read_bytes()
    config = at(run, resume=True, data=Data(root=str(root), segment_s=0.1))
    with pytest.raises(ZooError, match=message) as error:
        loop.run("tiny", config)
    assert "--data.accept_changes" in str(error.value)
    assert str(root) in str(error.value)
    assert "\n" not in str(error.value)
    assert (run / inventory.FILE).read_bytes() == before
    inventory.check(run, now(root), root=str(root), accept_changes=True)


def test_generated_audio_is_not_files(run: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"begun on 5 files, .* not on the embedded generator"):
        inventory.check(run, now(None), root=None, accept_changes=False)
    inventory.write(tmp_path, now(None))
    with pytest.raises(ZooError, match=f"begun on the embedded generator, not on {root} .5 files"):
        inventory.check(tmp_path, now(root), root=str(root), accept_changes=False)
    inventory.check(tmp_path, now(None), root=None, accept_changes=False)


def test_a_run_of_an_earlier_version_is_taken_as_it_is_and_a_damaged_list_named(run: Path, root: Path) -> None:
    (run / inventory.FILE).write_text('{"frames": ')
    with pytest.raises(ZooError, match=r"data.json cannot be read .*--data.accept_changes writes it anew"):
        inventory.check(run, now(root), root=str(root), accept_changes=False)
    (run / inventory.FILE).unlink()
    inventory.check(run, now(root), root=str(root), accept_changes=False)


def test_what_was_accepted_is_no_part_of_the_configuration(tmp_path: Path) -> None:

    accepting = dataclasses.replace(TINY, data=dataclasses.replace(TINY.data, accept_changes=True))
    folder.write_config(tmp_path, accepting)
    assert loading.from_dict(json.loads((tmp_path / "config.json").read_text())) == TINY
