"""Memory that a training process frees is still there for its next step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train import host_memory

ROOT = Path(__file__).parents[2]
FAULTS = """
import ctypes, resource, threading
from train import host_memory
kept = host_memory.keep()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
SIZE = 2**26

def step():
    for _ in range(8):
        block = libc.malloc(ctypes.c_size_t(SIZE))
        ctypes.memset(block, 1, SIZE)
        libc.free(block)

def in_thread():
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()

in_thread()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
in_thread()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and how many pages a second round of allocations got from the system."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=inherited | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    kept, count = done.stdout.split()
    return kept == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_what_is_freed_is_used_again_unless_the_environment_says_otherwise() -> None:
    kept, few = faults(JAX_PLATFORMS="cpu")
    if not kept:
        pytest.skip("another C library")
    pages = 8 * 2**26 // os.sysconf("SC_PAGE_SIZE")
    assert few < 0.02 * pages
    unchanged, _ = faults(JAX_PLATFORMS="cpu", MALLOC_ARENA_MAX="4")
    assert not unchanged


def test_nothing_is_changed_where_there_is_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in os.environ if name.startswith("MALLOC_")), "GLIBC_TUNABLES", "JAX_PLATFORMS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(host_memory, "ACCELERATORS", ("null",))
    monkeypatch.setattr(host_memory.ctypes, "CDLL", lambda _: pytest.fail("changed"))
    assert not host_memory.keep()
