"""What measurements are made on, and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """What the measurements were made on, and with."""
    import jax

    versions = {}
    for package in ("jax", "torch", "transformers", "diffusers", "snac", "vocos", "librosa"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "device": jax.devices()[0].device_kind,
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def cpu_model(info: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, as far as the system tells."""
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, None) or platform.processor() or platform.machine()


def describe(hardware: Mapping[str, Any]) -> str:
    """Hardware and versions in a line, and a warning where something else was running."""
    versions = ", ".join(f"{name} {version}" for name, version in hardware["versions"].items())
    line = f"{hardware['cpu']}, {hardware['cores']} cores; Python {hardware['python']}, {versions}"
    busy = hardware["load_average"] is not None and hardware["load_average"] > 0.5 * hardware["cores"]
    return (
        f"{line}\nbusy when it began (load average {hardware['load_average']:g}): not to be relied on" if busy else line
    )
