"""What stands in the way of a model that is to restore: at the level asked for, of each example its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.base import Corruption
from train.step.corrupt import check, corrupt
from train.step.noises import NOISES
from zoo.errors import ZooError

RATE, B, T = 8000, 6, 8000
NOTHING = Corruption(noise=0.0, reverberation=0.0, clipping=0.0, band_limit=0.0, coding=0.0)


pytestmark = pytest.mark.usefixtures("quick_module")


@functools.lru_cache
def compiled(config: Corruption, seed: int):
    return jax.jit(lambda audio, index, **more: corrupt(audio, index, config, seed=seed, sample_rate=RATE, **more))


def apply(config: Corruption, audio: np.ndarray, *, first: int = 0, seed: int = 0, **more) -> np.ndarray:
    index = jnp.arange(first, first + len(audio), dtype=jnp.uint32)
    return np.asarray(compiled(config, seed)(jnp.asarray(audio), index, **more))


def changed(**fields) -> Corruption:
    return Corruption(
        **{**dict.fromkeys(("noise", "reverberation", "clipping", "band_limit", "coding"), 0.0), **fields}
    )


def speech_like(n_channels: int = 1, *, level: float = 0.1) -> np.ndarray:
    t = np.arange(T) / RATE
    tones = np.sin(2 * np.pi * np.linspace(200, 900, B * n_channels).reshape(B, 1, n_channels) * t[:, None])
    return (level * np.sqrt(2) * tones).astype(np.float32)


def power_db(x: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.square(x.astype(np.float64)).mean(axis=(1, 2)))


def make(kind: str, key: jax.Array, channels: int) -> np.ndarray:
    return np.asarray(jax.jit(NOISES[kind], static_argnums=(1, 2, 3))(key, T, channels, RATE))


def test_where_all_is_off_nothing_happens():
    audio = speech_like()
    np.testing.assert_array_equal(apply(NOTHING, audio), audio)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("snr_db", [-5.0, 20.0])
def test_noise_has_the_level_asked_for(kind, snr_db):
    audio = speech_like(2)
    noisy = apply(changed(noise=1.0, kinds=(kind,), snr_db=(snr_db, snr_db)), audio)
    np.testing.assert_allclose(power_db(audio) - power_db(noisy - audio), snr_db, atol=0.01)


def test_a_softer_second_noise_leaves_the_level_as_it_is():
    audio = speech_like()
    noisy = apply(changed(noise=1.0, second=1.0, snr_db=(3.0, 3.0)), audio)
    np.testing.assert_allclose(power_db(audio) - power_db(noisy - audio), 3.0, atol=0.01)


def test_pauses_get_noise_too():
    noise = apply(changed(noise=1.0, kinds=("hiss",), snr_db=(0.0, 0.0)), np.zeros((B, T, 1), np.float32))
    np.testing.assert_allclose(power_db(noise), -50.0, atol=0.01)


def test_an_example_depends_on_its_number_alone():
    config = Corruption(reverberation=0.5, clipping=0.5, band_limit=0.5)
    audio = speech_like()
    whole = apply(config, audio, first=7)
    # in another place of another batch
    others = np.concatenate([audio[2:], audio[:2][::-1]])
    np.testing.assert_allclose(apply(config, others, first=9)[: B - 2], whole[2:], atol=1e-6)
    assert (np.abs(apply(config, audio, first=7, seed=1) - whole).max(axis=(1, 2)) > 1e-4).all()
    assert np.isfinite(whole).all()


def test_kinds_are_drawn_alike_and_sound_unlike():
    """Hum is a line spectrum, hiss is not; clicks have far higher peaks."""
    key = jax.random.key(3)
    made = {name: make(name, key, 1)[:, 0].astype(np.float64) for name in NOISES}
    crest = {name: np.abs(x).max() / np.sqrt(np.square(x).mean()) for name, x in made.items()}
    assert crest["clicks"] > 3 * crest["hiss"]
    spectra = {name: np.square(np.abs(np.fft.rfft(x * np.hanning(T)))) for name, x in made.items()}
    largest = {name: np.sort(s)[-60:].sum() / s.sum() for name, s in spectra.items()}
    assert largest["hum"] > 0.9 > largest["hiss"]


def test_channels_have_their_own_hiss_and_the_same_hum():
    key = jax.random.key(0)
    hiss, hum = (make(name, key, 2) for name in ("hiss", "hum"))
    assert abs(np.corrcoef(hiss.T)[0, 1]) < 0.2
    np.testing.assert_array_equal(hum[:, 0], hum[:, 1])


def test_recorded_noise_takes_the_place_of_the_others():
    audio = speech_like()
    recorded = np.random.default_rng(0).standard_normal((B, T, 1)).astype(np.float32) * np.float32(0.01)
    config = changed(noise=1.0, kinds=("clicks",), recordings=1.0, snr_db=(5.0, 5.0))
    added = apply(config, audio, recordings=jnp.asarray(recorded)) - audio
    for heard, noise in zip(added[..., 0], recorded[..., 0]):
        assert np.corrcoef(heard, noise)[0, 1] > 0.9999
    # a recording that is silent here adds nothing, and no NaN
    silent = apply(config, audio, recordings=jnp.zeros_like(recorded))
    np.testing.assert_array_equal(silent, audio)


def test_clipping_flattens_what_is_above_its_limit():
    audio = speech_like()
    clipped = apply(changed(clipping=1.0, clipping_db=(6.0, 6.0)), audio)
    peaks = np.abs(audio).max(axis=(1, 2))
    np.testing.assert_allclose(np.abs(clipped).max(axis=(1, 2)), peaks * 10 ** (-6 / 20), rtol=1e-4)
    soft = np.abs(audio) < 0.5 * peaks[:, None, None]
    np.testing.assert_array_equal(clipped[soft], audio[soft])


def test_a_lost_band_is_lost_without_delay():
    t = np.arange(T) / RATE
    low, high = np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 3000 * t)
    audio = np.repeat((0.1 * (low + high)).astype(np.float32)[None, :, None], B, axis=0)
    limited = apply(changed(band_limit=1.0, band_limit_hz=(1500.0, 1500.0)), audio)
    inside = slice(400, T - 400)
    np.testing.assert_allclose(limited[:, inside, 0], np.tile(0.1 * low, (B, 1))[:, inside], atol=2e-3)


def test_a_band_that_reaches_beyond_half_the_rate_is_all_there_is():
    """The default goes up to 10 kHz, also for a model of 16 kHz: what a cut-off of 5 kHz folds back lies at 3 to 4."""
    t = np.arange(T) / RATE
    audio = np.repeat((0.1 * np.sin(2 * np.pi * 3500 * t)).astype(np.float32)[None, :, None], B, axis=0)
    limited = apply(changed(band_limit=1.0, band_limit_hz=(5000.0, 5000.0)), audio)
    np.testing.assert_allclose(limited, audio, atol=1e-5)


def test_a_room_adds_what_decays_and_keeps_the_direct_sound():
    audio = np.zeros((B, T, 1), np.float32)
    audio[:, 100] = 0.5
    wet = apply(changed(reverberation=1.0, reverberation_s=(0.2, 0.2)), audio)
    np.testing.assert_allclose(wet[:, :100], 0.0, atol=1e-6)
    np.testing.assert_allclose(wet[:, 100], 0.5, atol=1e-5)
    early, late = (np.square(wet[:, a:b, 0]).mean() for a, b in ((101, 501), (1301, 1701)))
    assert early > 1e4 * late > 0


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"noise": 1.5}, "corruption.noise is a probability"),
        ({"kinds": ("hiss", "wind")}, "there is no noise 'wind'; there are: hiss, hum, clicks, babble"),
        ({"kinds": ()}, "corruption.kinds is empty"),
        ({"snr_db": (20.0, 0.0)}, "corruption.snr_db must be in ascending order, got 20.0 0.0"),
        ({"band_limit_hz": (0.0, 100.0)}, "corruption.band_limit_hz must be positive"),
        ({"clipping_db": (float("nan"), 3.0)}, "corruption.clipping_db"),
    ],
)
def test_settings_without_sense_are_refused(fields, complaint):
    with pytest.raises(ZooError, match=complaint):
        check(Corruption(**fields))
