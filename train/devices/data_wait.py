"""How long the devices had nothing to do while the host fetched their next batch."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

# one thread for all steps, which end one after the other; it sleeps until the device is done
_WATCHER = ThreadPoolExecutor(1, thread_name_prefix="waiting")


class DataWait:
    """Watches `running`, the results of the step that was dispatched last, from now on."""

    def __init__(self, running: Any) -> None:
        self._started_s = time.monotonic()
        unfinished = [x for x in jax.tree.leaves(running) if not x.is_ready()]
        self._ended: Future[float] | None = _WATCHER.submit(_ended_s, unfinished) if unfinished else None

    def seconds(self) -> float:
        """The seconds for which the step has been over since then; 0 if it still runs."""
        now = time.monotonic()
        if self._ended is None:
            return now - self._started_s
        return max(now - max(self._ended.result(), self._started_s), 0.0) if self._ended.done() else 0.0


def _ended_s(arrays: list[jax.Array]) -> float:
    with contextlib.suppress(Exception):  # whoever uses the results is told
        jax.block_until_ready(arrays)
    return time.monotonic()
