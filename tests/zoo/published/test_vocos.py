"""Vocos against what its authors' package made of small models, and against itself in chunks, batches and files."""

import functools

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.coding.stream import FrameDecoder, FrameEncoder
from zoo.nn import dsp
from zoo.published import vocos
from zoo.published.keymap import fold_weight_norm, from_params, mismatches, to_params

KINDS = ("mels", "codes")
N_CLIPS = 3
LEVELS = (3, 1, 0)
"""of the clips on codes"""

golden = functools.partial(small.golden, "vocos")
weights = functools.partial(small.weights, "vocos")
ready = functools.partial(small.ready, "vocos", layout="original")
padded = functools.partial(small.padded, "vocos")


# --- on mels


@pytest.mark.parametrize("clip", range(N_CLIPS))
def test_mels_and_audio_are_the_references(clip):
    codec, given = ready("mels"), golden("mels")
    mels, out = given[f"features_{clip}"], given[f"out_{clip}"]
    close(codec.encode_latents(given[f"audio_{clip}"])[0], mels, 1e-4)
    close(codec.decode_latents(mels[None], len(out))[0], out, 1e-4)


def test_filters_are_the_references():
    hyperparameters = ready("mels").metadata["model"]
    filters = dsp.mel_filterbank(
        hyperparameters["sample_rate"], hyperparameters["n_fft"], hyperparameters["n_mels"], htk=True
    )
    np.testing.assert_allclose(filters, weights("mels")["feature_extractor.mel_spec.mel_scale.fb"], atol=2e-6)
    assert filters.max() > 0.9


def test_a_padded_batch_of_mels_is_its_clips():
    module, variables, given = ready("mels").module, ready("mels").variables, golden("mels")
    batch, lengths = padded("mels")
    together = jit(module.apply)(variables, batch, lengths)
    for i, n in enumerate(lengths):
        close(together.latent[i, : module.n_frames(n)], given[f"features_{i}"], 1e-4)
        close(together.audio[i, :n], given[f"out_{i}"], 1e-4)
        assert not np.asarray(together.audio[i, n:]).any()


