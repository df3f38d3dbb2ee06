"""What every generator is built from: keyed randomness, banks of decaying partials, shaped noise, wavetables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Doubles = NDArray[np.floating]
Rng = np.random.Generator

BLOCK = 128  # samples per row of a partial bank
ROWS = 16  # rows per matrix product
PARTIALS = 64  # partials per matrix product: 16 · 128 · 128 stays below the size at which OpenBLAS starts threads
TABLE = 4096  # samples in one cycle of a wavetable
HIGHEST = 0.48  # partials above this share of the sample rate are dropped


def generator(seed: int, index: int, held_out: bool, part: int = 0) -> Rng:
    """Random generator of one part of one clip: Philox under the 128-bit key (2·seed + held_out, index).

    The key is the arguments themselves, not a hash of them, so training and held-out clips cannot share one.
    `part` selects a stretch of the counter that no other part reaches (Salmon et al., "Parallel random numbers", 2011).
    """
    key = np.array([2 * seed + int(held_out), index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, 0, part], np.uint64)))


@lru_cache(maxsize=256)
def fast_length(n: int) -> int:
    """Smallest even number >= n without prime factors above 5: a length at which the FFT is fast."""
    size = max(2, n + n % 2)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def ramp(points: Array, hop: int, n: int) -> Array:
    """Straight lines through control points (F,) that are `hop` samples apart, as (n,); the last point holds."""
    need = -(-n // hop) + 1
    if len(points) < need:
        points = np.concatenate([points, np.full(need - len(points), points[-1], points.dtype)])
    points = points[:need].astype(np.float32, copy=False)
    weight = np.arange(hop, dtype=np.float32) / np.float32(hop)
    return (points[:-1, None] + np.diff(points)[:, None] * weight[None]).ravel()[:n]


def cosine_fade(n: int) -> Array:
    """Half a raised cosine (n,) from 0 up to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))).astype(np.float32)


