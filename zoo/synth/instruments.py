"""Timbres: banks of partials for struck, plucked and held notes, wavetables for melodies, a drum kit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.synth.core import Array, Doubles, Rng, cosine_fade, curve, cycle, fast_length, shaped, tones

BELLS = (
    (0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.66, 3.0, 4.0, 5.33, 6.7, 8.2),  # church bell: hum, prime, tierce, quint, nominal
    (1.0, 2.76, 5.40, 8.93, 13.34, 18.64),  # free bar: glockenspiel, chimes
    (1.0, 3.93, 9.24, 16.3),  # tuned bar: marimba, vibraphone
    (1.0, 2.0, 3.0, 4.16, 5.43, 6.79, 8.21, 11.3),  # thin tube
    (1.0, 1.59, 2.14, 2.30, 2.65, 2.92, 3.16, 3.50, 3.60, 4.06),  # circular membrane: tuned drums
)


@dataclass(frozen=True)
class Timbre:
    """A bank of partials relative to a fundamental; all arrays are (K,)."""

    ratio: Doubles
    amplitude: Doubles
    decay: Doubles  # 1/s at 220 Hz; higher notes die sooner
    attack_s: float
    release_s: float
    noise: float  # level of the pick, hammer or breath at the start of a note
    softness: float  # how much darker a quiet note is

    def note(self, rng: Rng, hz: float, velocity: float, age_s: float, length_s: float, n: int, rate: int) -> Array:
        """Renders at most `n` samples of a note that began `age_s` ago and is damped `length_s` after its start."""
        total = length_s + 4.0 * self.release_s - age_s
        n = min(n, max(1, int(total * rate)))
        decay = self.decay * (hz / 220.0) ** 0.6
        amplitude = self.amplitude * self.ratio ** (-self.softness * (1.0 - velocity)) * velocity
        aged = amplitude * np.exp(np.clip(-decay * age_s, -60.0, 8.0))
        out = tones(hz * self.ratio, aged, decay=decay, phase=rng.random(len(decay)), n=n, sample_rate=rate)
        rise = int((self.attack_s - age_s) * rate)
        if age_s == 0.0 and self.noise > 0.0:
            length = min(n, int(rate * 0.012))
            burst = rng.standard_normal(length, dtype=np.float32) * np.linspace(1.0, 0.0, length, dtype=np.float32) ** 2
            out[:length] += burst * np.float32(self.noise * velocity)
        if rise > 0:
            whole = max(rise, int(self.attack_s * rate))
            part = cosine_fade(whole)[whole - rise :][:n]
            out[: len(part)] *= part
        damp = int((length_s - age_s) * rate)
        if damp < n:
            damp = max(damp, 0)
            out[damp:] *= np.exp(np.arange(n - damp, dtype=np.float32) * np.float32(-1.8 / (self.release_s * rate)))
        return out


def _unit(amplitude: Doubles) -> Doubles:
    return amplitude / np.sqrt(0.5 * np.sum(amplitude**2) + 1e-20)


def plucked(rng: Rng) -> Timbre:
    """Guitar, harp, harpsichord, piano: stiff strings struck at one point, in one to three courses."""
    k = np.arange(1.0, 45.0)
    stiffness = 10.0 ** rng.uniform(-5.0, -3.2)
    ratio = k * np.sqrt(1.0 + stiffness * k * k)
    comb = np.abs(np.sin(np.pi * k * rng.uniform(0.06, 0.45))) + 0.03
    amplitude = comb * k ** -rng.uniform(0.6, 2.0) * np.exp(rng.normal(0.0, 0.35, len(k)))
    decay = rng.uniform(0.5, 5.0) * (1.0 + rng.uniform(0.02, 0.35) * k ** rng.uniform(1.0, 1.6))
    courses = int(rng.integers(1, 4))
    if courses > 1:
        spread = 2.0 ** (rng.normal(0.0, rng.uniform(0.5, 5.0), courses) / 1200.0)
        ratio, amplitude, decay = np.outer(spread, ratio).ravel(), np.tile(amplitude, courses), np.tile(decay, courses)
    return Timbre(
        ratio,
        _unit(amplitude),
        decay=decay,
        attack_s=rng.uniform(0.0005, 0.006),
        release_s=rng.uniform(0.02, 0.2),
        noise=rng.uniform(0.0, 0.5),
        softness=0.9,
    )


def bell(rng: Rng) -> Timbre:
    """Bells, glockenspiel, marimba, tuned drums: inharmonic modes, the high ones short."""
    ratio = np.array(BELLS[rng.integers(len(BELLS))])
    ratio = np.concatenate([ratio, ratio * (1.0 + rng.normal(0.0, 0.0015, len(ratio)))])  # beating pairs
    amplitude = ratio ** -rng.uniform(0.2, 1.4) * np.exp(rng.normal(0.0, 0.6, len(ratio)))
    decay = np.exp(rng.uniform(np.log(0.4), np.log(12.0))) * ratio ** rng.uniform(0.4, 1.2)
    return Timbre(
        ratio,
        _unit(amplitude),
        decay=decay,
        attack_s=0.001,
        release_s=rng.uniform(0.1, 1.0),
        noise=rng.uniform(0.0, 0.4),
        softness=0.6,
    )


def pad(rng: Rng) -> Timbre:
    """Detuned held ensemble: strings, choir or synthesiser whose filter slowly opens or closes."""
    k = np.arange(1.0, rng.integers(8, 28))
    if rng.random() < 0.3:
        k = k[::2]
    voices = int(rng.integers(2, 6))
    amplitude = k ** -rng.uniform(0.8, 2.2)
    if rng.random() < 0.3:  # a vowel-like resonance
        amplitude *= 0.1 + np.exp(-0.5 * ((k - rng.uniform(2.0, 8.0)) / 1.5) ** 2)
    sweep = rng.uniform(-0.25, 0.6) * np.log(k)  # partials above the moving cutoff fade in or out
    ratio = np.outer(2.0 ** (rng.normal(0.0, rng.uniform(3.0, 14.0), voices) / 1200.0), k).ravel()
    jitter = np.exp(rng.normal(0.0, 0.3, len(ratio)))
    return Timbre(
        ratio,
        _unit(np.tile(amplitude, voices) * jitter),
        decay=np.tile(sweep, voices),
        attack_s=rng.uniform(0.03, 0.5),
        release_s=rng.uniform(0.05, 0.5),
        noise=0.0,
        softness=0.3,
    )


def organ(rng: Rng) -> Timbre:
    """Drawbars or pipes: steady partials at octaves and fifths, slight chorus, a chiff."""
    ratio = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0])
    amplitude = (rng.random(12) < 0.65) * rng.uniform(0.2, 1.0, 12) * ratio ** -rng.uniform(0.2, 1.0)
    amplitude[1] = 1.0
    ratio = np.concatenate([ratio, ratio * 2.0 ** (rng.uniform(1.0, 8.0) / 1200.0)])
    amplitude = np.concatenate([amplitude, amplitude * rng.uniform(0.0, 0.8)])
    return Timbre(
        ratio,
        _unit(amplitude),
        decay=np.zeros(24),
        attack_s=rng.uniform(0.004, 0.05),
        release_s=rng.uniform(0.01, 0.1),
        noise=0.15 * rng.random(),
        softness=0,
    )


def bass(rng: Rng) -> Timbre:
    """Electric or synthesised bass: strong low partials, the upper ones closing like a filter."""
    k = np.arange(1.0, 25.0)
    amplitude = k ** -rng.uniform(0.9, 2.5) * np.exp(rng.normal(0.0, 0.25, len(k)))
    decay = rng.uniform(0.3, 3.0) + rng.uniform(0.05, 1.2) * (k - 1.0)
    return Timbre(
        k,
        _unit(amplitude),
        decay=decay,
        attack_s=rng.uniform(0.001, 0.012),
        release_s=rng.uniform(0.02, 0.08),
        noise=0.1,
        softness=0.6,
    )


def melody_tables(rng: Rng, hz: float, rate: int) -> tuple[Array, Array]:
    """A soft and a loud cycle of a wind, bowed or synthesised instrument without partials above Nyquist."""
    count = int(np.clip(0.45 * rate / hz, 1, 90))
    k = np.arange(1.0, count + 1.0)
    kind = rng.integers(4)
    loud = k ** -rng.uniform(0.7, 1.6)
    if kind == 0:  # flute: few partials
        loud = k ** -rng.uniform(2.0, 3.5)
    elif kind == 1:  # clarinet, square wave
        loud[1::2] *= rng.uniform(0.02, 0.3)
    else:  # body resonances of a fixed frequency
        for _ in range(3):
            centre = np.exp(rng.uniform(np.log(400.0), np.log(4000.0)))
            loud *= 1.0 + rng.uniform(0.0, 3.0) * np.exp(-0.5 * (np.log(k * hz / centre) / 0.25) ** 2)
    phase = rng.random(count) if rng.random() < 0.5 else np.full(count, 0.25)
    return cycle(loud * k ** -rng.uniform(0.4, 1.5), phase), cycle(loud, phase)


def _hit(rng: Rng, rate: int, seconds: float, hz: Doubles, db: Doubles, power: float) -> Array:
    n = fast_length(int(seconds * rate))
    noise = shaped(rng, n, curve(n, rate, hz, db))
    return noise * np.exp(np.arange(n, dtype=np.float32) * np.float32(-power / (seconds * rate)))


def kick(rng: Rng, rate: int) -> Array:
    """Bass drum: a sine falling in pitch, with a click."""
    time_s = np.arange(int(0.35 * rate)) / rate
    low, sweep, fall = rng.uniform(42.0, 75.0), rng.uniform(60.0, 400.0), rng.uniform(20.0, 70.0)
    cycles = low * time_s + sweep / fall * (1.0 - np.exp(-fall * time_s))
    turn = ((cycles - np.rint(cycles)) * 2.0 * np.pi).astype(np.float32)
    out = np.sin(turn) * np.exp(-time_s * rng.uniform(7.0, 18.0)).astype(np.float32) * np.float32(1.4)
    click = _hit(
        rng, rate, seconds=0.02, hz=np.array([100.0, 3000.0, 12000.0]), db=np.array([0.0, 0.0, -30.0]), power=6.0
    )
    out[: len(click)] += click * np.float32(rng.uniform(0.05, 0.6))
    return out


def snare(rng: Rng, rate: int) -> Array:
    """Snare, clap or rim: two or three membrane modes under decaying band noise."""
    centre = rng.uniform(1200.0, 5000.0)
    hz = np.array([100.0, centre / 4, centre, centre * 2.5, 20000.0])
    seconds = rng.uniform(0.1, 0.35)
    out = _hit(rng, rate, seconds=seconds, hz=hz, db=np.array([-25.0, -10.0, 0.0, -4.0, -25.0]), power=6.0)
    modes = rng.uniform(150.0, 260.0) * np.array([1.0, 1.6, 2.3])
    body = tones(
        modes,
        np.array([1.0, 0.6, 0.3]),
        decay=np.array([20.0, 25.0, 35.0]),
        phase=rng.random(3),
        n=len(out),
        sample_rate=rate,
    )
    if rng.random() < 0.2:  # hand clap: a few bursts
        out *= (0.25 + 0.75 * (np.arange(len(out)) % int(0.011 * rate) < 0.005 * rate)).astype(np.float32)
    return out + body * np.float32(rng.uniform(0.1, 1.2))


def cymbal(rng: Rng, rate: int, seconds: float) -> Array:
    """Hi-hat or crash: dense inharmonic modes and treble noise that dies away."""
    low = rng.uniform(2500.0, 7000.0)
    hz = np.array([low / 4, low, low * 1.6, 14000.0, 22000.0])
    out = _hit(
        rng, rate, seconds=seconds, hz=hz, db=np.array([-45.0, -10.0, 0.0, -3.0, -12.0]), power=rng.uniform(4.0, 8.0)
    )
    modes = rng.uniform(low / 2, 15000.0, 24)
    return out + tones(
        modes, np.full(24, 0.15), decay=np.full(24, 5.0 / seconds), phase=rng.random(24), n=len(out), sample_rate=rate
    )


def tom(rng: Rng, rate: int) -> Array:
    """Tom, conga, wood block or shaker: membrane modes at a random pitch, or a short rattle."""
    if rng.random() < 0.3:
        return _hit(
            rng,
            rate,
            seconds=0.09,
            hz=np.array([500.0, 4000.0, 9000.0, 20000.0]),
            db=np.array([-40.0, -5, 0, -15]),
            power=5.0,
        )
    ratio = np.array(BELLS[4])
    base = np.exp(rng.uniform(np.log(70.0), np.log(900.0)))
    decay = rng.uniform(6.0, 30.0) * ratio
    return tones(
        base * ratio, ratio**-1.0, decay=decay, phase=rng.random(len(ratio)), n=int(0.3 * rate), sample_rate=rate
    )
