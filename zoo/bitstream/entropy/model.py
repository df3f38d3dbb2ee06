"""From codes to bytes and back under a model's integer arrays: `EntropyModel`, and `Fitter` that learns them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zoo.bitstream.entropy import fit_networked, fit_ordered, fit_unordered, networked, ordered, unordered
from zoo.bitstream.entropy.coder import REFUSED
from zoo.errors import BitstreamError, ZooError
from zoo.nn.bottlenecks import SymbolFormat

_PACKET_FRAMES = 96

Kind = Literal["contexts", "network"]


@dataclass(frozen=True, eq=False, repr=False)
class EntropyModel:
    """Codes packets of a codec's symbols; each packet by itself. The format is in zoo/bitstream/FORMAT.md.

    `arrays` are integer arrays of the shapes in `template(symbols, kind_of(arrays))`: all that a decoder must know.
    Raises ZooError where they have other shapes.
    """

    symbols: SymbolFormat
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        wanted = template(self.symbols, kind_of(self.arrays))
        if set(self.arrays) != set(wanted):
            raise ZooError(f"entropy coder: expected arrays {sorted(wanted)}, got {sorted(self.arrays)}")
        for name, array in self.arrays.items():
            if array.shape != wanted[name].shape or array.dtype != wanted[name].dtype:
                raise ZooError(f"entropy coder: {name} is {array.dtype} {array.shape}, expected {wanted[name]}")

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: the coder made of them is built again where a copy, or another process, needs it."""
        return {"symbols": self.symbols, "arrays": self.arrays}

    @functools.cached_property
    def _coder(self) -> ordered.ScalarCoder | unordered.NameCoder:
        if not self.symbols.ordered:
            return unordered.NameCoder(self.symbols, self.arrays)
        coder = networked.NetworkCoder if kind_of(self.arrays) == "network" else ordered.ScalarCoder
        return coder(self.symbols, self.arrays)

    def encode(self, codes: np.ndarray, level: int = 0) -> bytes:
        """One packet of codes int32 (N, F, q): N streams of F frames; q as the level has.

        Its length is about a byte more than `bits` says. Raises ZooError for codes that are none of the level's.
        """
        codes = _unfold(self._check(codes, level), self.symbols)
        return self._coder.encode(codes, level) if codes.size else b""

    def decode(self, payload: bytes, *, n_streams: int, n_frames: int, level: int = 0) -> np.ndarray:
        """Codes int32 (n_streams, n_frames, q) of a packet.

        Raises BitstreamError for any payload but those that `encode` gives for so many streams and frames.
        """
        n_codes = self.symbols.n_codes(level)
        if not n_streams * n_frames * n_codes:
            if payload:
                raise BitstreamError(f"{REFUSED}: there is nothing to code")
            return np.zeros((n_streams, n_frames, n_codes), np.int32)
        subframes = self.symbols.subframes
        codes = self._coder.decode(bytes(payload), n_streams, n_frames * subframes, n_codes // subframes, level)
        return _fold(codes, self.symbols)

    def bits(self, codes: np.ndarray, level: int = 0) -> float:
        """Ideal cost in bits of a packet of codes int32 (N, F, q), before the coder's overhead; errors as `encode`."""
        codes = _unfold(self._check(codes, level), self.symbols)
        return self._coder.bits(codes, level) if codes.size else 0.0

    def _check(self, codes: np.ndarray, level: int) -> np.ndarray:
        codes = np.asarray(codes, np.int32)
        sizes = self.symbols.code_sizes(level)
        if codes.ndim != 3 or codes.shape[2] != len(sizes):
            raise ZooError(f"entropy coder: expected codes (N, F, {len(sizes)}) at level {level}, got {codes.shape}")
        if codes.size and (codes.min() < 0 or (codes.max(axis=(0, 1)) >= sizes).any()):
            raise ZooError("entropy coder: codes out of the range of their codebooks")
        return codes


def _unfold(codes: np.ndarray, symbols: SymbolFormat) -> np.ndarray:
    """Splits long frames (N, F, codebooks · subframes) into short ones (N, F · subframes, codebooks), in order."""
    n_streams, n_frames, n_codes = codes.shape
    folded = codes.reshape(n_streams, n_frames, n_codes // symbols.subframes, symbols.subframes)
    return folded.swapaxes(2, 3).reshape(n_streams, n_frames * symbols.subframes, -1) if codes.size else codes


def _fold(codes: np.ndarray, symbols: SymbolFormat) -> np.ndarray:
    """The inverse of `_unfold`."""
    n_streams, n_subframes, n_codebooks = codes.shape
    unfolded = codes.reshape(n_streams, n_subframes // symbols.subframes, symbols.subframes, n_codebooks)
    return unfolded.swapaxes(2, 3).reshape(n_streams, n_subframes // symbols.subframes, -1)


@dataclass(frozen=True)
class ArrayFormat:
    """Shape and type of an array."""

    shape: tuple[int, ...]
    dtype: Any


def kind_of(arrays: Iterable[str]) -> Kind:
    """Which of the coders of ordered symbols has arrays of these names; the coder of names has contexts."""
    return "network" if "of_dims" in arrays else "contexts"


def template(symbols: SymbolFormat, kind: Kind = "contexts") -> dict[str, ArrayFormat]:
    """The arrays of an `EntropyModel` of these symbols and this kind; only ordered symbols have networks."""
    scalars = networked if kind == "network" else ordered
    shapes = (scalars if symbols.ordered else unordered).template(symbols)
    return {name: ArrayFormat(shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}


class Fitter:
    """Collects a codec's codes on training audio and fits an `EntropyModel` to them."""

    def __init__(self, symbols: SymbolFormat) -> None:
        self._symbols = symbols
        self._parts: list[list[np.ndarray]] = [[] for _ in range(symbols.n_levels if symbols.tables_per_level else 1)]

    @property
    def levels(self) -> Sequence[int]:
        """The levels whose codes it takes: all that have statistics of their own, else the highest."""
        n_levels = self._symbols.n_levels
        return range(n_levels) if self._symbols.tables_per_level else (n_levels - 1,)

    def update(self, codes: np.ndarray, level: int = 0) -> None:
        """Adds codes int32 (N, F, q) of N clips at a level."""
        codes = _unfold(np.asarray(codes), self._symbols)
        kept = codes.astype(np.int16) if max(self._symbols.codebook_sizes, default=1) < 2**15 else codes
        part = self._parts[level if self._symbols.tables_per_level else 0]
        # clips in packets about as long as those of a file
        n = -(-codes.shape[1] // _PACKET_FRAMES)
        part += [packet for packet in np.array_split(kept, max(n, 1), axis=1) if packet.size]

    def fit(self, *, networks: bool = True) -> EntropyModel:
        """The model of all codes so far; without any it takes whatever comes as likely as anything else.

        Of many ordered codes it has `networks`, unless they turn out to foretell no better than contexts, or False.
        """
        if self._symbols.ordered:
            fit = fit_networked.fit_if_better if networks else fit_ordered.fit
            return EntropyModel(self._symbols, fit(self._symbols, self._parts))
        return EntropyModel(self._symbols, fit_unordered.fit(self._symbols, self._parts[0]))