def slow_noise(rng: Rng, n: int, hop: int) -> Array:
    """Random curve (n,) through standard normal points `hop` samples apart."""
    return ramp(rng.standard_normal(-(-n // hop) + 1, dtype=np.float32), hop, n)


def white(rng: Rng, n: int) -> Array:
    """White noise (n,) of unit variance with a uniform distribution: four samples from each 64-bit draw."""
    raw = rng.bit_generator.random_raw(-(-n // 4)).view(np.int16)[:n]
    return (raw.astype(np.float32) + np.float32(0.5)) * np.float32(np.sqrt(12.0) / 65536.0)


def curve(n: int, sample_rate: int, hz: Doubles, db: Doubles) -> Array:
    """Gain (n // 2 + 1,) of the bins of an n-point FFT, straight lines in dB over log frequency between knots."""
    hop = max(1, n // 2048)  # interpolated on a coarse grid, since np.interp on every bin costs more than the FFT
    coarse = np.arange(-(-(n // 2 + 1) // hop) + 1) * (hop * sample_rate / n)
    gain_db = np.interp(np.log(np.maximum(coarse, 5.0)), np.log(hz), db)
    return ramp((10.0 ** (gain_db / 20.0)).astype(np.float32), hop, n // 2 + 1)


def shaped(rng: Rng, n: int, magnitude: Array) -> Array:
    """Stationary Gaussian noise (n,), n even, of unit RMS whose spectrum follows `magnitude` (n // 2 + 1,)."""
    spectrum = white(rng, 2 * len(magnitude)).view(np.complex64) * magnitude
    spectrum[0] = 0.0
    energy = float(np.dot(magnitude, magnitude))
    out = np.fft.irfft(spectrum, n).astype(np.float32, copy=False)
    return out * np.float32(n / (2.0 * np.sqrt(energy) + 1e-20))


def noise_frames(rng: Rng, magnitude: Array, n: int) -> Array:
    """Noise (n,) whose short-time spectrum follows `magnitude` (F, hop + 1); frame i is centred on sample i · hop.

    A magnitude of 1 in all bins gives unit RMS. Independent frames overlap by half under a sine window.
    """
    n_frames, bins = magnitude.shape
    hop = bins - 1
    spectrum = white(rng, 2 * n_frames * bins).view(np.complex64).reshape(n_frames, bins) * magnitude
    window = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32)
    frames = np.fft.irfft(spectrum, 2 * hop) * (window * np.float32(np.sqrt(hop)))[None]
    out = np.zeros(max(n, (n_frames - 1) * hop), np.float32)
    body = out[: (n_frames - 1) * hop].reshape(n_frames - 1, hop)
    np.add(frames[:-1, hop:], frames[1:, :hop], out=body)
    return out[:n]


def tones(hz: Doubles, amplitude: Doubles, decay: Doubles, phase: Doubles, n: int, sample_rate: int) -> Array:
    """Sum of exponentially decaying sinusoids (n,): frequencies (K,) in Hz, decays in 1/s, phases in cycles.

    A decaying sinusoid at block b, sample i is a product of a term in b and one in i, so the whole bank is a few
    matrix products. Partials above 0.48 of the sample rate are dropped, never folded.
    """
    strength = np.abs(amplitude)
    keep = (hz < HIGHEST * sample_rate) & (strength > 3e-5 * strength.max(initial=0.0))  # -90 dB is as good as none
    hz, amplitude, decay, phase = hz[keep], amplitude[keep], decay[keep], phase[keep]
    stacks = -(-n // (BLOCK * ROWS))
    rows = min(ROWS, -(-n // BLOCK))
    out = np.zeros((stacks, rows, BLOCK), np.float32)
    start_s = np.arange(stacks * rows) * (BLOCK / sample_rate)
    inside_s = np.arange(BLOCK) / sample_rate
    for first in range(0, len(hz), PARTIALS):
        part = slice(first, first + PARTIALS)
        cycles = start_s[:, None] * hz[None, part] + phase[None, part]  # float64, wrapped before it becomes float32
        angle = ((cycles - np.rint(cycles)) * (2.0 * np.pi)).astype(np.float32)
        level = np.maximum(start_s[:, None] * -decay[None, part], -60.0).astype(np.float32)
        envelope = np.exp(level) * amplitude[None, part].astype(np.float32)
        outer = np.concatenate([envelope * np.cos(angle), -envelope * np.sin(angle)], axis=1)
        turn = hz[part, None] * inside_s[None]
        turn = ((turn - np.rint(turn)) * (2.0 * np.pi)).astype(np.float32)
        fall = np.exp((-decay[part, None] * inside_s[None]).astype(np.float32))
        inner = np.concatenate([fall * np.cos(turn), fall * np.sin(turn)])
        out += np.matmul(outer.reshape(stacks, rows, -1), inner)
    return out.ravel()[:n]


def cycle(amplitude: Doubles, phase: Doubles) -> Array:
    """One period (TABLE + 1,) of a harmonic tone of unit RMS: amplitudes of harmonics 1..K, phases in cycles."""
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    spectrum[1 : len(amplitude) + 1] = amplitude * np.exp(2j * np.pi * phase)
    period = np.fft.irfft(spectrum, TABLE)
    period /= np.sqrt(np.mean(period**2)) + 1e-20
    return np.append(period, period[0]).astype(np.float32)


def oscillate(table: Array, cycles: Doubles) -> Array:
    """Wavetable (TABLE + 1,) read at a running phase (n,) in cycles, linearly interpolated."""
    position = ((cycles - np.floor(cycles)) * TABLE).astype(np.float32)
    index = np.minimum(position.astype(np.int32), TABLE - 1)
    low = table.take(index)
    return low + (table.take(index + 1) - low) * (position - index.astype(np.float32))


def scatter(out: Array, starts: NDArray[np.int64], rows: Array) -> None:
    """Add each row (P, L) to `out` (n,) at its start sample, cut where it leaves either end."""
    n, length = len(out), rows.shape[1]
    for start, row in zip(starts.tolist(), rows):
        if 0 <= start <= n - length:
            out[start : start + length] += row
        elif -length < start < n:
            out[max(start, 0) : start + length] += row[max(-start, 0) : n - start]


@dataclass(frozen=True)
class Bus:
    """A mixing bus: `data` (C, n), one or two channels, at `sample_rate` Hz."""

    data: Array
    sample_rate: int

    @property
    def n(self) -> int:
        """Samples per channel."""
        return int(self.data.shape[1])

    def add(self, signal: Array, gain: float = 1.0, pan: float = 0.0, start: int = 0) -> None:
        """Mix a signal (m,) in at a sample that may lie outside; pan -1 (left) to 1 (right), constant power."""
        first, last = max(start, 0), min(start + len(signal), self.n)
        if last <= first:
            return
        piece = signal[first - start : last - start]
        if len(self.data) == 1:
            self.data[0, first:last] += piece * np.float32(gain)
            return
        angle = (pan + 1.0) * (np.pi / 4.0)
        for channel, weight in enumerate((np.cos(angle), np.sin(angle))):
            self.data[channel, first:last] += piece * np.float32(gain * weight * np.sqrt(2.0))
