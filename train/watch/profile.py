"""`--profile FIRST:LAST`: a trace of some steps by jax's profiler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from train.devices import processes
from zoo.errors import ZooError


@dataclass(frozen=True)
class Steps:
    """Steps of this start of the run, the first being 1; both ends are traced."""

    first: int
    last: int


def parse(text: str) -> Steps:
    """FIRST:LAST; raises ZooError for anything else."""
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ZooError(f"--profile {text}: not FIRST:LAST, such as 20:25, with 1 <= FIRST <= LAST")
    return Steps(int(found[1]), int(found[2]))


def check(text: str, n_steps: int) -> Steps:
    """What `parse` gives; raises ZooError where it is malformed or beyond the steps that there are."""
    steps = parse(text)
    if steps.last > n_steps:
        raise ZooError(f"--profile {text}: this start of the run has only {n_steps} steps")
    return steps


class Profiler:
    """Traces the steps of `text` into `workdir`/profile; with None, or beside process 0, it does nothing.

    Raises ZooError for a text that is malformed, or asks for more than the `n_steps` of this start of the run.
    """

    def __init__(self, text: str | None, workdir: Path, n_steps: int) -> None:
        steps = None if text is None else check(text, n_steps)
        self._steps = steps if processes.is_first() else None
        self._folder = workdir / "profile"
        self._tracing = False

    def before(self, n: int, running: Any) -> None:
        """Called before the n-th step of this start is dispatched, with results of the one before it."""
        if self._steps is not None and n == self._steps.first:
            jax.block_until_ready(running)
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True

    def after(self, n: int, running: Any) -> str | None:
        """Called after it, with its results; says what to look at once the last one is done."""
        if self._steps is None or n != self._steps.last or not self._tracing:
            return None
        jax.block_until_ready(running)
        self.close()
        return (
            f"profile of {self._steps.last - self._steps.first + 1} steps in {self._folder}: open its *.trace.json.gz "
            f"at https://ui.perfetto.dev, or pip install xprof; xprof --logdir {self._folder}"
        )

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()  # a run that stops early keeps what there is

    def close(self) -> None:
        """Ends a trace that is under way."""
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()
