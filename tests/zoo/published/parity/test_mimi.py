"""Mimi against transformers at published size; run as a module, it rewrites the golden file of the plain tests."""

import functools
import json
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.agreement import check_padded_batch, check_written
from tests.zoo.published.parity.sounds import swelling
from tests.zoo.published.small import close
from zoo.published import mimi
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")

from tests.zoo.published.parity.lively import enliven  # noqa: E402

SMALL = {
    "sampling_rate": 8000,
    "hidden_size": 16,
    "num_filters": 4,
    "upsampling_ratios": [4, 2],
    "codebook_size": 32,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 6,
    "upsample_groups": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "sliding_window": 9,
}
LENGTHS = (1003, 640, 5)
"""samples of the golden clips"""


def reference(**config):
    """transformers' model with random weights that keep signals at their level, and codebooks that fit its latents."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = transformers.MimiModel(transformers.MimiConfig(**config)).eval()
    enliven(model)
    with torch.no_grad():
        latents = model.encoder(torch.from_numpy(swelling(40 * model.config.frame_size, 1).T[None])).latents
        for half in (
            model.quantizer.semantic_residual_vector_quantizer,
            model.quantizer.acoustic_residual_vector_quantizer,
        ):
            residual = half.input_proj(latents)[0].T
            for layer in half.layers:
                book = layer.codebook
                spread = 0.4 * residual.std(dim=0, keepdim=True)
                entries = 0.4 * residual.mean(dim=0, keepdim=True) + spread * torch.randn_like(book.embed_sum)
                book.cluster_usage.uniform_(0.5, 3.0)
                book.cluster_usage[0] = 0.0  # an entry that nobody chose
                book.embed_sum.copy_(entries * book.cluster_usage.clamp(min=1e-5)[:, None])
                residual = residual - layer.codebook.embed[layer.codebook.quantize(residual)]
        for tensor in model.state_dict().values():  # without the frequencies of the rotary positions
            tensor.copy_(tensor.half().float())
        for module in model.modules():
            if hasattr(module, "_embed"):
                module._embed = None
    return model


def weights_of(model, folder) -> dict[str, np.ndarray]:
    """As they are published."""
    model.save_pretrained(folder)
    return safetensors.load_file(Path(folder) / "model.safetensors")


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D), codes (F, Q) and decoded audio of one clip (T, 1), padded with zeros to whole hops."""
    padded = np.pad(audio, ((0, -len(audio) % model.config.frame_size), (0, 0)))
    with torch.no_grad():
        heard = torch.from_numpy(padded.T.copy())[None]
        latent = model.encoder(heard).latents
        codes = model.encode(heard).audio_codes
        out = model.decode(codes).audio_values
    return {
        "latent": latent[0].numpy().T,
        "codes": codes[0].numpy().T,
        "out": out[0].numpy().T[: len(audio)],
    }


def ported(model, folder) -> tuple[zoo.Codec, dict]:
    hyperparameters = mimi.hyperparameters(model.config.to_dict())
    return small.ported("mimi", hyperparameters, weights_of(model, folder), "transformers")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = reference()
    codec, params = ported(model, tmp_path_factory.mktemp("mimi"))
    return model, codec, params, jax.jit(codec.apply, static_argnames="method")


# the last is longer than the attention's window; of none are two entries of a codebook equally near, but for rounding
@pytest.mark.parametrize("n_samples", [24_000, 30_001, 300, 290_123])
def test_codes_and_audio_are_the_references(published, n_samples):
    model, _, params, apply = published
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    if len(wanted["codes"]) > 5:
        assert len(np.unique(wanted["codes"][:, 0])) > 3
        assert len(np.unique(wanted["codes"][:, 31])) > 3
    latent = np.asarray(apply({"params": params}, audio[None], method="encode"))
    codes = np.asarray(apply({"params": params}, latent, method="quantise").codes[0])
    out = np.asarray(apply({"params": params}, wanted["codes"][None], method="decode_codes"))[0, :n_samples]
    error = np.abs(latent[0] - wanted["latent"]).max() / np.abs(wanted["latent"]).max()
    print(f"{n_samples}: latent {error:.1e}, codes that differ {np.mean(codes != wanted['codes'])}")
    print(f"audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e} of its peak")
    close(latent[0], wanted["latent"])
    np.testing.assert_array_equal(codes, wanted["codes"])
    close(out, wanted["out"])


def test_a_padded_batch_is_its_clips(published):
    model, codec, params, _ = published
    apply, run_one = functools.partial(codec.apply, {"params": params}), functools.partial(run, model)
    check_padded_batch(apply, run_one, lambda n: swelling(n, seed=n), (20_000, 9_001, 14_337))


def test_the_reference_loads_what_is_written(published, tmp_path):
    model, _, params, _ = published
    h = mimi.hyperparameters(model.config.to_dict())
    written = from_params(params, mimi.key_maps(**h)["transformers"])
    again = check_written(model, run, written, mimi.hub_config(**h), swelling(9_600, seed=1), tmp_path)
    assert again.config.frame_rate == 12.5


def test_a_state_dict_saved_as_it_is_loads_too(tmp_path):
    model = reference(**SMALL)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(model.config.to_dict()))
    codec, audio = zoo.load(tmp_path), swelling(1003, seed=1003)
    wanted = run(model, audio)
    np.testing.assert_array_equal(codec.encode(audio).codes[0], wanted["codes"])
    close(codec.decode(wanted["codes"][None], len(audio))[0], wanted["out"])


def write_golden(folder: str) -> None:
    model = reference(**SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in weights_of(model, folder).items()}
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = swelling(n_samples, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden("mimi", "small", SMALL, arrays)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        write_golden(scratch)
