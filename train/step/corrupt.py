"""Corruption of clean crops inside the compiled step: noises, rooms, clipping, lost bands.

What happens to an example is drawn from (seed, example number) alone, as in `augment`. Nothing here is recorded: hum,
hiss, clicks and babble are synthesised, with parameters drawn anew for each example.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from configs.base import Corruption
from train.step import filters
from train.step.filters import SILENCE, between, convolved, decibels, in_room, power, room
from train.step.noises import NOISES
from zoo.errors import ZooError

_STREAM = 0x6E6F6973  # sets these draws apart from those of `augment` and the model's own
_FLOOR_DBFS = -50.0  # noise is measured from here where a crop is softer: it is to be removed from pauses, too
_SECOND_DB = (-12.0, 0.0)
_DIRECT_DB = (-3.0, 12.0)  # range of the direct sound's level above the room's
_LOW_PASS_TAPS = 255


def check(config: Corruption) -> None:
    """Raises ZooError for probabilities outside [0, 1], unknown kinds of noise, and ranges that make no sense."""
    probabilities = ("noise", "recordings", "second", "reverberation", "clipping", "band_limit", "coding")
    limits = {"snr_db": -math.inf, "clipping_db": -math.inf}
    limits |= dict.fromkeys(("reverberation_s", "band_limit_hz", "coding_kbps"), 0.0)
    filters.check("corruption", config, probabilities, limits)
    for kind in config.kinds:
        if kind not in NOISES:
            raise ZooError(f"corruption.kinds: there is no noise {kind!r}; there are: {', '.join(NOISES)}")
    if config.noise and not config.kinds:
        raise ZooError("corruption.kinds is empty: name a noise, or set corruption.noise to 0")


def corrupt(
    audio: jax.Array,
    index: jax.Array,
    config: Corruption,
    *,
    seed: int,
    sample_rate: int,
    recordings: jax.Array | None = None,
) -> jax.Array:
    """What a model is given in the place of clean crops (B, T, C) of examples `index` (B,).

    In this order, each with its own probability: a room; one kind of noise or two, at an SNR over the crop uniform in
    dB; a lost upper band; clipping. `recordings` (B, T, C) are noises of the caller's, by which `config.recordings` of
    the noises are replaced. A peak is not brought down: that would change the target. Raises ZooError for a `config`
    that makes no sense.
    """
    check(config)
    keys, chance = _draws(index, seed)
    if config.reverberation:
        rt60_s, direct_db = between(next(chance), config.reverberation_s), between(next(chance), _DIRECT_DB)
        respond = lambda shape: room(keys[:, 0], rt60_s, direct_db, sample_rate, shape)  # noqa: E731
        wet = in_room(audio, respond, sample_rate=sample_rate, longest_s=config.reverberation_s[1])
        audio = jnp.where(next(chance) < config.reverberation, wet, audio)
    if config.noise:
        noise = _noise(audio.shape, keys[:, 1:], config, sample_rate)
        if recordings is not None:
            noise = jnp.where(next(chance) < config.recordings, _normalised(recordings), noise)
        level = jnp.maximum(power(audio), 10 ** (_FLOOR_DBFS / 10))
        gain = jnp.sqrt(level) * decibels(-between(next(chance), config.snr_db))
        audio = jnp.where(next(chance) < config.noise, audio + noise * gain, audio)
    if config.band_limit:
        low, high = config.band_limit_hz
        late = _LOW_PASS_TAPS // 2
        filters = _low_pass(low * (high / low) ** next(chance), sample_rate)
        limited = convolved(jnp.pad(audio, ((0, 0), (0, late), (0, 0))), filters)[:, late:]
        audio = jnp.where(next(chance) < config.band_limit, limited, audio)
    if config.clipping:
        peak = jnp.abs(audio).max(axis=(1, 2), keepdims=True)
        limit = peak * decibels(-between(next(chance), config.clipping_db))
        audio = jnp.where(next(chance) < config.clipping, jnp.clip(audio, -limit, limit), audio)
    return audio


def _draws(index: jax.Array, seed: int) -> tuple[jax.Array, Iterator[jax.Array]]:
    """Keys (B, 5) and uniform numbers (B, 1, 1), of each example a function of (seed, example number) alone."""
    stream = jax.random.fold_in(jax.random.key(seed), _STREAM)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(stream, i), 6))(index)
    numbers = jax.vmap(lambda k: jax.random.uniform(k, (12,)))(keys[:, 5])
    return keys, iter(numbers.T[:, :, None, None])


def _noise(shape: tuple[int, ...], keys: jax.Array, config: Corruption, sample_rate: int) -> jax.Array:
    """Noise (B, T, C) of unit power: a kind for each example, and with some probability a softer second one."""
    kinds = [NOISES[kind] for kind in config.kinds]

    def made(key: jax.Array, kind: jax.Array) -> jax.Array:
        makers = [lambda k, f=f: f(k, *shape[1:], sample_rate) for f in kinds]
        return _normalised(jax.lax.switch(kind, makers, key)[None])[0]

    def example(keys: jax.Array) -> jax.Array:
        choice = jax.random.permutation(keys[0], len(kinds))
        second, relative = jax.random.uniform(keys[1], (2,))
        first = made(keys[2], choice[0])
        if len(kinds) == 1 or not config.second:
            return first
        gain = decibels(between(relative, _SECOND_DB))
        both = lambda: first + gain * made(keys[3], choice[1])  # noqa: E731
        return jax.lax.cond(second < config.second, both, lambda: first)

    # one example after the other, so that each makes only the noise that it needs
    return _normalised(jax.lax.map(example, keys))


def _normalised(noise: jax.Array) -> jax.Array:
    """Scaled to unit power; silence stays silence."""
    return noise * jax.lax.rsqrt(jnp.maximum(power(noise), SILENCE)) * (power(noise) > SILENCE)


def _low_pass(cutoff_hz: jax.Array, sample_rate: int) -> jax.Array:
    """Windowed-sinc filters (B, L, 1) of linear phase for cut-offs (B, 1, 1); one above half the rate cuts nothing."""
    t = jnp.arange(_LOW_PASS_TAPS, dtype=jnp.float32)[None, :, None] - _LOW_PASS_TAPS // 2
    window = jnp.asarray(jnp.hanning(_LOW_PASS_TAPS + 2)[1:-1], jnp.float32)[None, :, None]
    # beyond half the rate the sinc would be one of an alias: what it folds back would be doubled
    width = jnp.minimum(2 * cutoff_hz / sample_rate, 1.0)
    return width * jnp.sinc(width * t) * window
