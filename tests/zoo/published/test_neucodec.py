"""NeuCodec and X-Codec2 against what transformers made of small ones, and against themselves in batches and files."""

import functools

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close
from zoo.published import neucodec as family
from zoo.published import registry
from zoo.published.neucodec.fsq import JointFSQ, bounded

N_CLIPS = 3
KINDS = ("neucodec", "xcodec2")

golden = functools.partial(small.golden, "neucodec")
ready = functools.partial(small.ready, "neucodec")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("i", range(N_CLIPS))
def test_decoded_audio_is_the_references(kind, i):
    given = golden(kind)
    close(ready(kind).decode(given[f"codes_{i}"][None], len(given[f"out_{i}"]))[0], given[f"out_{i}"])


def test_a_batch_of_codes_decodes_as_its_clips():
    codec, given = ready("neucodec"), golden("neucodec")
    codes = np.zeros((2, 42, 1), np.int32)
    codes[0], codes[1, :31] = given["codes_0"], given["codes_1"]
    together = codec.module.apply(codec.variables, codes, None, np.array([1233, 930], np.int32), method="decode_codes")
    for i, n in enumerate((1233, 930)):
        close(together[i, :n], given[f"out_{i}"])
        assert not np.asarray(together[i, n:]).any()


def test_codes_are_the_digits_of_rounded_numbers():
    quantiser = JointFSQ((4, 3))
    codes = np.arange(12, dtype=np.int32).reshape(1, 12, 1)
    latents = quantiser.apply({}, codes, method="dequantise")
    np.testing.assert_array_equal(latents[0, :5], [[-1, -1], [-0.5, -1], [0, -1], [0.5, -1], [-1, 0]])
    near = latents + np.random.default_rng(0).uniform(-0.24, 0.24, latents.shape).astype(np.float32)
    found = quantiser.apply({}, near)
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_array_equal(found.latent, latents)
    far = quantiser.apply({}, np.array([[[9.0, 9.0], [-9.0, -9.0]]], np.float32))
    np.testing.assert_array_equal(far.codes[0, :, 0], [11, 0])


def test_bounds_are_just_beyond_the_outermost_digits():
    x = np.array([[[-50.0, -50.0], [0.0, 0.0], [50.0, 50.0]]], np.float32)
    close(bounded(x, (4, 3))[0], np.array([[-2.0015, -1.001], [0, 0], [1.0015, 1.001]], np.float32), 1e-6)


def test_configurations_go_there_and_back():
    for kind in KINDS:
        h = ready(kind).metadata["model"]
        assert family.hyperparameters(family.hub_config(**h)) == h
    with pytest.raises(ValueError, match="hidden_act 'gelu' is not supported, only 'silu'"):
        family.hyperparameters({"hidden_act": "gelu"})
    with pytest.raises(ValueError, match="neither 'neucodec' nor 'xcodec2'"):
        family.hyperparameters({"model_type": "xcodec"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 48}, "no multiple of 32"),
        ({"sample_rate": 22_050}, "even number of samples"),
        ({"levels": (4, 1)}, "two or more each"),
        ({"levels": (32,) * 5}, "2\\^20 codes or fewer"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("neucodec", **changes)


def test_the_licence_that_forbids_commercial_use_is_known():
    assert registry.known("HKUSTAudio/xcodec2-hf").is_non_commercial
    assert not registry.known("neuphonic/neucodec").is_non_commercial
