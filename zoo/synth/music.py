"""Music: a few bars of harmony, rhythm and melody on a tempo grid, entered at a random moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.synth import instruments
from zoo.synth.core import Bus, Rng, oscillate, ramp, slow_noise, white

SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
    (0, 2, 4, 5, 7, 9, 10),
)
PROGRESSIONS = ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (1, 4, 0, 0), (0, 6, 5, 4), (0, 2, 3, 3), (0, 0, 3, 0))
HISTORY_S = 2.5  # how long before the clip a note may have begun


@dataclass(frozen=True)
class Grid:
    """Time and harmony that all parts share: sixteenths at `step_s`, the clip begins at `offset` sixteenths."""

    step_s: float
    offset: float
    root: float  # MIDI key of the tonic
    scale: tuple[int, ...]
    chords: tuple[int, ...]
    per_chord: int  # sixteenths per chord
    swing: float

    def steps(self, seconds: float) -> range:
        """The sixteenths that begin between `HISTORY_S` before the clip and its end."""
        first = int(np.floor(self.offset - HISTORY_S / self.step_s))
        return range(first, int(np.ceil(self.offset + seconds / self.step_s)) + 1)

    def time_s(self, step: int) -> float:
        """Start of a sixteenth in seconds from the start of the clip."""
        return (step + self.swing * (step % 2) - self.offset) * self.step_s

    def degree(self, step: int) -> int:
        """Scale degree of the chord that sounds at a step."""
        return self.chords[(step // self.per_chord) % len(self.chords)]

    def hz(self, degree: int, octave: int = 0) -> float:
        """Frequency of a scale degree, which may lie outside one octave."""
        key = self.root + self.scale[degree % 7] + 12 * (degree // 7 + octave)
        return float(440.0 * 2.0 ** ((key - 69.0) / 12.0))


def music(bus: Bus, rng: Rng, seconds: float) -> None:
    """Mix one to five parts into the bus."""
    grid = Grid(
        step_s=15.0 / rng.uniform(60.0, 170.0),
        offset=rng.uniform(0.0, 256.0),
        root=rng.integers(48, 60) + rng.normal(0.0, 0.15),
        scale=SCALES[rng.integers(len(SCALES))],
        chords=PROGRESSIONS[rng.integers(len(PROGRESSIONS))],
        per_chord=int(rng.choice([8, 16, 16, 32])),
        swing=rng.uniform(0.0, 0.35) if rng.random() < 0.3 else 0.0,
    )
    if rng.random() < 0.2:
        parts = [("notes", "chords", "melody", "drums")[rng.choice(4, p=[0.45, 0.25, 0.2, 0.1])]]
    else:
        odds = {"chords": 0.65, "notes": 0.5, "bass": 0.75, "melody": 0.35, "drums": 0.5}
        parts = [name for name, chance in odds.items() if rng.random() < chance] or ["notes", "chords"]
    for name in parts:
        gain = 10.0 ** (rng.normal({"bass": 3.0, "drums": 0.0, "melody": -1.0}.get(name, -3.0), 3.5) / 20.0)
        pan = 0.0 if name in ("bass", "drums") else rng.uniform(-0.8, 0.8)
        PARTS[name](bus, rng, grid, seconds, gain, pan)


@dataclass(frozen=True)
class Player:
    """One part's instrument and its place in the mix."""

    timbre: instruments.Timbre
    gain: float
    pan: float


def _play(bus: Bus, rng: Rng, player: Player, hz: float, velocity: float, at_s: float, long_s: float) -> None:
    """Add one note that begins at `at_s`, perhaps before the clip does, and is damped `long_s` later."""
    timbre = player.timbre
    age_s = max(0.0, -at_s)
    start = max(0, int(at_s * bus.sample_rate))
    if start >= bus.n or age_s > long_s + 4.0 * timbre.release_s:
        return
    note = timbre.note(rng, hz, velocity=velocity, age_s=age_s, length_s=long_s, n=bus.n - start, rate=bus.sample_rate)
    bus.add(note, player.gain, player.pan, start)