def test_chunks_of_mels_are_one_pass():
    codec, long = ready("mels"), golden("mels")["audio_0"][:333]
    module = codec.module
    lengths = np.array([1, 15, 16, 31, 32, 33, 47, 48, 49, 160, 333], np.int32)
    whole = jit(module.apply)(codec.variables, np.repeat(long[None], len(lengths), axis=0), lengths)
    for latent, audio, n_samples in zip(np.asarray(whole.latent), np.asarray(whole.audio), lengths):
        n = module.n_frames(n_samples)
        assert n == -(-n_samples // 16) + 1
        for frames in (1, 3):
            encoder = FrameEncoder(codec.engine.chunks(frames), 1)
            half, rest = np.split(long[None, :n_samples], [n_samples // 2], axis=1)
            parts = encoder.push(half) + encoder.push(rest)
            found = np.concatenate(parts + encoder.finish(), axis=1)
            close(found[0], latent[:n], 1e-5)
        decoder = FrameDecoder(codec.engine.chunks(3), 1)
        pieces = [decoder.push(found[:, start : start + 3]) for start in range(0, n, 3)]
        close(np.concatenate([*pieces, decoder.finish(n_samples)], axis=1)[0], audio[:n_samples], 1e-4)


def test_silence_is_the_smallest_mel():
    mels = ready("mels").encode_latents(np.zeros(100, np.float32))
    np.testing.assert_allclose(mels, np.log(1e-7), rtol=1e-6)


def test_mels_have_no_codes():
    with pytest.raises(zoo.ZooError, match="continuous"):
        ready("mels").compress(golden("mels")["audio_0"])


# --- on codes


@pytest.mark.parametrize("clip", range(N_CLIPS))
def test_codes_and_audio_are_the_references(clip):
    codec, given = ready("codes"), golden("codes")
    encoded = codec.encode(given[f"audio_{clip}"], level=LEVELS[clip])
    np.testing.assert_array_equal(encoded.codes[0], given[f"codes_{clip}"])
    assert min(len(np.unique(column)) for column in golden("codes")["codes_0"].T) > 5
    close(codec.decode(encoded), given[f"out_{clip}"], 1e-4)


def test_a_padded_batch_of_codes_is_its_clips():
    module, variables, given = ready("codes").module, ready("codes").variables, golden("codes")
    batch, lengths = padded("codes")
    levels = np.array(LEVELS, np.int32)
    together = jit(lambda v, x, n, level: module.apply(v, x, n, level=level))(variables, batch, lengths, levels)
    for i, (n, level) in enumerate(zip(lengths, levels)):
        frames = module.n_frames(n)
        np.testing.assert_array_equal(together.codes[i, :frames, : level + 1], given[f"codes_{i}"])
        close(together.audio[i, :n], given[f"out_{i}"], 1e-4)


@pytest.mark.parametrize("n_samples", [200, 641])
def test_files_of_codes_are_one_pass(n_samples):
    codec = ready("codes")
    audio = golden("codes")["audio_0"][:n_samples]
    shortest_s = codec.module.min_first_frames / codec.module.frame_rate_hz
    run = jit(lambda v, x, level: codec.module.apply(v, x, level=level))
    for level in (3, 2):
        whole = run(codec.variables, audio[None], level)
        blob = codec.compress(audio, level=level, packet_s=shortest_s)
        close(codec.decompress(blob).audio, np.asarray(whole.audio[0]), 1e-4)
        np.testing.assert_array_equal(codec.encode(audio, level=level).codes, whole.codes[..., : level + 1])


def test_norms_know_the_bitrate():
    codec = ready("codes")
    dequantise = functools.partial(codec.module.bottleneck.apply, {"params": codec.variables["params"]["bottleneck"]})
    codes = golden("codes")["codes_0"][None]
    conditions = [np.asarray(dequantise(codes, level, method="dequantise"))[0, 0, -3:].tolist() for level in range(4)]
    assert conditions == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    # with the condition of another bitrate, the same entries sound different
    latent = np.asarray(dequantise(codes, 3, method="dequantise"))
    other = np.concatenate([latent[..., :-3], np.roll(latent[..., -3:], 1, axis=-1)], axis=-1)
    audio, changed = codec.decode_latents(latent), codec.decode_latents(other)
    assert np.abs(audio - changed).max() > 0.1 * np.abs(audio).max()


# --- both


@pytest.mark.parametrize("kind", KINDS)
def test_contexts_are_tight(kind):
    codec = ready(kind)
    module = codec.module
    latent_dim = golden(kind)["features_0"].shape[1] + 3 * (kind == "codes")
    methods = [("decode_frames", module.decoder_context, 1, latent_dim)]
    if kind == "mels":  # an LSTM hears all that came before
        methods.append(("encode_frames", module.encoder_context, module.hop_length, 1))
    for method, context, length, channels in methods:
        # mirrored ends are out of reach
        n, f = 2 * context.before + 2 * context.after + 4, context.before + context.after + 1
        heard = small.frames_heard(codec, method, (n, length, channels), f)
        assert heard == (f - context.before, f + context.after)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_there_and_back(kind):
    codec = ready(kind)
    keymap = vocos.key_maps(**codec.metadata["model"])["original"]
    params = codec.variables["params"]
    written = from_params(params, keymap)
    again = to_params(written, keymap, params)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), again, params)
    if kind == "mels":
        given = weights(kind)
        assert set(written) == set(given)
        for key, array in written.items():
            np.testing.assert_allclose(array, given[key], atol=2e-6, err_msg=key)


def test_encodecs_weights_may_come_from_their_own_file():
    everything, own = weights("codes"), "feature_extractor.encodec."
    ours = {key: array for key, array in everything.items() if not key.startswith(own)}
    theirs = {key.removeprefix(own): array for key, array in everything.items() if key.startswith(own)}
    maps = vocos.key_maps(**ready("codes").metadata["model"])
    params = ready("codes").variables["params"]
    assert vocos.needs(**ready("codes").metadata["model"]) == {"encodec.": "facebook/encodec_24khz"}
    assert not vocos.needs(**ready("mels").metadata["model"])
    merged = vocos.with_encodec(ours, theirs)
    fitting = [name for name, keymap in maps.items() if not mismatches(merged, keymap)]
    assert fitting == ["with EnCodec of its authors"]
    jax.tree.map(np.testing.assert_array_equal, to_params(merged, maps[fitting[0]], params), params)
    # and as transformers spells them
    entries = zip(maps["with EnCodec of its authors"].entries, maps["with EnCodec of transformers"].entries)
    spelling = {a: b for ours_, theirs_ in entries for a, b in zip(ours_.keys, theirs_.keys)}
    merged = {spelling.get(key, key): array for key, array in fold_weight_norm(merged).items()}
    merged = {key: array for key, array in merged.items() if "_codebook" not in key}
    keymap = maps["with EnCodec of transformers"]
    assert not mismatches(merged, keymap)
    jax.tree.map(np.testing.assert_array_equal, to_params(merged, keymap, params), params)


def test_configurations_go_there_and_back():
    mels = ready("mels").metadata["model"]
    assert vocos.hyperparameters(vocos.hub_config(**mels)) == mels
    codes = {
        "sample_rate": 24_000, "n_fft": 1280, "hop_length": 320, "width": 384, "hidden": 1152, "n_blocks": 8,
        "condition_codebooks": [2, 4, 8, 16],
    }  # fmt: skip
    config = vocos.hub_config(**codes)
    assert config["feature_extractor"]["init_args"]["bandwidths"] == [1.5, 3.0, 6.0, 12.0]
    assert config["backbone"]["init_args"]["adanorm_num_embeddings"] == 4
    assert vocos.hyperparameters(config) == codes
    assert vocos.hub_config(**codes, ratios=[8, 5, 4, 2]) == config
    with pytest.raises(ValueError, match="than EnCodec's"):
        vocos.hub_config(**ready("codes").metadata["model"])
    config["head"]["class_path"] = "vocos.heads.IMDCTCosHead"
    with pytest.raises(ValueError, match="head is IMDCTCosHead"):
        vocos.hyperparameters(config)
    del config["head"]["class_path"]
    with pytest.raises(KeyError):
        vocos.hyperparameters(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_fft": 1000}, "multiple of hop_length"),
        ({"n_fft": 768}, "twice hop_length"),
        ({"condition_codebooks": (4, 2)}, "must rise"),
        ({"condition_codebooks": (2, 4)}, "product of ratios"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("vocos", **changes)
