"""Oobleck against what diffusers made of a small model, and against itself in chunks, batches and files."""

import functools
import json
import math

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.published import oobleck
from zoo.published.files import torch_writer
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.oobleck.grid import GRID_STEPS, Grid, normal_entropy

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS = 3

golden = functools.partial(small.golden, "oobleck", "small")
ready = functools.partial(small.ready, "oobleck", "small", layout="diffusers")


@pytest.mark.parametrize("clip", range(N_CLIPS))
def test_latents_and_audio_are_the_references(clip):
    codec, given = ready(), golden()
    latent, out = given[f"latent_{clip}"], given[f"out_{clip}"]
    close(codec.encode_latents(given[f"audio_{clip}"])[0], latent, 1e-4)
    close(codec.decode_latents(latent[None], len(out))[0], out, 1e-4)


def test_the_posteriors_deviation_is_the_references():
    module, given = ready().module, golden()
    audio = np.pad(given["audio_0"], ((0, -len(given["audio_0"]) % module.hop_length), (0, 0)))
    posterior = jit(lambda v, x: module.apply(v, x, method=lambda codec, x: codec.encoder.posterior(x)))
    mean, std = posterior(ready().variables, audio[None])
    close(mean[0], given["latent_0"], 1e-4)
    close(std[0], given["std_0"], 1e-4)


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_0"])


def test_latents_are_on_the_grid_of_their_level():
    codec, audio = ready(), golden()["audio_1"]
    sizes = []
    for level in (0, 6, 8):
        blob = codec.compress(audio, level=level)
        sizes.append(len(blob))
        encoded = codec.encode(audio, level=level)
        latent = codec.encode_latents(audio)
        back = np.asarray(codec.module.bottleneck.apply({}, encoded.codes, level, method="dequantise"))
        assert np.abs(back - latent).max() <= GRID_STEPS[level] / 2 + 1e-6
    assert sizes == sorted(sizes)
    assert len(codec.compress(audio)) == sizes[1]  # half a deviation


@pytest.mark.parametrize("level", range(len(GRID_STEPS)))
def test_default_tables_cost_what_a_normal_distribution_has(level):
    grid = Grid(16)
    latents = np.random.default_rng(level).standard_normal((40, 96, 16)).astype(np.float32)
    codes = np.asarray(grid.apply({}, latents, level=level).codes)
    coder = normal_entropy(grid.symbols(), GRID_STEPS)
    payloads = [coder.encode(packet[None], level) for packet in codes]
    decoded = [coder.decode(payload, n_streams=1, n_frames=96, level=level)[0] for payload in payloads]
    np.testing.assert_array_equal(decoded, codes)
    borders = (np.arange(-128, 129) - 0.5) * GRID_STEPS[level] / math.sqrt(2.0)
    p = np.diff([0.5 * (1 + math.erf(border)) for border in borders])
    ideal = -(p[p > 0] * np.log2(p[p > 0])).sum() * codes.size / 8
    assert sum(map(len, payloads)) < 1.03 * ideal


def test_default_tables_are_always_the_same():
    tokens = oobleck.default_entropy(Grid(64).symbols()).arrays["tokens"]
    assert (tokens.sum(-1, dtype=np.int64) == 1 << 24).all()
    assert tokens[4, 0, :4].tolist() == [6419677, 8106377, 2034268, 202828]


def test_outliers_and_silence_are_coded():
    grid = Grid(4, codebook_size=255)
    latents = np.zeros((1, 5, 4), np.float32)
    coder = oobleck.default_entropy(grid.symbols())
    silent = np.asarray(grid.apply({}, latents, level=8).codes)
    latents[0, 2] = [1e9, -1e9, 3.0, -31.75]
    loud = np.asarray(grid.apply({}, latents, level=8).codes)
    assert loud[0, 2].tolist() == [254, 0, 139, 0]
    for codes in (silent, loud):
        payload = coder.encode(codes, 8)
        np.testing.assert_array_equal(coder.decode(payload, n_streams=1, n_frames=5, level=8), codes)


@pytest.mark.parametrize("layout", ["diffusers", "original", "original autoencoder"])
def test_weights_go_there_and_back(layout):
    codec = ready()
    keymap = oobleck.key_maps(**codec.metadata["model"])[layout]
    params = codec.variables["params"]
    written = from_params(params, keymap)
    if layout == "original":
        written["model.model.transformer.project_in.weight"] = np.zeros((3, 3), np.float32)
    for path, array in flatten(to_params(written, keymap, params)).items():
        np.testing.assert_allclose(array, flatten(params)[path], rtol=1e-5, atol=1e-6, err_msg=path)
    if layout == "diffusers":
        assert {f"w:{key}" for key in written} == {name for name in golden() if name[:2] == "w:"}


