"""DAC against what transformers made of small models, and against itself in chunks, batches, files and training."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.published import dac
from zoo.published.keymap import flatten, from_params, to_params

pytestmark = pytest.mark.usefixtures("quick_module")

NAMES = ("music", "speech")
"""even strides, and odd ones, after which the published decoder is a sample short at each stage"""
N_CLIPS = 3

golden = functools.partial(small.golden, "dac")
ready = functools.partial(small.ready, "dac")


def whole(out: np.ndarray, n_samples: int) -> np.ndarray:
    """The reference's audio (T', 1), T' up to the clip's length, with silence for what it leaves out."""
    return np.pad(out, ((0, n_samples - len(out)), (0, 0)))


@pytest.mark.parametrize("name", NAMES)
def test_codes_and_audio_are_the_references(name):
    codec, given = ready(name), golden(name)
    assert len(np.unique(given["codes_0"])) > 30
    for i in range(N_CLIPS):
        audio = given[f"audio_{i}"]
        encoded = codec.encode(audio)
        np.testing.assert_array_equal(encoded.codes[0], given[f"codes_{i}"])
        close(codec.decode(encoded), whole(given[f"out_{i}"], len(audio)))


def test_odd_strides_leave_out_the_end():
    # 15 samples a frame: the first stage is a sample short, which is three for the second, short by one itself
    padded = -(-1003 // 15) * 15
    assert len(golden("speech")["out_0"]) == min(1003, padded - 4)
    assert len(golden("music")["out_0"]) == 1003


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name):
    zoo.verify_codec(ready(name), golden(name)["audio_0"])


@pytest.mark.parametrize("name", NAMES)
def test_windows_within_a_pass_change_nothing(name, monkeypatch):
    monkeypatch.setattr(dac.model, "_window", lambda width: 32)  # long clips at full width are computed like this
    module, variables, given = ready(name).module, ready(name).variables, golden(name)
    lengths = np.array([len(given[f"audio_{i}"]) for i in range(2)], np.int32)
    batch = np.zeros((2, lengths.max(), 1), np.float32)
    for i, n in enumerate(lengths):
        batch[i, :n] = given[f"audio_{i}"]
    for clips, n_samples in ((batch[:1], None), (batch, lengths)):
        traced = jit(lambda v, x, n: module.apply(v, x, n)).trace(variables, clips, n_samples)
        assert "scan" in str(traced.jaxpr)
        output = jax.device_get(traced.lower().compile()(variables, clips, n_samples))
        for i in range(len(clips)):
            np.testing.assert_array_equal(output.codes[i, : len(given[f"codes_{i}"])], given[f"codes_{i}"])
            close(output.audio[i, : lengths[i]], whole(given[f"out_{i}"], lengths[i]))


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_the_codes_of_each_level(name):
    codec, audio = ready(name), golden(name)["audio_0"]
    sizes = []
    for level in range(codec.n_levels):
        blob = codec.compress(audio, level=level)
        sizes.append(len(blob))
        encoded = codec.encode(audio, level=level)
        np.testing.assert_array_equal(encoded.codes[0], golden(name)["codes_0"][:, : level + 1])
    # six bits a code
    np.testing.assert_allclose(np.diff(sizes), golden(name)["codes_0"].shape[0] * 6 / 8, atol=2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_what_is_written_is_read_again(name, layout):
    hyperparameters = dac.hyperparameters(json.loads(str(golden(name)["config"])))
    assert dac.hyperparameters(dac.hub_config(**hyperparameters)) == hyperparameters
    keymap = dac.key_maps(**hyperparameters)[layout]
    params = ready(name).variables["params"]
    written = from_params(params, keymap)
    if layout == "transformers":
        given = {key[2:]: array for key, array in golden(name).items() if key[:2] == "w:"}
        assert written.keys() == given.keys()
        for key, array in given.items():
            np.testing.assert_allclose(written[key], array, rtol=1e-6)
    again = flatten(to_params(written, keymap, params))
    for path, array in flatten(params).items():
        np.testing.assert_allclose(again[path], array, rtol=1e-5, atol=1e-7)


def test_the_authors_arguments_are_understood():
    arguments = {
        "encoder_dim": 64, "encoder_rates": [2, 4, 8, 8], "latent_dim": None, "decoder_dim": 1536,
        "decoder_rates": [8, 8, 4, 2], "n_codebooks": 9, "codebook_size": 1024, "codebook_dim": 8,
        "quantizer_dropout": 0.5, "sample_rate": 44100,
    }  # fmt: skip
    assert zoo.create("dac", **dac.hyperparameters(arguments)) == zoo.create("dac")
    with pytest.raises(KeyError):
        dac.hyperparameters({"encoder_rates": [2, 4]})
    with pytest.raises(zoo.ZooError, match="differ in their product"):
        zoo.create("dac", encoder_rates=(2, 4), decoder_rates=(4, 4))


def test_it_learns():
    codec = ready("speech")
    audio = golden("speech")["audio_1"][None]
    keys = jax.random.split(jax.random.key(0), 1)

    def loss(params):
        output = codec.module.apply({"params": params}, audio, keys=keys)
        return jnp.abs(output.audio - audio).mean() + sum(part.mean() for part in output.losses.values())

    optimiser = optax.adam(3e-3)

    @jit
    def step(params, state):
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(params, updates), state, value, gradients

    params = codec.variables["params"]
    state, values = jit(optimiser.init)(params), []
    for _ in range(40):
        params, state, value, gradients = step(params, state)
        assert values or all(np.any(np.asarray(g)) for g in jax.tree.leaves(gradients))
        values.append(float(value))
    assert values[-1] < 0.7 * values[0]
