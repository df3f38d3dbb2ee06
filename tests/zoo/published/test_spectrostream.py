"""SpectroStream against what its authors' code made of a small one, and against itself in chunks, batches and files."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close
from tests.zoo.published.test_hub import cache, keep  # noqa: F401
from zoo.published import load, registry
from zoo.published import spectrostream as family
from zoo.published.files import weights
from zoo.published.keymap import from_params, to_params
from zoo.published.spectrostream.layers import ConvTranspose
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

NAME = "google/magenta-realtime-2"
N_CLIPS = 3
HOP = 48
"""samples"""

golden = functools.partial(small.golden, "spectrostream", "small")
ready = functools.partial(small.ready, "spectrostream", "small", layout="original")


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_codes_and_audio_are_the_references(i):
    small.agrees(ready(), golden(), i)


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_0"])


def test_levels_are_codebooks():
    codec, given = ready(), golden()
    blobs = [codec.compress(given["audio_0"], level=level) for level in range(codec.n_levels)]
    # five bits a code
    np.testing.assert_allclose(np.diff([len(blob) for blob in blobs]), len(given["codes_0"]) * 5 / 8, atol=2)
    codes = codec.encode(given["audio_0"], level=1).codes
    np.testing.assert_array_equal(codes[0], given["codes_0"][:, :2])
    decoded = codec.decompress(blobs[1]).audio
    close(decoded, codec.decode(codes, len(decoded))[0], 1e-5)


def test_it_waits_for_two_frames_and_half_a_window():
    published = zoo.create("spectrostream")
    # the first of a window's samples weighs nothing
    assert published.algorithmic_latency_samples == 2 * 1920 + 480 - 1
    assert published.frame_rate_hz == 25
    assert ready().module.algorithmic_latency_samples == 2 * HOP + 12 - 1


@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 1), (2, 3), (1, 5)])
def test_a_transposed_convolution_is_the_textbooks(strides):
    rng = np.random.default_rng(0)
    layer, x = ConvTranspose(3, strides), rng.standard_normal((2, 4, 5, 2)).astype(np.float32)
    kernel = rng.standard_normal((*layer.kernel_size, 2, 3)).astype(np.float32)
    found = layer.apply({"params": {"kernel": kernel, "bias": np.zeros(3, np.float32)}}, x)
    wanted = np.zeros((2, 40, 60, 3))
    (height, width), (up, across) = layer.kernel_size, strides
    for t in range(4):
        for k in range(5):  # what each input adds
            window = np.einsum("bc,hwcd->bhwd", x[:, t, k], kernel[::-1, ::-1])
            wanted[:, t * up : t * up + height, k * across : k * across + width] += window
    first = across // 2 if across > 1 else 1
    close(found, wanted[:, : 4 * up, first : first + 5 * across], 1e-5)


def stored(codec: zoo.ReadyCodec) -> dict[str, dict[str, np.ndarray]]:
    """The tensors of both files that are published."""
    tensors = from_params(codec.variables["params"], family.key_maps(**codec.metadata["model"])["original"])
    files: dict[str, dict[str, np.ndarray]] = {"encoder.safetensors": {}, "decoder.safetensors": {}}
    for key, array in tensors.items():
        files["encoder.safetensors" if key.startswith("params/encoder/") else "decoder.safetensors"][key] = array
    return files


def test_the_published_files_are_as_long_as_these_tensors():
    model = family.hyperparameters(registry.known(NAME).config)
    template = codec_template(zoo.create("spectrostream", **model))["params"]
    blank = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), template)
    sizes = {}
    for name, tensors in stored(zoo.ReadyCodec(None, {"params": blank}, None, {"model": model})).items():
        header, end = {}, 0
        for key in sorted(tensors):
            place = [end, end := end + tensors[key].nbytes]
            header[key] = {"dtype": "F32", "shape": list(tensors[key].shape), "data_offsets": place}
        text = json.dumps(header, separators=(",", ":"))
        sizes[name] = 8 + -(-len(text) // 8) * 8 + end
    assert sizes == {"encoder.safetensors": 37_013_392, "decoder.safetensors": 209_853_216}


@pytest.fixture
def known_small(monkeypatch):
    """The small model, in place of the published one."""
    model = dataclasses.replace(registry.known(NAME), config=small.config("spectrostream", "small"))
    monkeypatch.setattr(registry, "KNOWN", (model,))


def test_both_files_are_found_and_recognised(known_small, cache, tmp_path):  # noqa: F811
    codec = ready()
    snapshot = keep(cache, NAME, *(f"resources/spectrostream/{name}" for name in stored(codec)))
    for name, tensors in stored(codec).items():
        weights.write_safetensors(snapshot / "resources" / "spectrostream" / name, tensors)
    loaded = zoo.load(NAME)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables["params"], codec.variables["params"])
    assert loaded.metadata == {"family": "spectrostream", "model": codec.metadata["model"], "path": NAME}
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, tensors in stored(codec).items():
        weights.write_safetensors(folder / name, tensors)
        with pytest.raises(zoo.ZooError, match=rf"part of {NAME}: give a folder with encoder.safetensors and decoder"):
            zoo.load(folder / name)
    assert zoo.load(folder).digest == loaded.digest
    # another one's
    tensors["other"] = tensors.pop("params/decoder/input_layer/conv1x1_first/conv/bias")
    weights.write_safetensors(folder / "decoder.safetensors", tensors)
    with pytest.raises(zoo.ZooError, match=r"no configuration beside it, .* tensors are of no model known here"):
        zoo.load(folder)
    with pytest.raises(zoo.ZooError, match=r"missing keys: params/decoder/input_layer/conv1x1_first/conv/bias; extra"):
        zoo.load(folder, family="spectrostream", config=codec.metadata["model"])
    with pytest.raises(zoo.ZooError, match="misshaped keys: params/encoder/base_conv_first/conv/kernel"):
        zoo.load(folder, family="spectrostream")


def test_what_is_exported_is_the_same_codec(tmp_path):
    load.export(ready(), tmp_path / "out")
    assert zoo.load(tmp_path / "out").digest == ready().digest
    (tmp_path / "out" / "entropy.safetensors").unlink()  # which says it too
    assert zoo.load(tmp_path / "out").module == ready().module


def test_what_cannot_be_fetched_is_told(cache):  # noqa: F811
    with pytest.raises(zoo.ZooError, match=r"folder with its encoder.safetensors and decoder.safetensors instead$"):
        zoo.load(NAME)


def test_weights_go_there_and_back():
    codec = ready()
    layout, params = family.key_maps(**codec.metadata["model"])["original"], codec.variables["params"]
    written = from_params(params, layout)
    assert {f"w:{key}" for key in written} == {name for name in golden() if name[:2] == "w:"}
    jax.tree.map(np.testing.assert_array_equal, to_params(written, layout, params), params)


def test_configurations_go_there_and_back():
    h = ready().metadata["model"]
    assert family.hyperparameters(family.hub_config(**h)) == h
    for n_joint in (2, 3):
        assert family.hyperparameters(family.hub_config(**h | {"n_joint": n_joint}))["n_joint"] == n_joint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"decoder_lookahead": 0}, "decoder_lookahead 0 is not supported, only 1"),
        ({"stft_frame_step": 240}, "stft_frame_step 240 is not supported, only 480"),
        ({"mults": [2, 1.5]}, "only whole numbers"),
        ({"quantizer": {"embedding_dim": 64}}, "embedding_dim 64 is not num_features 256"),
    ],
)
def test_configurations_that_are_not_understood_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        family.hyperparameters(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"growth": (1, 2)}, "as many as strides"),
        ({"n_joint": 0}, "from 1 to the number of strides, 7"),
        ({"n_fft": 100}, "must divide the n_fft / 2 = 50 bins"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("spectrostream", **changes)
