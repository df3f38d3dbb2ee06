"""SAME-S against what its authors' code made of a small one, and against itself in chunks, files and layouts."""

import functools
import json

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.codec import Reach
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.nn.layers import Span
from zoo.published import configurations, registry, same
from zoo.published.files import weights as files
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.oobleck.grid import GRID_STEPS
from zoo.published.same.resampler import BlocksSpec, Resampler
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS, LENGTH, HOP = 3, 403, 12
"""golden clips; samples of the longest, and of a frame"""

golden = functools.partial(small.golden, "same", "small")
config = functools.partial(small.config, "same", "small")
ready = functools.partial(small.ready, "same", "small", layout="original autoencoder")


@functools.cache
def function(method: str):
    return jit(functools.partial(ready().module.apply, ready().variables, method=method), static_argnames="length")


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_latents_and_audio_are_the_references(i):
    audio, latent, out = (golden()[f"{name}_{i}"] for name in ("audio", "latent", "out"))
    n_samples = np.array([len(audio)], np.int32)
    padded = np.pad(audio, ((0, LENGTH - len(audio)), (0, 0)), constant_values=9.0)[None]  # not to be heard
    found = function("encode")(padded, n_samples)
    close(found[0, : len(latent)], latent)
    assert len(latent) % 2 == 0
    beyond = np.pad(latent, ((0, found.shape[1] - len(latent)), (0, 0)), constant_values=9.0)[None]
    decoded = function("decode")(beyond, length=LENGTH, n_samples=n_samples)
    close(decoded[0, : len(audio)], out)
    assert not np.asarray(decoded[0, len(audio) :]).any()


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_1"])


def test_streams_are_one_pass():
    """In the shortest chunks there are, of which none but the first and the last has a clip's end in its window."""
    audio, latent = golden()["audio_1"], golden()["latent_1"]
    chunks = ready().engine.chunks(2)
    encoder, decoder = FrameEncoder(chunks, 1), FrameDecoder(chunks, 1)
    pieces = [piece for block in np.split(audio[None], 9, axis=1) for piece in encoder.push(block)]
    close(np.concatenate([*pieces, *encoder.finish()], axis=1)[0], latent)
    parts = [decoder.push(latent[None, i : i + 2]) for i in range(0, len(latent), 2)]
    close(np.concatenate([*parts, decoder.finish(len(audio))], axis=1)[0], golden()["out_1"])


def test_contexts_are_a_pair_of_frames_on_either_side():
    full = zoo.create("same")
    assert (full.hop_length, full.frame_multiple) == (4096, 2)
    assert (full.encoder_context, full.decoder_context) == (Reach(2, 2), Reach(2, 2))
    assert full.algorithmic_latency_samples == 20_736
    resampler = Resampler(BlocksSpec(2, 4, 4), into=3, out=1)
    # the first of a pair hears the pair before its own, and the second the one after it
    assert [resampler.inputs(Span(f, f)) for f in (4, 5)] == [Span(6, 17), Span(12, 23)]


def test_codes_are_of_latents_on_a_grid():
    codec, audio = ready(), golden()["audio_1"]
    sizes = []
    for level in (0, 6, 8):
        sizes.append(len(codec.compress(audio, level=level)))
        back = function("dequantise")(codec.encode(audio, level=level).codes, level)
        assert np.abs(back - codec.encode_latents(audio)).max() <= GRID_STEPS[level] / 2 + 1e-4
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("layout", ["original autoencoder", "original"])
def test_keys_there_and_back(layout):
    keymap, params = same.key_maps(**ready().metadata["model"])[layout], ready().variables["params"]
    written = from_params(params, keymap)
    if layout == "original":
        written["model.model.transformer.project_in.weight"] = np.zeros((3, 3), np.float32)
    else:
        given = {key[2:]: array.shape for key, array in golden().items() if key[:2] == "w:"}
        assert {key: array.shape for key, array in written.items()} == given
        for key in given:
            if key.endswith("inv_freq"):  # which the golden file has in halves
                np.testing.assert_allclose(written[key], golden()[f"w:{key}"], rtol=1e-3)
    again = flatten(to_params(written, keymap, codec_template(ready().module)["params"]))
    for path, leaf in flatten(params).items():
        np.testing.assert_allclose(again[path], leaf, rtol=1e-6, err_msg=path)


def test_configurations_there_and_back():
    model = same.hyperparameters(config())
    assert same.hyperparameters(json.loads(json.dumps(same.hub_config(**model)))) == model
    published = registry.known("stabilityai/SAME-S").config
    assert zoo.create("same", **same.hyperparameters(published)) == zoo.create("same")
    inside = {
        "model_type": "diffusion_cond",
        "sample_rate": 800,
        "model": {"pretransform": {"type": "autoencoder", "config": config()["model"]}},
    }
    assert same.hyperparameters(inside) == model
    assert configurations.family_of(inside) == configurations.family_of(config()) == "same"


def test_a_folder_of_a_whole_model_is_loaded(tmp_path):
    codec = ready()
    layout = same.key_maps(**codec.metadata["model"])["original"]
    held = {"pretransform": {"type": "autoencoder", "config": config()["model"]}}
    model = {"model_type": "diffusion_cond", "sample_rate": 800, "model": held}
    (tmp_path / "model_config.json").write_text(json.dumps(model))
    files.write_safetensors(tmp_path / "model.safetensors", from_params(codec.variables["params"], layout))
    audio = golden()["audio_2"]
    close(zoo.load(tmp_path).encode_latents(audio), codec.encode_latents(audio))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("encoder", {"sliding_window": [1, 1]}, "sliding_window is .* only SAME-S"),
        ("encoder", {"chunk_midpoint_shift": False}, "chunk_midpoint_shift is False"),
        ("encoder", {"chunk_size": 12}, "chunk_size of the encoder: 12"),
        ("encoder", {"strides": [6]}, "encoder and decoder differ in strides"),
        ("decoder", {"conv_mapping": False}, "conv_mapping of the decoder"),
        ("decoder", {"sinusoidal_blocks": [8]}, "sinusoidal_blocks"),
        ("bottleneck", {"auto_scale": False}, "auto_scale"),
    ],
)
def test_what_is_not_supported_is_named(part, change, message):
    changed = json.loads(json.dumps(config()))
    changed["model"][part]["config"] |= change
    with pytest.raises(ValueError, match=message):
        same.hyperparameters(changed)


def test_sizes_that_do_not_fit_are_named():
    for wrong, message in (({"depth": 3}, "depth 3"), ({"head_dim": 6}, "head_dim 6"), ({"width": 12}, "width 12")):
        with pytest.raises(zoo.ZooError, match=message):
            zoo.create("same", **ready().metadata["model"] | wrong)
