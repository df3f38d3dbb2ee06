"""Which channels of a source are coded: all, as many as the codec has, or each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zoo.audio.loudspeakers import Layout, take

Channels = Literal["each", "mix", "first", "surround"]


@dataclass(frozen=True)
class Taken:
    """What becomes of the channels of a source; as a string, what is said of it."""

    how: Channels
    source_channels: int
    layout: Layout
    """the loudspeakers of the source's channels; empty where none are meant"""
    model_channels: int

    @property
    def channels(self) -> int:
        """As many are coded."""
        if self.how in ("each", "surround"):
            return self.source_channels
        return min(self.source_channels, self.model_channels)

    @property
    def apart(self) -> bool:
        """Whether channels that a codec of several cannot take together are coded one by one."""
        return self.how == "surround"

    @property
    def is_whole(self) -> bool:
        """Whether all channels are coded."""
        return self.channels == self.source_channels

    @property
    def is_usual(self) -> bool:
        """Whether nothing needs to be said of it: one or two channels, all of which are coded."""
        return self.source_channels <= 2 and self.is_whole

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The channels (m, channels) that are coded of a block (m, source_channels)."""
        return take(block, self.channels, downmix="first" if self.how == "first" else "mix", layout=self.layout)

    def __str__(self) -> str:
        named = f"{self.source_channels} channels" + (f" ({' '.join(self.layout)})" if self.source_channels > 2 else "")
        named = named.removesuffix(" ()")
        if self.is_whole:
            return f"{named}, each coded"
        if self.how == "first":
            return f"{named}, the first {self.channels} taken"
        known = self.source_channels > 2 and len(self.layout) == self.source_channels
        return f"{named}, mixed to {self.channels} ({'ITU-R BS.775' if known else 'their mean'})"
