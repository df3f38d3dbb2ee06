"""Levels, and bare codes as a user has them: integers (N, F, Q), with −1 in the place of codes that a frame has not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo.arguments import as_array, whole
from zoo.errors import ZooError
from zoo.nn.bottlenecks import SymbolFormat

UNUSED = -1
"""stands for a code that a frame's level has not, in arrays whose frames differ in their number of codes"""


@dataclass(frozen=True)
class CodePacket:
    """The codes (streams, n, q) of one packet of a file; beyond those of its level they are UNUSED."""

    index: int
    level: int
    codes: np.ndarray

    @property
    def n_frames(self) -> int:
        return int(self.codes.shape[1])


def operating_point(symbols: SymbolFormat, default: int, level: Any = None, n_codebooks: Any = None) -> int:
    """The level that is asked for, maybe by a number of codebooks; raises ZooError for one that there is none of."""
    if n_codebooks is not None and level is not None:
        raise ZooError("n_codebooks and level both say how much to spend: give one of them")
    if n_codebooks is not None:
        if not symbols.level_is_codebooks:
            raise ZooError("n_codebooks is for residual vector quantisation; choose a level for this codec")
        n_codebooks = whole(n_codebooks, "n_codebooks")
        if not 1 <= n_codebooks <= symbols.n_levels:
            raise ZooError(f"n_codebooks {n_codebooks} is not between 1 and {symbols.n_levels}")
        return int(n_codebooks) - 1
    chosen = default if level is None else whole(level, "level")
    if not 0 <= chosen < symbols.n_levels:
        raise ZooError(f"level {chosen} is not between 0 and {symbols.n_levels - 1}")
    return chosen


def check(values: Any, symbols: SymbolFormat, frame_multiple: int) -> np.ndarray:
    """Codes int32 (N, F, q) that a codec of these symbols can have; raises ZooError for others.

    −1 is let pass where levels differ in their number of codes.
    """
    codes = as_array(values, "codes")
    possible = [symbols.n_codes(level) for level in range(symbols.n_levels)]
    integers = np.issubdtype(codes.dtype, np.integer)
    if codes.ndim != 3 or not integers or 0 in codes.shape[:2] or codes.shape[2] not in possible:
        raise ZooError(
            f"codes must be integers (B, F, {possible[-1]}), got {codes.dtype} {codes.shape}; they come from "
            f"encode(...).codes"
        )
    if codes.shape[1] % frame_multiple:
        raise ZooError(f"codes of {codes.shape[1]} frames: this codec's clips have a multiple of {frame_multiple}")
    sizes = symbols.code_sizes(symbols.n_levels - 1)[: codes.shape[2]]
    smallest = UNUSED if symbols.level_is_codebooks else 0
    if codes.size and (codes.min() < smallest or (codes.max(axis=(0, 1)) >= sizes).any()):
        raise ZooError(f"codes out of range: they must lie in [0, size), sizes {sizes.min()}–{sizes.max()}")
    return codes.astype(np.int32)


def levels(codes: np.ndarray, symbols: SymbolFormat, level: int | None = None) -> np.ndarray:
    """Level int (N, F) of each frame of codes that `check` has let pass: by how many codes it has, or `level` for all.

    Raises ZooError where that cannot be known, or a frame has not the codes of a level.
    """
    if not symbols.level_is_codebooks:
        if level is None and symbols.n_levels > 1:
            raise ZooError(
                f"codes do not tell at which of the {symbols.n_levels} levels they were made: decode(codes, level=…), "
                f"or decode what zoo.tokens.load makes of a token file"
            )
        return np.full(codes.shape[:2], level or 0)
    used = codes >= 0
    counts = used.sum(axis=2)
    possible = np.array([symbols.n_codes(level) for level in range(symbols.n_levels)])
    amiss = (used[..., 1:] > used[..., :-1]).any(axis=2) | ~np.isin(counts, possible)
    if amiss.any():
        clip, frame = np.argwhere(amiss)[0]
        raise ZooError(
            f"codes of clip {clip}, frame {frame}: a frame has its first {', '.join(map(str, possible))} codes, and -1 "
            f"for the others; this one is {_row(codes[clip, frame])}"
        )
    if level is None:
        return np.searchsorted(possible, counts)
    if (counts < possible[level]).any():
        clip, frame = np.argwhere(counts < possible[level])[0]
        raise ZooError(f"codes of clip {clip}, frame {frame}: {counts[clip, frame]}, but level {level} has more")
    return np.full(codes.shape[:2], level)


def dequantised(
    codes: np.ndarray, levels: np.ndarray, symbols: SymbolFormat, dequantise: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Latents (N, n, D) of codes (N, n, q) whose frames have the levels (N, n), by a function of codes of one level."""
    first, *others = np.unique(levels)
    # frames of other levels are dequantised too, whatever they hold, and left out
    mine = {level: np.maximum(codes[..., : symbols.n_codes(level)], 0) for level in (first, *others)}
    latents = dequantise(mine[first], int(first))
    for level in others:
        latents = np.where((levels == level)[..., None], dequantise(mine[level], int(level)), latents)
    return latents


def _row(codes: np.ndarray) -> str:
    shown = [str(int(code)) for code in codes[:12]]
    return " ".join(shown + ["…"] * (len(codes) > len(shown)))
