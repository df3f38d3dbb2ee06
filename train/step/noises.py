"""Noises that are synthesised inside the compiled step, of each example its own: hiss, hum, clicks, babble.

Each is a function of (PRNG key, samples, channels, sample rate in Hz) that gives (T, C) of no certain level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from train.step.filters import band_centres, between, convolved, curve_weights, decibels, minimum_phase

Noise = Callable[[jax.Array, int, int, int], jax.Array]

_FILTER_TAPS = 2048
_TABLE = 1024
"""samples of one period of a waveform"""
_HARMONICS = 40
_CLICK_TAPS = 1024
_VOICES = 6
_SYLLABLES_PER_S = (2.5, 6.0)


def hiss(key: jax.Array, n_samples: int, channels: int, sample_rate: int) -> jax.Array:
    """Noise between white and brown with a random equaliser, in half of all cases of changing level.

    Each channel has its own.
    """
    keys = jax.random.split(key, 4)
    slope, steady, speed, start = jax.random.uniform(keys[0], (4,))
    frequencies = np.fft.rfftfreq(_FILTER_TAPS, 1 / sample_rate)
    octaves = jnp.asarray(np.log2(np.maximum(frequencies, 50.0) / 1000.0), jnp.float32)
    bands_db = between(jax.random.uniform(keys[1], (len(band_centres(sample_rate)),)), (-9.0, 9.0))
    weights = curve_weights(frequencies, sample_rate).astype(np.float32)
    gains_db = jnp.matmul(weights, bands_db, precision=jax.lax.Precision.HIGHEST) - 6.0 * slope * octaves
    white = jax.random.normal(keys[2], (1, n_samples, channels))
    coloured = convolved(white, minimum_phase(gains_db[None])[:, :, None])[0]
    seconds = _seconds(n_samples, sample_rate)
    swell_db = 8.0 * jnp.sin(2 * math.pi * (between(speed, (0.2, 3.0)) * seconds + start))
    return coloured * jnp.where(steady < 0.5, 1.0, decibels(swell_db))[:, None]


def hum(key: jax.Array, n_samples: int, channels: int, sample_rate: int) -> jax.Array:
    """Harmonics of 50 or 60 Hz, or of any machine's frequency, which drifts a little; the same in all channels."""
    keys = jax.random.split(key, 3)
    kind, place, slope, start, odd = jax.random.uniform(keys[0], (5,))
    frequency = jnp.where(kind < 0.3, 50.0, jnp.where(kind < 0.6, 60.0, 30.0 * 6.0**place))
    number = jnp.arange(1, _HARMONICS + 1, dtype=jnp.float32)
    levels_db = -20.0 * between(slope, (0.2, 2.0)) * jnp.log10(number) - 20.0 * jax.random.uniform(
        keys[1], (_HARMONICS,)
    )
    amplitudes = decibels(levels_db) * jnp.where((odd < 0.3) & (number % 2 == 0), 0.1, 1.0)
    amplitudes *= 1.02 * frequency * number < sample_rate / 2
    table = _waveform(amplitudes, jax.random.uniform(keys[2], (_HARMONICS,)))
    wander = jnp.where(kind < 0.6, 0.0005, 0.015)
    seconds = _seconds(n_samples, sample_rate)
    cycles = frequency * (seconds + wander * jnp.sin(2 * math.pi * (0.3 * seconds + start)))
    place_in_table = (cycles % 1.0) * _TABLE
    before = place_in_table.astype(jnp.int32)
    share = place_in_table - before
    wave = table[before % _TABLE] * (1 - share) + table[(before + 1) % _TABLE] * share
    return jnp.broadcast_to(wave[:, None], (n_samples, channels))


