"""Mimi against what transformers made of a small one, and against itself in chunks, batches, files and layouts."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.codec import Reach
from zoo.coding.chunks import Chunks
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.nn import rotary
from zoo.nn.layers import Span
from zoo.published import mimi
from zoo.published.keymap import flatten, from_params, to_params, unflatten
from zoo.published.mimi import transformer
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS, LENGTH = 3, 1003
"""golden clips, and samples of the longest"""
HOP, WINDOW = 16, 9
"""samples; steps of half a frame"""

golden = functools.partial(small.golden, "mimi", "small")
config = functools.partial(small.config, "mimi", "small")
ready = functools.partial(small.ready, "mimi", "small")


@functools.cache
def function(method: str, *static: str):
    return jit(functools.partial(ready().module.apply, ready().variables, method=method), static_argnames=static)


def chunks(chunk_frames: int) -> Chunks:
    return ready().engine.chunks(chunk_frames)


def sound(n_samples: int) -> np.ndarray:
    """(T, 1)"""
    rng = np.random.default_rng(n_samples)
    swell = np.sin(np.arange(n_samples) * 0.01 + rng.uniform(0, 6))
    return (0.2 * swell * rng.standard_normal(n_samples)).astype(np.float32)[:, None]


@functools.cache
def clip(i: int) -> dict[str, np.ndarray]:
    """Audio and the reference's latent, codes and output of a golden clip."""
    return {name: golden()[f"{name}_{i}"] for name in ("audio", "latent", "codes", "out")}


