"""What voices say: invented syllables in phrases with pitch, stress, pauses and breaths, and songs."""

from __future__ import annotations

import numpy as np

from zoo.synth.core import Bus, Doubles, Rng
from zoo.synth.voice import FRAME_S, Speaker, Tracks, frame_length, render, speaker

# first three formants in Hz of an adult male (after Peterson and Barney, 1952)
VOWELS = np.array(
    [
        [270, 2290, 3010], [390, 1990, 2550], [530, 1840, 2480], [660, 1720, 2410], [730, 1090, 2440],
        [570, 840, 2410], [440, 1020, 2240], [300, 870, 2240], [640, 1190, 2390], [490, 1350, 1690], [240, 1800, 2200],
    ],
    np.float64,
)  # fmt: skip
LOCI = np.array([[250, 800, 2300], [250, 1750, 2700], [250, 2200, 2600]], np.float64)  # lips, teeth, palate
FRICATIVES = ((6200.0, 1800.0, 0.5), (3300.0, 1300.0, 0.6), (5500.0, 4500.0, 0.16), (1800.0, 700.0, 0.3))  # s sh f ch
BURSTS = ((900.0, 700.0), (4300.0, 1800.0), (2100.0, 700.0))  # p, t, k: centre and width in Hz


def voice(bus: Bus, rng: Rng, seconds: float) -> None:
    """Mix a speaker, a singer, or now and then two or three people into the bus."""
    people = int(rng.choice([1, 2, 3], p=[0.88, 0.08, 0.04]))
    for _ in range(people):
        who = speaker(rng)
        frames = bus.n // frame_length(bus.sample_rate) + 4
        tracks = _sing(rng, who, frames) if rng.random() < 0.15 else _speak(rng, who, frames)
        gain = 1.0 if people == 1 else 10.0 ** (rng.normal(0.0, 5.0) / 20.0)
        bus.add(render(tracks, who, rng, bus.n, bus.sample_rate), gain, 0.0 if people == 1 else rng.uniform(-0.8, 0.8))


