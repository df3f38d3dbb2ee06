"""Augmentation in the compiled step: closed forms, and one result however the batch is split."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from configs.base import Augmentation
from tests.train.run.initialised import TINY
from train.devices import parallel
from train.run import start
from train.step.augment import augment, check, draw, room_response
from train.step.filters import band_centres, curve_weights, fast_length, minimum_phase
from zoo.errors import ZooError

RATE = 8000
B, T = 8, 4000
EVERYTHING = Augmentation(
    gain_db=6.0, polarity=0.5, mix=0.7, filter=0.7, reverberation=0.7, reverberation_s=(0.05, 0.2)
)


pytestmark = pytest.mark.usefixtures("quick_module")


def noise(*shape: int, seed: int = 0, level: float = 0.05) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * level).astype(np.float32)


@functools.lru_cache
def compiled(config: Augmentation, seed: int = 0):
    return jax.jit(lambda audio, index: augment(audio, index, config, seed=seed, sample_rate=RATE))


def apply(config: Augmentation, audio: np.ndarray, *, first: int = 0, seed: int = 0) -> np.ndarray:
    index = jnp.arange(first, first + len(audio), dtype=jnp.uint32)
    return np.asarray(compiled(config, seed)(jnp.asarray(audio), index))


def level_db(audio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.square(audio.astype(np.float64)).mean(axis=(1, 2)))


def test_by_default_nothing_is_added_to_the_step():
    audio = jnp.asarray(noise(2, T, 1))
    index = jnp.arange(2, dtype=jnp.uint32)
    assert augment(audio, index, Augmentation(), seed=0, sample_rate=RATE) is audio
    traced = jax.make_jaxpr(lambda a, i: augment(a, i, Augmentation(), seed=0, sample_rate=RATE))(audio, index)
    assert not traced.eqns


# ---------------------------------------------------------------- the same however it is split


@pytest.mark.parametrize(("mapped", "n_devices"), [("shard_map", 4), ("pmap", 2)])
def test_devices_change_nothing(mapped, n_devices):
    audio, index = noise(B, T, 2), np.arange(40, 40 + B, dtype=np.uint32)
    expected = apply(EVERYTHING, audio, first=40)
    function = functools.partial(augment, config=EVERYTHING, seed=0, sample_rate=RATE, axis_name="data")
    if mapped == "pmap":
        split = lambda x: x.reshape(n_devices, -1, *x.shape[1:])  # noqa: E731
        devices = jax.devices()[:n_devices]
        got = jax.pmap(function, axis_name="data", devices=devices)(split(audio), split(index)).reshape(audio.shape)
    else:
        mesh = parallel.make_mesh(jax.devices()[:n_devices])
        specs = {"in_specs": (P("data"), P("data")), "out_specs": P("data"), "check_vma": False}
        got = jax.jit(jax.shard_map(function, mesh=mesh, **specs))(audio, index)
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=1e-6)
    assert np.abs(expected - audio).max() > 0.05


def test_an_example_depends_on_its_number_and_on_what_follows_it():
    audio = noise(B, T, 1)
    whole = apply(EVERYTHING, audio, first=7)
    # the last one of a part has another successor
    np.testing.assert_allclose(apply(EVERYTHING, audio[2:6], first=9)[:-1], whole[2:5], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(apply(EVERYTHING, audio, first=7), whole)
    assert (np.abs(apply(EVERYTHING, audio, first=8) - whole).max(axis=(1, 2)) > 1e-3).all()
    assert (np.abs(apply(EVERYTHING, audio, first=7, seed=1) - whole).max(axis=(1, 2)) > 1e-3).all()


def test_an_effect_does_not_change_what_others_draw():
    audio = noise(64, 50, 1)
    flipped = apply(Augmentation(polarity=0.5), audio)
    both = apply(Augmentation(polarity=0.5, gain_db=3.0), audio)
    ratio = both[:, 0] / flipped[:, 0]
    assert (ratio > 0).all()
    np.testing.assert_allclose(both, flipped * ratio[:, None], rtol=1e-5)


# ---------------------------------------------------------------- gain and polarity


def test_polarity_turns_a_share_of_the_examples_upside_down():
    audio = noise(400, 10, 2)
    np.testing.assert_array_equal(apply(Augmentation(polarity=1.0), audio), -audio)
    out = apply(Augmentation(polarity=0.3), audio)
    turned = (out == -audio).all(axis=(1, 2))
    assert ((out == audio).all(axis=(1, 2)) ^ turned).all()
    assert abs(turned.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


def test_gain_is_uniform_in_db_and_peaks_stay_below_one():
    soft = noise(400, 10, 1, level=0.02)
    gains = level_db(apply(Augmentation(gain_db=12.0), soft)) - level_db(soft)
    assert np.abs(gains).max() <= 12 + 1e-4
    counts = np.histogram(gains, 6, (-12, 12))[0]
    assert np.sum((counts - 400 / 6) ** 2 / (400 / 6)) < 20.5  # chi-square, 5 degrees of freedom: p = 0.001
    loud = soft * np.float32(0.5) / np.abs(soft).max(axis=(1, 2), keepdims=True)
    out = apply(Augmentation(gain_db=12.0), loud)
    expected = np.minimum(0.5 * 10 ** (gains / 20), 1.0)
    np.testing.assert_allclose(np.abs(out).max(axis=(1, 2)), expected, rtol=1e-4)
    np.testing.assert_allclose(out, loud * (2 * expected)[:, None, None], rtol=0, atol=1e-5)


# ---------------------------------------------------------------- mixing


def test_the_next_example_is_mixed_in_at_the_snr_that_was_drawn():
    audio = noise(B, T, 2) * np.logspace(-1, 0, B, dtype=np.float32)[:, None, None]
    out = apply(Augmentation(mix=1.0, mix_snr_db=(5.0, 5.0)), audio)
    added = out - audio
    np.testing.assert_allclose(level_db(audio) - level_db(added), 5.0, atol=1e-3)
    partner = np.roll(audio, -1, axis=0)
    scale = np.sqrt((added**2).sum(axis=(1, 2)) / (partner**2).sum(axis=(1, 2)))[:, None, None]
    np.testing.assert_allclose(added, scale * partner, rtol=0, atol=1e-6)
    drawn = apply(Augmentation(mix=1.0, mix_snr_db=(-3.0, 9.0)), noise(200, 20, 1))
    snr_db = level_db(noise(200, 20, 1)) - level_db(drawn - noise(200, 20, 1))
    assert -3.01 < snr_db.min() < -2
    assert 8 < snr_db.max() < 9.01


def test_silence_stays_silent_and_adds_nothing():
    audio = noise(3, T, 1)
    audio[1] = 0
    out = apply(Augmentation(mix=1.0, filter=1.0, reverberation=1.0), audio)
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[1], audio[1])
    alone = apply(Augmentation(filter=1.0, reverberation=1.0), audio)
    np.testing.assert_allclose(out[0], alone[0], rtol=0, atol=1e-6)


# ---------------------------------------------------------------- equaliser


def test_the_equaliser_has_the_curve_that_was_drawn():
    # an impulse, long enough for its whole response
    click = np.zeros((16, 6000, 1), np.float32)
    click[:, 500] = 0.2
    out = apply(Augmentation(filter=1.0, filter_db=9.0), click)[:, :, 0]
    assert np.abs(out[:, :500]).max() < 1e-6 * np.abs(out).max()  # nothing sounds before
    response_db = 20 * np.log10(np.abs(np.fft.rfft(out[:, 500:4596], 4096, axis=1)) / 0.2)
    frequencies = np.fft.rfftfreq(4096, 1 / RATE)
    centres = band_centres(RATE)
    np.testing.assert_allclose(centres, [62.5, 125, 250, 500, 1000, 2000, 4000])
    bands = np.stack([response_db[:, np.argmin(np.abs(frequencies - f))] for f in centres], axis=1)
    assert np.abs(bands).max() <= 9.01
    assert bands.std() == pytest.approx(9 / np.sqrt(3), rel=0.2)
    expected = bands @ curve_weights(frequencies, RATE).T
    np.testing.assert_allclose(response_db, expected, rtol=0, atol=0.02)


def test_band_weights_are_smooth_and_sum_to_one():
    frequencies = np.fft.rfftfreq(4096, 1 / 24000)
    weights = curve_weights(frequencies, 24000)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(curve_weights(band_centres(24000), 24000), np.eye(8), atol=1e-12)
    log_f = np.linspace(np.log2(62.5), np.log2(8000), 2000)
    slope = np.diff(curve_weights(2.0**log_f, 24000), axis=0) / np.diff(log_f)[:, None]
    assert np.abs(slope).max() < np.pi / 2 + 1e-3
    assert np.abs(np.diff(slope, axis=0)).max() < 0.02


def test_minimum_phase_of_a_known_filter():
    # 1 + a/z with |a| < 1 has minimum phase; its mirror image a + 1/z has the same magnitude and not
    taps = np.zeros((1, 256), np.float32)
    taps[0, :2] = 1.0, 0.6
    gains_db = 20 * np.log10(np.abs(np.fft.rfft(taps[:, [1, 0]], 256, axis=1)))
    np.testing.assert_allclose(minimum_phase(jnp.asarray(gains_db, jnp.float32)), taps, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 4095, 8000, 28095, 96001])
def test_transform_lengths(n):
    length = fast_length(n)
    assert n <= length <= max(1.15 * n, n + 1)
    assert length % 2 == 0
    for prime in (2, 3, 5):
        while length % prime == 0:
            length //= prime
    assert length == 1


# ---------------------------------------------------------------- rooms


def test_a_room_decays_by_60_db_in_the_time_that_was_drawn():
    for rt60_s in (0.1, 0.4):
        config = Augmentation(reverberation=1.0, reverberation_s=(rt60_s, rt60_s))
        n = round(1.5 * rt60_s * RATE)
        respond = jax.jit(lambda i, c=config, n=n: room_response(draw(i, seed=0, sample_rate=RATE), c, RATE, (n, 2)))
        response = np.asarray(respond(jnp.arange(60)), np.float64)
        np.testing.assert_allclose(response[:, 0], 1.0)
        tail = np.square(response[:, 1:])
        direct_db = -10 * np.log10(tail.sum(axis=1))
        assert direct_db.min() > -1e-3
        assert direct_db.max() < 12.001
        # the slope of the logarithm of the mean energy over 10 ms blocks
        blocks = (tail / tail.sum(axis=1, keepdims=True)).mean(axis=(0, 2))
        blocks = blocks[: len(blocks) // 80 * 80].reshape(-1, 80).mean(axis=1)
        slope_db_per_s = np.polyfit(np.arange(len(blocks)) * 80 / RATE, 10 * np.log10(blocks), 1)[0]
        assert -60 / slope_db_per_s == pytest.approx(rt60_s, rel=0.02)


def test_a_room_keeps_the_level_and_nothing_wraps():
    config = Augmentation(reverberation=1.0, reverberation_s=(0.1, 0.3))
    audio = noise(B, T, 2)
    out = apply(config, audio)
    np.testing.assert_allclose(level_db(out), level_db(audio), atol=1e-3)
    late = np.zeros((4, T, 1), np.float32)
    late[:, 3000] = 0.1
    out = apply(config, late)
    assert np.abs(out[:, :3000]).max() < 1e-6
    assert (np.abs(out[:, 3001:]).max(axis=1) > 1e-3).all()


def test_a_room_is_a_convolution():
    from scipy.signal import fftconvolve

    config = Augmentation(reverberation=1.0, reverberation_s=(0.1, 0.3))
    click = np.zeros((1, T, 1), np.float32)
    click[0, 0] = 0.5
    audio = noise(1, T, 1, seed=2)
    response = apply(config, click)[0, :, 0]
    expected = fftconvolve(audio[0, :, 0], response)[:T]
    out = apply(config, audio)[0, :, 0]
    np.testing.assert_allclose(out / np.linalg.norm(out), expected / np.linalg.norm(expected), atol=1e-6)


# ---------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polarity": 1.5}, "augmentation.polarity is a probability, in .0, 1., got 1.5"),
        ({"mix": -0.1}, "augmentation.mix is a probability"),
        ({"gain_db": -3.0}, "augmentation.gain_db must not be negative, got -3.0"),
        ({"filter_db": float("nan")}, "augmentation.filter_db must not be negative"),
        ({"mix_snr_db": (10.0, 0.0)}, "augmentation.mix_snr_db must be in ascending order, got 10.0 0.0"),
        ({"reverberation_s": (0.0, 0.5)}, "augmentation.reverberation_s must be positive and in ascending order"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ZooError, match=message):
        check(Augmentation(**options))
    with pytest.raises(ZooError, match=message):  # at the start of a run, not when its step is compiled
        start.check_counts(dataclasses.replace(TINY, augmentation=Augmentation(**options)))
