"""Lengths that clips of any length are padded to, so that few shapes are compiled."""

from __future__ import annotations


def padded_length(n_samples: int, steps_per_octave: int, smallest: int = 4096) -> int:
    """The next of a few lengths from `smallest` on: so many, evenly spaced, up to twice of it, and so on."""
    if n_samples <= smallest:
        return smallest
    octave = ((n_samples - 1) // smallest).bit_length() - 1
    step = -(-(smallest << octave) // steps_per_octave)
    return -(-n_samples // step) * step