def _chords(bus: Bus, rng: Rng, grid: Grid, seconds: float, gain: float, pan: float) -> None:
    """Chords: held by a pad or an organ, or strummed in a rhythm."""
    held = rng.random() < 0.6
    timbre = (instruments.pad if rng.random() < 0.65 else instruments.organ)(rng) if held else instruments.plucked(rng)
    every = grid.per_chord if held else int(rng.choice([4, 8, 8, 16]))
    voicing = np.array([0, 2, 4, 7, 6, 9])[: rng.integers(3, 6)]
    strum_s, octave = rng.uniform(0.0, 0.03), int(rng.integers(-1, 2))
    width = rng.uniform(0.0, 0.5)
    hits = set(rng.choice(16, rng.integers(1, 5), replace=False).tolist()) | {0}
    for step in grid.steps(seconds):
        if (step % every if held else step % 16 not in hits) != 0:
            continue
        velocity = rng.uniform(0.5, 1.0)
        for i, tone in enumerate(voicing.tolist()):
            at_s = grid.time_s(step) + i * strum_s
            player = Player(timbre, gain * 0.6, float(np.clip(pan + width * (i % 3 - 1), -1.0, 1.0)))
            hz = grid.hz(grid.degree(step) + tone, octave)
            _play(bus, rng, player=player, hz=hz, velocity=velocity, at_s=at_s, long_s=every * grid.step_s)


def _notes(bus: Bus, rng: Rng, grid: Grid, seconds: float, gain: float, pan: float) -> None:
    """Arpeggios, riffs and scattered tones of strings and bells, one or two at a time."""
    timbre = (instruments.plucked if rng.random() < 0.65 else instruments.bell)(rng)
    density, octave = rng.uniform(0.15, 0.8), int(rng.integers(-1, 3))
    length_s = grid.step_s * float(rng.choice([1.0, 2.0, 4.0, 16.0]))
    even = bool(rng.random() < 0.5)
    for step in grid.steps(seconds):
        if rng.random() > density * (1.0 if step % 4 == 0 else 0.3 if even and step % 2 else 0.7):
            continue
        degree = grid.degree(step) + int(rng.choice([0, 2, 4, 7, 9]) if rng.random() < 0.75 else rng.integers(0, 10))
        at_s = grid.time_s(step) + rng.normal(0.0, 0.006)
        for extra in (0, 2) if rng.random() < 0.15 else (0,):
            hz = grid.hz(degree + extra, octave)
            _play(
                bus,
                rng,
                player=Player(timbre, gain, pan),
                hz=hz,
                velocity=rng.uniform(0.3, 1.0),
                at_s=at_s,
                long_s=length_s,
            )


def _bass(bus: Bus, rng: Rng, grid: Grid, seconds: float, gain: float, pan: float) -> None:
    """Bass line on the roots and fifths of the chords."""
    timbre = instruments.bass(rng)
    every = int(rng.choice([2, 4, 4, 8, 16]))
    octave = -1 if grid.root > 54 or rng.random() < 0.4 else -2
    for step in grid.steps(seconds):
        if step % every or rng.random() < 0.1:
            continue
        degree = grid.degree(step) + int(rng.choice([0, 0, 0, 4, 7]))
        long_s = grid.step_s * every * rng.uniform(0.6, 1.0)
        velocity = rng.uniform(0.6, 1.0)
        _play(
            bus,
            rng,
            player=Player(timbre, gain, pan),
            hz=grid.hz(degree, octave),
            velocity=velocity,
            at_s=grid.time_s(step),
            long_s=long_s,
        )


