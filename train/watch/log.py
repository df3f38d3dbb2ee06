"""The metrics log of a run: a line of `metrics.jsonl` for each logged step, and the same in TensorBoard.

A line has `step`, `seconds` since the start of the run, one key per loss, and whatever else the loop measures.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError
from zoo.saved import whole

Row = dict[str, Any]

HISTOGRAM_BUCKETS = 64


def read_metrics(path: str | os.PathLike[str]) -> list[Row]:
    """Read a metrics log: one dict for each line; null becomes NaN, and an unfinished last line is left out.

    Raises ZooError when the file is missing, or when a line before the last is not a JSON object with a step.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ZooError(f"cannot read metrics log {path}: {error.strerror}") from None
    rows: list[Row] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"] = int(row["step"])
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break  # cut off while it was being written: a JSON object without its closing brace never parses
            raise ZooError(f"{path}, line {number}: not a JSON object with a step") from None
        rows.append({key: math.nan if value is None else value for key, value in row.items()})
    return rows


class MetricsLog:
    """Appends a JSON line for each logged step to `workdir/metrics.jsonl`, and the same scalars to TensorBoard.

    Opening an existing log continues it: an unfinished last line is removed, and `seconds` goes on from the last row.
    On resuming, call `truncate_after(step of the checkpoint)` before the first `log`, so that no step is there twice.
    A `silent` one writes nothing: of several processes only the first speaks.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        tensorboard: bool,
        silent: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = Path(workdir) / "metrics.jsonl"
        self._silent = silent
        self._tensorboard_dir = Path(workdir) / "tensorboard" if tensorboard and not silent else None
        self._writer: Any = None
        self._purge_step: int | None = None
        self._failure: OSError | None = None
        self._clock = clock
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._open(after=None)

    def _open(self, after: int | None) -> None:
        rows = read_metrics(self.path) if self.path.exists() and not self._silent else []
        kept = [row for row in rows if after is None or row["step"] <= after]
        if self.path.exists() and not self._silent:
            # replaced in one go: a kill in the middle leaves the old log, not half a one
            whole.write_text(self.path, "".join(_to_line(row) for row in kept))
        self._last_step = kept[-1]["step"] if kept else None
        self._start = self._clock() - (float(kept[-1].get("seconds", 0.0)) if kept else 0.0)
        self._file = (Path(os.devnull) if self._silent else self.path).open("a", encoding="utf-8")

    def truncate_after(self, step: int) -> None:
        """Drop the rows of later steps, which a resumed run writes again; TensorBoard is told to drop them too."""
        self.close()
        self._open(after=step)
        self._purge_step = step + 1

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Append one row; values are numbers or arrays of shape (), and a non-finite one is written as null.

        Raises ValueError for a step that is not after the last one logged, OSError if the disk takes no more.
        """
        if self._failure is not None:
            raise self._failure
        if self._last_step is not None and step <= self._last_step:
            raise ValueError(f"step {step} logged after step {self._last_step}")
        seconds = round(self._clock() - self._start, 3)
        self._file.write(_to_line({"step": int(step), "seconds": seconds, **metrics}))
        self._file.flush()
        writer = self._tensorboard()
        for key, value in metrics.items() if writer is not None else ():
            writer.add_scalar(key, float(value), step)
        self._last_step = step

    def audio(self, tag: str, samples: np.ndarray, sample_rate: int, step: int) -> None:
        """Add a clip (T, C) in [-1, 1] to TensorBoard; a no-op without TensorBoard."""
        writer = self._tensorboard()
        if writer is not None:
            # it takes one or two channels only
            writer.add_audio(tag, np.clip(np.asarray(samples)[:, :2], -1.0, 1.0), step, sample_rate)

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Add a picture, uint8 (height, width, 3), to TensorBoard; a no-op without TensorBoard."""
        writer = self._tensorboard()
        if writer is not None:
            writer.add_image(tag, pixels, step, dataformats="HWC")

    def histogram(self, tag: str, counts: np.ndarray, step: int, *, first: int = 0) -> None:
        """Add how often each of the whole numbers from `first` on was seen to TensorBoard; a no-op without it."""
        writer = self._tensorboard()
        if writer is None:
            return
        values = first + np.arange(len(counts), dtype=np.float64)
        # buckets of some neighbours: what is shown has no room for a thousand
        size = -(-len(counts) // HISTOGRAM_BUCKETS)
        limits = np.append(values[size::size], values[-1] + 1) - 0.5
        writer.add_histogram_raw(
            tag,
            min=float(values[0]),
            max=float(values[-1]),
            num=float(np.sum(counts)),
            sum=float(values @ counts),
            sum_squares=float(values**2 @ counts),
            bucket_limits=limits.tolist(),
            bucket_counts=np.add.reduceat(counts, np.arange(0, len(counts), size)).astype(float).tolist(),
            global_step=step,
        )

    def close(self) -> None:
        """Flush and close the files; may be called twice."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _tensorboard(self) -> Any:
        folder = self._tensorboard_dir
        if self._writer is None and folder is not None:
            from tensorboardX import SummaryWriter

            # its files are named by the second and opened for writing: a run resumed at once would empty the former one
            number = len(list(folder.glob("events*")))
            self._writer = SummaryWriter(
                str(folder), purge_step=self._purge_step, flush_secs=10, filename_suffix=f".{number}"
            )
            # a full disk would end its thread with a page, and the run would wait for that thread for ever
            events = self._writer.file_writer.event_writer._ev_writer
            for name in ("write_event", "flush", "close"):
                setattr(events, name, self._kept(getattr(events, name)))
        return self._writer

    def _kept(self, write: Callable[..., object]) -> Callable[..., None]:
        """`write`, whose error is kept for the next `log`."""

        def written(*arguments: Any) -> None:
            try:
                write(*arguments)
            except OSError as error:
                self._failure = error
            except ValueError:  # of a file that such an error has closed
                if self._failure is None:
                    raise

        return written


def _to_line(row: Mapping[str, Any]) -> str:
    def number(value: Any) -> int | float | str | None:
        if isinstance(value, int | str):
            return value
        value = float(value)
        # seven digits are what float32 holds; JSON knows neither NaN nor infinity
        return float(f"{value:.7g}") if math.isfinite(value) else None

    return json.dumps({key: number(value) for key, value in row.items()}) + "\n"
