"""EnCodec against what transformers made of small models, and against itself in chunks, batches and files."""

import functools
import json

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.published import encodec, registry
from zoo.published.keymap import flatten, from_params, to_params
from zoo.saved.checkpoint import codec_template

pytestmark = pytest.mark.usefixtures("quick_module")

NAMES = ("causal", "music", "stereo")
"""causal with memory; centred with memory, two residual units and identities beside them; segments of 200 samples"""
N_CLIPS = 4

golden = functools.partial(small.golden, "encodec")
ready = functools.partial(small.ready, "encodec")


def references_codes(name: str, clip: int, codes: np.ndarray) -> None:
    """Asserts that codes (F, Q) are the reference's, which has the loudness of segments beside them."""
    given = golden(name)
    if name == "stereo":
        steps = ready(name).module.bottleneck.n_steps
        side, codes = codes[:, :steps], codes[:, steps:]
        assert not side[:, 4:].any()
        scales = side[:, :4].astype(np.uint8).view("<f4")
        np.testing.assert_allclose(scales, given[f"scales_{clip}"], rtol=1e-5)
    np.testing.assert_array_equal(codes, given[f"codes_{clip}"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("clip", range(N_CLIPS))
def test_codes_and_audio_are_the_references(name, clip):
    codec, given = ready(name), golden(name)
    encoded = codec.encode(given[f"audio_{clip}"])
    references_codes(name, clip, encoded.codes[0])
    close(codec.decode(encoded), given[f"out_{clip}"])


@pytest.mark.parametrize("name", NAMES)
def test_fewer_codebooks_give_the_references_audio(name):
    codec, given = ready(name), golden(name)
    encoded = codec.encode(given["audio_0"], n_codebooks=2)
    most = codec.encode(given["audio_0"])
    np.testing.assert_array_equal(encoded.codes, most.codes[..., : codec.symbols.n_codes(1)])
    close(codec.decode(encoded), given["out_of_2"])


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name):
    zoo.verify_codec(ready(name), golden(name)["audio_0"])


def test_packets_shorter_than_a_mirrored_beginning_are_refused():
    codec = ready("causal")
    module = codec.module
    assert codec.packet_frames(7 / module.frame_rate_hz) == module.min_first_frames == 7
    with pytest.raises(zoo.ZooError, match=f"choose {7 / module.frame_rate_hz:.3f} to"):
        codec.packet_frames(6 / module.frame_rate_hz)


def influence(function, x: np.ndarray, places: list[slice], n_frames: int) -> np.ndarray:
    """Which output frames (len(places), n_frames) of `function` change where x (1, T, C) does, place by place."""
    changed = np.repeat(x, 1 + len(places), axis=0)
    for i, place in enumerate(places):
        changed[1 + i, place] += np.random.default_rng(i).standard_normal(changed[1 + i, place].shape)
    y = np.asarray(jit(function)(changed))
    return (y[1:] != y[:1]).reshape(len(places), n_frames, -1).any(axis=2)


@pytest.mark.parametrize("causal", [True, False])
def test_contexts_and_openings_are_what_frames_hear(causal):
    module = encodec.encodec(
        latent_dim=4, n_filters=4, ratios=(5, 2), n_lstm=0, causal=causal, n_residual=2, n_codebooks=1
    )
    rng = np.random.default_rng(0)

    def draw(leaf):
        scale = np.prod(leaf.shape[:-1]) ** -0.5
        return (rng.standard_normal(leaf.shape) * scale).astype(np.float32)

    variables = {"params": jax.tree.map(draw, codec_template(module)["params"])}
    hop, n, middle = module.hop_length, 30, 15
    audio = rng.standard_normal((1, n * hop, 1)).astype(np.float32)
    latent = rng.standard_normal((1, n, 4)).astype(np.float32)
    for method, x, step, context in (
        ("encode_frames", audio, hop, module.encoder_context),
        ("decode_frames", latent, 1, module.decoder_context),
    ):
        frames = [slice(i * step, (i + 1) * step) for i in range(n)]
        heard = influence(functools.partial(module.apply, variables, method=method), x, frames, n)
        touched = np.flatnonzero(heard[:, middle])
        assert (middle - touched[0], touched[-1] - middle) == (context.before, context.after)
        last = np.array([np.flatnonzero(heard[:, f])[-1] for f in range(n)])
        if causal:
            assert context.after == 0
            openings = [n for n in range(1, 12) if last[:n].max() < n]
            assert openings[0] == module.min_first_frames == 7
        else:
            assert module.min_first_frames == 1
            assert (last[:middle] <= np.arange(middle) + context.after).all()


def test_segments_reach_into_the_next_and_fade_out_there():
    module, variables = ready("stereo").module, ready("stereo").variables
    hop = module.hop_length
    assert (module.encoder_context.before, module.encoder_context.after) == (0, 1)
    assert (module.decoder_context.before, module.decoder_context.after) == (1, 0)
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((1, 3 * hop, 2)).astype(np.float32)
    places = [slice(hop - 1, hop), slice(hop, hop + 1), slice(hop + 199, hop + 200), slice(hop + 200, hop + 201)]
    encode = functools.partial(module.apply, variables, method="encode_frames")
    np.testing.assert_array_equal(influence(encode, audio, places, 3)[:, 1], [False, True, True, False])
    latent = rng.standard_normal((1, 3, 10 * 12 + 1)).astype(np.float32)
    decode = functools.partial(module.apply, variables, method="decode_frames")
    heard = influence(decode, latent, [slice(i, i + 1) for i in range(3)], 3 * hop)
    for i in range(3):
        assert heard[i].sum() == 200 - 20 * (i == 2)
        assert heard[i, i * hop : i * hop + 200].all()


def test_zeros_beside_the_loudness_cost_next_to_nothing():
    symbols = encodec.encodec(**_published("facebook/encodec_48khz")).bottleneck.symbols()
    coder = encodec.default_entropy(symbols)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 1024, (1, 3, symbols.n_codes(15)))
    codes[..., :150] = 0
    codes[..., :4] = np.array([[0.07], [1.0], [1e-8]], "<f4").view(np.uint8)
    beside = coder.bits(codes, 15) - 3 * 16 * 150 * 10
    assert 3 * 30 < beside < 3 * 70
    payload = coder.encode(codes, 15)
    assert len(payload) * 8 < 3 * 16 * 150 * 10 + beside + 64
    np.testing.assert_array_equal(coder.decode(payload, n_streams=1, n_frames=3, level=15), codes)


