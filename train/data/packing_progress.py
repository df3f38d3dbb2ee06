"""How far preparing a library is: a bar on a terminal, elsewhere lines."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from train.data.listing import Listing
from train.data.packing import entries
from zoo.wording import speed

PLAIN_INTERVAL_S = 10.0


class PackingProgress:
    """A bar by bytes of the library on a terminal; elsewhere a line every ten seconds. Names files that fall out."""

    def __init__(self, sources: Listing, sample_rate: int) -> None:
        self._n_files, self._sample_rate = len(sources), sample_rate
        self._total = max(sources.n_bytes(0), 1)
        self._files, self._bytes, self._decoded_bytes, self._decoded_s = 0, 0, 0, 0.0
        self._started = self._shown = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> PackingProgress:
        if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("preparing", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def skip(self, n_bytes: int, n_files: int) -> None:
        """Files that an earlier run has done."""
        self._bytes += n_bytes
        self._files += n_files

    def advance(self, record: dict[str, Any]) -> None:
        """A file is done, or cannot be read."""
        self.skip(record["bytes"], 1)
        self._decoded_bytes += record["bytes"]
        self._decoded_s += sum(entry.get("frames", 0) for entry in entries(record)) / self._sample_rate
        for entry in entries(record):
            if said := f"skipped {entry['reason']}" if "reason" in entry else entry.get("note"):
                self._say(said)
        so_fast = speed(self._decoded_s, time.monotonic() - self._started)
        if self._bar is not None:
            text = f"{self._files}/{self._n_files} files, {so_fast}"
            self._bar.update(self._task, completed=self._bytes, description=text)
        elif time.monotonic() - self._shown >= PLAIN_INTERVAL_S:
            self._shown = time.monotonic()
            left_s = (self._total - self._bytes) * (self._shown - self._started) / max(self._decoded_bytes, 1)
            self._say(
                f"{self._files}/{self._n_files} files · {100 * self._bytes / self._total:.0f} % · {so_fast} · "
                f"{left_s / 60:.1f} min left"
            )

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)
