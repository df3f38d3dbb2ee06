"""What every source of training examples has in common: purity in (seed, k), silence rejection, random gain."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Required, TypedDict

import numpy as np

from zoo.errors import ZooError

N_EXAMPLES = 2**32 - 1
"""Length of a source: as many examples as a uint32 can number."""
DRAWS = 11
"""Draws an example is given to be loud enough: one and ten more; the last is kept as it is."""
_MAX_FAILURES = 100
_PAIRS = 128


def example_rng(seed: int, k: int) -> np.random.Generator:
    """The random stream of example k: counter-based Philox keyed on (seed, k), so it needs no stream before it."""
    mask = 2**64 - 1
    return np.random.Generator(np.random.Philox(key=np.array([seed & mask, k & mask], np.uint64)))


def sound_db(samples: np.ndarray, *, full_scale: float = 1.0) -> float:
    """Root mean square of (T, C) in dBFS, of each channel about its mean; −inf for silence.

    A square wave between ±`full_scale` has 0 dB. A constant offset is inaudible and does not count.
    """
    values = np.ascontiguousarray(samples.T, np.float64)  # sums along a short last axis take ten times as long
    offsets = float(np.sum(values.sum(axis=1) ** 2)) / len(samples)
    power = (float(np.einsum("ct,ct->", values, values)) - offsets) / (samples.size * full_scale**2)
    return 10 * float(np.log10(power)) if power > 0 else -np.inf


def random_gain(
    rng: np.random.Generator,
    samples: np.ndarray,
    gain_db: float,
    *,
    full_scale: float = 1.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Scales by a gain uniform in ±gain_db, then down to a peak of 1 if it exceeds that.

    A sample of `full_scale`, such as 32768 in 16-bit audio, counts as 1; the float32 result is written to `out`.
    """
    gain = 10 ** (gain_db * (2 * rng.random() - 1) / 20)
    peak = _peak(samples) / full_scale * gain
    scaled = np.multiply(samples, np.float32(gain / max(peak, 1.0) / full_scale), out=out, dtype=np.float32)
    return np.clip(scaled, -1, 1, out=scaled) if peak > 0.999 else scaled  # what is below cannot round to above 1


