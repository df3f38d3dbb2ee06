"""Ctrl-C and SIGTERM end a command by an exception where that can be raised, so that no half-written file stays behind.

Python runs a signal's handler between any two instructions, wherever the program is. What the handler raises is lost
in a callback of the garbage collector's or in `__del__`, and ends the process at once, leaving its files, where the C++
of an extension calls Python and expects no exception (as soxr's does while it is imported). So it waits for a moment
when our own code is running. In other people's code it loses patience, but never in an import; and what is lost is
raised again.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 0.02
"""until a signal is looked at again that came at a bad moment"""
PATIENCE_S = 2.0
"""after which it is raised in other people's code, too"""
_OURS = {"zoo", "train", "evaluate", "configs", "__main__", "runpy"}
_HARMLESS = {"contextlib", "threading", "concurrent", "queue"}
"""modules of Python's in which our own code waits, and which ask nothing of extensions"""


class _Pending:
    """The first signal that came, until it is raised; a second one is raised at once."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._looked = 0
        self._raised: BaseException | None = None
        self._report = sys.unraisablehook

    def handle(self, number: int, frame: FrameType | None) -> None:
        if number in SIGNALS:
            impatient, self._number = self._number is not None, number
        else:  # the timer's
            impatient = self._looked * AGAIN_S >= PATIENCE_S
        if self._number is None:
            return
        running = _running(frame)
        if "importlib" in running or not (impatient or running <= _OURS | _HARMLESS):
            self._look_again()
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        number, self._number, self._looked = self._number, None, 0
        self._raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        raise self._raised

    def lost(self, info: Any) -> None:
        """Is told of exceptions that are lost."""
        if info.exc_value is not self._raised:
            self._report(info)
            return
        self._number = signal.SIGINT if isinstance(info.exc_value, KeyboardInterrupt) else signal.SIGTERM
        self._look_again()

    def _look_again(self) -> None:
        self._looked += 1
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _running(frame: FrameType | None) -> set[str]:
    """The packages whose functions are running."""
    names = set()
    while frame is not None:
        names.add(str(frame.f_globals.get("__name__")).removeprefix("_frozen_").partition(".")[0])
        frame = frame.f_back
    return names


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Makes SIGINT raise KeyboardInterrupt and SIGTERM SystemExit with the shell's status while inside, as said above.

    One that is ignored, as a shell has it for SIGINT in the background, stays so. Outside of the main thread, where
    Python takes no handlers, signals do what they did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending = _Pending()
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, pending.handle) for number in (*heeded, signal.SIGALRM)}
    report = sys.unraisablehook
    sys.unraisablehook = told = pending.lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if sys.unraisablehook is told:  # others may have put theirs around it
            sys.unraisablehook = report
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
