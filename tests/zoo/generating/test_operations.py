"""New sounds, variations, continuations and filled gaps: what is the same, what is kept, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.conftest import RATE, make, sound
from tests.zoo.generating.conftest import LABELS, WINDOW
from zoo import generating, shipped
from zoo.errors import CheckpointError, ZooError
from zoo.generating import Sampling, latents

pytestmark = pytest.mark.usefixtures("quick_module")
FEW = Sampling(steps=3)
WINDOW_S = WINDOW * 40 / RATE


@pytest.mark.parametrize("seconds", [0.5 * WINDOW_S, 2.3 * WINDOW_S])
def test_a_seed_gives_the_same_sounds_however_many_are_made(prior, seconds):
    three = zoo.generate(prior, seconds=seconds, n=3, sampling=FEW)
    assert three.shape == (3, round(seconds * RATE), 1)
    np.testing.assert_array_equal(three[2:], zoo.generate(prior, seconds=seconds, first=2, sampling=FEW))
    assert np.abs(three[0] - three[1]).max() > 1e-3
    other = zoo.generate(prior, seconds=seconds, sampling=Sampling(steps=3, seed=1))
    assert np.abs(three[0] - other[0]).max() > 1e-3


def test_labels_and_guidance_make_other_sounds(prior):
    found = [
        zoo.generate(prior, seconds=WINDOW_S, sampling=Sampling(label, steps=3, guidance=guidance))
        for label, guidance in ((None, 1.0), ("music", 1.0), ("speech", 1.0), ("music", 3.0))
    ]
    for i, one in enumerate(found):
        for other in found[:i]:
            assert np.abs(one - other).max() > 1e-5


def test_variations_go_from_the_sound_itself_to_a_new_one(prior):
    clip = sound(2000, 1)
    coded = latents.decode(prior.codec, latents.encode(prior.codec, clip), len(clip))
    apart = [
        np.abs(generating.vary(prior, clip, strength=strength, sampling=FEW)[0] - coded).mean()
        for strength in (0, 0.2, 0.6, 1)
    ]
    assert apart[0] == 0
    assert apart == sorted(apart)
    new = zoo.generate(prior, seconds=2000 / RATE, sampling=FEW)
    np.testing.assert_allclose(generating.vary(prior, clip, strength=1, sampling=FEW), new, atol=1e-5)


def test_a_variation_of_any_rate_and_channels_has_those_of_the_prior(prior):
    found = generating.vary(prior, sound(4410, 3, sample_rate=22_050), 22_050, strength=0.5, n=2, sampling=FEW)
    assert found.shape == (2, 1600, 1)


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (11_025, 2), (5_000, 3)])
@pytest.mark.parametrize("gap", [(0.2, 0.02), (0.0, 0.05), (0.1, 0.35)])
def test_nothing_changes_outside_a_gap_and_nothing_is_known_of_what_was_in_it(prior, rate, channels, gap):
    start_s, seconds = gap
    clip = sound(round(0.6 * rate), channels, sample_rate=rate)
    start, stop = round(start_s * rate), round((start_s + seconds) * rate)
    other = clip.copy()
    other[start:stop] = np.nan
    found = generating.fill(prior, clip, rate, start_s=start_s, seconds=seconds, n=2, sampling=FEW)
    assert found.shape == (2, *clip.shape)
    for one in found:
        np.testing.assert_array_equal(one[:start], clip[:start])
        np.testing.assert_array_equal(one[stop:], clip[stop:])
    assert np.abs(found[0, start:stop] - found[1, start:stop]).max() > 1e-4
    again = generating.fill(prior, other, rate, start_s=start_s, seconds=seconds, first=1, sampling=FEW)
    np.testing.assert_array_equal(again[0, start:stop], found[1, start:stop])


@pytest.mark.parametrize("n_samples", [60, 300, 3000])
def test_a_short_gap_asks_no_model_however_little_is_known_beside_it(prior, monkeypatch, n_samples):
    monkeypatch.setattr(latents, "encode", lambda codec, clip: pytest.fail("a prior was asked"))
    mono = sound(n_samples)
    start_s, seconds = n_samples / RATE / 3, min(n_samples / RATE / 20, 0.15)
    found = generating.fill(prior, np.repeat(mono, 2, axis=1), start_s=start_s, seconds=seconds, n=2, sampling=FEW)
    assert np.isfinite(found).all()
    # two channels that are alike stay so
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    again = generating.fill(prior, mono, start_s=start_s, seconds=seconds, first=1, sampling=FEW)
    np.testing.assert_array_equal(again[0, :, 0], found[1, :, 0])


@pytest.mark.parametrize("level", [0.5, 6.0])
def test_a_tone_goes_on_as_loud_as_it_is_beyond_full_scale_too(level):
    clip = (level * np.sin(2 * np.pi * 300 * np.arange(4000) / RATE)).astype(np.float32)
    found = generating.fill(None, clip, RATE, start_s=0.2, seconds=0.05)[0, :, 0]
    assert np.abs(found - clip).max() < 0.1 * level


def test_seams_are_smooth(prior):
    t = np.arange(4000) / RATE
    clip = (0.5 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)
    found = generating.fill(prior, clip, start_s=0.2, seconds=0.1, sampling=FEW)[0]
    steps = np.abs(np.diff(found[:, 0]))
    largest = np.abs(np.diff(clip)).max()
    assert max(steps[1590:1610].max(), steps[2390:2410].max()) < 1.2 * largest


def test_a_continuation_begins_with_what_there_was(prior):
    clip = sound(3000, 2, sample_rate=11_025)
    found = generating.extend(prior, clip, 11_025, seconds=0.4, n=2, sampling=FEW)
    assert found.shape == (2, 3000 + 4410, 2)
    np.testing.assert_array_equal(found[:, :3000], np.stack([clip, clip]))
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.abs(found[0, 3100:]).max() > 0


@pytest.mark.parametrize(
    ("start_s", "seconds", "message"),
    [
        (0.1, 3.0, "a gap of 3 s is longer than the 0.250 s that there are"),
        (0.1, 0.15, "lies at the very end of its 0.250 s"),
        (0.3, 0.1, "lies outside its 0.250 s"),
        (1e308, 0.1, "lies outside its 0.250 s"),
        (float("inf"), 0.1, "from inf s on is none"),
        (0.1, 0.0, "a gap of 0 s from 0.1 s on is none"),
        (-0.1, 0.1, "is none"),
        (0.1, 1e-6, "holds no sample"),
    ],
)
def test_what_is_no_gap_is_refused(prior, start_s, seconds, message):
    with pytest.raises(ZooError, match=message):
        generating.fill(prior, sound(2000), start_s=start_s, seconds=seconds)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_what_is_no_strength_is_refused(prior, strength):
    with pytest.raises(ZooError, match="is not between 0"):
        generating.vary(prior, sound(2000), strength=strength)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "seconds must be positive"),
        ({"seconds": 1, "n": 0}, "n must be at least 1"),
        ({"seconds": 1, "first": -1}, "first must be from 0 to"),
        ({"seconds": 1, "first": 2**32}, "first must be from 0 to"),
        ({"seconds": 1, "sampling": Sampling("drums")}, f"label 'drums'; it knows {', '.join(LABELS)}"),
    ],
)
def test_what_cannot_be_generated_is_refused(prior, options, message):
    with pytest.raises(ZooError, match=message):
        zoo.generate(prior, **options)


@pytest.mark.parametrize("options", [{"steps": 0}, {"seed": -1}, {"seed": 2**32}, {"guidance": -1.0}])
def test_what_is_no_way_to_sample_is_refused(options):
    with pytest.raises(ZooError, match=next(iter(options))):
        Sampling(**options)


def test_a_run_holds_its_codec_and_any_other_is_refused(runs, prior, tmp_path):
    assert str(runs / "flow") in prior.codec.metadata["path"]
    shutil.copytree(runs / "flow", tmp_path / "flow")
    shutil.rmtree(tmp_path / "flow" / "codec")
    # where the run's was
    assert generating.load(tmp_path / "flow").codec.digest == prior.codec.digest
    from zoo.published.load import export

    export(make("vae"), tmp_path / "other")
    with pytest.raises(ZooError, match="trained on another codec"):
        generating.load(runs / "flow", tmp_path / "other")


def test_a_prior_is_no_codec_and_a_codec_no_prior(runs, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="'latent_flow' is no codec"):
        zoo.load(runs / "flow")
    with pytest.raises(CheckpointError, match="'vae' is no model of latents"):
        generating.load(runs / "tiny")
    with pytest.raises(CheckpointError, match="no prior at"):
        generating.load(tmp_path / "nothing")
    monkeypatch.setattr(shipped, "FOLDER", Path(shipped.__file__).parent / "models")
    with pytest.raises(
        CheckpointError, match=r"codec_24khz is a codec, no prior: train .* --model latent_flow --codec codec_24khz"
    ):
        generating.load("codec_24khz")
    assert [model.name for model in zoo.models(runs) if model.at_hand and "flow" in model.name] == []


@pytest.mark.parametrize("name", ["vae", "gan_vocoder"])
def test_latents_of_every_family_are_what_its_decoder_takes(name):
    codec = make(name)
    clip = sound(3000, codec.channels)
    found = latents.encode(codec, clip)
    assert found.shape == (codec.module.n_frames(3000), latents.latent_dim(codec))
    decoded = latents.decode(codec, found, len(clip))
    assert decoded.shape == clip.shape
    if name == "gan_vocoder":
        # codes are names: the decoder gets nothing but their embeddings
        np.testing.assert_allclose(decoded, codec.decode(codec.encode(clip)), atol=1e-5)
