"""Processes forked from one that has imported everything: they begin as those of a command do, seconds sooner.

Nothing has been computed before the fork, so that flags, devices and coordinators of each are its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["train.run.loop", "orbax.checkpoint", "grain", "soundfile", "zoo.synth"])


@dataclass(frozen=True)
class Forked:
    """A process, and the file that has what it writes to both of its streams."""

    process: BaseProcess
    output: Path

    def ended(self, timeout_s: float) -> tuple[int, str]:
        """Its exit status and what it has written; raises TimeoutError where it goes on for longer."""
        self.process.join(timeout_s)
        status, said = self.process.exitcode, self.output.read_text(errors="replace")
        if status is None:
            raise TimeoutError(f"still running after {timeout_s:g} s:\n{said[-3000:]}")
        return status, said


def start(
    function: Callable[..., object],
    *arguments: object,
    output: Path,
    environment: Mapping[str, str] | None = None,
    settings: Mapping[str, object] | None = None,
    folder: Path | None = None,
) -> Forked:
    """Starts a process that calls a function of a module, and ends as a script would that calls it.

    `settings` are jax's, which it would have read from the environment before the fork.
    """
    given = (dict(environment or {}), dict(settings or {}), folder or Path.cwd(), output)
    process = _context.Process(target=_call, args=(function, arguments, *given))
    process.start()
    return Forked(process, output)


def _call(
    function: Callable[..., object],
    arguments: tuple[object, ...],
    environment: dict[str, str],
    settings: dict[str, object],
    folder: Path,
    output: Path,
) -> None:
    with open(output, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    os.chdir(folder)
    import jax

    from tests import compiler

    compiler.collect_seldom()
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        function(*arguments)
    finally:
        atexit._run_exitfuncs()  # which multiprocessing would leave out
