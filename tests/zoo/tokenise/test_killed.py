"""Processes that are killed while they tokenise: what is missing is done by the next run, and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.audio_files import noise, write
from tests.zoo.conftest import environment
from tests.zoo.tokenise.conftest import contents

N_CLIPS = 60
CUT = ("--unit_mb", "0.04")


def wait_until(happened: Callable[[], object], patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """Processes that Python's multiprocessing has started for computing, not for looking after them."""

    def command(child: int) -> bytes:
        try:
            return Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:  # it has ended since
            return b""

    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in found if b"spawn_main" in command(child)]


def n_done() -> int:
    place = Path("killed/.units")
    return sum(path.name[0] != "." for path in place.iterdir()) if place.exists() else 0


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_worker_and_a_killed_driver_cost_what_they_were_at(tokenise, library):
    for seed in range(N_CLIPS):
        write(library / "many" / f"{seed}.wav", noise(16_000 + 100 * seed, seed=seed), 8_000)
    assert tokenise("whole", *CUT) == 0
    expected = contents(Path("whole"))
    command = [sys.executable, "-m", "zoo", "tokenise", "lib", "killed", "--ckpt", "runs/tiny", "--workers", "2", *CUT]
    driver = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: n_done() > 0)
        first = children(driver.pid)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        before = n_done()
        wait_until(lambda: len(set(children(driver.pid)) - set(first)) == 1 or n_done() == len(expected))
        wait_until(lambda: n_done() > before + 2)
        workers = children(driver.pid)
    finally:
        driver.kill()
        driver.wait()
    wait_until(lambda: not any(map(is_running, workers)))
    assert not Path("killed/manifest.json").exists()
    n_before = n_done()
    assert 3 < n_before < json.loads(Path("whole/manifest.json").read_text())["plan"]["n_units"]
    stamps = {path: path.stat().st_mtime_ns for path in Path("killed/.units").iterdir() if path.name[0] != "."}
    assert tokenise("killed", *CUT) == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    found = {name: data for name, data in contents(Path("killed")).items() if not Path(name).name.startswith(".0")}
    assert found == expected
