"""SNAC against what its authors' package made of small models, and against itself in chunks, batches and files."""

import functools
import json

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.published import snac
from zoo.published.keymap import flatten, from_params, to_params

pytestmark = pytest.mark.usefixtures("quick_module")

NAMES = ("speech", "music")
"""two stages without attention, and one stage with windows of two frames of eight steps"""
N_CLIPS = 3

golden = functools.partial(small.golden, "snac")
ready = functools.partial(small.ready, "snac", layout="original")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clip", range(N_CLIPS))
def test_codes_and_audio_are_the_references(name, clip):
    codec, given = ready(name), golden(name)
    encoded = codec.encode(given[f"audio_{clip}"])
    np.testing.assert_array_equal(encoded.codes[0], given[f"codes_{clip}"])
    assert clip or len(np.unique(encoded.codes)) > 20
    close(codec.decode(encoded), given[f"out_{clip}"])


def test_latency_counts_the_window_that_a_sample_lies_in():
    codec = ready("music")
    module, variables = codec.module, codec.variables
    group = module.hop_length * module.frame_multiple
    context = max(module.encoder_context.before + module.decoder_context.before, 1)
    after = module.encoder_context.after + module.decoder_context.after
    start = context * module.hop_length
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, start + group + after * module.hop_length, 1))

    def one_group(x):
        latent = module.apply(variables, x, method="encode_frames")
        return module.apply(variables, latent, method="decode_frames")[0, start : start + group, 0]

    gradient = jit(lambda x, t: jax.grad(lambda x: one_group(x)[t])(x))
    latest = []
    for t in range(group):
        steps = np.flatnonzero(np.asarray(gradient(audio.astype(np.float32), t))[0, :, 0])
        latest.append(steps[-1] - (start + t))
    assert module.algorithmic_latency_samples == max(latest) + 1


def test_noise_belongs_to_its_place():
    noise = jit(lambda layer, first: snac.noise_of_frames(layer, first, 40, 500))
    whole, other = np.asarray(noise(0, 0)), np.asarray(noise(1, 0))
    np.testing.assert_array_equal(noise(0, 7)[:-3500], whole[3500:])
    np.testing.assert_array_equal(noise(0, -2)[1000:], whole[:-1000])
    frames = np.concatenate([whole, other]).reshape(80, 500)
    # standard normal, and nothing in common between frames or layers: bounds of four standard errors
    assert abs(frames.mean()) < 4 / 200
    assert abs(frames.var() - 1) < 4 * 2**0.5 / 200
    assert abs((frames**4).mean() - 3) < 4 * 96**0.5 / 200
    correlation = np.corrcoef(frames) - np.eye(80)
    assert np.abs(correlation).max() < 5 / 500**0.5


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name):
    zoo.verify_codec(ready(name), golden(name)["audio_0"])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_again(name):
    config = json.loads(str(golden(name)["config"]))
    hyperparameters = snac.hyperparameters(config)
    assert snac.hub_config(**hyperparameters) == config
    (keymap,) = snac.key_maps(**hyperparameters).values()
    params = ready(name).variables["params"]
    written = from_params(params, keymap)
    given = {key[2:]: array for key, array in golden(name).items() if key[:2] == "w:"}
    assert {key: array.shape for key, array in written.items()} == {key: array.shape for key, array in given.items()}
    again = flatten(to_params(written, keymap, params))
    for path, array in flatten(params).items():
        close(again[path], array, 1e-6)
    for key in [key for key in given if key.endswith("inv_freq")]:
        close(written[key], given[key], 1e-3)  # stored with few bits


def test_hyperparameters_may_be_left_out():
    assert snac.hub_config(attn_window_size=32) | {"attn_window_size": None} == snac.hub_config()
    keys = {key for entry in snac.key_maps()["original"].entries for key in entry.keys}
    assert "decoder.model.7.weight" in keys
    assert not any("to_qkv" in key for key in keys)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"depthwise": False}, ValueError),
        ({"latent_dim": 7}, ValueError),
        ({"n_heads": 7}, ValueError),
        ({"vq_strides": None}, TypeError),
    ],
)
def test_a_config_of_something_else_is_refused(change, error):
    config = json.loads(str(golden("speech")["config"]))
    with pytest.raises(error):
        zoo.families.module_of("snac").snac(**snac.hyperparameters(config | change))
    del config["vq_strides"]
    with pytest.raises(KeyError):
        snac.hyperparameters(config)


def test_numbers_that_do_not_fit_are_refused():
    for change, culprit in (
        ({"decoder_rates": (8, 8, 4)}, "decoder_rates"),
        ({"vq_strides": (4, 3)}, "vq_strides"),
        ({"attn_window_size": 32, "encoder_dim": 2}, "heads"),
    ):
        with pytest.raises(zoo.ZooError, match=culprit):
            zoo.create("snac", **change)
