"""NeuCodec and X-Codec2 against what transformers made of small ones, and against themselves in batches and files."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close
from zoo.published import neucodec as family
from zoo.published import registry
from zoo.published.files import weights
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.neucodec.filterbank import resampled
from zoo.published.neucodec.fsq import JointFSQ, bounded

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS = 3
KINDS = ("neucodec", "xcodec2")

golden = functools.partial(small.golden, "neucodec")
ready = functools.partial(small.ready, "neucodec")


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_references_single_clips(kind):
    codec, given = ready(kind), golden(kind)
    clips = [given[f"audio_{i}"] for i in range(N_CLIPS)]
    lengths = np.array([len(clip) for clip in clips], np.int32)
    batch = np.full((N_CLIPS, 2 * lengths.max(), 1), 9.0, np.float32)  # what is beyond a clip is not to be heard
    for row, clip in zip(batch, clips):
        row[: len(clip)] = clip
    found = jax.device_get(jax.jit(codec.module.apply)(codec.variables, batch, lengths))
    for i, n in enumerate(lengths):
        n_frames = len(given[f"codes_{i}"])
        assert codec.module.n_frames(n) == n_frames
        close(found.latent[i, :n_frames], given[f"latent_{i}"])
        np.testing.assert_array_equal(found.codes[i, :n_frames], given[f"codes_{i}"])
        close(found.audio[i, :n], given[f"out_{i}"])
        assert not found.audio[i, n:].any()


def test_one_clip_is_the_references():
    codec, given = ready("neucodec"), golden("neucodec")
    close(codec.encode_latents(given["audio_0"])[0], given["latent_0"])
    np.testing.assert_array_equal(codec.encode(given["audio_0"]).codes[0], given["codes_0"])
    close(codec.decode(given["codes_0"][None], len(given["out_0"]))[0], given["out_0"])


def test_it_keeps_the_contract():
    sizes = {"n_layers": 1, "n_heads": 1, "head_dim": 8, "width": 32, "hidden": 8, "encoder_width": 2, "n_mels": 3}
    sizes |= {f"semantic_{name}": 8 for name in ("width", "hidden")}
    sizes |= {f"semantic_{name}": 1 for name in ("layers", "heads")}
    sizes |= {"semantic_kernel_size": 3, "semantic_left": 3, "semantic_right": 2, "ratios": (4,), "levels": (4, 3)}
    # what NeuCodec and X-Codec2 have together: another rate, and a sample after each clip
    module = zoo.create("neucodec", sample_rate=12_000, input_rate=8000, centred=True, **sizes)
    zoo.verify_codec(module, golden("neucodec")["audio_0"][:163])


def test_every_frame_reaches_over_the_whole_clip_both_ways():
    codec, audio = ready("neucodec"), golden("neucodec")["audio_0"].copy()
    before, codes = codec.encode_latents(audio), golden("neucodec")["codes_0"][None].copy()
    audio[-200:] += 0.1 * np.random.default_rng(0).standard_normal((200, 1)).astype(np.float32)
    assert np.abs(codec.encode_latents(audio) - before)[0, 0].max() > 1e-5
    decoded = codec.decode(codes)
    codes[0, -1] = (codes[0, -1] + 1) % 48
    assert np.abs(codec.decode(codes) - decoded)[0, :30].max() > 1e-5
    assert codec.module.algorithmic_latency_samples == codec.stream_latency_s() == math.inf


def test_all_of_a_stream_comes_at_its_end():
    codec, audio = ready("neucodec"), golden("neucodec")["audio_0"]
    encoder, blob = codec.stream_encoder(24_000), codec.compress(audio)
    assert len(b"".join(encoder.push(part) for part in np.split(audio, [5, 500]))) < 60  # the header alone
    assert blob.endswith(encoder.finish())
    decoder = codec.stream_decoder()
    assert not len(decoder.push(blob))
    np.testing.assert_array_equal(decoder.finish(), codec.decompress(blob).audio)


def test_a_clip_that_fills_its_last_frame_has_one_more_in_xcodec2():
    frames = {kind: [ready(kind).module.n_frames(n) for n in (1, 59, 60, 61)] for kind in KINDS}
    assert frames == {"neucodec": [1, 2, 2, 3], "xcodec2": [1, 3, 4, 4]}


def test_without_encoders_it_decodes_and_says_that_it_cannot_encode(tmp_path):
    given, h = golden("neucodec"), ready("neucodec").metadata["model"] | {"has_encoder": False}
    (tmp_path / "config.json").write_text(json.dumps(family.hub_config(**h)))
    tensors = small.weights("neucodec", "neucodec")
    needed = {
        key: array for key, array in tensors.items() if key.startswith(("acoustic_decoder", "quantizer.project_o"))
    }
    weights.write_safetensors(tmp_path / "model.safetensors", needed)
    half = zoo.load(tmp_path)
    assert half.metadata["model"] == h
    close(half.decode(given["codes_1"][None], len(given["out_1"]))[0], given["out_1"])
    for call in (half.encode, half.encode_latents, half.compress):
        with pytest.raises(zoo.ZooError, match="without its encoder: it decodes latents, and cannot encode"):
            call(given["audio_1"])
    weights.write_safetensors(tmp_path / "model.safetensors", tensors)  # those of the encoders are passed over
    assert zoo.load(tmp_path).digest == half.digest


def test_weights_go_there_and_back():
    for kind in KINDS:
        codec = ready(kind)
        (layout,) = family.key_maps(**codec.metadata["model"]).values()
        written = from_params(codec.variables["params"], layout)
        assert {f"w:{key}" for key in written} == {name for name in golden(kind) if name[:2] == "w:"}
        for path, array in flatten(to_params(written, layout, codec.variables["params"])).items():
            np.testing.assert_array_equal(array, flatten(codec.variables["params"])[path], err_msg=path)


@pytest.mark.parametrize(("up", "down"), [(2, 3), (3, 2), (1, 2), (1, 1)])
def test_resampled_tones_are_tones(up, down):
    n, period = 2400, 50.0  # input samples
    audio = np.sin(2 * np.pi * np.arange(n) / period).astype(np.float32)[None, :, None]
    found = resampled(jnp.asarray(audio), up, down)[0, :, 0]
    wanted = np.sin(2 * np.pi * np.arange(n * up // down) * down / up / period)
    inside = slice(200, -200)  # what is beyond the ends is silent
    close(found[inside], wanted[inside].astype(np.float32), 2e-4)


def test_what_the_lower_rate_cannot_hold_is_not_heard():
    n = 2400
    audio = np.sin(2 * np.pi * 0.36 * np.arange(n)).astype(np.float32)[None, :, None]  # 8.64 of 12 kHz
    assert np.abs(resampled(jnp.asarray(audio), 2, 3)[0, 200:-200]).max() < 2e-4


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
    with pytest.raises(ValueError, match="position_embeddings_type 'rotary' is not supported, only 'relative_key'"):
        family.hyperparameters({"semantic_model_config": {"position_embeddings_type": "rotary"}})
    with pytest.raises(ValueError, match="neither 'neucodec' nor 'xcodec2'"):
        family.hyperparameters({"model_type": "xcodec"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 48}, "no multiple of 32"),
        ({"semantic_heads": 3}, "does not divide semantic_width"),
        ({"ratios": (2, 3, 3), "sample_rate": 16_000}, "multiple of 4"),
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
