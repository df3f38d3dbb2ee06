"""What the C library does with memory that a step has freed, where steps are computed on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

ACCELERATORS = ("nvidiactl", "kfd", "accel0", "accel", "vfio/0", "dxg")
"""in /dev: of NVIDIA, AMD, TPU and NVIDIA under WSL"""
_ARENA_MAX, _MMAP_MAX, _TRIM_THRESHOLD = -8, -4, -1
"""of glibc's malloc.h"""


def keep() -> bool:
    """Has glibc keep what is freed for the next step; returns whether it does.

    By default large blocks go back to the system at once, and each step waits for gigabytes that are handed out and
    zeroed again, page by page: a fifth of a training step on two cores of a virtual machine. The price is memory that
    is not returned, a third more at the peak. Threads allocate from one arena then, which loading audio for an
    accelerator would wait for: nothing is changed where there is one, nor where MALLOC_… or GLIBC_TUNABLES in the
    environment says what is wanted. It must be called before threads have arenas of their own.
    """
    chosen = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if chosen or not sys.platform.startswith("linux") or _has_accelerator():
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        settings = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1))
        return all(mallopt(*setting) == 1 for setting in settings)
    return False


def _has_accelerator() -> bool:
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return any((Path("/dev") / name).exists() for name in ACCELERATORS)
