"""What the spectral codec does before it is trained: a transform codec with noise in the place of what is not coded."""

import functools
import itertools

import jax
import numpy as np
import pytest

from zoo import families

pytestmark = pytest.mark.usefixtures("quick_module")

HZ, HOP = 8000, 80
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def codec(channels=1, band_symbols=7):
    module = families.create(
        "spectral",
        sample_rate=HZ,
        channels=channels,
        hop_length=HOP,
        width=8,
        n_blocks=1,
        coarsest=1.5,
        finest=0.01,
        n_levels=16,
        band_symbols=band_symbols,
    )
    return module, jit(module.init)(jax.random.key(0), *module.example())


@functools.cache
def forward(channels=1):
    module, variables = codec(channels)
    return jit(lambda audio, level: module.apply(variables, audio, level=level))


def noise(power_db, seconds=1.0, seed=0, channels=1):
    shape = (1, int(HZ * seconds), channels)
    return (10 ** (power_db / 20) * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def db(x):
    return 10 * np.log10(np.mean(np.square(x)))


@pytest.mark.parametrize("channels", [1, 2])
def test_fine_steps_follow_the_waveform(channels):
    audio = noise(-20, channels=channels)
    assert db(forward(channels)(audio, 15).audio - audio) < -20 - 18


@pytest.mark.parametrize("power_db", [-30.0, -36.0, -42.0])
def test_what_is_too_soft_to_be_coded_becomes_noise_of_nearly_its_power(power_db):
    audio = noise(power_db)
    module, _ = codec()
    out = forward()(audio, 0)
    n_unsigned = module.bottleneck.symbols().n_unsigned
    assert (np.asarray(out.codes)[..., n_unsigned:] == 511).mean() > 0.99
    # less than all of it before training (0.6 of the amplitude), told in steps of 6 dB
    assert -4.4 - 3.5 < db(out.audio) - power_db < -4.4 + 3.5
    assert abs(np.corrcoef(np.asarray(out.audio).ravel(), audio.ravel())[0, 1]) < 0.05


def test_a_soft_octave_is_not_made_louder():
    # 1 to 4 kHz are 91 dB below full scale, where steps are larger, too
    spectrum = np.fft.rfft(noise(-40, seconds=2.0).ravel())
    hz = np.fft.rfftfreq(2 * HZ, 1 / HZ)
    audio = np.fft.irfft(np.where(hz > 1000, 10 ** (-50 / 20), 1.0) * spectrum).astype(np.float32)
    decoded = np.asarray(forward()(audio[None, :, None], 8).audio).ravel()
    got, wanted = (db(np.abs(np.fft.rfft(x)[hz > 2000])) for x in (decoded, audio))
    assert -6 < got - wanted < 3


def test_more_symbols_tell_softer_bands_apart():
    gap = slice(HZ, HZ + HZ // 5)
    audio = noise(-30, seconds=2.2)
    audio[:, gap] *= 10 ** (-40 / 20)
    gaps = []
    for n in (7, 9):
        module, variables = codec(band_symbols=n)
        decoded = jit(lambda audio, module=module, variables=variables: module.apply(variables, audio, level=0))(audio)
        gaps.append(db(np.asarray(decoded.audio)[:, gap][:, 5 * HOP : -5 * HOP]))
    assert gaps[0] < -120 < -70 - 12 < gaps[1] < -70
    with pytest.raises(families.ZooError, match="band_symbols 1"):
        families.create("spectral", band_symbols=1)


def test_noise_differs_from_frame_to_frame():
    decoded = np.asarray(forward()(noise(-36, seconds=2.0), 0).audio).ravel()
    spectrum = np.abs(np.fft.rfft(decoded)) ** 2
    correlation = np.fft.irfft(spectrum)[: 10 * HOP] / np.fft.irfft(spectrum)[0]
    assert np.abs(correlation[HOP::HOP]).max() < 0.1


def test_silence_stays_silent():
    assert not np.abs(np.asarray(forward()(np.zeros((1, HZ, 1), np.float32), 0).audio)).max() > 1e-9


def test_a_level_more_costs_more_and_is_closer():
    audio = noise(-20)
    errors = [db(forward()(audio, level).audio - audio) for level in (3, 7, 11, 15)]
    assert all(a - b > 3 for a, b in itertools.pairwise(errors))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("amplitude", [1.0, 0.03])
def test_a_tone_among_silence_has_a_symbol_at_every_level(channels, amplitude):
    tone = amplitude * np.sin(2 * np.pi * 0.2345 * np.arange(HZ))
    audio = np.stack([tone, np.zeros(HZ)][:channels], axis=-1)[None].astype(np.float32)
    n_unsigned = codec(channels)[0].bottleneck.symbols().n_unsigned
    outs = [forward(channels)(audio, level) for level in (0, 5, 10, 15)]
    loudest = [np.abs(np.asarray(out.codes)[..., n_unsigned:] - 511).max() for out in outs]
    assert loudest[-1] < 511
    assert loudest[0] < 16
    errors = [db(out.audio - audio) for out in outs]
    assert all(a - b > 3 for a, b in itertools.pairwise(errors))


def test_the_same_codes_make_the_same_noise_wherever_decoding_begins():
    module, variables = codec()
    codes = forward()(noise(-36), 0).codes
    decode = jit(lambda codes: module.apply(variables, codes, level=0, method="decode_codes"))
    whole, later = decode(codes), decode(codes[:, 40:])
    at = 40 * HOP
    margin = 12 * HOP
    np.testing.assert_allclose(
        later[:, margin : margin + 20 * HOP], whole[:, at + margin : at + margin + 20 * HOP], atol=1e-7
    )


def test_the_noise_is_that_of_the_codes_however_their_values_are_rounded():
    module, variables = codec()
    audio = np.concatenate([noise(-36), noise(-60, seed=1)], axis=1)
    quantise, dequantise, decode = (
        jit(lambda v, *args, method=method: module.apply(v, *args, method=method))
        for method in ("quantise", "dequantise", "decode")
    )
    for level in (0, 7, 15):
        codes = quantise(variables, forward()(audio, level).latent, level).codes
        latents = np.asarray(dequantise(variables, codes, level))
        np.testing.assert_array_equal(jit(module.bottleneck.codes)(latents), codes)
        rounded = np.nextafter(latents, np.random.default_rng(0).choice([-np.inf, np.inf], latents.shape)).astype("f4")
        decoded, other = (np.asarray(decode(variables, x)) for x in (latents, rounded))
        np.testing.assert_allclose(other, decoded, atol=1e-5 * np.abs(decoded).max())


def test_bands_cover_every_bin_once_and_widen():
    edges = np.array(families.module_of("spectral").band_edges(480, 24_000))
    assert edges[0] == 0
    assert edges[-1] == 480
    assert (np.diff(edges)[:-1] >= 12).all()
    assert (np.diff(edges, 2)[:-1] >= -1).all()


def test_levels_out_of_range_are_refused():
    with pytest.raises(families.ZooError, match="default_level 20"):
        families.create("spectral", default_level=20)
