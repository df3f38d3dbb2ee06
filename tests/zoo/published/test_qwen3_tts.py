"""Qwen3-TTS's tokeniser against what its authors' code made of a small one, and against itself in chunks and files."""

import functools
import json
import re

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.codec import Reach
from zoo.coding.stream import FrameDecoder
from zoo.published import qwen3_tts
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.registry import known
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS, LENGTH, HOP = 3, 403, 12
"""golden clips; samples of the longest, and of a frame"""

golden = functools.partial(small.golden, "qwen3_tts", "small")
config = functools.partial(small.config, "qwen3_tts", "small")
ready = functools.partial(small.ready, "qwen3_tts", "small", layout="original")


@functools.cache
def function(method: str):
    return jit(functools.partial(ready().module.apply, ready().variables, method=method))


@functools.cache
def clip(i: int) -> dict[str, np.ndarray]:
    """Audio and the reference's latent, codes and output of a golden clip."""
    return {name: golden()[f"{name}_{i}"] for name in ("audio", "latent", "codes", "out")}


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_codes_and_audio_are_the_references(i):
    audio = clip(i)["audio"]
    padded = np.pad(audio, ((0, LENGTH - len(audio)), (0, 0)), constant_values=9.0)[None]  # not to be heard
    found = function("__call__")(padded, np.array([len(audio)], np.int32))
    frames = ready().module.n_frames(len(audio))
    close(found.latent[0, :frames], clip(i)["latent"])
    np.testing.assert_array_equal(found.codes[0, :frames], clip(i)["codes"])
    close(found.audio[0, : len(audio)], clip(i)["out"])
    assert not np.asarray(found.audio[0, len(audio) :]).any()


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), clip(1)["audio"])


def test_the_decoder_goes_on_from_chunk_to_chunk():
    latent = np.concatenate([clip(1)["latent"], clip(0)["latent"]])[None]  # much longer than its window of five frames
    whole = function("decode_frames")(latent)
    decoder = FrameDecoder(ready().engine.chunks(1), 1)
    pieces = [decoder.push(latent[:, i : i + 1]) for i in range(latent.shape[1])]
    close(np.concatenate([*pieces, decoder.finish(latent.shape[1] * HOP)], axis=1), whole, 1e-5)
    carry = decoder._lanes.carries[0]["decoder"]["transformer"]
    assert carry["position"] == latent.shape[1]
    assert carry["layer_0"]["keys"].shape == (1, 2, 4, 6)


def test_a_frame_can_be_given_out_when_its_last_sample_is_in():
    full = zoo.create("qwen3_tts")
    assert (full.hop_length, full.frame_rate_hz, full.algorithmic_latency_samples) == (1920, 12.5, 1920)
    assert (full.encoder_context, full.decoder_context) == (Reach(3, 0), Reach(12, 0))
    assert (full.bottleneck.symbols().n_levels, full.bottleneck.default_level) == (16, 15)


def test_codes_stand_for_the_decoders_entries():
    params = ready().variables["params"]["bottleneck"]
    codes = clip(0)["codes"]
    for level in (0, 2):
        expected = params["semantic"]["entries"][0][codes[:, 0]] @ params["semantic"]["project_out"]
        sounding = sum(params["acoustic"]["entries"][q][codes[:, q + 1]] for q in range(level))
        if level:
            expected = expected + sounding @ params["acoustic"]["project_out"]
        found = function("dequantise")(codes[None, :, : level + 1], level)
        close(found[0], expected, 1e-5)
        close(function("quantise")(clip(0)["latent"][None], level).latent[0], expected, 1e-5)
    assert np.abs(params["semantic"]["entries"] - params["semantic"]["codebooks"]).max() > 0.1


def test_keys_there_and_back():
    keymap, params = qwen3_tts.key_maps(**ready().metadata["model"])["original"], ready().variables["params"]
    weights = from_params(params, keymap)
    given = {key[2:]: array.shape for key, array in golden().items() if key[:2] == "w:"}
    # codebooks that the published encoder has and does not use
    beyond = [key for key in given if re.search(r"^encoder\.quantizer\.acoustic.*\.layers\.[23]\.", key)]
    assert len(beyond) == 6
    assert {key: array.shape for key, array in weights.items()} == {
        key: shape for key, shape in given.items() if key not in beyond
    }
    again = flatten(to_params(weights, keymap, codec_template(ready().module)["params"]))
    for path, leaf in flatten(params).items():
        np.testing.assert_array_equal(again[path], leaf, err_msg=path)


def test_configurations_there_and_back():
    model = qwen3_tts.hyperparameters(config())
    assert (model["n_codebooks"], model["decoder_window"], model["window"]) == (3, 5, 9)
    assert qwen3_tts.hyperparameters(json.loads(json.dumps(qwen3_tts.hub_config(**model)))) == model
    full = zoo.create("qwen3_tts", **qwen3_tts.hyperparameters(known("Qwen/Qwen3-TTS-Tokenizer-12Hz").config))
    assert full == zoo.create("qwen3_tts")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("decoder_config", {"hidden_act": "gelu"}, "hidden_act"),
        ("decoder_config", {"num_key_value_heads": 1}, "num_key_value_heads"),
        ("decoder_config", {"num_quantizers": 4}, "num_quantizers of the decoder"),
        ("decoder_config", {"codebook_dim": 20}, "codebook_dim of the decoder"),
        ("encoder_config", {"use_causal_conv": False}, "use_causal_conv"),
        ("encoder_config", {"num_quantizers": 2}, "no 3 valid ones"),
        ("encoder_config", {"sampling_rate": 9000}, "input_sample_rate"),
    ],
)
def test_what_is_not_supported_is_named(part, change, message):
    with pytest.raises(ValueError, match=message):
        qwen3_tts.hyperparameters(config() | {part: config()[part] | change})


def test_sizes_that_do_not_fit_are_named():
    for wrong, message in (
        ({"decoder_rates": [3, 4]}, "frames of 12 samples, and the decoder's of 24"),
        ({"decoder_width": 10}, "decoder_width 10 cannot be halved 2 times"),
        ({"decoder_head_dim": 7}, "decoder_head_dim must be even"),
        ({"n_semantic": 3}, "n_semantic 3"),
        ({"compress": 3}, "compress 3"),
    ):
        with pytest.raises(zoo.ZooError, match=message):
            zoo.create("qwen3_tts", **ready().metadata["model"] | wrong)