def one_pass(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latent, codes and output of a clip (T, 1) in an array of LENGTH samples, which compiles once for all."""
    n_samples = np.array([len(audio)], np.int32)
    padded = np.pad(audio, ((0, LENGTH - len(audio)), (0, 0)), constant_values=9.0)[None]  # not to be heard
    found = function("__call__")(padded, n_samples)
    frames = ready().module.n_frames(len(audio))
    assert not np.asarray(found.audio[:, len(audio) :]).any()
    return np.asarray(found.latent)[0, :frames], np.asarray(found.codes)[0, :frames], found.audio[0, : len(audio)]


# --- against the reference


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_codes_and_audio_are_the_references(i):
    latent, codes, out = one_pass(clip(i)["audio"])
    close(latent, clip(i)["latent"])
    np.testing.assert_array_equal(codes, clip(i)["codes"])
    close(out, clip(i)["out"])


def test_without_a_mask_too():
    found = function("__call__")(clip(1)["audio"][None])
    np.testing.assert_array_equal(found.codes[0], clip(1)["codes"])
    close(found.audio[0], clip(1)["out"])


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), clip(1)["audio"])


# --- chunks


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_what_is_carried_is_needed_to_the_oldest_step(part):
    encoding = part == "encoder"
    given = sound(640)[None] if encoding else clip(1)["latent"][None]
    first, rest = np.split(given, 2, axis=1)  # 20 frames each
    kind = FrameEncoder if encoding else FrameDecoder
    right, wrong = kind(chunks(20), 1), kind(chunks(20), 1)
    right.push(first)
    wrong.push(first)
    carry = wrong._lanes.carries[0][part]["transformer"]
    assert carry["position"] == 20
    layer = carry["layer_0"]
    assert layer["keys"].shape == (1, 2, WINDOW - 1, 8)
    assert layer["valid"].all()
    layer["values"] = layer["values"].at[:, :, 0].add(10.0)
    ends = [np.concatenate([*stream.push(rest)]) for stream in (right, wrong)]
    assert np.abs(ends[0] - ends[1]).max() > 1e-3 * np.abs(ends[0]).max()


def test_lost_packets_are_not_attended_to():
    latent = clip(1)["latent"][None]
    mask = np.ones((1, 40), bool)
    mask[:, 9:15] = mask[:, 30:33] = False
    decoder = FrameDecoder(chunks(1), 1)
    pieces = [decoder.push(latent[:, i : i + 1], lost=not mask[0, i]) for i in range(40)]
    found = np.concatenate([*pieces, decoder.finish(40 * HOP)], axis=1)
    close(found, function("decode_frames")(latent, mask))
    silent = np.where(mask[..., None], latent, 0.0)
    heard = np.repeat(mask[0], HOP)
    different = np.abs(found - function("decode_frames")(silent, np.ones_like(mask)))
    assert different[0, heard].max() > 0.01 * np.abs(found).max()  # silence would be heard


def test_contexts_are_what_convolutions_hear():
    module = zoo.create("mimi", **mimi.hyperparameters(config()) | {"n_layers": 0})
    params = {
        path: (np.random.default_rng(i).standard_normal(leaf.shape) * np.prod(leaf.shape[:-1]) ** -0.5).astype(
            np.float32
        )
        for i, (path, leaf) in enumerate(flatten(codec_template(module)["params"]).items())
    }
    variables = {"params": unflatten(params)}
    before = module.encoder_context.before
    frames = before + 4
    heard = support(lambda x: module.apply(variables, x, method="encode_frames"), (frames * HOP, 1), before + 1, 1)
    assert (heard.first // HOP, heard.last // HOP) == (1, before + 1)
    before = module.decoder_context.before
    heard = support(lambda z: module.apply(variables, z, method="decode_frames"), (before + 4, 16), before + 1, HOP)
    assert heard == Span(1, before + 1)
    assert module.encoder_context.after == module.decoder_context.after == 0
    full = ready().module
    assert (full.encoder_context, full.decoder_context) == (module.encoder_context, module.decoder_context)


def support(function, shape: tuple[int, int], frame: int, size: int) -> Span:
    """First and last step of the input on which any of the `size` outputs of a frame depends."""
    x = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    weights = np.random.default_rng(1).standard_normal(size).astype(np.float32)

    def probe(x):
        return (function(x)[0, frame * size : (frame + 1) * size].sum(axis=1) * weights).sum()

    touched = np.flatnonzero(np.abs(jit(jax.grad(probe))(x)).max(axis=(0, 2)))
    return Span(int(touched[0]), int(touched[-1]))


def test_a_frame_can_be_given_out_when_its_last_sample_is_in():
    assert ready().module.algorithmic_latency_samples == HOP
    full = zoo.create("mimi")
    assert (full.hop_length, full.frame_rate_hz, full.algorithmic_latency_samples) == (1920, 12.5, 1920)
    assert (full.encoder_context, full.decoder_context) == (Reach(3, 0), Reach(5, 0))


# --- the quantiser


def test_levels_are_the_semantic_codebook_and_so_many_acoustic_ones():
    codec, latent, codes = ready(), clip(1)["latent"][None], clip(1)["codes"][None]
    assert (codec.n_levels, codec.default_level) == (6, 5)
    for level in (0, 2):
        quantised = function("quantise")(latent, level)
        np.testing.assert_array_equal(quantised.codes[..., : level + 1], codes[..., : level + 1])
        for given in (codes, codes[..., : level + 1]):
            close(function("dequantise")(given, level), quantised.latent, 1e-5)


def test_both_halves_look_at_the_same_latent():
    params = ready().variables["params"]["bottleneck"]
    latent, codes = golden()["latent_0"].astype(np.float64), golden()["codes_0"]
    for half, first, n in (("semantic", 0, 1), ("acoustic", 1, 5)):
        residual = latent @ np.asarray(params[half]["project_in"], np.float64)
        for q in range(n):
            entries = np.asarray(params[half]["codebooks"][q], np.float64)
            index = np.square(residual[:, None] - entries[None]).sum(axis=-1).argmin(axis=1)
            np.testing.assert_array_equal(index, codes[:, first + q])
            residual = residual - entries[index]


# --- attention


@pytest.mark.parametrize(
    ("past", "length", "window"), [(0, 7, 4), (0, 23, 4), (3, 5, 4), (3, 23, 4), (9, 3, 4), (9, 21, 5), (1, 12, 3)]
)
def test_attention_is_the_sum_over_what_may_be_heard(past, length, window):
    rng = np.random.default_rng(past + length)
    query = rng.standard_normal((2, length, 2, 4)).astype(np.float32)
    key, value = (rng.standard_normal((2, past + length, 2, 4)).astype(np.float32) for _ in "kv")
    heard = rng.random((2, past + length)) < 0.8
    heads_first = (x.swapaxes(1, 2) for x in (query, key, value))
    found = jit(functools.partial(transformer.attend, window=window))(*heads_first, heard)
    found = np.asarray(found).swapaxes(1, 2)
    for b in range(2):
        for i in range(length):
            reach = np.arange(max(past + i - window + 1, 0), past + i + 1)
            reach = reach[heard[b, reach]]
            if not len(reach):
                assert np.isfinite(found[b, i]).all()
                continue
            for h in range(2):
                weights = np.exp(key[b, reach, h] @ query[b, i, h])
                expected = weights @ value[b, reach, h] / weights.sum()
                np.testing.assert_allclose(found[b, i, h], expected, atol=2e-5)


def test_neighbours_turned_are_halves_turned():
    n_heads, head_dim, channels = 2, 6, 5
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, channels))
    weight = rng.standard_normal((3 * n_heads * head_dim, channels))
    angles = np.asarray(rotary.angles(jnp.array([3, 8]), head_dim))

    layout = transformer.interleaved(n_heads, head_dim)
    ours = np.stack([x, y]) @ layout.read(weight)  # (2, 3 · heads · dims)
    ours = jnp.asarray(ours, jnp.float32).reshape(2, 3, n_heads, head_dim)
    turned = [rotary.rotate(ours[None, :, i], angles)[0] for i in range(2)]
    found = np.einsum("hd,hd->h", turned[0][0], turned[1][1])

    theirs = (weight @ np.stack([x, y]).T).T.reshape(2, 3, n_heads, head_dim // 2, 2)
    numbers = theirs[..., 0] + 1j * theirs[..., 1]
    query, key = numbers[0, 0] * np.exp(1j * angles[0]), numbers[1, 1] * np.exp(1j * angles[1])
    np.testing.assert_allclose(found, (query * key.conj()).real.sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(ours[0, 2].reshape(-1), (weight @ x)[2 * n_heads * head_dim :], rtol=1e-5)
    np.testing.assert_array_equal(layout.write(layout.read(weight))[0], weight)


# --- layouts


@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_keys_there_and_back(layout):
    hyperparameters = ready().metadata["model"]
    keymap, params = mimi.key_maps(**hyperparameters)[layout], ready().variables["params"]
    weights = from_params(params, keymap)
    again = flatten(to_params(weights, keymap, codec_template(ready().module)["params"]))
    for path, leaf in flatten(params).items():
        np.testing.assert_array_equal(again[path], leaf, err_msg=path)
    if layout == "transformers":
        given = {key[2:]: array.shape for key, array in golden().items() if key[:2] == "w:"}
        assert {key: array.shape for key, array in weights.items()} == given
        assert all((array == 1).all() for key, array in weights.items() if key.endswith(("usage", "initialized")))


def test_configurations_there_and_back():
    small = mimi.hyperparameters(config())
    assert small["window"] == WINDOW
    for hyperparameters in (small, {**mimi.weights._DEFAULTS, "ratios": [8, 6, 5, 4]}, {**small, "rope_theta": 500.0}):
        assert mimi.hyperparameters(json.loads(json.dumps(mimi.hub_config(**hyperparameters)))) == hyperparameters
    newer = config() | {"rope_parameters": {"rope_type": "default", "rope_theta": 77.0}}
    assert mimi.hyperparameters(newer)["rope_theta"] == 77.0


@pytest.mark.parametrize(
    "change",
    [
        {"use_causal_conv": False},
        {"pad_mode": "reflect"},
        {"hidden_act": "relu"},
        {"num_key_value_heads": 1},
        {"frame_rate": 250.0},
        {"upsample_groups": 1},
        {"rope_parameters": {"rope_type": "yarn"}},
        {"vector_quantization_hidden_dimension": 16},
    ],
)
def test_what_is_not_supported_is_named(change):
    key = "rope_type" if "rope_parameters" in change else next(iter(change))
    with pytest.raises(ValueError, match=f"{key} is .* not supported"):
        mimi.hyperparameters(config() | change)
    for wrong in ({"n_semantic": 6}, {"compress": 3}, {"head_dim": 7}):
        with pytest.raises(zoo.ZooError, match=next(iter(wrong))):
            zoo.create("mimi", **ready().metadata["model"] | wrong)
