"""Noises to test denoisers with, procedural and always the same: none of them is a noise that training makes.

Channels of one noise share what describes it (slope, corner, speed, gusts, the hum itself); diffuse noise is drawn anew
for each of them, and a click or a voice has a level of its own in each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo import audio, synth
from zoo.errors import ZooError
from zoo.synth.core import Array, Rng, curve, cycle, fast_length, oscillate, scatter, shaped, slow_noise

Maker = Callable[[Rng, int, int, int], np.ndarray]
"""(random generator, samples, sample rate in Hz, channels) -> (samples, channels)"""

FIRST_VOICE = 1 << 40
"""index from which babble takes its voices; held-out clips count from 0, so no voice is both clean and noise"""
VOICE_RATES = (8_000, 192_000)  # Hz that zoo.synth has


def noise(kind: str, index: int, n_samples: int, sample_rate: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    """A noise of a kind, a pure function of its arguments: float32 (n_samples, channels), RMS 1 about channels' means.

    `index` and `seed` choose among the endlessly many of a kind. Raises ZooError for a kind that is none.
    """
    if kind not in KINDS:
        raise ZooError(f"unknown kind of noise {kind!r}; there are {', '.join(KINDS)}")
    made = KINDS[kind](np.random.default_rng([seed, index, *kind.encode()]), n_samples, sample_rate, channels)
    centred = made - made.mean(axis=0, keepdims=True)
    return (centred / max(float(np.sqrt(np.mean(centred**2))), 1e-20)).astype(np.float32)


def hiss(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Hiss of any colour from brown (-6 dB per octave) to blue (+3), whose level changes slowly."""
    slope_db = rng.uniform(-6.0, 3.0)
    level = _level(rng, n, rate, period_s=rng.uniform(0.7, 2.0), depth_db=rng.uniform(1.0, 4.0))
    octaves = np.arange(11.0)
    return _diffuse(rng, n, rate, channels, 31.25 * 2.0**octaves, slope_db * octaves) * level


