"""Augmentation of crops inside the compiled step: gain, polarity, mixing, equalisers, rooms.

What happens to an example is drawn from (seed, example number) alone, and its partner in a mix is its successor in the
global batch: neither devices nor processes nor the way a batch is split change the result.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs.base import Augmentation
from train.step import filters
from train.step.filters import (
    SILENCE,
    band_centres,
    between,
    convolved,
    curve_weights,
    decibels,
    in_room,
    minimum_phase,
    power,
    room,
)
from train.step.mixing import successors
from zoo.errors import ZooError

_STREAM = 0x61756700  # sets these draws apart from the model's own noise, whose keys also come from (seed, example)
FILTER_TAPS = 4096
"""length of an equaliser's impulse response"""
_DIRECT_DB = (0.0, 12.0)  # range of the direct sound's level above the room's


def check(config: Augmentation) -> None:
    """Raises ZooError for probabilities outside [0, 1] and ranges that make no sense."""
    probabilities = ("polarity", "mix", "filter", "reverberation")
    filters.check("augmentation", config, probabilities, {"mix_snr_db": -math.inf, "reverberation_s": 0.0})
    for name in ("gain_db", "filter_db"):
        if not 0 <= (value := getattr(config, name)) < math.inf:
            raise ZooError(f"augmentation.{name} must not be negative, got {value}")


def augment(
    audio: jax.Array,
    index: jax.Array,
    config: Augmentation,
    *,
    seed: int,
    sample_rate: int,
    axis_name: str | None = None,
) -> jax.Array:
    """Augmented crops (B, T, C) from those of examples `index` (B,); both are one device's part if `axis_name` is set.

    In this order, each with its own probability: polarity; equaliser; room; mixing with the next example of the global
    batch, which has been through the same, at an SNR uniform in dB; gain, uniform in dB. A peak above 1 is scaled down
    to 1. Under `shard_map` or `pmap`, `axis_name` is the axis over which consecutive examples lie on consecutive
    devices. If all are off, the argument is returned as it is. Raises ZooError for a `config` that makes no sense.
    """
    check(config)
    if not any((config.gain_db, config.polarity, config.mix, config.filter, config.reverberation)):
        return audio
    draws = draw(index, seed=seed, sample_rate=sample_rate)
    if config.polarity:
        audio = jnp.where(draws.polarity < config.polarity, -audio, audio)
    if config.filter:
        response = equaliser_response(draws, config, sample_rate)
        audio = jnp.where(draws.filter < config.filter, convolved(audio, response), audio)
    if config.reverberation:
        audio = jnp.where(draws.room < config.reverberation, _in_room(audio, draws, config, sample_rate), audio)
    if config.mix:
        audio = jnp.where(draws.mix < config.mix, _mixed(audio, draws, config, axis_name), audio)
    if config.gain_db:
        audio = audio * decibels(between(draws.gain, (-config.gain_db, config.gain_db)))
    return audio / jnp.maximum(jnp.abs(audio).max(axis=(1, 2), keepdims=True), 1.0)


class Draws(NamedTuple):
    """Uniform numbers in [0, 1), (B, 1, 1) each, all of them drawn whatever is switched on, and what is longer."""

    polarity: jax.Array
    filter: jax.Array
    room: jax.Array
    rt60: jax.Array
    direct: jax.Array
    mix: jax.Array
    snr: jax.Array
    gain: jax.Array
    bands: jax.Array
    """(B, K), one for each of the equaliser's bands"""
    keys: jax.Array
    """(B,), of the rooms' noise"""


def draw(index: jax.Array, *, seed: int, sample_rate: int) -> Draws:
    """What happens to examples `index` (B,): of each, a function of (seed, example number) alone."""
    with jax.ensure_compile_time_eval():
        streams = jax.random.split(jax.random.fold_in(jax.random.key(seed), _STREAM))
    # few calls, each for all: compiling them takes longer than all else here
    keys = jax.vmap(lambda stream: jax.vmap(lambda i: jax.random.fold_in(stream, i))(index))(streams)
    names = Draws._fields[:-2]
    n = len(names)
    numbers = jax.vmap(lambda k: jax.random.uniform(k, (n + len(band_centres(sample_rate)),)))(keys[0])
    single = {name: numbers[:, i, None, None] for i, name in enumerate(names)}
    return Draws(**single, bands=numbers[:, n:], keys=keys[1])


def _mixed(audio: jax.Array, draws: Draws, config: Augmentation, axis_name: str | None) -> jax.Array:
    partner = successors(audio, axis_name)
    snr_db = between(draws.snr, config.mix_snr_db)
    # a silent partner adds nothing, and to a silent crop nothing is added
    ratio = power(audio) / jnp.maximum(power(partner), SILENCE)
    return audio + partner * jnp.sqrt(ratio) * decibels(-snr_db)


def equaliser_response(draws: Draws, config: Augmentation, sample_rate: int) -> jax.Array:
    """Impulse responses (B, FILTER_TAPS, 1) whose gain in each octave is uniform in ±filter_db, and smooth between."""
    weights = curve_weights(np.fft.rfftfreq(FILTER_TAPS, 1 / sample_rate), sample_rate).astype(np.float32)
    # in full precision: an accelerator's default for products of matrices would move the curve
    bands_db = between(draws.bands, (-config.filter_db, config.filter_db))
    gains_db = jnp.matmul(bands_db, weights.T, precision=jax.lax.Precision.HIGHEST)
    return minimum_phase(gains_db)[:, :, None]


def room_response(draws: Draws, config: Augmentation, sample_rate: int, shape: tuple[int, int]) -> jax.Array:
    """Impulse responses (B, L, C) of rooms for a `shape` of (L, C), as `room` gives them.

    The time of decay by 60 dB is uniform in `reverberation_s`, the direct sound 0 to 12 dB above all the rest.
    """
    rt60_s, direct_db = between(draws.rt60, config.reverberation_s), between(draws.direct, _DIRECT_DB)
    return room(draws.keys, rt60_s, direct_db, sample_rate, shape)


def _in_room(audio: jax.Array, draws: Draws, config: Augmentation, sample_rate: int) -> jax.Array:
    respond = lambda shape: room_response(draws, config, sample_rate, shape)  # noqa: E731
    wet = in_room(audio, respond, sample_rate=sample_rate, longest_s=config.reverberation_s[1])
    return wet * jnp.sqrt(power(audio) / jnp.maximum(power(wet), SILENCE))
