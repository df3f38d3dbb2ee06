"""Stopping when told to: a run that gets SIGTERM, or Ctrl-C once, ends after the step it is in, and loses nothing."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from types import FrameType
from typing import Any

import jax

SIGNALS = (signal.SIGTERM, signal.SIGINT)
EXIT_STATUS = {signal.SIGTERM: 0, signal.SIGINT: 130}
"""A scheduler asked for the end and got it; Ctrl-C also ends the shell script that the run stands in."""

LAG_STEPS = 2
"""How many steps a process may begin before it learns of what another said before its own step of the same number."""

_runs = itertools.count()


class StoppedError(Exception):
    """A run that ended early because it was told to; all it had done is saved."""

    def __init__(self, message: str, signum: signal.Signals) -> None:
        super().__init__(message)
        self.exit_status = EXIT_STATUS[signum]


class Stopping:
    """A context in which SIGTERM and the first SIGINT only set a flag; the second SIGINT interrupts at once.

    Outside of the main thread, where Python takes no handlers, signals do what they did before.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """the first that came"""
        self._former: dict[signal.Signals, Any] = {}
        self._agreement = _Agreement() if jax.process_count() > 1 else None

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            self._former = {signum: signal.signal(signum, self._receive) for signum in SIGNALS}
        return self

    def __exit__(self, *exc_info: object) -> None:
        for signum, handler in self._former.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number)

    def at(self, step: int) -> bool:
        """Whether the run shall end with `step` steps done; asked once before each step, in order, by every process.

        Of several processes all get the same answer: what one is told, all are, within LAG_STEPS steps.
        """
        if self._agreement is None:
            return self.signal is not None
        if (agreed := self._agreement.stop_at(step, self.signal)) is None:
            return False
        at, self.signal = agreed
        return step >= at

    def stopped(self, step: int, steps: int) -> StoppedError:
        """What to raise once `step` of `steps` steps are saved."""
        assert self.signal is not None
        where = f"after step {step} of {steps}, which is saved" if step else "before its first step"
        then = "evaluates the run" if step == steps else "continues"
        return StoppedError(
            f"stopped by {self.signal.name} {where}: the same command with --resume {then}", self.signal
        )


class _Agreement:
    """The step after which all processes stop, kept by the coordinator: the first process to write it decides.

    A step takes part of every process, and the loop waits for the step before the last. So a process that asks
    before its step n + LAG_STEPS does so after all others have begun step n: it sees what they wrote before that.
    """

    def __init__(self) -> None:
        from jax._src import distributed  # the one way to the coordinator's keys

        self._client: Any = distributed.global_state.client
        self._key = f"codec_zoo/stop/{next(_runs)}"

    def stop_at(self, step: int, signum: signal.Signals | None) -> tuple[int, signal.Signals] | None:
        if signum is not None and self._read() is None:
            with contextlib.suppress(jax.errors.JaxRuntimeError):  # another was faster
                self._client.key_value_set(self._key, f"{step + LAG_STEPS} {int(signum)}")
        return self._read()

    def _read(self) -> tuple[int, signal.Signals] | None:
        try:
            at, signum = self._client.key_value_try_get(self._key).split()
        except jax.errors.JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                return None
            raise
        return int(at), signal.Signals(int(signum))
