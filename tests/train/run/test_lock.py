"""Two runs in one directory: the second is told who is there; whatever became of the first, it leaves no lock."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from train.run import folder, lock
from train.run.lock import RunLock
from zoo.errors import ZooError

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from train.run.lock import RunLock

RunLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


def refused(workdir: Path, holder: str) -> None:
    for create in (True, False):
        with pytest.raises(ZooError, match=f"{workdir} is in use by another run .{holder} on ") as error:
            RunLock(workdir).acquire(create=create)
        assert "\n" not in str(error.value)


def test_the_second_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    workdir = tmp_path / "runs" / "run"
    RunLock(workdir).acquire(create=False)  # where nothing is, nobody is
    assert not workdir.exists()
    first, second = RunLock(workdir), RunLock(workdir)
    first.acquire()
    first.acquire()  # has it already
    refused(workdir, f"process {os.getpid()}")
    assert socket.gethostname() in (workdir / lock.NAME).read_text()
    first.release()
    first.release()
    assert list(workdir.iterdir()) == []
    second.acquire()
    refused(workdir, f"process {os.getpid()}")
    second.release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        refused(tmp_path, f"process {process.pid}")
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert (tmp_path / lock.NAME).exists()
    assert lock.is_unused(tmp_path)
    taken = RunLock(tmp_path)
    taken.acquire(create=False)
    refused(tmp_path, f"process {os.getpid()}")
    taken.release()


def test_deleting_a_run_leaves_its_lock(tmp_path: Path) -> None:
    held = RunLock(tmp_path)
    held.acquire()
    (tmp_path / "checkpoints" / "3").mkdir(parents=True)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "elsewhere").symlink_to(tmp_path.parent, target_is_directory=True)
    assert not lock.is_unused(tmp_path)
    folder.empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [lock.NAME]
    assert tmp_path.parent.is_dir()
    refused(tmp_path, f"process {os.getpid()}")
    held.release()


def test_a_lock_that_was_deleted_in_between_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = RunLock(tmp_path), RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    real, calls = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        if not calls:  # the second has opened the file; now the first ends, and a third begins
            calls.append(file)
            first.release()
            third.acquire()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ZooError, match="in use by another run"):
        second.acquire()
    third.release()
    second.acquire()
    second.release()


def test_without_locks_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    taken = RunLock(tmp_path)
    taken.acquire()
    taken.acquire()
    taken.release()
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {tmp_path}/.lock cannot be locked (No locks available)")
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match=f"{tmp_path}/file/run cannot be written to: Not a directory"):
        RunLock(tmp_path / "file" / "run").acquire()


def test_a_run_that_is_half_deleted_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("checkpoints", "evaluation", "tensorboard"):
        (tmp_path / name).mkdir()
    for name in (lock.NAME, "config.json", "metrics.jsonl"):
        (tmp_path / name).write_text("")

    def killed(path: Path) -> None:
        if path.name == "tensorboard":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.empty(tmp_path)
    assert (tmp_path / "config.json").exists()
    folder.empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [lock.NAME]