def _melody(bus: Bus, rng: Rng, grid: Grid, seconds: float, gain: float, pan: float) -> None:
    """One line of a wind, bowed or synthesised instrument: slides, vibrato, brightness that follows loudness."""
    rate, hop = bus.sample_rate, max(1, bus.sample_rate // 400)
    n_points = bus.n // hop + 2
    time_s = np.arange(n_points) * hop / rate
    key, loud = np.zeros(n_points), np.zeros(n_points)
    octave, position = int(rng.integers(0, 3)), int(rng.integers(0, 7))
    at_s = -rng.uniform(0.0, 1.0)
    attack_s, vibrato_hz, depth = rng.uniform(0.01, 0.12), rng.uniform(4.0, 7.0), abs(rng.normal(0.0, 0.3))
    while at_s < seconds:
        long_s = grid.step_s * float(rng.choice([1, 2, 2, 4, 4, 8]))
        position = int(np.clip(position + rng.integers(-2, 3), -3, 10))
        here = (time_s >= at_s) & (time_s < at_s + long_s)
        since = time_s[here] - at_s
        key[here] = 12.0 * np.log2(grid.hz(position, octave))
        key[here] += depth * np.clip(since * 3.0 - 0.3, 0.0, 1.0) * np.sin(2.0 * np.pi * vibrato_hz * since)
        if rng.random() > 0.12:
            swell = np.minimum(since / attack_s, 1.0) * np.minimum((long_s - since) / 0.04, 1.0)
            loud[here] = swell * rng.uniform(0.5, 1.0) * (1.0 - 0.4 * since / long_s)
        at_s += long_s
    key[key == 0.0] = 12.0 * np.log2(grid.hz(position, octave))
    glide = np.ones(max(1, int(rng.uniform(0.0, 0.08) * rate / hop)))
    key = np.convolve(np.pad(key, len(glide), mode="edge"), glide / len(glide), mode="same")[len(glide) : -len(glide)]
    hz = ramp((2.0 ** (key / 12.0)).astype(np.float32), hop, bus.n)
    phase = np.cumsum(hz, dtype=np.float64) / rate
    soft, bright = instruments.melody_tables(rng, float(np.max(hz)), rate)
    level = ramp(loud.astype(np.float32), hop, bus.n)
    dull = oscillate(soft, phase)
    out = dull + (oscillate(bright, phase) - dull) * level
    breath = rng.uniform(0.0, 0.08) if rng.random() < 0.5 else 0.0
    if breath:
        out += white(rng, bus.n) * np.float32(breath)
    bus.add(out * level, gain * 1.2, pan)


def _drums(bus: Bus, rng: Rng, grid: Grid, seconds: float, gain: float, pan: float) -> None:
    """A kit of one-shots in a sixteenth pattern with accents; each hit varies in level and, a little, in colour."""
    rate = bus.sample_rate
    hats = range(0, 16, int(rng.choice([1, 2, 2, 4])))
    kit = (
        (instruments.kick(rng, rate), _pattern(rng, (0, 8), 0.12), 1.3, 0.0),
        (instruments.snare(rng, rate), _pattern(rng, (4, 12), 0.06), 0.8, 0.1),
        (instruments.cymbal(rng, rate, 0.07), _pattern(rng, hats, 0.1), 0.4, 0.4),
        (instruments.cymbal(rng, rate, rng.uniform(0.3, 1.5)), _pattern(rng, (), 0.05), 0.5, -0.5),
        (instruments.tom(rng, rate), _pattern(rng, (), 0.12), 0.8, -0.3),
    )
    mute = rng.random(len(kit)) < (0.1, 0.15, 0.15, 0.4, 0.5)
    for step in grid.steps(seconds):
        for (sound, pattern, level, side), silent in zip(kit, mute):
            if silent or not pattern[step % 16]:
                continue
            start = int((grid.time_s(step) + rng.normal(0.0, 0.003)) * rate)
            if start >= bus.n or start + len(sound) <= 0:
                continue
            bus.add(sound, gain * level * pattern[step % 16] * rng.uniform(0.6, 1.1), pan + side, start)
    if rng.random() < 0.1:  # side-chain pumping
        beat = slow_noise(rng, bus.n, max(2, int(4 * grid.step_s * rate)))
        bus.data[:] *= np.float32(1.0) - np.float32(0.25) * np.tanh(np.abs(beat))[None]


def _pattern(rng: Rng, beats: tuple[int, ...] | range, chance: float) -> list[float]:
    """Velocities of 16 steps: firm on `beats`, elsewhere a soft hit with some chance."""
    return [1.0 if step in beats else 0.5 * float(rng.random() < chance) for step in range(16)]


PARTS = {"chords": _chords, "notes": _notes, "bass": _bass, "melody": _melody, "drums": _drums}
