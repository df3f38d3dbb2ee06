"""What the C library does with memory where steps are computed on the CPU: it keeps it, in pages of two megabytes.

Each step frees gigabytes and needs them again. By default they go back to the system, which gives them out again page
by page, zeroed: a tenth of a step and more on virtual machines, half of that in large pages, and nothing where the
process keeps them for its next step.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ACCELERATORS = ("nvidiactl", "kfd", "accel0", "accel", "vfio/0", "dxg")
"""in /dev: of NVIDIA, AMD, TPU and NVIDIA under WSL"""
TUNABLES = ":".join(
    (
        "glibc.malloc.hugetlb=1",  # memory is advised to be of huge pages (glibc 2.35 and later; others ignore it)
        # large blocks come from the heap, and what is free at its top stays there
        f"glibc.malloc.mmap_threshold={2**36}",
        f"glibc.malloc.trim_threshold={2**36}",
        "glibc.malloc.arena_max=1",  # threads' own heaps hold no large blocks
    )
)
"""value of GLIBC_TUNABLES"""
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Starts this program anew, as the same process, with huge pages that it keeps, where they are to be had.

    glibc reads the settings at its start alone. Nothing happens where GLIBC_TUNABLES is set already, an accelerator
    computes the steps, or the kernel gives huge pages to all or to none. To be called first of all.
    """
    if _would_help(os.environ) and sys.executable and sys.orig_argv:
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        with contextlib.suppress(OSError):  # a program that may not be started anew goes on as it is
            os.execv(sys.executable, sys.orig_argv)


def _would_help(environment: Mapping[str, str]) -> bool:
    if "GLIBC_TUNABLES" in environment or not sys.platform.startswith("linux") or _has_accelerator(environment):
        return False
    try:
        library, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        return library == "glibc" and numbers >= (2, 35) and "[madvise]" in _THP.read_text()
    except (OSError, ValueError):  # another C library, or no such pages
        return False


def _has_accelerator(environment: Mapping[str, str]) -> bool:
    if environment.get("JAX_PLATFORMS") == "cpu":
        return False
    return any((Path("/dev") / name).exists() for name in ACCELERATORS)
