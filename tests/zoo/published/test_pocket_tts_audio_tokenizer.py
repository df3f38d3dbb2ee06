"""Pocket TTS's audio tokenizer against what transformers made of a small one, and against itself in chunks."""

import functools
import json

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close
from zoo.published import pocket_tts_audio_tokenizer as family
from zoo.published.files import weights
from zoo.published.keymap import flatten, from_params, to_params

pytestmark = pytest.mark.usefixtures("quick_module")

NAME = "pocket_tts_audio_tokenizer"
N_CLIPS = 3
HOP = 32
"""samples"""

golden = functools.partial(small.golden, NAME, "small")
ready = functools.partial(small.ready, NAME, "small")


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_latents_and_audio_are_the_references(i):
    codec, given = ready(), golden()
    latent, out = given[f"latent_{i}"], given[f"out_{i}"]
    close(codec.encode_latents(given[f"audio_{i}"])[0], latent)
    close(codec.decode_latents(latent[None], len(out))[0], out)


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_0"])


def test_a_frame_can_be_given_out_when_its_last_sample_is_in():
    assert ready().module.algorithmic_latency_samples == HOP
    full = zoo.create(NAME)
    assert (full.hop_length, full.frame_rate_hz, full.algorithmic_latency_samples) == (1920, 12.5, 1920)


def test_streams_give_the_samples_of_the_whole_file():
    codec, audio = ready(), golden()["audio_0"]
    blob = codec.compress(audio, packet_s=0.05)
    decoder = codec.stream_decoder()
    pieces = [decoder.push(blob[i : i + 20]) for i in range(0, len(blob), 20)]
    assert sum(len(piece) > 0 for piece in pieces) > 1  # not all at the end
    np.testing.assert_array_equal(np.concatenate([*pieces, decoder.finish()]), codec.decompress(blob).audio)


@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_weights_go_there_and_back(layout):
    codec = ready()
    layouts = family.key_maps(**codec.metadata["model"])
    params = codec.variables["params"]
    written = from_params(params, layouts[layout])
    if layout == "transformers":
        assert {f"w:{key}" for key in written} == {name for name in golden() if name[:2] == "w:"}
    else:
        shapes = {key.removeprefix("mimi."): array.shape for key, array in written.items()}
        assert shapes["decoder.model.2.convtr.weight"] == (16, 8, 8)
        assert shapes["encoder.model.1.block.3.conv.weight"] == (4, 2, 1)
        assert shapes["encoder_transformer.transformer.layers.1.self_attn.in_proj.weight"] == (48, 16)
        assert shapes["upsample.convtr.convtr.weight"] == (16, 1, 8)
        written["flow_lm.bos_emb"] = np.zeros(3, np.float32)  # the language model in the same file
    for path, array in flatten(to_params(written, layouts[layout], params)).items():
        np.testing.assert_array_equal(array, flatten(params)[path], err_msg=path)


def test_configurations_go_there_and_back():
    h = ready().metadata["model"]
    assert family.hyperparameters(family.hub_config(**h)) == h
    alone = family.hyperparameters({**small.config(NAME, "small"), "encoder_config": None})
    assert alone == h | {"has_encoder": False}
    assert family.hub_config(**alone)["encoder_config"] is None
    with pytest.raises(ValueError, match="hidden_act 'gelu' is not supported, only 'gelu_pytorch_tanh'"):
        family.hyperparameters({"hidden_act": "gelu"})


@pytest.mark.parametrize("missing", ["encoder", "decoder"])
def test_a_half_does_what_it_can_and_says_what_it_cannot(tmp_path, missing):
    codec, given = ready(), golden()
    h = codec.metadata["model"] | {f"has_{missing}": False}
    (tmp_path / "config.json").write_text(json.dumps(family.hub_config(**h)))
    tensors = {key: array for key, array in small.weights(NAME, "small").items() if not key.startswith(missing)}
    weights.write_safetensors(tmp_path / "model.safetensors", tensors)
    half, audio, latent = zoo.load(tmp_path), given["audio_1"], given["latent_1"][None]
    if missing == "encoder":
        close(half.decode_latents(latent, len(audio))[0], given["out_1"])
        for call in (half.encode, half.encode_latents, half.compress):
            with pytest.raises(zoo.ZooError, match="without its encoder: it decodes latents, and cannot encode"):
                call(audio)
    else:
        close(half.encode_latents(audio), latent)
        with pytest.raises(zoo.ZooError, match="without its decoder: it encodes audio, and cannot decode"):
            half.decode(half.encode(audio))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_filters": 5}, "does not divide"),
        ({"window": 1}, "two or more"),
        ({"has_encoder": False, "has_decoder": False}, "leaves nothing"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create(NAME, **changes)