def is_loud(samples: np.ndarray, silence_db: float, *, full_scale: float = 1.0) -> bool:
    """Whether `sound_db` is at least `silence_db`, mostly seen from a few pairs of samples."""
    step = max(1, len(samples) // (2 * _PAIRS))
    second = samples[step :: 2 * step]
    apart = np.subtract(samples[:: 2 * step][: len(second)], second, dtype=np.float32).reshape(-1)
    # two samples have at least half the square of their difference in power about any mean; a hair more is asked for,
    # so that rounding decides nothing
    if 0.5 * np.dot(apart, apart) > 1.0001 * samples.size * 10 ** (silence_db / 10) * full_scale**2:
        return True
    return sound_db(samples, full_scale=full_scale) >= silence_db


def _peak(samples: np.ndarray) -> float:
    # not by np.abs, in which -32768 has no positive counterpart; two passes of these take less time, too
    return max(float(samples.max()), -float(samples.min()))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A crop (T, C) of floats or integers, what its random stream goes on with, and how it came to be this one."""

    samples: np.ndarray
    rng: np.random.Generator
    draws: int
    """readable ones: all but the last were silent"""
    loud: bool
    """whether the last was not"""


@dataclass(frozen=True)
class HeldOutFile:
    """A file on which a run is measured and never trained: its path in the library, its group, and how long it is."""

    name: str
    group: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Recording:
    """A whole file of a library: its name, its group, whether it is held out, and its samples."""

    name: str
    group: str
    held_out: bool
    seconds: float
    identity: tuple[object, ...]
    """changes where the samples may have changed"""
    blocks: Callable[[], Iterator[np.ndarray]]
    """float32 (m, C) after one another, at the source's rate and with its channels; raises ZooError"""


class CropOptions(TypedDict, total=False):
    """What every source is told of its crops, as `CropSource` takes it."""

    segment_samples: Required[int]
    sample_rate: Required[int]
    channels: Required[int]
    seed: int
    gain_db: float
    silence_db: float


class CropSource(abc.ABC):
    """Random access to training crops: `source[k]` is {"audio": float32 (T, C) in [-1, 1], "index": uint32 k}.

    Example k, its file, position, gain and rejected draws included, is a pure function of (seed, k): neither the order
    of access nor the thread matters. Raises ZooError if a hundred draws of one example cannot be read.
    """

    full_scale = 1.0
    """the sample value of a crop as it is drawn that stands for 1"""
    held_out: Sequence[HeldOutFile] = ()
    """files of which there are no crops"""
    seconds = 0.0
    """duration of all files together, held out or not"""

    def __init__(
        self,
        *,
        segment_samples: int,
        sample_rate: int,
        channels: int,
        seed: int = 0,
        gain_db: float = 6.0,
        silence_db: float = -60.0,
    ):
        for name, value in (("segment", segment_samples), ("sample_rate", sample_rate), ("channels", channels)):
            if value < 1:
                raise ZooError(f"data: {name} must be at least 1, got {value}")
        if not gain_db >= 0:
            raise ZooError(f"data.gain_db must not be negative, got {gain_db}")
        self.segment_samples = segment_samples
        self.sample_rate = sample_rate
        self.channels = channels
        self.seed = seed
        self.gain_db = gain_db
        self.silence_db = silence_db

    @abc.abstractmethod
    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray | None:
        """One crop (T, C), of floats or integers, or None if it cannot be read (which has been reported)."""

    def inventory(self) -> dict[str, int]:
        """Frames of each file, held out or not, by its name in the library; empty where there are no files."""
        return {}

    def recordings(self) -> list[Recording]:
        """The files as wholes, held out or not; of the embedded generator, as many clips as make a small library."""
        raise NotImplementedError(f"{type(self).__name__} has no whole recordings")

    def read_held_out(self, number: int, start_s: float, n_samples: int) -> np.ndarray | None:
        """Float32 (T, C) of a held-out file: `n_samples`, or all that it has, from `start_s` or a little earlier on.

        None if it cannot be read, which has been reported.
        """
        raise IndexError(f"held-out file {number} of {len(self.held_out)}")

    def __len__(self) -> int:
        return N_EXAMPLES

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        audio = np.empty((self.segment_samples, self.channels), np.float32)
        self._fill(audio, k)
        return {"audio": audio, "index": np.asarray(k, np.uint32)}

    def batch(self, examples: Sequence[int]) -> dict[str, np.ndarray]:
        """These examples together: {"audio": float32 (B, T, C), "index": uint32 (B,)}."""
        audio = np.empty((len(examples), self.segment_samples, self.channels), np.float32)
        for row, k in zip(audio, examples):
            self._fill(row, k)
        return {"audio": audio, "index": np.asarray(examples, np.uint32)}

    def drawn(self, k: int) -> Drawn:
        """The crop of example k as it is drawn, before its gain."""
        if not 0 <= k < N_EXAMPLES:
            raise IndexError(f"example {k} of {N_EXAMPLES}")
        rng = example_rng(self.seed, k)
        draws = 0
        for attempt in range(DRAWS + _MAX_FAILURES):
            samples = self._draw(rng, k, attempt)
            if samples is None:
                continue
            draws += 1
            loud = is_loud(samples, self.silence_db, full_scale=self.full_scale)
            if loud or draws == DRAWS:
                return Drawn(samples, rng, draws, loud)
        raise ZooError(f"data: no readable crop for example {k} in {DRAWS + _MAX_FAILURES} draws")

    def _fill(self, out: np.ndarray, k: int) -> None:
        """Writes example k to `out` (T, C)."""
        drawn = self.drawn(k)
        random_gain(drawn.rng, drawn.samples, self.gain_db, full_scale=self.full_scale, out=out)
