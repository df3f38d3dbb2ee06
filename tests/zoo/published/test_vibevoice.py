"""VibeVoice's tokeniser against what transformers made of a small one, and against itself in chunks and layouts."""

import functools
import json

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.codec import Reach
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.published import vibevoice
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.oobleck.grid import GRID_STEPS
from zoo.published.registry import known
from zoo.published.vibevoice.model import DEVIATION
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS, LENGTH, HOP = 3, 483, 8
"""golden clips; samples of the longest, and of a frame"""

golden = functools.partial(small.golden, "vibevoice", "small")
config = functools.partial(small.config, "vibevoice", "small")
ready = functools.partial(small.ready, "vibevoice", "small")


@functools.cache
def function(method: str):
    return jit(functools.partial(ready().module.apply, ready().variables, method=method), static_argnames="length")


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_latents_and_audio_are_the_references(i):
    audio, latent, out = (golden()[f"{name}_{i}"] for name in ("audio", "latent", "out"))
    padded = np.pad(audio, ((0, LENGTH - len(audio)), (0, 0)), constant_values=9.0)[None]  # not to be heard
    n_samples = np.array([len(audio)], np.int32)
    found = function("encode")(padded, n_samples)
    close(found[0, : len(latent)], latent)
    beyond = np.pad(latent, ((0, found.shape[1] - len(latent)), (0, 0)), constant_values=9.0)[None]
    decoded = function("decode")(beyond, length=LENGTH, n_samples=n_samples)
    close(decoded[0, : len(audio)], out)
    assert not np.asarray(decoded[0, len(audio) :]).any()


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_1"])


def test_a_stream_of_frames_is_one_pass():
    """Frame by frame; each convolution at the latents' rate remembers four frames, and all of them together more."""
    audio, latent = golden()["audio_0"][: 60 * HOP], golden()["latent_0"][:60]
    chunks = ready().engine.chunks(1)
    encoder, decoder = FrameEncoder(chunks, 1), FrameDecoder(chunks, 1)
    pieces = [piece for block in np.split(audio[None], 12, axis=1) for piece in encoder.push(block)]
    close(np.concatenate([*pieces, *encoder.finish()], axis=1)[0], latent)
    carry = encoder._lanes.carries[0]["encoder"]
    assert carry["mixer_2_1"]["conv_memory"]["past"].shape == (1, 4, 16)
    assert {"mixer_2_0", "mixer_2_1", "conv_out_memory"} <= set(carry)
    whole = function("decode_frames")(latent[None])
    parts = [decoder.push(latent[None, i : i + 1]) for i in range(60)]
    close(np.concatenate([*parts, decoder.finish(60 * HOP)], axis=1), whole, 1e-5)


def test_contexts_are_short_because_layers_remember():
    full = zoo.create("vibevoice")
    assert (full.hop_length, full.frame_rate_hz, full.algorithmic_latency_samples) == (3200, 7.5, 3200)
    assert (full.encoder_context, full.decoder_context) == (Reach(4, 0), Reach(4, 0))


def test_codes_are_of_latents_on_a_grid_of_their_deviation():
    codec, audio = ready(), golden()["audio_0"]
    latent, errors = codec.encode_latents(audio), []
    for level in (0, 6, 8):
        step = DEVIATION * GRID_STEPS[level]
        back = function("dequantise")(codec.encode(audio, level=level).codes, level)
        errors.append(float(np.abs(back - latent).max()))
        assert errors[-1] <= step / 2 + 1e-4
        steps = np.asarray(back) / step
        np.testing.assert_allclose(steps, steps.round(), atol=1e-5)
    assert errors[0] > errors[2] > 0
    # a step that loses as much as the noise in training, whose deviation is 0.625
    assert GRID_STEPS[codec.default_level] == pytest.approx(0.625 / DEVIATION * 12**0.5, rel=0.2)


def test_keys_and_configurations_there_and_back():
    model = ready().metadata["model"]
    keymap, params = vibevoice.key_maps(**model)["transformers"], ready().variables["params"]
    weights = from_params(params, keymap)
    given = {key[2:]: array.shape for key, array in golden().items() if key[:2] == "w:"}
    assert {key: array.shape for key, array in weights.items()} == given
    again = flatten(to_params(weights, keymap, codec_template(ready().module)["params"]))
    for path, leaf in flatten(params).items():
        np.testing.assert_array_equal(again[path], leaf, err_msg=path)
    assert vibevoice.hyperparameters(json.loads(json.dumps(vibevoice.hub_config(**model)))) == model
    published = vibevoice.hyperparameters(known("microsoft/VibeVoice-AcousticTokenizer").config)
    assert zoo.create("vibevoice", **published) == zoo.create("vibevoice")


def test_what_is_not_supported_is_named():
    with pytest.raises(ValueError, match="hidden_act is 'relu'"):
        vibevoice.hyperparameters(config() | {"hidden_act": "relu"})
    with pytest.raises(zoo.ZooError, match="one more than strides"):
        zoo.create("vibevoice", depths=(1, 1))
