"""Voices: glottal pulses and noise through a moving vocal tract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.synth.core import Array, Doubles, Rng, fast_length, noise_frames, scatter

FRAME_S = 0.005
MAX_PULSE_HZ = 0.45


def frame_length(rate: int) -> int:
    """Samples per control frame."""
    return max(2, round(FRAME_S * rate))


@dataclass(frozen=True)
class Tracks:
    """What the vocal organs do every 5 ms, arrays (F,) or (F, k); levels are relative to a firm vowel."""

    f0_hz: Doubles
    formants_hz: Doubles  # (F, 3)
    voiced: Doubles
    breath: Doubles  # noise at the glottis, coloured by the vocal tract
    hiss: Doubles  # noise at a constriction
    hiss_hz: Doubles
    hiss_width_hz: Doubles

    @staticmethod
    def rest(frames: int) -> Tracks:
        """Silence with the mouth at a neutral vowel."""
        voiced, breath, hiss = np.zeros((3, frames))
        neutral = np.tile([500.0, 1450.0, 2450.0], (frames, 1))
        constriction = np.full(frames, 4000.0), np.full(frames, 2000.0)
        return Tracks(np.full(frames, 120.0), neutral, voiced, breath, hiss, *constriction)


@dataclass(frozen=True)
class Speaker:
    """One vocal tract and one manner of speaking."""

    f0_hz: float
    tract: float  # formant scale: 1 for an adult man, up to 1.4 for a child
    tilt_hz: float  # corner of the additional 6 dB per octave that a relaxed voice loses
    open_hz_ratio: float  # glottal formant over f0
    breathiness: float
    jitter: float
    shimmer: float
    bandwidth: float
    whisper: bool


def speaker(rng: Rng) -> Speaker:
    """A random speaker: men, women and children, relaxed or pressed, now and then whispering."""
    kind = rng.choice(3, p=[0.5, 0.38, 0.12])
    f0_hz = (110.0, 200.0, 290.0)[kind] * np.exp(rng.normal(0.0, 0.2))
    return Speaker(
        float(np.clip(f0_hz, 60.0, 500.0)),
        (1.0, 1.16, 1.33)[kind] * np.exp(rng.normal(0.0, 0.05)),
        tilt_hz=float(np.exp(rng.uniform(np.log(1200.0), np.log(9000.0)))),
        open_hz_ratio=rng.uniform(0.5, 1.1),
        breathiness=float(10.0 ** rng.uniform(-1.9, -0.8)),
        jitter=float(10.0 ** rng.uniform(-2.6, -1.6)),
        shimmer=rng.uniform(0.01, 0.1),
        bandwidth=rng.uniform(0.8, 1.7),
        whisper=bool(rng.random() < 0.05),
    )


def render(tracks: Tracks, who: Speaker, rng: Rng, n: int, rate: int) -> Array:
    """Sound (n,) of a vocal tract: band-limited glottal pulses, each through the tract of its moment, plus noises.

    The source is the causal-anticausal model of the derivative of the glottal flow (Doval et al., 2003); the
    tract is a cascade of resonances (Fant, 1960), the moving ones followed by fixed ones up to Nyquist.
    """
    hop = frame_length(rate)
    out = _pulses(tracks, who, rng=rng, n=n, rate=rate, hop=hop)
    stride = 3  # noise needs less frequency resolution than pulses
    bins_hz = np.arange(0, hop + 1, stride) * (0.5 * rate / hop)
    real, imag = _near_resonances(tracks.formants_hz, who, bins_hz)
    tract = np.abs(_far_resonances(who, bins_hz))[None] / np.sqrt(real * real + imag * imag)
    tract /= np.sqrt(np.mean(tract**2, axis=1, keepdims=True)) + 1e-9
    coarse = np.arange(tract.shape[1]) * (0.5 * rate * stride / hop)
    distance = (coarse[None] - tracks.hiss_hz[:, None]) / tracks.hiss_width_hz[:, None]
    below = np.where(distance < 0.0, 1.5, 0.55)  # steeper below the peak than above
    hiss = tracks.hiss[:, None] * (np.exp(-0.5 * (distance * below) ** 2) + 0.05)
    colour = np.sqrt((tracks.breath[:, None] * tract) ** 2 + hiss**2).astype(np.float32)
    fine = np.repeat(colour, stride, axis=1)[:, : hop + 1]
    return out + noise_frames(rng, fine, n)


def _far_resonances(who: Speaker, hz: Doubles) -> NDArray[np.complex64]:
    """Transfer function (bins,) of the fourth and higher resonances, which are those of a uniform tube."""
    gain = np.ones(len(hz), np.complex128)
    last = 4 + int(hz[-1] / 1000.0)
    for i in range(4, last):
        centre, width = (i - 0.5) * 1000.0 * who.tract, min(60.0 + 45.0 * i, 900.0) * who.bandwidth
        gain *= centre**2 / (centre**2 - hz * hz + 1j * width * hz)
    # the infinitely many resonances beyond: without them the treble would sink (Fant's higher-pole correction)
    return (gain * np.exp(hz * hz / ((last - 1) * (1000.0 * who.tract) ** 2))).astype(np.complex64)


def _near_resonances(formants_hz: Doubles, who: Speaker, hz: Doubles) -> tuple[Array, Array]:
    """Real and imaginary part (F, bins) of the reciprocal of the moving resonances, in real arithmetic for speed."""
    f = hz.astype(np.float32)[None]
    squared = f * f
    real, imag = np.ones((), np.float32), np.zeros((), np.float32)
    for i, width in enumerate((85.0, 100.0, 140.0)):
        inverse = ((formants_hz[:, i : i + 1] * who.tract) ** -2.0).astype(np.float32)
        a, b = np.float32(1.0) - squared * inverse, (f * np.float32(width * who.bandwidth)) * inverse
        real, imag = real * a - imag * b, real * b + imag * a
    return real, imag


def _pulses(tracks: Tracks, who: Speaker, rng: Rng, n: int, rate: int, hop: int) -> Array:
    out = np.zeros(n, np.float32)
    if who.whisper or not tracks.voiced.any():
        return out
    f0 = np.clip(tracks.f0_hz, 20.0, MAX_PULSE_HZ * rate)
    cycles = np.concatenate([[0.0], np.cumsum(0.5 * (f0[1:] + f0[:-1])) * (hop / rate)]) + rng.random()
    count = int(cycles[-1])
    if count < 1:
        return out
    at = np.interp(np.arange(1, count + 1), cycles, np.arange(len(f0)) * float(hop))  # samples
    period = rate / np.interp(at, np.arange(len(f0)) * float(hop), f0)
    frame = np.minimum((at / hop + 0.5).astype(np.int64), len(f0) - 1)
    level = np.interp(at / hop, np.arange(len(f0)), tracks.voiced) * (1.0 + who.shimmer * rng.standard_normal(count))
    at = at + who.jitter * 0.5 * period * rng.standard_normal(count)
    audible = (level > 1e-3) & (at > -0.04 * rate) & (at < n + 0.01 * rate)
    at, level, frame, period = at[audible], level[audible], frame[audible], period[audible]
    if len(at) == 0:
        return out
    size = fast_length(int(0.03 * rate))
    lead = size // 4  # the open phase comes before the moment of closure
    hz = np.arange(size // 2 + 1) * (rate / size)
    real, imag = _near_resonances(tracks.formants_hz[::2], who, hz)
    inverse = np.float32(1.0) / (real * real + imag * imag)
    tract = np.empty(real.shape, np.complex64)
    tract.real, tract.imag = real * inverse, -imag * inverse
    tract = tract[frame // 2]
    mean_f0 = rate / float(np.median(period))
    opening = mean_f0 * who.open_hz_ratio
    source = 1j * hz / (opening**2 - hz**2 - 0.9j * opening * hz) * _far_resonances(who, hz)
    source *= np.exp(-2j * np.pi * lead / size * np.arange(len(hz)))
    relaxed = (source / (1.0 + 1j * hz / who.tilt_hz)).astype(np.complex64)
    firm = (source / (1.0 + 1j * hz / (3.0 * who.tilt_hz))).astype(np.complex64)
    effort = np.clip(level, 0.0, 1.0).astype(np.float32)[:, None]
    tract *= relaxed[None] + effort * (firm - relaxed)[None]
    whole = np.floor(at)
    # the part of a sample becomes a phase, so pitch is not quantised to the sample grid
    angle = (at - whole).astype(np.float32)[:, None] * (hz * (-2.0 * np.pi / rate)).astype(np.float32)[None]
    turn = np.empty(angle.shape, np.complex64)
    turn.real, turn.imag = np.cos(angle), np.sin(angle)
    tract *= turn
    # unit RMS for a firm steady vowel of any pitch
    power = 2.0 * float(np.mean(np.sum(tract.real**2 + tract.imag**2, axis=1))) / size / float(np.median(period))
    scale = level * np.sqrt(period / np.median(period)) / np.sqrt(power + 1e-20)
    rows = np.fft.irfft(tract, size) * scale.astype(np.float32)[:, None]
    tail = size // 4
    rows[:, -tail:] *= (0.5 + 0.5 * np.cos(np.pi * np.arange(tail) / tail)).astype(np.float32)[None]
    scatter(out, whole.astype(np.int64) - lead, rows)
    return out