def hum(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Mains hum at 50 or 60 Hz that drifts, its odd harmonics stronger; in all channels alike."""
    mains_hz = float(rng.choice([50.0, 60.0]))
    count = int(np.clip(0.45 * rate / mains_hz, 1, rng.integers(8, 41)))
    k = np.arange(1, count + 1)
    amplitude = k ** -rng.uniform(0.4, 1.4) * np.exp(rng.normal(0.0, 0.7, count))
    amplitude[1::2] *= rng.uniform(0.2, 1.0)
    phase = _phase(rng, n, rate, mains_hz, period_s=1.5, drift=0.002)
    level = _level(rng, n, rate, period_s=3.0, depth_db=1.0)
    return np.repeat(oscillate(cycle(amplitude, rng.random(count)), phase)[:, None] * level, channels, axis=1)


def crackle(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """A worn record: ringing clicks of very different strength over the faint rush of the groove."""
    length = max(4, int(0.004 * rate))
    time_s = np.arange(length) / rate
    hz = np.minimum(_log_uniform(rng, 400.0, 9000.0, (24, 1)), 0.4 * rate)
    fall = np.exp(-time_s / _log_uniform(rng, 0.0001, 0.001, (24, 1)))
    shapes = (np.sin(2 * np.pi * (hz * time_s + rng.random((24, 1)))) * fall).astype(np.float32)
    count = max(1, rng.poisson(_log_uniform(rng, 20.0, 300.0) * n / rate))
    starts = rng.integers(-length // 2, n, count)
    strength = np.exp(rng.normal(0.0, 1.0, count))
    clicks = shapes[rng.integers(0, len(shapes), count)]
    out = np.zeros((channels, n), np.float32)
    for channel in out:
        # lateral and vertical movement of the needle: a click is not as strong on both sides
        scatter(channel, starts, clicks * (strength * rng.uniform(0.3, 1.0, count))[:, None].astype(np.float32))
    bed = _diffuse(rng, n, rate, channels, np.array([40.0, 400.0, 16_000.0]), np.array([12.0, 0.0, -12.0]))
    rms = np.sqrt(np.mean(out**2) + 1e-12)
    return out.T + bed * rms * rng.uniform(0.1, 0.4)


def babble(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Four to eight of `zoo.synth`'s held-out voices at once, at different distances and places."""
    voice_rate = int(np.clip(rate, *VOICE_RATES))
    out = np.zeros((n, channels))
    for index in rng.integers(FIRST_VOICE, 2 * FIRST_VOICE, rng.integers(4, 9)).tolist():
        seconds = max(n / rate, 1 / voice_rate)
        voice = synth.clip(index, seconds, voice_rate, domain="voice", held_out=True)
        voice = audio.resample(voice, voice_rate, rate, n_samples=n)
        voice /= np.sqrt(np.mean(voice**2) + 1e-12)
        out += voice * 10 ** (rng.normal(0.0, 3.0) / 20) * rng.uniform(0.3, 1.0, (1, channels))
    return out


def fan(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Fans and engines: the tones of blades or cylinders, and a rush of air that beats with them."""
    speed_hz = min(_log_uniform(rng, 18.0, 180.0), 0.4 * rate)
    count = int(np.clip(0.45 * rate / speed_hz, 1, rng.integers(4, 24)))
    k = np.arange(1, count + 1)
    phase = _phase(rng, n, rate, speed_hz, period_s=0.7, drift=0.015)
    tone = oscillate(cycle(k ** -rng.uniform(0.6, 1.6) * np.exp(rng.normal(0.0, 0.5, count)), rng.random(count)), phase)
    corner_hz = _log_uniform(rng, 150.0, 1200.0)
    fall_db = rng.uniform(3.0, 7.0) * np.arange(7.0)
    air = _diffuse(rng, n, rate, channels, corner_hz * 2.0 ** np.arange(7.0), -fall_db)
    beat = 1 + rng.uniform(0.1, 0.7) * np.cos(2 * np.pi * (phase + rng.random()))
    return tone[:, None] * 10 ** (rng.uniform(-12.0, 3.0) / 20) + air * beat[:, None]


def rain(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Rain on leaves or a roof: many short bursts of noise, dense enough to run together, over a steady bed."""
    length = max(4, int(_log_uniform(rng, 0.0015, 0.006) * rate))
    fall = np.exp(-6.0 * np.arange(length) / length)
    dull = np.sort(_log_uniform(rng, 0.05, 1.0, 16))  # share of each burst's white noise in what follows it
    drops = rng.standard_normal((16, length))
    for i in range(1, length):
        drops[:, i] = dull * drops[:, i] + (1 - dull) * drops[:, i - 1]
    drops = (drops * fall / np.sqrt(dull)[:, None]).astype(np.float32)
    per_second = _log_uniform(rng, 200.0, 1500.0)
    out = np.zeros((channels, n), np.float32)
    for channel in out:
        count = max(1, rng.poisson(per_second * n / rate))
        strength = np.exp(rng.normal(0.0, 0.8, count)).astype(np.float32)
        scatter(channel, rng.integers(-length, n, count), drops[rng.integers(0, 16, count)] * strength[:, None])
    bright_hz = _log_uniform(rng, 800.0, 5000.0)
    bed = _diffuse(
        rng, n, rate, channels, bright_hz * 2.0 ** np.arange(-4.0, 3.0), np.array([-20, -15, -9, -4, 0, -3, -9.0])
    )
    return out.T + bed * np.sqrt(np.mean(out**2) + 1e-12) * rng.uniform(0.3, 1.5)


def wind(rng: Rng, n: int, rate: int, channels: int) -> np.ndarray:
    """Wind in a microphone: rumble that comes and goes in gusts, and turbulence above it that grows with them."""
    gusts = _level(rng, n, rate, period_s=rng.uniform(0.3, 1.2), depth_db=rng.uniform(3.0, 8.0))
    corner_hz, steep_db = _log_uniform(rng, 50.0, 200.0), rng.uniform(7.0, 12.0)
    rumble = _diffuse(rng, n, rate, channels, corner_hz * 2.0 ** np.arange(8.0), -steep_db * np.arange(8.0))
    centre_hz = _log_uniform(rng, 300.0, 1500.0)
    turbulence = _diffuse(
        rng, n, rate, channels, centre_hz * 2.0 ** np.arange(-3.0, 4.0), np.array([-18, -12, -6, 0, -5, -10, -16.0])
    )
    return rumble * gusts + turbulence * gusts**2 * rng.uniform(0.03, 0.3)


KINDS: dict[str, Maker] = {
    "hiss": hiss,
    "hum": hum,
    "crackle": crackle,
    "babble": babble,
    "fan": fan,
    "rain": rain,
    "wind": wind,
}


def _log_uniform(rng: Rng, low: float, high: float, shape: int | tuple[int, ...] | None = None) -> Any:
    """A number, or an array of them, whose logarithm is uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), shape))


def _diffuse(rng: Rng, n: int, rate: int, channels: int, hz: np.ndarray, db: np.ndarray) -> np.ndarray:
    """Gaussian noise (n, channels) of RMS 1 with a level in dB at some frequencies, independent in each channel."""
    size = fast_length(n)
    magnitude = curve(size, rate, hz, db)
    return np.stack([shaped(rng, size, magnitude)[:n] for _ in range(channels)], axis=1)


def _level(rng: Rng, n: int, rate: int, *, period_s: float, depth_db: float) -> Array:
    """A gain (n, 1) that wanders around 1 with a standard deviation in dB."""
    wander = slow_noise(rng, n, max(1, int(period_s * rate)))
    return (10 ** (wander * (depth_db / 20)))[:, None].astype(np.float32)


def _phase(rng: Rng, n: int, rate: int, hz: float, *, period_s: float, drift: float) -> np.ndarray:
    """The running phase (n,) in cycles of a tone whose frequency wanders by a share of itself."""
    wander = np.clip(slow_noise(rng, n, max(1, int(period_s * rate))), -2.5, 2.5).astype(np.float64)
    return np.cumsum(hz * (1 + drift * wander)) / rate
