"""WavTokenizer against transformers at published size; run as a module, it rewrites the golden file."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.agreement import check_padded_batch, check_written
from tests.zoo.published.parity.sounds import swelling
from tests.zoo.published.small import close
from zoo.published import wavtokenizer
from zoo.published.keymap import from_params

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5.24")
safetensors = pytest.importorskip("safetensors.numpy")

SMALL = small.HUB_CONFIGS["wavtokenizer"]
LENGTHS = (1003, 640, 5)
"""samples of the golden clips"""


def reference(**config):
    """transformers' model with random weights that all matter, and a codebook that fits its latents."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = transformers.WavTokenizerModel(transformers.WavTokenizerConfig(**config)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("original0"):  # of weight norm: gains that keep signals at their level
                tensor.fill_(1.5 if "lstm" not in name else 1.0)
            elif "lstm.weight" in name:
                tensor.normal_(0, tensor.shape[1] ** -0.5)
            elif "norm" in name or "pos_net.5" in name:
                tensor.add_(0.3 * torch.randn_like(tensor))
            elif name.endswith("gamma"):
                tensor.uniform_(0.2, 0.6)
            elif name.endswith((".q.weight", ".k.weight")):
                tensor.normal_(0, 2 * tensor.shape[1] ** -0.5)  # or all would be heard alike
            elif name.startswith("head"):
                tensor.mul_(0.5)
        latents = model.encoder_model.encoder(torch.from_numpy(swelling(60 * model.hop_length, 1).T[None]))[0].T
        book = model.encoder_model.quantizer.codebook
        spread = latents.std(dim=0, keepdim=True)
        book.embed.copy_(latents.mean(dim=0, keepdim=True) + 0.7 * spread * torch.randn_like(book.embed))
        book.embed_avg.copy_(book.embed)
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half().float())
    return model


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D), codes (F, 1) and decoded audio of one clip (T, 1), padded with zeros to whole hops."""
    padded = np.pad(audio, ((0, -len(audio) % model.hop_length), (0, 0)))
    with torch.no_grad():
        heard = torch.from_numpy(padded.T.copy())[None]
        latent = model.encoder_model.encoder(heard)
        codes = model.encode(heard).audio_codes
        out = model.decode(codes).audio_values
    return {"latent": latent[0].numpy().T, "codes": codes[0].numpy().T, "out": out[0].numpy().T[: len(audio)]}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    model = reference()
    folder = tmp_path_factory.mktemp("wavtokenizer")
    model.save_pretrained(folder)
    return model, zoo.load(folder)


# the last attends in blocks
@pytest.mark.parametrize("n_samples", [24_000, 30_001, 300, 340_123])
def test_codes_and_audio_are_the_references(published, n_samples):
    model, codec = published
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    if len(wanted["codes"]) > 5:
        assert len(np.unique(wanted["codes"])) > 3
    latent = codec.encode_latents(audio)[0]
    codes = codec.encode(audio).codes[0]
    out = codec.decode(wanted["codes"][None], n_samples)[0]
    error = np.abs(latent - wanted["latent"]).max() / np.abs(wanted["latent"]).max()
    print(f"{n_samples}: latent {error:.1e}, codes that differ {np.mean(codes != wanted['codes'])}")
    print(f"audio {np.abs(out - wanted['out']).max() / np.abs(wanted['out']).max():.1e} of its peak")
    close(latent, wanted["latent"])
    np.testing.assert_array_equal(codes, wanted["codes"])
    close(out, wanted["out"])


def test_without_zeros_behind_a_clip_only_the_last_codes_are_others(published):
    model, codec = published
    audio = swelling(30_001, seed=1)
    with torch.no_grad():
        wanted = model.encode(torch.from_numpy(audio.T.copy())[None]).audio_codes[0].numpy().T
    found = codec.encode(audio).codes[0]
    after = codec.module.encoder_context.after
    np.testing.assert_array_equal(found[: -1 - after], wanted[: -1 - after])


def test_a_padded_batch_is_its_clips(published):
    model, codec = published
    apply, run_one = functools.partial(codec.module.apply, codec.variables), functools.partial(run, model)
    check_padded_batch(apply, run_one, lambda n: swelling(n, seed=n), (20_000, 9_001, 14_337))


def test_the_reference_loads_what_is_written(published, tmp_path):
    model, codec = published
    h = codec.metadata["model"]
    written = from_params(codec.variables["params"], wavtokenizer.key_maps(**h)["transformers"])
    check_written(model, run, written, wavtokenizer.hub_config(**h), swelling(9_600, seed=1), tmp_path)


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
    small.write_golden("wavtokenizer", "small", SMALL, arrays)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        write_golden(scratch)
