"""Recorded noise from a folder: stretches of long recordings, and short ones repeated without a seam."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluate.silence import STEP, silent
from zoo import audio
from zoo.audio.reader import open_reader
from zoo.console.terminal import printable
from zoo.errors import ZooError

FADE_S = 0.05
PLACES = 4
"""of a long recording that are looked at, of which the first is taken that is no pause"""
PAUSE = 0.03
"""share of the power at the loudest of these places, below which one is a pause"""
BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True)
class Recording:
    """A recorded noise, read anew at each use."""

    path: Path
    name: str
    """its path in the folder"""
    audible: int
    """first sample that is not silent"""

    def draw(self, index: int, n_samples: int, sample_rate: int, channels: int, *, seed: int = 0) -> np.ndarray:
        """A stretch of it, float32 (n_samples, channels) at `sample_rate` Hz: which one, `index` and `seed` decide.

        Channels are mixed to mono, or copied from it, where they are not as many; a recording that is too short is
        repeated, its end fading into its beginning. Raises ZooError for a file that cannot be read.
        """
        rng = np.random.default_rng([seed, index, *self.name.encode()])
        info = audio.probe(self.path)
        if info.seconds * sample_rate < n_samples:
            whole = audio.read(self.path, sample_rate=sample_rate, channels=channels).samples
            return repeated(whole, n_samples, round(FADE_S * sample_rate), start=int(rng.integers(len(whole))))
        latest = (info.n_samples or 0) - math.ceil(n_samples * info.sample_rate / sample_rate)
        found = []
        for start in rng.integers(0, latest + 1, PLACES).tolist():
            found.append(audio.read_crop(info, start, n_samples, sample_rate=sample_rate, channels=channels))
        powers = [float(np.mean(np.var(samples, axis=0))) for samples in found]
        if all(silent(samples).all() for samples in found):
            start = min(self.audible, latest)
            return audio.read_crop(info, start, n_samples, sample_rate=sample_rate, channels=channels)
        return next(samples for samples, power in zip(found, powers) if power >= PAUSE * max(powers))


def find(folder: str | Path) -> list[Recording]:
    """All recordings below a folder, by path; those that are silent or cannot be read are named on standard error.

    Raises ZooError for a folder without audio, or without any that can be used.
    """
    root = Path(folder)
    found, reasons = [], []
    for path in audio.find_files(root):
        try:
            audible = _first_audible(path)
        except ZooError as error:
            reasons.append(str(error))
            continue
        if audible is None:
            reasons.append(f"{path}: is silent")
        else:
            found.append(Recording(path, printable(path.relative_to(root).as_posix()), audible))
    if not found:
        more = f", and so are {len(reasons) - 1} more" if len(reasons) > 1 else ""
        raise ZooError(f"{root}: holds no noise that can be used ({reasons[0]}{more})")
    for reason in reasons:
        print(f"left out {reason}", file=sys.stderr, flush=True)
    return found


def repeated(samples: np.ndarray, n_samples: int, fade: int, *, start: int = 0) -> np.ndarray:
    """`n_samples` of (T, C) from sample `start` on, repeated with its last `fade` samples faded into the first ones.

    The fade keeps the power of noise; it is never longer than a quarter of what is repeated.
    """
    fade = min(fade, len(samples) // 4)
    period = len(samples) - fade
    loop = samples[:period].copy()
    angle = (np.arange(fade, dtype=np.float32)[:, None] + 0.5) * np.float32(np.pi / 2 / max(fade, 1))
    loop[:fade] = samples[:fade] * np.sin(angle) + samples[period:] * np.cos(angle)
    return loop[(start + np.arange(n_samples)) % period]


def _first_audible(path: Path) -> int | None:
    """The sample at which a file is a step of 16 bits away from its first one; None where it never is."""
    position = 0
    first = None
    with open_reader(path) as reader:
        while len(block := reader.read(BLOCK_SAMPLES)):
            first = block[:1] if first is None else first
            audible = (np.abs(block - first) > STEP).any(axis=1)
            if audible.any():
                return position + int(np.argmax(audible))
            position += len(block)
    return None
