"""Files are there whole or not at all, whatever goes wrong while they are written."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from zoo.saved import whole


@pytest.mark.parametrize("unique", [False, True])
def test_a_file_has_its_name_only_when_it_is_complete(tmp_path: Path, unique: bool) -> None:
    path = tmp_path / ("n" * 240 + ".bin")  # nearly as long as a name can be
    path.write_bytes(b"old")
    with whole.file(path, unique=unique, sync=True) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
        assert all(name.startswith(".") for name in os.listdir(tmp_path) if name != path.name)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, b"old"])
def test_after_an_exception_all_is_as_it_was(tmp_path: Path, error: type[BaseException], before: bytes | None) -> None:
    path = tmp_path / "a.json"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), whole.file(path) as stream:  # noqa: PT012
        stream.write(b"half of")
        raise error
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({} if before is None else {path.name: before})


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with contextlib.suppress(ZeroDivisionError), whole.place(path) as temporary:
        left = temporary
        raise ZeroDivisionError
    left.write_text("a longer text than the one to come")
    whole.write_text(path, "läuft")
    assert path.read_bytes() == "läuft".encode()
    assert os.listdir(tmp_path) == [path.name]


def test_what_killed_processes_left_under_names_of_their_own_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.b.zac"
    dead, alive = _pid_of_none(), os.getpid()
    gone = [f".a.b.{dead}-123.zac"]
    kept = [
        f".a.b.{alive}-123.zac",  # running
        f".a.b.{dead}-124.zac",  # too young: it may be another host's
        f".a.{dead}-123.zac",  # of another output
        f".a.b.{dead}-123.wav",
        f".a.b.{dead}-x.zac",
        f"a.b.{dead}-123.zac",
        f".a.b.{dead}-123.zac.bak",
    ]
    for name in gone + kept:
        (tmp_path / name).write_bytes(b"half")
        if name != kept[1]:
            os.utime(tmp_path / name, (0, 0))
    with whole.file(path, unique=True) as stream:
        stream.write(b"all of it")
    assert set(os.listdir(tmp_path)) == {path.name, *kept}


@pytest.mark.parametrize("replaces", [True, False])
def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, replaces: bool) -> None:
    path = tmp_path / "model.v1"
    path.mkdir()
    (path / "old").touch()
    with contextlib.suppress(ZeroDivisionError), whole.folder(path, replaces=replaces) as part:
        part.mkdir()
        (part / "half").touch()
        assert part.parent == tmp_path
        assert part.name.startswith(".model.")
        raise ZeroDivisionError
    assert os.listdir(path) == ["old"]
    with whole.folder(path, replaces=replaces) as part:
        part.mkdir()
        (part / "new").touch()
    assert os.listdir(path) == ["new" if replaces else "old"]
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_replaced_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    with pytest.raises(FileNotFoundError), whole.folder(path):
        pass  # nothing was made
    assert os.listdir(tmp_path) == [path.name]


def test_folders_that_killed_processes_left_are_removed_once_there_is_a_whole_one(tmp_path: Path) -> None:
    path, dead = tmp_path / "model", _pid_of_none()
    gone = [f".model.{dead}-1", f".model.{dead}-1.old"]
    kept = [f".model.{os.getpid()}-1", f".model.{dead}-2", f".other.{dead}-1"]
    for name in gone + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
        if name != kept[1]:  # too young: a large file in it may still be written to by another host
            os.utime(tmp_path / name / "half", (0, 0))
        os.utime(tmp_path / name, (0, 0))
    with contextlib.suppress(ZeroDivisionError), whole.folder(path):
        raise ZeroDivisionError
    assert set(os.listdir(tmp_path)) == {*gone, *kept}
    with whole.folder(path) as part:
        part.mkdir()
    assert set(os.listdir(tmp_path)) == {path.name, *kept}


def _pid_of_none() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_two_writers_with_names_of_their_own_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with whole.file(path, unique=True) as first:
        first.write(b"first")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_write, path, b"second").result()
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"


def _write(path: Path, data: bytes) -> None:
    with whole.file(path, unique=True) as stream:
        stream.write(data)


def test_the_guard_is_around_what_is_done_to_the_file_and_not_around_its_contents(tmp_path: Path) -> None:
    @contextlib.contextmanager
    def guard() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LookupError("cannot be written") from error

    with pytest.raises(LookupError), whole.file(tmp_path / "no" / "folder", guard=guard):
        pass
    with pytest.raises(LookupError), whole.file(tmp_path / "a", guard=guard):
        (tmp_path / "a" / "b").mkdir(parents=True)  # in the way of the file
    with pytest.raises(ConnectionError), whole.file(tmp_path / "c", guard=guard):
        raise ConnectionError("of what was to be written")
