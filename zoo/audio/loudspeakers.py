"""Which loudspeaker each channel is for, and how more than two channels become two or one.

Recommendation ITU-R BS.775-4, annex 4: the centre goes to both sides at −3 dB, a surround channel to its own side at −3
dB, the low-frequency channel is left out; mono is both sides together at −3 dB. All is then scaled so that no sum of
channels at full scale exceeds it.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from zoo.audio.samples import mix_channels

Downmix = Literal["mix", "first"]
"""how more channels than are wanted become as many: mixed, or the first ones of them"""
Layout = tuple[str, ...]
"""a loudspeaker to each channel, in the order of the channels"""

NAMES = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip
"""front, back, side and top; left, right and centre: by the bits of the mask in a WAV file, which is their order too"""
_USUAL_MASKS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
"""by the number of channels: what FLAC and Opus define, and WAV without a mask is taken for"""
_MINUS_3_DB = 0.5**0.5
_SIDES = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FLC": (1.0, 0.0), "FRC": (0.0, 1.0), "FC": (_MINUS_3_DB, _MINUS_3_DB),
    "BC": (0.5, 0.5), "LFE": (0.0, 0.0), "TC": (0.5, 0.5), "TFC": (0.5, 0.5), "TBC": (0.5, 0.5),
    **dict.fromkeys(("BL", "SL", "TFL", "TBL"), (_MINUS_3_DB, 0.0)),
    **dict.fromkeys(("BR", "SR", "TFR", "TBR"), (0.0, _MINUS_3_DB)),
}  # fmt: skip
"""gains to left and right"""


def layout_of(channels: int, mask: int | None = None) -> Layout:
    """The loudspeakers of a mask as WAV has it, or the usual ones where there is none; empty where none are meant."""
    mask = _USUAL_MASKS.get(channels, 0) if mask is None else mask
    named = tuple(name for bit, name in enumerate(NAMES) if mask >> bit & 1)
    return named if len(named) == channels else ()


def mask_of(layout: Layout) -> int | None:
    """The inverse of `layout_of`; None where the channels are not in the order of a WAV file."""
    places = [NAMES.index(name) for name in layout if name in NAMES]
    return sum(1 << place for place in places) if places and places == sorted(set(places)) else None


def take(block: np.ndarray, channels: int, *, downmix: Downmix = "mix", layout: Layout = ()) -> np.ndarray:
    """Makes `channels` of the samples (T, C), float32: of fewer channels copies, as `mix_channels` does.

    Of more than two that belong to loudspeakers, "mix" makes what BS.775 says, of others the mean.
    """
    own = block.shape[1]
    if channels >= own:
        return mix_channels(block, channels)
    if downmix == "first":
        return block[:, :channels]
    if own > 2 and channels <= 2 and len(layout) == own and (gains := _gains(layout, channels)) is not None:
        return block @ gains
    return mix_channels(block, channels)


@functools.lru_cache
def _gains(layout: Layout, channels: int) -> np.ndarray | None:
    """What each channel adds to each of one or two, (C, channels) float32; None where they are not known."""
    if not set(layout) <= set(_SIDES):
        return None
    gains = np.array([_SIDES[name] for name in layout])
    if channels == 1:
        gains = gains.sum(axis=1, keepdims=True) * _MINUS_3_DB
    largest = gains.sum(axis=0).max()
    return (gains / largest).astype(np.float32) if largest > 0 else None