def test_the_authors_layers_are_counted_as_they_count():
    keys = from_params(ready().variables["params"], oobleck.key_maps(**ready().metadata["model"])["original"])
    shapes = {key.removeprefix("pretransform.model."): array.shape for key, array in keys.items()}
    assert shapes["encoder.layers.0.weight_v"] == (8, 2, 7)
    assert shapes["encoder.layers.2.layers.1.layers.2.alpha"] == (8,)
    assert shapes["encoder.layers.2.layers.4.weight_v"] == (16, 8, 8)
    assert shapes["encoder.layers.4.bias"] == (8,)
    assert shapes["decoder.layers.1.layers.1.weight_v"] == (12, 6, 8)
    assert shapes["decoder.layers.2.layers.4.layers.1.weight_v"] == (6, 6, 7)
    assert "decoder.layers.4.bias" not in shapes
    assert shapes["decoder.layers.4.weight_v"] == (2, 6, 7)


def test_configurations_go_there_and_back():
    h = oobleck.hyperparameters(json.loads(str(golden()["config"])))
    assert oobleck.hyperparameters(oobleck.hub_config(**h)) == h
    part = {"channels": 4, "c_mults": [1, 3], "strides": [2, 8], "use_snake": True}
    vae = {
        "encoder": {"type": "oobleck", "config": {"in_channels": 2, "latent_dim": 6, **part}},
        "decoder": {"type": "oobleck", "config": {"out_channels": 2, "latent_dim": 3, "final_tanh": False, **part}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 3,
        "io_channels": 2,
    }
    alone = {"model_type": "autoencoder", "sample_rate": 44_100, "model": vae}
    inside = {"model_type": "diffusion_cond", "sample_rate": 44_100, "model": {"pretransform": {"config": vae}}}
    wanted = {
        "sample_rate": 44_100, "channels": 2, "latent_dim": 3, "encoder_width": 4, "decoder_width": 4,
        "multiples": [1, 3], "strides": [2, 8],
    }  # fmt: skip
    assert oobleck.hyperparameters(alone) == oobleck.hyperparameters(inside) == wanted
    with pytest.raises(ValueError, match="encoder_width other than 6"):
        oobleck.hub_config(**wanted)
    vae["decoder"]["config"]["final_tanh"] = True
    with pytest.raises(ValueError, match="final tanh"):
        oobleck.hyperparameters(alone)


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_of_stable_audio_tools_is_loaded(tmp_path, inside):
    codec = ready()
    model = codec.metadata["model"]
    part = {"c_mults": model["multiples"], "strides": model["strides"], "use_snake": True}
    sides = {
        "encoder": {"channels": model["encoder_width"], "latent_dim": 2 * model["latent_dim"], **part},
        "decoder": {"channels": model["decoder_width"], "latent_dim": model["latent_dim"], "final_tanh": False, **part},
    }
    vae = {side: {"type": "oobleck", "config": config} for side, config in sides.items()}
    vae |= {"bottleneck": {"type": "vae"}, "io_channels": model["channels"]}
    config = {
        "model_type": "diffusion_cond" if inside else "autoencoder",
        "sample_rate": model["sample_rate"],
        "model": {"pretransform": {"type": "autoencoder", "config": vae}} if inside else vae,
    }
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    layout = oobleck.key_maps(**model)["original" if inside else "original autoencoder"]
    tensors = from_params(codec.variables["params"], layout)
    if inside:
        tensors["model.model.transformer.project_in.weight"] = np.zeros((3, 3), np.float32)
    torch_writer.write(tmp_path / "model.ckpt", {"state_dict": tensors})
    audio = golden()["audio_0"]
    for place in (tmp_path, tmp_path / "model.ckpt"):
        close(zoo.load(place).encode_latents(audio), codec.encode_latents(audio), 1e-4)
    vae["encoder"]["type"] = "seanet"
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    with pytest.raises(zoo.ZooError, match="must be oobleck, oobleck and vae, not seanet"):
        zoo.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (2, 3)}, "must be even"),
        ({"multiples": (1,)}, "equally many"),
        ({"grid_steps": (1.0, 0.333)}, "multiples of 0.01"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("oobleck", **{"multiples": (1, 2), "strides": (2, 4), **changes})
