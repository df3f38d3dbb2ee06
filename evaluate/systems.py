"""What can be measured: the protocol of all systems, and loaded codecs as such, at each of their levels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from zoo import coding
from zoo.coding import CodedFile
from zoo.errors import ZooError
from zoo.ready import ReadyCodec


@dataclass(frozen=True, eq=False)
class Coded:
    """What came back: samples (T, C) in the format that went in, the bytes in between, and the seconds it took."""

    samples: np.ndarray
    n_bytes: int
    """of the whole file"""
    payload_bytes: int
    """of coded audio in it: the rest is headers, checksums, seek table"""
    encode_s: float
    decode_s: float


class System(Protocol):
    """Whatever turns audio into bytes and back: a codec at one level, or a rival.

    `process` takes and gives float32 (T, channels) at `sample_rate` Hz; a few samples more or less at the end are
    mended by the caller. Its times never include compilation. `max_delay_s` is 0 unless the system is known to shift
    its output.
    """

    @property
    def name(self) -> str: ...

    @property
    def level(self) -> int | None: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def max_delay_s(self) -> float: ...

    @property
    def identity(self) -> str:
        """What its results depend on besides the clip: weights, settings."""
        ...

    @property
    def coder(self) -> str:
        """Libraries that code and decode, with their versions; empty for a codec of ours."""
        ...

    def process(self, samples: np.ndarray) -> Coded: ...


@dataclass(frozen=True, eq=False)
class CodecSystem:
    """A loaded codec at one level, measured through real `.zac` files.

    It is fed audio at `sample_rate` Hz with `channels` (default: the codec's own). Raises ZooError for a level that the
    codec has not.
    """

    codec: ReadyCodec
    name: str
    level: int = -1
    """-1 = the codec's default"""
    sample_rate: int = 0
    channels: int = 0
    max_delay_s: float = 0.0
    _warm: set[float] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if self.level < -1 or self.level >= self.codec.n_levels:
            raise ZooError(f"{self.name}: level {self.level} is not between 0 and {self.codec.n_levels - 1}")
        defaults = {
            "level": (-1, self.codec.default_level),
            "sample_rate": (0, self.codec.sample_rate),
            "channels": (0, self.codec.channels),
        }
        for name, (unset, default) in defaults.items():
            if getattr(self, name) == unset:
                object.__setattr__(self, name, default)

    @property
    def identity(self) -> str:
        return f"codec {self.codec.digest.hex()}"

    @property
    def coder(self) -> str:
        return ""

    def process(self, samples: np.ndarray) -> Coded:
        """Codes (T, channels) to a `.zac` file in memory and decodes that."""
        return _timed(self.codec, self._compress, samples, self.level, self._warm)

    def _compress(self, samples: np.ndarray) -> CodedFile:
        return coding.compress(self.codec.engine, samples, self.sample_rate, level=self.level)


@dataclass(frozen=True, eq=False)
class RatedSystem:
    """A loaded codec at a bitrate, of the payload in kbps, which every clip keeps to by itself.

    What `zoo encode --bitrate` does. A clip whose lowest level already costs more is coded at that.
    """

    codec: ReadyCodec
    codec_name: str
    kbps: float
    sample_rate: int
    channels: int
    level: int | None = None
    max_delay_s: float = 0.0
    _warm: set[float] = field(default_factory=set, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.kbps < math.inf:
            raise ZooError(f"{self.name}: a bitrate must be above 0, and finite")

    @property
    def name(self) -> str:
        return f"{self.codec_name}:{self.kbps:g}"

    @property
    def identity(self) -> str:
        return f"codec {self.codec.digest.hex()} at {self.kbps:g} kbps"

    @property
    def coder(self) -> str:
        return ""

    def process(self, samples: np.ndarray) -> Coded:
        """Codes (T, channels) to a `.zac` file in memory and decodes that."""
        return _timed(self.codec, self._compress, samples, self.kbps, self._warm)

    def _compress(self, samples: np.ndarray) -> CodedFile:
        try:
            return coding.compress(self.codec.engine, samples, self.sample_rate, bitrate=self.kbps)
        except ZooError:  # of other causes the second attempt fails, too
            return coding.compress(self.codec.engine, samples, self.sample_rate, level=0)


def _timed(
    codec: ReadyCodec,
    compress: Callable[[np.ndarray], CodedFile],
    samples: np.ndarray,
    point: float,
    warm: set[float],
) -> Coded:
    """Codes and decodes samples; at an operating point that is not `warm` once more before, for the compiler."""
    if point not in warm:
        codec.decompress(compress(samples).data)
        warm.add(point)
    start = time.perf_counter()
    file = compress(samples)
    between = time.perf_counter()
    decoded = codec.decompress(file.data).audio
    end = time.perf_counter()
    return Coded(decoded, len(file.data), file.payload_bytes, between - start, end - between)


def codec_systems(
    codec: ReadyCodec,
    name: str,
    levels: str | Sequence[int] = "default",
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> list[CodecSystem]:
    """The systems of a codec at "all" levels, at the "default" one, or at those listed; compiled code is shared."""
    if levels == "all":
        chosen: Sequence[int] = range(codec.n_levels)
    elif levels == "default":
        chosen = [codec.default_level]
    elif isinstance(levels, str):
        raise ZooError(f"levels {levels!r}: choose all, default or numbers")
    else:
        chosen = levels
    for level in chosen:
        if level < 0:
            raise ZooError(f"{name}: level {level} is not between 0 and {codec.n_levels - 1}")
    warm: set[float] = set()
    return [CodecSystem(codec, name, level, sample_rate or 0, channels or 0, _warm=warm) for level in chosen]
