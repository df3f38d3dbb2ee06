"""HiFi-GAN against what transformers and onnxruntime made of small ones, and against itself in chunks."""

import functools
import json
import shutil

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.small import close, jit
from zoo.coding.stream import FrameDecoder
from zoo.errors import CheckpointError
from zoo.published import hifigan as family
from zoo.published import load
from zoo.published.files import onnx_format
from zoo.published.keymap import flatten, from_params, to_params

pytestmark = pytest.mark.usefixtures("quick_module")

N_CLIPS = 3
VOICE = small.GOLDEN / "hifigan_voice.onnx"

golden = functools.partial(small.golden, "hifigan", "small")
ready = functools.partial(small.ready, "hifigan", "small", layout="original")


@functools.cache
def voice() -> zoo.ReadyCodec:
    return zoo.load(VOICE)


@pytest.mark.parametrize("i", range(N_CLIPS))
@pytest.mark.parametrize("kind", ["", "voice_"])
def test_audio_is_the_references(kind, i):
    codec, given = voice() if kind else ready(), golden()
    close(codec.decode_latents(given[f"{kind}latent_{i}"][None])[0], given[f"{kind}out_{i}"])


def test_chunks_and_padded_batches_are_one_pass():
    codec = ready()
    module, latent, out = codec.module, golden()["latent_0"][None], golden()["out_0"]
    for size in (3, 16):
        decoder = FrameDecoder(codec.engine.chunks(size), 1)
        pieces = [decoder.push(latent[:, start : start + size]) for start in range(0, 40, size)]
        assert any(piece.shape[1] for piece in pieces)
        close(np.concatenate([*pieces, decoder.finish(len(out))], axis=1)[0], out)
    batch = np.concatenate([latent, np.full_like(latent, 9.0)])
    batch[1, :17] = golden()["latent_1"]

    def decode(module, z, n):
        return module.decode(z, z.shape[1] * module.hop_length, n)

    lengths = np.array([40, 17], np.int32) * module.hop_length
    together = jit(lambda z, n: module.apply(codec.variables, z, n, method=decode))(batch, lengths)
    close(together[0], out)
    close(together[1, : lengths[1]], golden()["out_1"])
    assert not np.asarray(together[1, lengths[1] :]).any()


def test_it_decodes_only():
    codec = ready()
    for call in (codec.encode_latents, codec.encode, codec.compress):
        with pytest.raises(zoo.ZooError, match=r"without its encoder|has no codes, its latents are continuous"):
            call(np.zeros(100, np.float32))


def test_the_file_says_what_the_voice_is(tmp_path):
    model = voice().metadata["model"]
    wanted = {"rates": [4, 2], "width": 8, "latent_dim": 5, "kernel_sizes": [3, 5], "dilations": [[1, 2], [2, 6]]}
    assert model == wanted | {"pairs": False, "last_bias": False, "sample_rate": 22_050}
    shutil.copy(VOICE, tmp_path / "a.onnx")
    (tmp_path / "a.onnx.json").write_text(json.dumps({"audio": {"sample_rate": 16_000}}))
    assert zoo.load(tmp_path / "a.onnx").sample_rate == 16_000
    (tmp_path / "a.onnx.json").write_text("[]")
    assert zoo.load(tmp_path / "a.onnx").sample_rate == 22_050


def test_damaged_files_are_refused(tmp_path):
    content = VOICE.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], content[:5], b"\x08\x08", b"\x3a\x7f" + content, b"x"):
        (tmp_path / "a.onnx").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"a\.onnx: .*(ONNX|no tensors)") as caught:
            zoo.load(tmp_path / "a.onnx")
        assert "\n" not in str(caught.value)
    rng = np.random.default_rng(0)
    for _ in range(60):  # whatever stands there, there is one kind of error
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] = rng.integers(256)
        (tmp_path / "a.onnx").write_bytes(damaged)
        try:
            tensors, _ = onnx_format.read(tmp_path / "a.onnx")
        except CheckpointError:
            continue
        assert all(isinstance(array, np.ndarray) for array in tensors.values())


def test_an_onnx_file_of_something_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "read", lambda path: ({"x": np.zeros(3, np.float32)}, {"convolutions": {}}))
    with pytest.raises(CheckpointError, match="its 1 tensors are of no model known here"):
        zoo.load(VOICE)


def test_what_is_exported_is_the_same_model(tmp_path):
    load.export(voice(), tmp_path / "out")
    assert zoo.load(tmp_path / "out").digest == voice().digest


@pytest.mark.parametrize("layout", ["original", "voice"])
def test_weights_go_there_and_back(layout):
    codec = ready()
    keymap, params = family.key_maps(**codec.metadata["model"])[layout], codec.variables["params"]
    written = from_params(params, keymap)
    if layout == "voice":
        assert written["dec.resblocks.3.convs2.1.weight"].shape == (4, 4, 5)
        written["enc_p.emb.weight"] = np.zeros((3, 3), np.float32)
    else:
        assert written["resblocks.3.convs1.1.weight_v"].shape == (4, 4, 5)
        assert written["ups.0.weight_g"].shape == (16, 1, 1)
    for path, array in flatten(to_params(written, keymap, params)).items():
        np.testing.assert_allclose(array, flatten(params)[path], rtol=1e-5, atol=1e-6, err_msg=path)


def test_configurations_go_there_and_back():
    h = ready().metadata["model"]
    assert family.hyperparameters(family.hub_config(**h)) == h
    with pytest.raises(ValueError, match="upsample_kernel_sizes"):
        family.hyperparameters({"resblock": "1", "upsample_kernel_sizes": [8, 8, 8]})
    with pytest.raises(ValueError, match="neither '1' nor '2'"):
        family.hyperparameters({"resblock": "3"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": (3, 2)}, "must be even"),
        ({"kernel_sizes": (3,)}, "equally many"),
        ({"kernel_sizes": (3, 5, 8)}, "must be odd"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(zoo.ZooError, match=message):
        zoo.create("hifigan", **changes)
