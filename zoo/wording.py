"""Quantities as they are read, in messages and reports."""


def speed(audio_s: float, wall_s: float) -> str:
    """Seconds of audio per second as a reader wants them: "31× real time", and two digits where it is slow."""
    ratio = audio_s / max(wall_s, 1e-9)
    return f"{ratio:.0f}× real time" if ratio >= 9.95 else f"{ratio:.2g}× real time"


def counted(n: int, noun: str) -> str:
    """A number of things as it is read: "1 channel", "2 channels", "1,200 files"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"
