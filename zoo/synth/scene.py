"""From an index to a clip: which domain, which parts, which room, how loud."""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np

from zoo.errors import ZooError
from zoo.synth.core import Array, Bus, Rng, cosine_fade, fast_length, generator, white
from zoo.synth.music import music
from zoo.synth.room import PEAK, finish
from zoo.synth.sound import sound
from zoo.synth.speech import voice

DOMAINS = ("music", "voice", "sound")
SCENE_S = 12.0  # longer clips change scene, which also bounds the memory one scene needs
SHORTEST_S = 0.25  # shorter clips are cut from a scene of this length
OVERLAP_S = 0.05
MAX_INDEX = 2**62
RECORDING = {  # mean microphone tilt in dB per octave, chances of reverberation and of compression
    "music": (0.0, 0.6, 0.4),
    "voice": (-0.5, 0.45, 0.2),
    "sound": (-0.3, 0.4, 0.1),
}


def clip(
    index: int,
    seconds: float,
    sample_rate: int,
    *,
    channels: int = 1,
    seed: int = 0,
    domain: str | None = None,
    held_out: bool = False,
) -> Array:
    """Clip number `index` of an endless procedural collection of music, voices and everyday sounds.

    A pure function of its arguments, safe to call from any thread. Returns float32 (T, C), T = round(seconds *
    sample_rate) at `sample_rate` Hz (8000 to 192000), |x| <= 0.99, never silent. `domain` is one of `DOMAINS`, or None
    for all of them and now and then two at once, such as speech over music. Clips with `held_out` have random keys that
    no training clip can have. Raises ZooError if an argument is out of range.
    """
    _integer("index", index, 0, MAX_INDEX)
    _integer("seed", seed, 0, MAX_INDEX)
    _integer("sample_rate", sample_rate, 8000, 192000)
    _integer("channels", channels, 1, 2)
    if not isinstance(seconds, numbers.Real) or not np.isfinite(seconds) or round(float(seconds) * sample_rate) < 1:
        raise ZooError(f"synth: seconds must give at least one sample, not {seconds!r} at {sample_rate} Hz")
    if domain is not None and domain not in DOMAINS:
        raise ZooError(f"synth: unknown domain {domain!r}; known: {', '.join(DOMAINS)}")
    n, rate = round(float(seconds) * sample_rate), int(sample_rate)
    fade = round(OVERLAP_S * rate)
    step = round(SCENE_S * rate)
    out = np.zeros((channels, n), np.float32)
    for part, start in enumerate(range(0, n, step)):
        rng = generator(int(seed), int(index), bool(held_out), part)
        before = min(fade, start)
        piece = _scene(rng, min(step, n - start) + before, rate, channels, domain)
        if before:
            rising = cosine_fade(before)[None]
            piece[:, :before] *= rising
            out[:, start - before : start] *= np.float32(1.0) - rising
        out[:, start - before : start - before + piece.shape[1]] += piece
    return np.ascontiguousarray(np.clip(out, -PEAK, PEAK).T)


def _integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not low <= int(value) <= high:
        raise ZooError(f"synth: {name} must be an integer in {low}..{high}, not {value!r}")


def _scene(rng: Rng, n: int, rate: int, channels: int, domain: str | None) -> Array:
    """One scene (C, n), normalised."""
    size = fast_length(max(n, int(SHORTEST_S * rate)))
    seconds = size / rate
    drawn, mixture = rng.random(), rng.random() < 0.12
    kind = domain or DOMAINS[int(3.0 * drawn)]
    bus = Bus(np.zeros((channels, size), np.float32), rate)
    GENERATORS[kind](bus, rng, seconds)
    if domain is None and mixture:
        others = [name for name in DOMAINS if name != kind]
        under = Bus(np.zeros_like(bus.data), rate)
        GENERATORS[others[rng.integers(2)]](under, rng, seconds)
        ratio = np.sqrt((np.mean(bus.data**2) + 1e-12) / (np.mean(under.data**2) + 1e-12))
        bus.data[:] += under.data * np.float32(ratio * 10.0 ** (rng.uniform(-25.0, 0.0) / 20.0))
    tilt_db, reverb, squeeze = RECORDING[kind]
    wave = finish(bus.data, rate, rng, tilt_db=tilt_db, reverb=reverb, squeeze=squeeze)
    return _cut(wave, n, rate, rng)


def _cut(wave: Array, n: int, rate: int, rng: Rng) -> Array:
    """The first n samples of (C, size), or the loudest ones if these are a pause; offset removed, within the peak."""
    out = wave[:, :n]
    if np.mean(out**2) < (0.05**2) * np.mean(wave**2):
        loudest = int(np.argmax(np.max(np.abs(wave), axis=0)))
        start = int(np.clip(loudest - n // 2, 0, wave.shape[1] - n))
        out = wave[:, start : start + n]
    if n >= OVERLAP_S * rate:  # in less than a period of a low tone the mean is signal
        out = out - out.mean(axis=1, keepdims=True)
    peak = float(np.max(np.abs(out)))
    if not peak > 1e-4:
        return white(rng, out.size).reshape(out.shape) * np.float32(0.05)
    return out * np.float32(min(1.0, PEAK / peak))


GENERATORS: dict[str, Callable[[Bus, Rng, float], None]] = {"music": music, "voice": voice, "sound": sound}
