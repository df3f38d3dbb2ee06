"""Pocket TTS's audio tokenizer against transformers, and its authors' package, at published size.

Run as a module, it rewrites the golden file of the plain tests.
"""

import json
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import swelling, weights_of
from tests.zoo.published.small import close
from zoo.published import pocket_tts_audio_tokenizer as family
from zoo.published.files import weights
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.24")
safetensors = pytest.importorskip("safetensors.numpy")

from tests.zoo.published.parity.lively import enliven  # noqa: E402

NAME = "pocket_tts_audio_tokenizer"
SMALL = small.HUB_CONFIGS[NAME]
LENGTHS = (1003, 640, 5)
"""samples of the golden clips"""


def reference(**config):
    """transformers' model with random weights that keep signals at their level."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    settings = transformers.PocketTTSAudioTokenizerConfig(**config)
    model = transformers.PocketTTSAudioTokenizerModel(settings).eval()
    enliven(model)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
    return model


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D) and decoded audio of one clip (T, 1), padded with zeros to whole frames."""
    padded = np.pad(audio, ((0, -len(audio) % model.config.frame_size), (0, 0)))
    with torch.no_grad():
        latent = model.encode(torch.from_numpy(padded.T.copy())[None]).latents
        out = model.decode(latent).audio_values
    return {"latent": latent[0].numpy(), "out": out[0].numpy().T[: len(audio)]}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = reference()
    folder = tmp_path_factory.mktemp("pocket")
    model.save_pretrained(folder)
    return model, zoo.load(folder)


# the last is longer than the attention's window
@pytest.mark.parametrize("n_samples", [24_000, 30_001, 300, 190_123])
def test_latents_and_audio_are_the_references(published, n_samples):
    model, codec = published
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    latent = codec.encode_latents(audio)[0]
    out = codec.decode_latents(wanted["latent"][None], n_samples)[0]
    print(f"{n_samples}: latent {np.abs(latent - wanted['latent']).max() / np.abs(wanted['latent']).max():.1e} of its "
          f"peak, audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e}")  # fmt: skip
    close(latent, wanted["latent"])
    close(out, wanted["out"])


def test_a_padded_batch_is_its_clips(published):
    model, codec = published
    module, lengths = codec.module, np.array([20_000, 9_001, 14_337], np.int32)
    batch = np.full((3, 20_000, 1), 9.0, np.float32)  # what is beyond a clip is not to be heard
    for clip, n in zip(batch, lengths):
        clip[:n] = swelling(n, seed=n)

    def both(module, audio, n_samples):
        latent = module.encode(audio, n_samples)
        return latent, module.decode(latent, audio.shape[1], n_samples)

    latent, out = jax.jit(lambda x, n: module.apply(codec.variables, x, n, method=both))(batch, lengths)
    for i, n in enumerate(lengths):
        wanted = run(model, batch[i, :n])
        close(latent[i, : len(wanted["latent"])], wanted["latent"])
        close(out[i, :n], wanted["out"])
        assert not np.asarray(out[i, n:]).any()


def test_the_reference_loads_what_is_written(published, tmp_path):
    model, codec = published
    hyperparameters = codec.metadata["model"]
    written = from_params(codec.variables["params"], family.key_maps(**hyperparameters)["transformers"])
    safetensors.save_file(written, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(family.hub_config(**hyperparameters)))
    again, report = transformers.PocketTTSAudioTokenizerModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    audio = swelling(9_600, seed=1)
    expected, found = run(model, audio), run(again.eval(), audio)
    close(found["out"], expected["out"], 1e-5)


@pytest.mark.parametrize("missing", ["encoder", "decoder"])
def test_one_half_alone_is_that_half(tmp_path, missing):
    whole = reference(**SMALL)
    config = transformers.PocketTTSAudioTokenizerConfig(**SMALL, **{f"{missing}_config": None})
    half = transformers.PocketTTSAudioTokenizerModel(config).eval()
    half.load_state_dict({key: tensor for key, tensor in whole.state_dict().items() if not key.startswith(missing)})
    half.save_pretrained(tmp_path)
    codec, audio = zoo.load(tmp_path), swelling(1003, seed=1)
    wanted = run(whole, audio)
    if missing == "encoder":
        close(codec.decode_latents(wanted["latent"][None], len(audio))[0], wanted["out"])
        with pytest.raises(zoo.ZooError, match="without its encoder"):
            codec.encode(audio)
    else:
        close(codec.encode_latents(audio)[0], wanted["latent"])
        with pytest.raises(zoo.ZooError, match="without its decoder"):
            codec.decode_latents(wanted["latent"][None])


def test_the_authors_weights_and_their_package(tmp_path):
    pytest.importorskip("pocket_tts")
    from pocket_tts.models.mimi import build_mimi
    from pocket_tts.utils.config import MimiConfig

    seanet = {
        "dimension": 512, "channels": 1, "n_filters": 64, "n_residual_layers": 1, "ratios": [6, 5, 4],
        "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 3, "dilation_base": 2,
        "pad_mode": "constant", "compress": 2,
    }  # fmt: skip
    transformer = {
        "d_model": 512, "num_heads": 8, "num_layers": 2, "layer_scale": 0.01, "context": 250, "max_period": 10_000,
        "dim_feedforward": 2048, "input_dimension": 512, "output_dimensions": [512],
    }  # fmt: skip
    torch.manual_seed(0)
    config = MimiConfig(
        dtype="float32", sample_rate=24_000, inner_dim=32, outer_dim=512, channels=1, frame_rate=12.5, seanet=seanet,
        transformer=transformer, quantizer={"dimension": 32, "output_dimension": 512},
    )  # fmt: skip
    theirs = build_mimi(config).eval()
    enliven(theirs)
    tensors = {f"mimi.{key}": array for key, array in weights_of(theirs).items()}
    tensors["flow_lm.bos_emb"] = np.zeros(32, np.float32)  # the language model stands in the same file
    weights.write_safetensors(tmp_path / "tts.safetensors", tensors)
    codec = zoo.load(tmp_path / "tts.safetensors")  # known by its keys and shapes
    assert codec.metadata["model"]["latent_dim"] == 32
    audio = swelling(48_001, seed=1)
    padded = np.pad(audio, ((0, -len(audio) % 1920), (0, 0)))
    with torch.no_grad():
        wanted = theirs.encode_to_latent(torch.from_numpy(padded.T.copy())[None])[0].numpy()
    found = codec.encode_latents(audio)[0]
    print(f"latent {np.abs(found - wanted).max() / np.abs(wanted).max():.1e} of its peak")
    close(found, wanted)


def write_golden(folder: str) -> None:
    model = reference(**SMALL)
    model.save_pretrained(folder)
    arrays = {
        f"w:{name}": array.astype(np.float16)
        for name, array in safetensors.load_file(Path(folder) / "model.safetensors").items()
    }
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = swelling(n_samples, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden(NAME, "small", SMALL, arrays)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        write_golden(scratch)
