"""What measurements are made on, and with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
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


def matrix_tflops(dtype: str = "bfloat16", *, precision: str = "float32", size: int | None = None) -> float:
    """Measures the device's rate in products of square matrices of random numbers, in 10¹² operations per second.

    `precision` is that of products of float32, as jax names it ("float32", "tensorfloat32"); matrices are of `size`, by
    default 512 on a CPU, else 8192. It is the best of three times ten products in a row.
    """
    import jax
    import jax.numpy as jnp

    n = size or (512 if jax.default_backend() == "cpu" else 8192)
    first, second = (jax.random.normal(key, (n, n), jnp.dtype(dtype)) for key in jax.random.split(jax.random.key(0)))
    scale = n**-0.5  # so that products of products stay of the same size
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision) * jnp.asarray(scale, a.dtype))
    seconds = []
    for _ in range(4):  # the first also compiles
        start, result = time.perf_counter(), first
        for _ in range(10):
            result = product(result, second)
        jax.block_until_ready(result)
        seconds.append((time.perf_counter() - start) / 10)
    return 2.0 * n**3 / min(seconds[1:]) / 1e12


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
