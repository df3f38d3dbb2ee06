"""What the C library asks of the system where the CPU computes: pages of two megabytes instead of four KB.

Each training step, and each chunk of a codec whose layers' outputs are larger than what the C library keeps (32 MB),
frees its memory and is given it again, page by page, zeroed. That is a tenth of the time and more on virtual machines;
in large pages it is half of that or less.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

ACCELERATORS = ("nvidiactl", "kfd", "accel0", "accel", "vfio/0", "dxg")
"""in /dev: of NVIDIA, AMD, TPU and NVIDIA under WSL"""
HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""setting of GLIBC_TUNABLES: memory is advised to be of huge pages (glibc 2.35 and later; others ignore it)"""
_THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages(idle: Collection[str] = ()) -> None:
    """Starts this program anew, as the same process, with huge pages, where they are to be had for the asking.

    glibc reads the setting at its start alone; processes that this one starts inherit it. Nothing happens where
    GLIBC_TUNABLES is set already, an accelerator computes, or the kernel gives huge pages to all or to none; nor for
    --help and for commands that compute nothing, `idle`. To be called first of all: what has been imported until then
    is imported twice.
    """
    if _computes(sys.argv[1:], idle) and _would_help(os.environ) and sys.executable and sys.orig_argv:
        os.environ["GLIBC_TUNABLES"] = HUGE_PAGES
        with contextlib.suppress(OSError):  # a program that may not be started anew goes on as it is
            os.execv(sys.executable, sys.orig_argv)


def _computes(arguments: Sequence[str], idle: Collection[str]) -> bool:
    return not {"-h", "--help"} & {*arguments} and (not arguments or arguments[0] not in idle)


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
