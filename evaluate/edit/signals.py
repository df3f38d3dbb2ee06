"""Signals whose pitch, duration and onsets are known, and what is left of these in an edited one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from zoo import features
from zoo.synth import instruments
from zoo.synth.core import generator

TONE_S = 1.5
SILENCE_S = 0.25
SINES_HZ = (110.0, 440.0, 1760.0)
HARMONIC_HZ = (98.0, 233.0)
PARTIALS = 10
DRUM_S = 5.0
NEAR_S = 0.05
"""within which an onset counts as found"""
SEARCH_CENTS = 80.0
ENVELOPE_S = 0.002
_SEED = 1 << 20


@dataclass(frozen=True, eq=False)
class Tone:
    """Partials of equal amplitude at multiples of `hz`, between two silences."""

    name: str
    hz: float
    n_partials: int
    samples: np.ndarray


@dataclass(frozen=True, eq=False)
class Drums:
    """Strokes of drums at `onsets_s`."""

    name: str
    onsets_s: np.ndarray
    samples: np.ndarray


def tones(sample_rate: int) -> list[Tone]:
    """Sines and harmonic tones, (T, 1) float32."""
    t = np.arange(round(TONE_S * sample_rate)) / sample_rate
    ramp = np.minimum(1, np.minimum(t, t[::-1]) / 0.01)
    still = np.zeros(round(SILENCE_S * sample_rate))
    found = []
    for hz, n in [*((hz, 1) for hz in SINES_HZ), *((hz, PARTIALS) for hz in HARMONIC_HZ)]:
        # phases as of Schroeder, so that the peak stays low
        waves = [np.sin(2 * np.pi * k * hz * t - np.pi * k * (k - 1) / n) for k in range(1, n + 1)]
        tone = 0.3 * ramp * np.sum(waves, axis=0) / np.sqrt(n)
        samples = np.concatenate([still, tone, still])[:, None].astype(np.float32)
        found.append(Tone(f"{'sine' if n == 1 else 'harmonics'} {hz:g} Hz", hz, n, samples))
    return found


def drums(sample_rate: int, n: int) -> list[Drums]:
    """Bars of bass drum, snare, hi-hat and tom, strokes 0.2 to 0.45 s apart, (T, 1) float32."""
    found = []
    for i in range(n):
        rng = generator(_SEED, i, True)
        onsets, now = [], 0.3
        while now < DRUM_S - 0.4:
            onsets.append(now)
            now += rng.uniform(0.2, 0.45)
        samples = np.zeros(round(DRUM_S * sample_rate))
        kinds = itertools.cycle(rng.permutation(4).tolist())
        for onset, kind in zip(onsets, kinds):
            stroke = _stroke(kind, rng, sample_rate)
            start = round(onset * sample_rate)
            stroke = stroke[: len(samples) - start]
            samples[start : start + len(stroke)] += 0.5 * stroke / np.abs(stroke).max()
        found.append(Drums(f"drums {i}", np.array(onsets), samples[:, None].astype(np.float32)))
    return found


def _stroke(kind: int, rng: np.random.Generator, rate: int) -> np.ndarray:
    if kind == 0:
        return instruments.cymbal(rng, rate, 0.2)
    return (instruments.kick, instruments.snare, instruments.tom)[kind - 1](rng, rate)


def pitch_error_cents(samples: np.ndarray, sample_rate: int, hz: float, n_partials: int) -> float:
    """The mean over partials of how far each is from where it must be, in cents, SEARCH_CENTS at most.

    A partial is the strongest frequency within SEARCH_CENTS of it in the middle half of the signal; a partial that is
    40 dB below the strongest one is lost, and counts SEARCH_CENTS.
    """
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4, 0].astype(np.float64)
    n_fft = 1 << (4 * len(middle) - 1).bit_length()
    magnitude = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), n_fft))
    errors, peaks = [], []
    for k in range(1, n_partials + 1):
        wanted = k * hz
        if wanted * 2 ** (SEARCH_CENTS / 1200) >= sample_rate / 2:
            break
        low, high = (int(wanted * 2 ** (sign * SEARCH_CENTS / 1200) * n_fft / sample_rate) for sign in (-1, 1))
        peak = low + int(np.argmax(magnitude[low : high + 1]))
        found = _refined(magnitude, peak) * sample_rate / n_fft
        # at an end of the search there is the flank of something else
        is_peak = low < peak < high
        errors.append(min(abs(1200 * np.log2(found / wanted)), SEARCH_CENTS) if is_peak else SEARCH_CENTS)
        peaks.append(magnitude[peak])
    lost = np.array(peaks) < 0.01 * max(float(magnitude.max()), 1e-12)
    return float(np.mean(np.where(lost, SEARCH_CENTS, errors)))


def _refined(magnitude: np.ndarray, peak: int) -> float:
    """The vertex of the parabola through a peak and its neighbours, in bins, on a logarithmic scale."""
    if not 0 < peak < len(magnitude) - 1:
        return float(max(peak, 1))
    left, middle, right = np.log(np.maximum(magnitude[peak - 1 : peak + 2], 1e-12))
    bend = left - 2 * middle + right
    return peak + float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else float(peak)


def duration_s(samples: np.ndarray, sample_rate: int) -> float:
    """How long a tone sounds: from the first to the last instant at which it has half of its middle's amplitude."""
    envelope = _envelope(samples, sample_rate, 0.005)
    middle = float(np.median(envelope[len(envelope) // 4 : len(envelope) * 3 // 4]))
    loud = np.flatnonzero(envelope > 0.5 * max(middle, 1e-9))
    return float(loud[-1] - loud[0]) / sample_rate if len(loud) else 0.0


def onset_f(samples: np.ndarray, sample_rate: int, onsets_s: np.ndarray) -> float:
    """F-measure of found onsets against known ones: a pair is no more than NEAR_S apart, and each is in one pair."""
    found = find_onsets(samples, sample_rate)
    pairs, i = 0, 0
    for onset in onsets_s:
        while i < len(found) and found[i] < onset - NEAR_S:
            i += 1
        if i < len(found) and found[i] <= onset + NEAR_S:
            pairs, i = pairs + 1, i + 1
    return 2 * pairs / max(len(found) + len(onsets_s), 1)


def find_onsets(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Seconds at which peaks of the onset strength stand out: the largest within 60 ms, and twice the mean of 0.4 s."""
    hop = 256
    mono = samples.mean(axis=1, dtype=np.float32)
    strength = np.asarray(features.onset_strength(mono, sample_rate, n_fft=1024, hop_length=hop))[:, 0]
    beside, around = round(0.06 * sample_rate / hop), round(0.2 * sample_rate / hop)
    largest = max(float(strength.max()), 1e-9)
    found = []
    for i, value in enumerate(strength):
        near = strength[max(0, i - beside) : i + beside + 1]
        mean = strength[max(0, i - around) : i + around + 1].mean()
        if value >= near.max() and value > 2 * mean and value > 0.1 * largest:
            found.append(i * hop / sample_rate)
    return np.array(found)


def attack_s(samples: np.ndarray, sample_rate: int, onsets_s: np.ndarray) -> float:
    """How long the energy takes, in the mean over onsets, from a tenth to nine tenths of its peak near by."""
    envelope = _envelope(samples, sample_rate, ENVELOPE_S)
    reach = round(0.08 * sample_rate)
    times = []
    for onset in onsets_s:
        start = max(0, round(onset * sample_rate) - reach)
        near = envelope[start : start + 2 * reach]
        if not len(near) or near.max() <= 1e-9:
            continue
        peak = int(np.argmax(near))
        rise = near[: peak + 1] / near[peak]
        low = np.flatnonzero(rise < 0.1)
        begin = int(low[-1]) if len(low) else 0
        high = begin + int(np.argmax(rise[begin:] >= 0.9))
        times.append((high - begin) / sample_rate)
    return float(np.mean(times)) if times else 0.0


def _envelope(samples: np.ndarray, sample_rate: int, seconds: float) -> np.ndarray:
    """Root mean square in windows of so many seconds, at every sample."""
    n = max(1, round(seconds * sample_rate))
    sums = np.cumsum(np.pad(np.square(samples, dtype=np.float64).mean(axis=1), (n // 2 + 1, n - n // 2 - 1)))
    return np.sqrt(np.maximum(sums[n:] - sums[:-n], 0) / n) if len(sums) > n else np.zeros(len(samples))
