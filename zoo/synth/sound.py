"""Everyday sounds: weather, water, fire, impacts, machines, alarms, birds, animals, crowds of small events."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo.synth.core import (
    Array,
    Bus,
    Rng,
    cosine_fade,
    curve,
    cycle,
    fast_length,
    oscillate,
    ramp,
    scatter,
    shaped,
    slow_noise,
    tones,
    white,
)
from zoo.synth.voice import FRAME_S, Tracks, frame_length, render, speaker

Maker = Callable[[Rng, int, int], Array]  # (rng, samples, sample rate in Hz) -> (samples,)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def band_noise(rng: Rng, n: int, rate: int, centre_hz: float, rise_db: float, fall_db: float) -> Array:
    """Noise (n,) around a centre, falling by so many dB per octave on either side."""
    octaves = np.arange(-7.0, 8.0)
    db = np.where(octaves < 0, octaves * rise_db, -octaves * fall_db) + rng.normal(0.0, 2.0, len(octaves))
    return shaped(rng, n, curve(n, rate, centre_hz * 2.0**octaves, db))


def modes(rng: Rng, n: int, rate: int, low_hz: float, count: int, decay: float) -> Array:
    """A struck object: inharmonic modes whose damping grows with frequency, and the noise of contact."""
    hz = low_hz * np.cumsum(np.concatenate([[1.0], rng.exponential(rng.uniform(0.3, 1.2), count - 1)]))
    amplitude = np.exp(rng.normal(0.0, 0.8, count)) * (hz / low_hz) ** -rng.uniform(0.0, 1.2)
    out = tones(
        hz,
        amplitude,
        decay=decay * (hz / low_hz) ** rng.uniform(0.2, 1.0),
        phase=rng.random(count),
        n=n,
        sample_rate=rate,
    )
    out /= np.float32(np.sqrt(0.5 * np.sum(amplitude**2)))
    contact = min(n, max(2, int(rate * rng.uniform(0.001, 0.02))))
    out[:contact] += white(rng, contact) * np.linspace(1.0, 0.0, contact, dtype=np.float32) * np.float32(rng.random())
    return out


def gusts(rng: Rng, n: int, rate: int, period_s: float, depth_db: float) -> Array:
    """Slow random gain (n,) with a standard deviation in dB."""
    hop = max(1, min(n, int(rate * 0.02)))
    wander = slow_noise(rng, -(-n // hop) + 1, max(1, int(period_s * rate / hop)))
    return ramp(10.0 ** (wander * np.float32(depth_db / 20.0)), hop, n)


def moments(rng: Rng, n: int, rate: int, per_second: float) -> NDArray[np.int64]:
    """Start samples of a Poisson process that begins half a second early."""
    early = rate // 2
    return rng.integers(-early, n, rng.poisson(per_second * (n + early) / rate))


def wind(rng: Rng, n: int, rate: int) -> Array:
    """Wind, surf, traffic, air conditioning: dull noise whose brightness follows its gusts."""
    low = band_noise(
        rng, n, rate=rate, centre_hz=log_uniform(rng, 60.0, 500.0), rise_db=6.0, fall_db=rng.uniform(5.0, 12.0)
    )
    high = band_noise(
        rng, n, rate=rate, centre_hz=log_uniform(rng, 400.0, 3000.0), rise_db=9.0, fall_db=rng.uniform(3.0, 9.0)
    )
    force = gusts(rng, n, rate, rng.uniform(0.2, 1.5), rng.uniform(0.5, 7.0))
    return low * force + high * force * force * np.float32(rng.uniform(0.05, 0.8))


def rain(rng: Rng, n: int, rate: int) -> Array:
    """Rain, applause, frying, fire: a bed of noise under many short grains of different size."""
    length = max(8, int(rate * log_uniform(rng, 0.001, 0.012)))
    decay = 4.0 * rate / length
    kinds = np.stack(
        [modes(rng, length, rate=rate, low_hz=log_uniform(rng, 400.0, 6000.0), count=4, decay=decay) for _ in range(8)]
    )
    starts = moments(rng, n, rate, log_uniform(rng, 4.0, 250.0))
    level = np.exp(rng.normal(0.0, rng.uniform(0.4, 1.1), len(starts))).astype(np.float32)
    out = band_noise(
        rng, n, rate=rate, centre_hz=log_uniform(rng, 300.0, 7000.0), rise_db=4.0, fall_db=rng.uniform(1.0, 6.0)
    ) * np.float32(log_uniform(rng, 0.01, 0.6))
    scatter(out, starts, kinds[rng.integers(0, 8, len(starts))] * level[:, None])
    return out


def water(rng: Rng, n: int, rate: int) -> Array:
    """Stream, drops, boiling: bubbles are short tones that rise in pitch (Minnaert, 1933)."""
    length = max(16, int(0.05 * rate))
    time_s = np.arange(length) / rate
    starts = moments(rng, n, rate, log_uniform(rng, 2.0, 120.0))
    base = np.exp(rng.uniform(np.log(300.0), np.log(min(3500.0, 0.3 * rate)), 24))[:, None]
    turn = base * time_s + base * rng.uniform(0.0, 6.0, (24, 1)) * time_s**2
    fall = np.exp(-time_s * base * rng.uniform(0.02, 0.08))
    kinds = (np.sin(2.0 * np.pi * turn) * fall * np.minimum(time_s / 0.001, 1.0)).astype(np.float32)
    level = np.exp(rng.normal(0.0, 0.8, len(starts))).astype(np.float32)
    out = band_noise(
        rng, n, rate=rate, centre_hz=log_uniform(rng, 300.0, 3000.0), rise_db=4.0, fall_db=7.0
    ) * np.float32(log_uniform(rng, 0.003, 0.2))
    scatter(out, starts, kinds[rng.integers(0, 24, len(starts))] * level[:, None])
    return out


def impacts(rng: Rng, n: int, rate: int) -> Array:
    """Knocks, steps, clinking glass, dropped metal, a ticking clock, typing, hammering."""
    out = np.zeros(n, np.float32)
    period_s = log_uniform(rng, 0.08, 1.2)
    regular = rng.random() < 0.5
    low_hz, count, decay = log_uniform(rng, 60.0, 3000.0), int(rng.integers(3, 24)), log_uniform(rng, 4.0, 200.0)
    length = min(n + rate, max(64, int(6.0 / decay * rate)))
    objects = int(rng.integers(1, 4))
    kinds = [
        modes(rng, length, rate=rate, low_hz=low_hz * rng.uniform(0.9, 1.1), count=count, decay=decay)
        for _ in range(objects)
    ]
    at = -rng.uniform(0.0, 0.4) * period_s
    while at * rate < n:
        start, piece = int(at * rate), kinds[rng.integers(len(kinds))] * np.float32(np.exp(rng.normal(0.0, 0.35)))
        scatter(out, np.array([start]), piece[None])
        at += period_s * (rng.normal(1.0, 0.01) if regular else rng.exponential(1.0) + 0.02)
    return out


def machine(rng: Rng, n: int, rate: int) -> Array:
    """Engines, motors, fans, mains hum, saws: harmonics of a wandering speed, modulated noise."""
    speed = log_uniform(rng, 18.0, 400.0)
    count = int(np.clip(0.4 * rate / speed, 1, 160))
    k = np.arange(1.0, count + 1.0)
    amplitude = k ** -rng.uniform(0.4, 1.6) * np.exp(rng.normal(0.0, 0.7, count))
    hop = max(1, rate // 50)
    points = n // hop + 2
    drift = np.cumsum(rng.normal(0.0, rng.uniform(0.0, 0.012), points)) + rng.uniform(-0.5, 0.5) * (
        np.linspace(0.0, 1.0, points) if rng.random() < 0.3 else 0.0
    )
    hz = speed * np.exp(np.clip(drift, -1.5, 0.15))
    phase = np.cumsum(ramp(hz.astype(np.float32), hop, n), dtype=np.float64) / rate
    out = oscillate(cycle(amplitude, rng.random(count)), phase) * gusts(rng, n, rate, 0.05, rng.uniform(0.0, 3.0))
    noise = band_noise(
        rng, n, rate=rate, centre_hz=log_uniform(rng, 150.0, 5000.0), rise_db=4.0, fall_db=rng.uniform(2.0, 8.0)
    )
    beat = np.cos(((phase - np.rint(phase)) * 2.0 * np.pi).astype(np.float32))
    noise *= np.float32(1.0) + np.float32(rng.random()) * beat
    return out + noise * np.float32(log_uniform(rng, 0.03, 2.0))


def calls(rng: Rng, n: int, rate: int) -> Array:
    """Birds, crickets, whistles, sirens, alarms, telephones: swept tones with a few harmonics, repeated."""
    hop = max(1, rate // 1000)
    points = n // hop + 2
    time_s = np.arange(points) * (hop / rate)
    steady = rng.random() < 0.45
    centre = log_uniform(rng, 400.0, min(6000.0, 0.25 * rate))
    period_s = log_uniform(rng, 0.06, 0.9)
    duty, offset = rng.uniform(0.2, 0.95), rng.random()
    place = time_s / period_s + offset
    number, inside = np.floor(place).astype(np.int64), place - np.floor(place)
    slope, bend, trill = rng.normal(0.0, 0.0 if steady else 0.5, (3, 64))
    trill_hz = log_uniform(rng, 5.0, 60.0)
    which = number % (2 if steady else 64)
    octave = slope[which] * (inside - 0.5) + bend[which] * np.sin(np.pi * inside)
    octave += 0.3 * trill[which] * np.sin(2.0 * np.pi * trill_hz * time_s)
    if steady:
        octave += (which - 0.5) * rng.choice([0.0, 0.0, 0.25, 0.4])
        octave += rng.choice([0.0, 0.5]) * np.sin(2.0 * np.pi * rng.uniform(0.3, 3.0) * time_s)
    hz = np.minimum(centre * 2.0**octave, 0.45 * rate)
    edge = np.minimum(inside, duty - inside) * period_s
    loud = np.clip(edge / rng.uniform(0.002, 0.03), 0.0, 1.0) * rng.uniform(0.3, 1.0, 64)[number % 64]
    count = max(1, min(int(0.47 * rate / hz.max()), int(rng.integers(1, 9))))
    table = cycle(np.arange(1.0, count + 1.0) ** -rng.uniform(0.5, 3.0), rng.random(count))
    phase = np.cumsum(ramp(hz.astype(np.float32), hop, n), dtype=np.float64) / rate
    return oscillate(table, phase) * ramp(loud.astype(np.float32), hop, n) * np.float32(1.5)


def animals(rng: Rng, n: int, rate: int) -> Array:
    """Barks, meows, crowing, cries, moos, laughter, coughs: the vocal model with other sizes and gestures."""
    who = speaker(rng)
    size = log_uniform(rng, 0.6, 2.2)
    frames = n // frame_length(rate) + 4
    t = Tracks.rest(frames)
    base, rough = log_uniform(rng, 70.0, 900.0), rng.random() < 0.4
    every_s, length_s = log_uniform(rng, 0.2, 1.5), log_uniform(rng, 0.08, 0.9)
    mouth = np.array([rng.uniform(300, 900), rng.uniform(900, 2000), rng.uniform(2200, 3000)]) * size
    i = -int(rng.uniform(0.0, every_s) / FRAME_S)
    while i < frames:
        length = max(8, int(length_s * rng.uniform(0.7, 1.3) / FRAME_S))
        a, b = max(i, 0), min(max(i + length, 0), frames)
        u = (np.arange(a, b) - i) / length
        arch = np.sin(np.pi * u) ** rng.uniform(0.3, 1.0)
        t.f0_hz[a:b] = base * np.exp(rng.uniform(-0.2, 0.7) * arch - 0.3 * u)
        t.formants_hz[a:b] = mouth * (0.75 + 0.5 * arch[:, None])
        t.voiced[a:b] = arch * rng.uniform(0.6, 1.0)
        t.breath[a:b] = arch * (rng.uniform(0.1, 0.6) if rough else 0.03)
        i += length + int(every_s * rng.exponential(0.7) / FRAME_S)
    return render(t, who, rng, n, rate)


def bursts(rng: Rng, n: int, rate: int) -> Array:
    """Explosions, thunder, doors, sneezes, splashes, whooshes, scraping: enveloped noise of any colour."""
    out = np.zeros(n, np.float32)
    for start in np.append(moments(rng, n, rate, rng.uniform(0.3, 3.0)), rng.integers(-rate // 8, max(1, n // 2))):
        length = fast_length(min(n + rate, int(rate * log_uniform(rng, 0.03, 1.5))))
        noise = band_noise(
            rng,
            length,
            rate=rate,
            centre_hz=log_uniform(rng, 60.0, 5000.0),
            rise_db=rng.uniform(3, 12),
            fall_db=rng.uniform(2, 12),
        )
        rise = max(2, int(length * rng.beta(0.5, 2.0)))
        noise[:rise] *= cosine_fade(rise)[: len(noise[:rise])]
        noise *= np.exp(np.arange(length, dtype=np.float32) * np.float32(-rng.uniform(2.0, 8.0) / length))
        if rng.random() < 0.3:  # scraping, footsteps on gravel
            noise *= np.abs(slow_noise(rng, length, max(2, int(rate * log_uniform(rng, 0.002, 0.03)))))
        scatter(out, np.array([start]), noise[None] * np.float32(rng.uniform(0.3, 1.5)))
    return out


MAKERS: tuple[tuple[Maker, float], ...] = (
    (wind, 0.11),
    (rain, 0.14),
    (water, 0.1),
    (impacts, 0.2),
    (machine, 0.12),
    (calls, 0.12),
    (animals, 0.12),
    (bursts, 0.09),
)


def sound(bus: Bus, rng: Rng, seconds: float) -> None:
    """Mix one to three kinds of sound into the bus, the later ones mostly quieter."""
    odds = np.array([weight for _, weight in MAKERS])
    for layer in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
        maker = MAKERS[rng.choice(len(MAKERS), p=odds / odds.sum())][0]
        signal = maker(rng, bus.n, bus.sample_rate)
        level = float(np.sqrt(np.mean(signal**2)))
        gain_db = 0.0 if layer == 0 else rng.uniform(-25.0, 3.0)
        bus.add(signal, 10.0 ** (gain_db / 20.0) / max(level, 1e-4), rng.uniform(-0.7, 0.7) if layer else 0.0)
