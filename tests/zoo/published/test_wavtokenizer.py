"""WavTokenizer against what transformers made of a small one, and against itself in chunks, batches and files."""

import functools
import io
import math

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.__main__ import main
from zoo.bitstream.container import ContainerReader
from zoo.coding.chunks import _rounded_up
from zoo.coding.decode import decode_range
from zoo.coding.stream import FrameDecoder
from zoo.published import load
from zoo.published import wavtokenizer as family
from zoo.published.keymap import flatten, from_params, to_params
from zoo.published.wavtokenizer import whole
from zoo.random_weights import random_variables

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS = 3
HOP = 8
"""samples"""

golden = functools.partial(small.golden, "wavtokenizer", "small")
ready = functools.partial(small.ready, "wavtokenizer", "small")


@pytest.mark.parametrize("i", range(N_CLIPS))
def test_codes_and_audio_are_the_references(i):
    small.agrees(ready(), golden(), i)


def test_it_keeps_the_contract():
    zoo.verify_codec(ready(), golden()["audio_0"])


def test_every_frame_reaches_over_the_whole_clip():
    codec, codes = ready(), golden()["codes_0"][None].copy()
    before = codec.decode(codes)
    codes[0, -1] = (codes[0, -1] + 1) % 32
    assert np.abs(codec.decode(codes) - before)[0, :HOP].max() > 1e-5


def test_all_of_a_stream_comes_at_its_end_and_its_latency_says_so(tmp_path, monkeypatch, capsys):
    codec, audio = ready(), golden()["audio_0"]
    blob = codec.compress(audio, packet_s=0.02)
    decoder, whole_file = codec.stream_decoder(), codec.decompress(blob).audio
    pieces = [decoder.push(blob[i : i + 30]) for i in range(0, len(blob), 30)]
    assert not sum(map(len, pieces))
    np.testing.assert_array_equal(decoder.finish(), whole_file)
    assert not len(decoder.finish())
    assert codec.module.algorithmic_latency_samples == codec.stream_latency_s() == math.inf
    encoder = codec.stream_encoder(8000, packet_s=0.02)  # which does not wait
    assert encoder.push(audio[:600])
    part = decode_range(codec.engine, ContainerReader(io.BytesIO(blob)), 400, 560)
    np.testing.assert_array_equal(np.concatenate(list(part)), whole_file[400:560])
    monkeypatch.chdir(tmp_path)
    load.export(codec, "model")
    (tmp_path / "a.zac").write_bytes(blob)
    main(["info", "a.zac", "--ckpt", "model"])
    assert "latency  the whole clip" in capsys.readouterr().out


def test_a_part_takes_the_whole_clip_without_layers_that_remember_too():
    model = {**ready().metadata["model"], "n_lstm": 0}
    module = zoo.create("wavtokenizer", **model)
    codec = zoo.ReadyCodec(
        module, random_variables(module), ready().entropy, {"family": "wavtokenizer", "model": model}
    )
    assert not module.recurrent
    blob = codec.compress(golden()["audio_0"], packet_s=0.02)
    part = decode_range(codec.engine, ContainerReader(io.BytesIO(blob)), 400, 560)
    np.testing.assert_array_equal(np.concatenate(list(part)), codec.decompress(blob).audio[400:560])


def test_frames_that_were_lost_are_silent_and_not_attended_to():
    codec, latent = ready(), golden()["latent_0"][None]
    decoder = FrameDecoder(codec.engine.chunks(20), 1)
    for start in range(0, 126, 20):
        part = latent[:, start : start + 20]
        decoder.push(np.full_like(part, np.nan) if start == 40 else part, lost=start == 40)
    found = decoder.finish(1003)
    mask = np.ones((1, latent.shape[1]), bool)
    mask[:, 40:60] = False
    apply = jit(functools.partial(codec.module.apply, codec.variables, method="decode_frames"))
    close(found, np.asarray(apply(latent, mask))[:, :1003])
    assert not found[:, 40 * HOP : 60 * HOP].any()


@pytest.mark.parametrize("length", [7, 23])
def test_attention_in_blocks_is_attention(monkeypatch, length):
    rng = np.random.default_rng(length)
    x, mask = rng.standard_normal((2, length, 8)).astype(np.float32), rng.random((2, length)) < 0.8
    module = whole.Attention(4)
    variables = jit(module.init)(small.jax.random.key(0), x)
    at_once = jit(lambda x, mask: module.apply(variables, x, mask))(x, mask)
    monkeypatch.setattr(whole, "_BLOCK", 5)
    in_blocks = jit(lambda x, mask: module.apply(variables, x, mask))(x, mask)
    close(in_blocks, np.asarray(at_once), 1e-5)


def test_group_norm_is_that_of_each_clip_alone():
    rng = np.random.default_rng(0)
    x = (3 + rng.standard_normal((2, 9, 8))).astype(np.float32)
    mask = np.arange(9)[None] < np.array([[9], [4]])
    found = np.asarray(whole.GroupNorm(2).apply({"params": {"scale": np.ones(8), "bias": np.zeros(8)}}, x, mask))
    for clip, out, n in zip(x, found, (9, 4)):
        groups = clip[:n].reshape(n, 2, 4)
        deviation = np.sqrt(groups.var(axis=(0, 2), keepdims=True) + 1e-6)
        close(out[:n], ((groups - groups.mean(axis=(0, 2), keepdims=True)) / deviation).reshape(n, 8), 1e-5)
        assert not out[n:].any()


def test_few_lengths_are_compiled():
    lengths = {_rounded_up(n) for n in range(1, 4097)}
    assert len(lengths) < 50
    assert all(n <= _rounded_up(n) <= max(n + 7, 1.25 * n) for n in range(1, 4097))


@pytest.mark.parametrize("layout", ["transformers", "original"])
def test_weights_go_there_and_back(layout):
    codec = ready()
    layouts, params = family.key_maps(**codec.metadata["model"]), codec.variables["params"]
    written = from_params(params, layouts[layout])
    if layout == "transformers":
        assert {f"w:{key}" for key in written} == {name for name in golden() if name[:2] == "w:"}
    else:
        shapes = {key: array.shape for key, array in written.items()}
        own = "feature_extractor.encodec."
        assert shapes[f"{own}encoder.model.0.conv.conv.weight_v"] == (4, 1, 7)
        assert shapes[f"{own}quantizer.vq.layers.0._codebook.embed"] == (32, 16)
        assert shapes["head.out.weight"] == (34, 24)
        assert shapes["head.istft.window"] == (32,)
        written |= {key: np.zeros(3, np.float32) for key in (f"{own}decoder.model.0.conv", "multiperioddisc.x.weight")}
    for path, array in flatten(to_params(written, layouts[layout], params)).items():
        np.testing.assert_allclose(array, flatten(params)[path], rtol=1e-5, atol=1e-6, err_msg=path)


def test_configurations_go_there_and_back():
    h = ready().metadata["model"]
    assert family.hyperparameters(family.hub_config(**h)) == h
    with pytest.raises(ValueError, match="norm_type 'time_group_norm' is not supported, only 'weight_norm'"):
        family.hyperparameters({"norm_type": "time_group_norm"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_groups": 5}, "does not divide width"),
        ({"ratios": (3, 5)}, "even product"),
        ({"n_conditions": 0}, "one or more"),
        ({"n_filters": 5}, "does not divide n_filters"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("wavtokenizer", **changes)