def _smooth(track: Doubles, frames: int) -> Doubles:
    window = np.hanning(frames + 2)[1:-1]
    padded = np.pad(track, frames // 2 + 1, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="same")[frames // 2 + 1 : -(frames // 2 + 1)]


def _finish(tracks: Tracks, who: Speaker, rng: Rng) -> Tracks:
    """Let the articulators take their time: 50 ms for formants, 15 for the glottis, 10 for a constriction."""
    formants = np.stack([_smooth(tracks.formants_hz[:, i], 11) for i in range(3)], axis=1)
    voiced = _smooth(tracks.voiced, 4)
    breath = _smooth(tracks.breath, 3) + (voiced if not who.whisper else 0.0) * who.breathiness
    breath = breath + 0.3 * _smooth(tracks.voiced, 4) * who.whisper
    wander = np.repeat(rng.normal(0.0, 0.012, len(voiced) // 8 + 1), 8)[: len(voiced)]
    f0 = _smooth(tracks.f0_hz, 9) * (1.0 + _smooth(wander, 12))
    return Tracks(
        f0,
        formants,
        voiced=voiced,
        breath=breath,
        hiss=_smooth(tracks.hiss, 2),
        hiss_hz=tracks.hiss_hz,
        hiss_width_hz=tracks.hiss_width_hz,
    )


def _speak(rng: Rng, who: Speaker, frames: int) -> Tracks:
    """Phrases of invented syllables with falling pitch, stress, pauses and breaths."""
    t = Tracks.rest(frames)
    pace = np.exp(rng.normal(0.0, 0.22))
    lively = rng.uniform(0.05, 0.3)
    pause_s = float(rng.uniform(0.1, 0.9))
    i = -int(rng.uniform(0.0, 1.2) / FRAME_S)
    while i < frames:
        syllables = int(rng.integers(2, 10))
        loudness = rng.uniform(0.6, 1.0)
        for s in range(syllables):
            stress = rng.random() < 0.35
            pitch = who.f0_hz * (1.12 - 0.3 * s / syllables) * np.exp(lively * (stress * 0.8 + rng.normal(0.0, 0.4)))
            i = _syllable(
                rng, t, i=i, f0_hz=pitch, level=loudness * (1.0 if stress else rng.uniform(0.4, 0.8)), pace=pace
            )
        t.voiced[max(i - 8, 0) : max(i, 0)] *= 0.5
        rest = int(pause_s * rng.uniform(0.3, 1.5) / FRAME_S)
        if rng.random() < 0.3 and rest > 40:  # a breath before the next phrase
            a, b = max(i + rest // 3, 0), max(i + rest - 4, 0)
            span = np.sin(np.linspace(0.0, np.pi, max(b - a, 0)))[: max(frames - a, 0)]
            t.breath[a : a + len(span)] = 0.04 * span
        i += rest
    return _finish(t, who, rng)


def _syllable(rng: Rng, t: Tracks, i: int, f0_hz: float, level: float, pace: float) -> int:
    """Write consonant and vowel, perhaps a closing consonant, from frame `i`; returns the frame after."""
    vowel = VOWELS[rng.integers(len(VOWELS))] * np.exp(rng.normal(0.0, 0.05, 3))
    begin = i
    if rng.random() < 0.88:
        i = _consonant(rng, t, i=i, vowel=vowel, level=level, pace=pace)
    length = max(6, int(pace * np.exp(rng.normal(np.log(0.1), 0.4)) / FRAME_S))
    a, b = max(i, 0), max(i + length, 0)
    t.formants_hz[a:b] = vowel
    if rng.random() < 0.25:  # diphthong
        t.formants_hz[(a + b) // 2 : b] = VOWELS[rng.integers(len(VOWELS))]
    t.voiced[a:b] = level
    i += length
    if rng.random() < 0.35:
        i = _consonant(rng, t, i=i, vowel=vowel, level=level * 0.7, pace=pace)
    a, b = max(begin, 0), max(i, 0)
    glide = np.linspace(f0_hz * rng.uniform(0.95, 1.1), f0_hz * rng.uniform(0.85, 1.02), b - a)
    t.f0_hz[a:b] = glide[: len(t.f0_hz[a:b])]
    return i


def _consonant(rng: Rng, t: Tracks, i: int, vowel: Doubles, level: float, pace: float) -> int:
    """Write a fricative, plosive, nasal or glide from frame `i`; returns the frame after."""
    kind = rng.choice(4, p=[0.27, 0.35, 0.2, 0.18])
    sounding = rng.random() < 0.5
    place = int(rng.integers(3))
    length = max(4, int(pace * rng.uniform(0.05, 0.14) / FRAME_S))
    a, b = max(i, 0), max(i + length, 0)
    t.formants_hz[a:b] = 0.5 * (LOCI[place] + vowel)
    if kind == 0:
        centre, width, strength = FRICATIVES[rng.integers(len(FRICATIVES))]
        t.hiss[a:b] = strength * level * rng.uniform(0.2, 1.3) * (0.5 if sounding else 1.0)
        t.hiss_hz[a:b], t.hiss_width_hz[a:b] = centre * rng.uniform(0.85, 1.2), width
        t.voiced[a:b] = 0.25 * level * sounding
    elif kind == 1:
        burst = max(b - int(rng.integers(1, 4)), 0)
        centre, width = BURSTS[place]
        t.voiced[a:burst] = 0.08 * level * sounding
        t.formants_hz[a:burst] = LOCI[place]
        t.hiss[burst:b] = level * rng.uniform(0.2, 1.3)
        t.hiss_hz[burst:b], t.hiss_width_hz[burst:b] = centre * rng.uniform(0.85, 1.15), width
        if not sounding:
            after = int(rng.uniform(0.01, 0.07) / FRAME_S)
            c, d = b, max(i + length + after, 0)
            t.breath[c:d] = level * rng.uniform(0.05, 0.25)
            t.formants_hz[c:d] = vowel
            length += after
    else:
        t.voiced[a:b] = level * (0.35 if kind == 2 else 0.6)
        t.formants_hz[a:b] = (260.0, 1100.0 + 350.0 * place, 2300.0) if kind == 2 else 0.4 * LOCI[place] + 0.6 * vowel
    return i + length


def _sing(rng: Rng, who: Speaker, frames: int) -> Tracks:
    """Long vowels on the steps of a scale, with vibrato and scoops."""
    t = Tracks.rest(frames)
    seconds = np.arange(frames) * FRAME_S
    base, degree = who.f0_hz * rng.uniform(1.0, 2.0), int(rng.integers(0, 7))
    scale = (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)
    beat_s = rng.uniform(0.2, 0.7)
    i = -int(rng.uniform(0.0, 1.0) / FRAME_S)
    while i < frames:
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, 9))
        vowel = VOWELS[rng.integers(len(VOWELS))]
        if rng.random() < 0.6:
            start = i
            i = _consonant(rng, t, i=i, vowel=vowel, level=0.7, pace=1.0)
            t.f0_hz[max(start, 0) : max(i, 0)] = base * 2.0 ** (scale[degree] / 12.0)
        length = max(10, int(beat_s * float(rng.choice([1, 1, 2, 4])) / FRAME_S))
        a, b = max(i, 0), max(i + length, 0)
        t.f0_hz[a:b] = base * 2.0 ** (scale[degree] / 12.0)
        t.formants_hz[a:b] = vowel
        t.voiced[a:b] = rng.uniform(0.6, 1.0)
        i += length
        if rng.random() < 0.15:
            i += int(0.2 / FRAME_S)
    vibrato = rng.uniform(0.0, 0.03) * np.sin(2.0 * np.pi * rng.uniform(4.5, 6.5) * seconds + rng.uniform(0.0, 6.28))
    done = _finish(t, who, rng)
    f0 = np.minimum(done.f0_hz * (1.0 + vibrato), 1100.0)
    return Tracks(
        f0,
        done.formants_hz,
        voiced=done.voiced,
        breath=done.breath,
        hiss=done.hiss,
        hiss_hz=done.hiss_hz,
        hiss_width_hz=done.hiss_width_hz,
    )
