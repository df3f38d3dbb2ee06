"""Time and pitch of a waveform, each without the other, in blocks of any size at constant memory.

harmonic part → phase vocoder with long windows ┐
percussive part → overlap-add of short windows  ┴ sum → (for pitch) resampling
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo import arguments
from zoo.audio.arrays import as_audio, as_block
from zoo.audio.resampler import Resampler
from zoo.coding.clips import as_batch
from zoo.editing.overlap_add import ShortOverlapAdd
from zoo.editing.phase_vocoder import PhaseVocoder
from zoo.editing.separation import Parts, Separator
from zoo.errors import ZooError

FACTORS = (0.1, 10.0)
MOST_SEMITONES = 36.0
FINE = 64
"""steps of a Hz in which a pitch is a ratio of sample rates: at 8 kHz within 0.002 cents"""


class Stretcher:
    """Audio in blocks (m, C) to audio `factor` times as long at the same pitch; in all round(T · factor) samples.

    However a signal is cut into blocks, the outputs together are the same.
    """

    def __init__(self, factor: float, sample_rate: int, channels: int) -> None:
        """Raises ZooError for a factor outside `FACTORS`, and for other values without sense."""
        sample_rate, channels = arguments.sample_rate(sample_rate), arguments.count(channels, "channels")
        self._factor, self._channels = check_factor(factor), channels
        self._separator = Separator(sample_rate, channels)
        self._vocoder = PhaseVocoder(self._factor, sample_rate, channels)
        self._short = ShortOverlapAdd(self._factor, sample_rate, channels)
        none = np.zeros((0, channels), np.float32)
        self._harmonic, self._percussive = none, none

    def push(self, block: Any) -> np.ndarray:
        """Samples (m', C) that (m, C) makes known; m' may be 0. Raises ZooError as `zoo.audio.arrays.as_block`."""
        samples = as_block(block, self._channels)
        if self._factor == 1:
            return samples
        return self._add(self._separator.push(samples))

    def finish(self) -> np.ndarray:
        """The rest."""
        if self._factor == 1:
            return self._harmonic
        known = self._add(self._separator.finish())
        harmonic = np.concatenate([self._harmonic, self._vocoder.finish()])
        percussive = np.concatenate([self._percussive, self._short.finish()])
        return np.concatenate([known, harmonic + percussive])

    def _add(self, parts: Parts) -> np.ndarray:
        harmonic = np.concatenate([self._harmonic, self._vocoder.push(parts.harmonic)])
        percussive = np.concatenate([self._percussive, self._short.push(parts.percussive)])
        n = min(len(harmonic), len(percussive))
        self._harmonic, self._percussive = harmonic[n:], percussive[n:]
        return harmonic[:n] + percussive[:n]


class PitchShifter:
    """Audio in blocks (m, C) to audio of another pitch and the same length: stretched, then played that much faster."""

    def __init__(self, semitones: float, sample_rate: int, channels: int) -> None:
        """Raises ZooError for more than ±MOST_SEMITONES, and for other values without sense."""
        sample_rate = arguments.sample_rate(sample_rate)
        fast, self._rate = pitch_rates(semitones, sample_rate)
        self._n_samples = 0
        self._stretcher = Stretcher(fast / self._rate, sample_rate, channels)
        self._resampler = Resampler(fast, self._rate, channels)

    def push(self, block: Any) -> np.ndarray:
        """Samples (m', C) that (m, C) makes known; m' may be 0. Raises ZooError as `zoo.audio.arrays.as_block`."""
        stretched = self._stretcher.push(block)
        self._n_samples += len(block)
        return self._resampler.push(stretched)

    def finish(self) -> np.ndarray:
        """The rest: as many samples as went in have then come out."""
        known = self._resampler.push(self._stretcher.finish())
        return np.concatenate([known, self._resampler.finish(self._n_samples)])


def stretch(audio: Any, sample_rate: int, factor: float) -> np.ndarray:
    """Audio (T,), (T, C) or (B, T, C), float32, of round(T · factor) samples at the same pitch.

    Raises ZooError for audio that `zoo.audio.arrays.as_audio` does not take, and for a factor outside `FACTORS`.
    """
    rate = arguments.sample_rate(sample_rate)
    return _each(audio, lambda channels: Stretcher(factor, rate, channels))


def pitch(audio: Any, sample_rate: int, semitones: float) -> np.ndarray:
    """Audio (T,), (T, C) or (B, T, C), float32 of the same shape, higher by so many semitones, which may be a fraction.

    Raises ZooError for audio that `zoo.audio.arrays.as_audio` does not take, and for more than ±MOST_SEMITONES.
    """
    rate = arguments.sample_rate(sample_rate)
    return _each(audio, lambda channels: PitchShifter(semitones, rate, channels))


def check_factor(factor: float) -> float:
    """The factor; raises ZooError for one outside `FACTORS`."""
    value = float(arguments.number(factor, "factor"))
    if not FACTORS[0] <= value <= FACTORS[1]:
        raise ZooError(f"factor {value:g} is not between {FACTORS[0]:g} and {FACTORS[1]:g}")
    return value


def pitch_rates(semitones: float, sample_rate: int) -> tuple[int, int]:
    """Two rates: what is resampled from the first to the second sounds higher by so many semitones.

    Raises ZooError for more than ±MOST_SEMITONES.
    """
    value = float(arguments.number(semitones, "semitones"))
    if not abs(value) <= MOST_SEMITONES:
        raise ZooError(f"{value:g} semitones are not between {-MOST_SEMITONES:g} and {MOST_SEMITONES:g}")
    return round(FINE * sample_rate * 2.0 ** (value / 12)), FINE * sample_rate


def _each(audio: Any, process: Any) -> np.ndarray:
    samples = as_audio(audio)
    done = []
    for clip in as_batch(samples):
        stream = process(clip.shape[1])
        done.append(np.concatenate([stream.push(clip), stream.finish()]))
    result = np.stack(done)
    shape = list(samples.shape)
    shape[-2 if samples.ndim > 1 else 0] = result.shape[1]
    return result.reshape(shape)
