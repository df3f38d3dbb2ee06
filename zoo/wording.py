"""Quantities and lists as they are read, in messages and reports."""

from collections.abc import Iterable


def speed(audio_s: float, wall_s: float) -> str:
    """Seconds of audio per second as a reader wants them: "31× real time", and two digits where it is slow."""
    ratio = audio_s / max(wall_s, 1e-9)
    return f"{ratio:.0f}× real time" if ratio >= 9.95 else f"{ratio:.2g}× real time"


def counted(n: int, noun: str) -> str:
    """A number of things as it is read: "1 channel", "2 channels", "1,200 files"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def some(names: Iterable[str], separator: str = ", ") -> str:
    """The first three of several names, and how many more there are: "a, b, c and 2 more"."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return separator.join(names[:3]) + more