def clicks(key: jax.Array, n_samples: int, channels: int, sample_rate: int) -> jax.Array:
    """Crackle: from two to two hundred short resonances a second, of levels 30 dB apart; the same in all channels."""
    keys = jax.random.split(key, 4)
    often, pitch, decay = jax.random.uniform(keys[0], (3,))
    rate_hz = 2.0 * 100.0**often
    hit = jax.random.uniform(keys[1], (n_samples,)) < rate_hz / sample_rate
    levels = decibels(-30.0 * jax.random.uniform(keys[2], (n_samples,)))
    impulses = jnp.where(hit, levels * jnp.sign(jax.random.normal(keys[3], (n_samples,))), 0.0)
    seconds = _seconds(_CLICK_TAPS, sample_rate)
    highest = min(12_000.0, 0.4 * sample_rate)
    resonance = jnp.exp(-seconds / (0.0001 * 30.0**decay)) * jnp.cos(
        2 * math.pi * 200.0 * (highest / 200.0) ** pitch * seconds
    )
    wave = convolved(impulses[None, :, None], resonance[None, :, None])[0]
    return jnp.broadcast_to(wave, (n_samples, channels))


def babble(key: jax.Array, n_samples: int, channels: int, sample_rate: int) -> jax.Array:
    """Several voices at once that say nothing, syllables of vowels and of hiss; the same in all channels."""
    keys = jax.random.split(key, 3)
    voices = jax.vmap(lambda k: _voice(k, n_samples, sample_rate))(jax.random.split(keys[0], _VOICES))
    levels = decibels(between(jax.random.uniform(keys[1], (_VOICES, 1)), (-12.0, 0.0)))
    return jnp.broadcast_to((voices * levels).sum(axis=0)[:, None], (n_samples, channels))


def _voice(key: jax.Array, n_samples: int, sample_rate: int) -> jax.Array:
    keys = jax.random.split(key, 8)
    pitch, speed, start, sway = jax.random.uniform(keys[0], (4,))
    seconds = _seconds(n_samples, sample_rate)
    position = between(speed, _SYLLABLES_PER_S) * seconds + start
    syllable = position.astype(jnp.int32)
    n_syllables = int(_SYLLABLES_PER_S[1] * n_samples / sample_rate) + 3
    frequency = 85.0 * 3.0**pitch
    number = jnp.arange(1, _HARMONICS + 1, dtype=jnp.float32)
    formants = jnp.stack(
        [
            between(jax.random.uniform(k, (n_syllables, 1)), limits)
            for k, limits in zip(keys[1:4], ((280.0, 850.0), (850.0, 2400.0), (2400.0, 3400.0)))
        ]
    )
    # resonances one above the other, over a source that falls by 12 dB an octave
    resonance = 1.0 / (1.0 + jnp.square((number[None, None, :] * frequency - formants) / 90.0))
    amplitudes = (resonance * jnp.array([1.0, 0.5, 0.25])[:, None, None]).sum(axis=0) / jnp.sqrt(number)[None, :]
    tables = jax.vmap(lambda a: _waveform(a, jnp.zeros(_HARMONICS)))(amplitudes)
    cycles = frequency * (seconds + 0.06 * jnp.sin(2 * math.pi * (0.4 * seconds + sway)))
    voiced = tables[syllable, ((cycles % 1.0) * _TABLE).astype(jnp.int32)]
    noise = jax.random.normal(keys[4], (n_samples + 1,))
    unvoiced = 0.05 * jnp.diff(noise)
    is_voiced = jax.random.uniform(keys[5], (n_syllables,)) < 0.75
    levels = decibels(-30.0 * jnp.square(jax.random.uniform(keys[6], (n_syllables,))))
    envelope = jnp.square(jnp.sin(math.pi * (position % 1.0))) * levels[syllable]
    return jnp.where(is_voiced[syllable], voiced, unvoiced) * envelope


def _waveform(amplitudes: jax.Array, phases: jax.Array) -> jax.Array:
    """One period (_TABLE,) of harmonics, the first of them once a period; phases in cycles."""
    spectrum = jnp.zeros(_TABLE // 2 + 1, jnp.complex64)
    partials = amplitudes * jnp.exp(2j * math.pi * phases)
    return jnp.fft.irfft(spectrum.at[1 : len(amplitudes) + 1].set(partials), _TABLE) * (_TABLE / 2)


def _seconds(n_samples: int, sample_rate: int) -> jax.Array:
    return jnp.arange(n_samples, dtype=jnp.float32) / sample_rate


NOISES: dict[str, Noise] = {"hiss": hiss, "hum": hum, "clicks": clicks, "babble": babble}
