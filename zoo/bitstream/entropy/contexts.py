"""What is known around a scalar symbol when it is coded, as one integer: its activity.

A packet is coded from coarse to fine in time, like the pictures of a video: first frame 0, then, at distances d that
are powers of two from large to small, the frames d, 3d, 5d, …, each between two that are known already; of a frame
first the even dimensions, then the odd ones, each between two that are known already. So a packet takes a dozen passes,
in each of which all symbols are coded at once, and most symbols have neighbours on all sides.

Magnitudes of symbols are coded as tokens: 0 … 15 are themselves, then four tokens to the octave, whose low bits follow
later. Contexts see a token's smallest magnitude.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BAND_DIMS = 8
"""A stream says per packet how many bands of this many dimensions it uses; what lies above is zero."""
N_GROUPS = 8
"""equal shares of the dimensions, each with its weights"""
N_FEATURES = 6
N_KINDS = 8
"""of passes: even and odd dimensions of frame 0, and of frames at distance 1, 2, and 4 or more"""
WEIGHT_ONE = 256
"""fixed point of weights and activities"""
MARGIN = 3
_DIRECT = 16
_SEEN_MAX = 1023


@dataclass(frozen=True)
class Tokens:
    """Classes of magnitudes 0 … largest; all int32."""

    of: np.ndarray
    """token of each magnitude"""
    base: np.ndarray
    """smallest magnitude of each token"""
    raw_bits: np.ndarray
    """low bits of a magnitude that its token leaves open"""
    seen: np.ndarray
    """magnitude that contexts see in a token"""

    @property
    def n(self) -> int:
        return len(self.base)


@functools.cache
def tokens(largest: int) -> Tokens:
    """Tokens of an alphabet whose magnitudes go up to `largest`; never fewer than two."""
    base, raw_bits = [], []
    magnitude = 0
    while magnitude <= max(largest, 1):
        bits = magnitude.bit_length() - 3 if magnitude >= _DIRECT else 0
        base.append(magnitude)
        raw_bits.append(bits)
        magnitude += 1 << bits
    bases = np.array(base, np.int32)
    of = np.searchsorted(bases, np.arange(max(largest, 1) + 1), side="right") - 1
    return Tokens(of.astype(np.int32), bases, np.array(raw_bits, np.int32), np.minimum(bases, _SEEN_MAX))


@dataclass(frozen=True)
class Pass:
    """One pass: frames `frames` at `distance` (0: frame 0) from known ones, dimensions of `parity`."""

    distance: int
    frames: slice
    parity: int

    @property
    def kind(self) -> int:
        return 2 * min(self.distance.bit_length(), 3) + self.parity


@functools.cache
def passes(n_frames: int) -> tuple[Pass, ...]:
    """The passes of a packet in their order."""
    found = [Pass(0, slice(0, 1), parity) for parity in (0, 1)]
    distance = 1 << max((n_frames - 1).bit_length() - 1, 0)
    while distance and n_frames > 1:
        found += [Pass(distance, slice(distance, None, 2 * distance), parity) for parity in (0, 1)]
        distance >>= 1
    return tuple(found) if n_frames else ()


def groups(n_dims: int, n_unsigned: int = 0) -> np.ndarray:
    """Group of each dimension: one of the unsigned dimensions, and equal shares of the others."""
    first = int(n_unsigned > 0)
    signed = n_dims - n_unsigned
    shares = first + np.arange(signed) * (N_GROUPS - first) // max(signed, 1)
    return np.concatenate([np.zeros(n_unsigned, shares.dtype), shares])


def margins(shape: tuple[int, int, int]) -> np.ndarray:
    """Magnitudes zero of (N, F, Q) symbols, with MARGIN more dimensions at either end, which stay zero."""
    return np.zeros((*shape[:2], shape[2] + 2 * MARGIN), np.int32)


def features(seen: np.ndarray, step: Pass) -> Iterator[tuple[int, np.ndarray]]:
    """The sums of known magnitudes (N, frames, dims of the parity) around the symbols of a pass, by feature.

    `seen` (N, F, MARGIN + Q + MARGIN) int32 need be right only where earlier passes were. Absent features are zero.
    """
    n_dims = seen.shape[2] - 2 * MARGIN

    def at(x: np.ndarray, offset: int) -> np.ndarray:
        return x[:, :, MARGIN + step.parity + offset : MARGIN + n_dims + offset : 2]

    if step.distance:
        known = seen[:, :: 2 * step.distance]
        index = np.arange(len(range(*step.frames.indices(seen.shape[1]))))
        last = known.shape[1] - 1
        near = known[:, : len(index)] + known[:, np.minimum(index + 1, last)]
        yield 0, at(near, 0)
        yield 1, at(near, -1) + at(near, 1)
        yield 2, at(near, -2) + at(near, 2)
        yield 3, at(known, 0)[:, np.maximum(index - 1, 0)] + at(known, 0)[:, np.minimum(index + 2, last)]
    if step.parity:
        current = seen[:, step.frames]
        yield 4, at(current, -1) + at(current, 1)
        yield 5, at(current, -3) + at(current, 3)


def activity(seen: np.ndarray, step: Pass, base: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Expected magnitudes int32 (N, frames, dims of the parity) of a pass, in 1 / WEIGHT_ONE.

    base (N_KINDS, Q), weights (N_KINDS, Q, N_FEATURES): those of a dimension's group.
    """
    dims = slice(step.parity, seen.shape[2] - 2 * MARGIN, 2)
    n_frames = len(range(*step.frames.indices(seen.shape[1])))
    own = base[step.kind, dims]
    total = np.empty((seen.shape[0], n_frames, len(own)), np.int32)
    total[:] = own
    for i, feature in features(seen, step):
        total += feature * weights[step.kind, dims, i]
    return total
