"""What every engine offers: a part of a file that is decoded from its beginning to its end, and reading in it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from zoo.audio.loudspeakers import Layout


class Source(Protocol):
    """Samples of an open part, in order from the last `seek` on."""

    sample_rate: int
    channels: int

    @property
    def n_samples(self) -> int | None:
        """None where only reading to the end tells."""
        ...

    warning: str | None
    """a line on what is missing or was left out, known at the latest at the end"""

    def read(self, n: int) -> np.ndarray:
        """The next samples, float32 (m, C) with m ≤ n; none only at the end. Raises ZooError where it is damaged."""
        ...

    def seek(self, sample: int) -> None:
        """Makes `read` go on at `sample`, with what reading from the first sample on gives there."""
        ...

    def close(self) -> None: ...


class Part(Protocol):
    """A stretch of a file and how it is decoded: plain values, all that opening it again takes."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def n_samples(self) -> int | None: ...
    @property
    def sequential(self) -> bool:
        """Whether `seek` has to decode from the first sample on."""
        ...

    @property
    def layout(self) -> Layout:
        """The loudspeakers of the channels; empty where none are meant."""
        ...

    def open(self, path: Path) -> Source: ...


def skip(source: Source, n: int) -> None:
    """Decodes n samples and drops them; fewer where the source ends before."""
    while n > 0 and len(block := source.read(min(n, 1 << 16))):
        n -= len(block)