def test_every_loudness_survives_its_bytes():
    bottleneck = ready("stereo").module.bottleneck
    variables = {"params": ready("stereo").variables["params"]["bottleneck"]}
    scales = np.array([1e-8, 0.3, 1.0, 3.4e38, 1e-45, np.float32(np.pi)], np.float32)
    latent = np.concatenate([np.zeros((1, 6, 120), np.float32), scales[None, :, None]], axis=2)
    codes = np.array(jit(bottleneck.apply)(variables, latent).codes)
    assert codes.min() >= 0
    assert codes[..., :10].max() < 256
    dequantise = jit(functools.partial(bottleneck.apply, method="dequantise"))
    again = np.asarray(dequantise(variables, codes))
    np.testing.assert_array_equal(again[0, :, -1].view(np.uint32), scales.view(np.uint32))
    # what no encoder writes is silence
    codes[0, 0, :4] = [0, 0, 0xC0, 0x7F]
    assert np.asarray(dequantise(variables, codes))[0, 0, -1] == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_key_maps_lead_there_and_back(name, layout):
    codec = ready(name)
    params, hyperparameters = codec.variables["params"], codec.metadata["model"]
    key_map = encodec.key_maps(**hyperparameters)[layout]
    weights = from_params(params, key_map)
    again = flatten(to_params(weights, key_map, codec_template(codec.module)["params"]))
    for path, array in flatten(params).items():
        np.testing.assert_allclose(again[path], array, rtol=1e-6, atol=1e-7, err_msg=path)
    if layout == "transformers":
        wanted = {key[2:] for key in golden(name) if key[:2] == "w:"}
        assert wanted == set(weights)
        assert all(weights[key].shape == golden(name)[f"w:{key}"].shape for key in wanted)


def _published(name: str) -> dict:
    model = registry.known(name)
    assert model is not None
    return encodec.hyperparameters(model.config)


@pytest.mark.parametrize("name", ["facebook/encodec_24khz", "facebook/encodec_32khz", "facebook/encodec_48khz"])
def test_configs_lead_there_and_back(name):
    hyperparameters = _published(name)
    config = encodec.hub_config(**hyperparameters)
    assert encodec.hyperparameters(json.loads(json.dumps(config))) == hyperparameters
    module = zoo.create("encodec", **hyperparameters)
    hertz, codebooks, opening = {"24": (75, 32, 7), "32": (50, 4, 1), "48": (1 / 0.99, 16, 1)}[name[-5:-3]]
    assert module.frame_rate_hz == pytest.approx(hertz)
    assert (module.bottleneck.symbols().n_levels, module.min_first_frames) == (codebooks, opening)


@pytest.mark.parametrize(
    ("change", "error", "culprit"),
    [
        ({"model_type": "mimi"}, ValueError, "EnCodec"),
        ({"normalize": True}, ValueError, "normalize"),
        ({"norm_type": "time_group_norm"}, ValueError, "norm_type"),
        ({"trim_right_ratio": 0.5}, ValueError, "trim_right_ratio"),
        ({"codebook_dim": 64}, ValueError, "codebook_dim"),
        ({"pad_mode": "circular"}, KeyError, "circular"),
    ],
)
def test_configs_that_are_not_understood_are_refused(change, error, culprit):
    with pytest.raises(error, match=culprit):
        encodec.hyperparameters({"num_filters": 32} | change)
    with pytest.raises(ValueError, match="EnCodec"):
        encodec.hyperparameters({"encoder_rates": [2, 4]})


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"edge": "circular"}, "edge"),
        ({"compress": 3}, "compress"),
        ({"ratios": (8, 0)}, r"ratios must be at least 2 each, got \[8, 0\]"),
        ({"ratios": ()}, "ratios"),
        ({"segment_s": 0.99}, "segments"),
        ({"segment_s": 1.0, "overlap": 0.6}, "segments"),
    ],
)
def test_hyperparameters_that_do_not_fit_are_refused(change, culprit):
    with pytest.raises(zoo.ZooError, match=culprit):
        zoo.create("encodec", **change | ({"sample_rate": 1000} if "segment_s" in change else {}))
