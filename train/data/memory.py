"""What the host's memory can hold of training data, asked before anything is read."""

from __future__ import annotations

import os

import numpy as np

from configs.base import Data
from zoo.errors import ZooError


def of_host() -> int:
    """Bytes of memory that this host has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_batches(data: Data, *, batch_size: int, sample_rate: int, channels: int) -> None:
    """Raises ZooError, with what would fit, for batches of `batch_size` crops that this host cannot hold.

    One batch must fit into its memory, and as many as `data.prefetch` keeps ready.
    """
    if not 0 < data.segment_s < float("inf"):
        raise ZooError(f"data.segment_s must be positive and finite, got {data.segment_s}")
    memory = of_host()
    second = sample_rate * channels * np.dtype(np.float32).itemsize
    batch = batch_size * data.segment_s * second
    if batch > memory:
        crops = f"{batch_size} crops" if batch_size > 1 else "a crop"
        fits = f"data.segment_s of {memory / (batch_size * second):.3g}"
        if 1 < memory / (data.segment_s * second) < batch_size:
            fits += f", or batch_size {int(memory / (data.segment_s * second))},"
        raise ZooError(f"{crops} of {data.segment_s:g} s take {batch / 2**30:.3g} GiB, {_host()}: {fits} would fit")
    if data.prefetch * batch > memory:
        raise ZooError(
            f"data.prefetch keeps {data.prefetch} batches of {batch / 2**20:.3g} MiB ready, {_host()}: "
            f"data.prefetch {int(memory / batch)} would fit"
        )


def check_total(n: float, n_bytes: float, option: str, of: str) -> None:
    """Raises ZooError, naming `option`, if `n` things called `of`, `n_bytes` each, exceed the host's memory."""
    if n * n_bytes > of_host():
        raise ZooError(
            f"{option} {n:g} asks for {n * n_bytes / 2**30:.3g} GiB of {of}, {_host()}: "
            f"{option} {int(of_host() / n_bytes)} would fit"
        )


def _host() -> str:
    return f"and this host has {of_host() / 2**30:.0f} GiB of memory"
