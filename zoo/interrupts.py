"""Ctrl-C and SIGTERM end a command by an exception where that can be raised, so that no half-written file stays behind.

Python runs a signal's handler between any two instructions, wherever the program is. What the handler raises is lost
in a callback of the garbage collector's, and ends the process at once, leaving its files, where the C++ of an extension
calls Python and expects no exception (as soxr's does while it is imported). So it waits for a moment when our own code
is running; in other people's code it loses patience, but not in those two places.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Iterator
from types import FrameType

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

    def handle(self, number: int, frame: FrameType | None) -> None:
        if number in SIGNALS:
            impatient, self._number = self._number is not None, number
        else:  # the timer's
            impatient = self._looked * AGAIN_S >= PATIENCE_S
        if self._number is None:
            return
        modules, codes = _stack(frame)
        bad = "importlib" in modules or not codes.isdisjoint(getattr(c, "__code__", None) for c in gc.callbacks)
        if bad or not (impatient or modules <= _OURS | _HARMLESS):
            self._looked += 1
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        number, self._number, self._looked = self._number, None, 0
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _stack(frame: FrameType | None) -> tuple[set[str], set[object]]:
    """The packages and the code of all functions that are running."""
    modules, codes = set(), set[object]()
    while frame is not None:
        modules.add(str(frame.f_globals.get("__name__")).removeprefix("_frozen_").partition(".")[0])
        codes.add(frame.f_code)
        frame = frame.f_back
    return modules, codes


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """While inside, SIGINT raises KeyboardInterrupt and SIGTERM SystemExit with the shell's status, as said above.

    Outside of the main thread, where Python takes no handlers, signals do what they did before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handle = _Pending().handle
    former = {number: signal.signal(number, handle) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
