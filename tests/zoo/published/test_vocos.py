"""Vocos against what its authors' package made of small models, and against itself in chunks, batches and files."""

import functools

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close
from zoo.nn import dsp
from zoo.published import vocos
from zoo.published.keymap import fold_weight_norm, from_params, mismatches, to_params

pytestmark = pytest.mark.usefixtures("quick_module")

KINDS = ("mels", "codes")
N_CLIPS = 3
LEVELS = (3, 1, 0)
"""of the clips on codes"""

golden = functools.partial(small.golden, "vocos")
weights = functools.partial(small.weights, "vocos")
ready = functools.partial(small.ready, "vocos", layout="original")


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


def test_norms_know_the_bitrate():
    codec = ready("codes")
    variables = {"params": codec.variables["params"]["bottleneck"]}
    apply = jax.jit(codec.module.bottleneck.apply, static_argnames="method")
    dequantise = functools.partial(apply, variables)
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
def test_it_keeps_the_contract(kind):
    zoo.verify_codec(ready(kind), golden(kind)["audio_0"])


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
