"""VibeVoice's tokeniser against transformers at published size; run as a module, it rewrites the golden file."""

import json

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import swelling, weights_of
from tests.zoo.published.small import HUB_CONFIGS, close
from zoo.published import vibevoice
from zoo.published.keymap import from_params
from zoo.published.registry import known

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", "5.24")
safetensors = pytest.importorskip("safetensors.numpy")

SMALL = HUB_CONFIGS["vibevoice"]
LENGTHS = (483, 320, 5)
"""samples of the golden clips"""
CONFIG = known("microsoft/VibeVoice-AcousticTokenizer").config


def reference(config):
    """transformers' model with random weights that keep signals at their level, and layer scales that are heard."""
    torch.manual_seed(0)
    model = transformers.VibeVoiceAcousticTokenizerModel(transformers.VibeVoiceAcousticTokenizerConfig(**config)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.ConvTranspose1d):
                module.weight.normal_(0, (2 * module.weight.shape[0]) ** -0.5)
            elif isinstance(module, torch.nn.Conv1d | torch.nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5)
        for name, tensor in model.named_parameters():
            if name.endswith("gamma"):
                tensor.uniform_(0.1, 0.5)
            elif "norm" in name:
                tensor.add_(0.3 * torch.randn_like(tensor))
            elif name.endswith("bias"):
                tensor.normal_(0, 0.1)
            tensor.copy_(tensor.half().float())
    return model


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D) and decoded audio of one clip (T, 1), padded with zeros to whole hops."""
    padded = np.pad(audio, ((0, -len(audio) % model.config.hop_length), (0, 0)))
    with torch.no_grad():
        latent = model.encode(torch.from_numpy(padded.T.copy())[None], sample=False).latents
        out = model.decode(latent).audio
    return {"latent": latent[0].numpy(), "out": out[0].numpy().T[: len(audio)]}


@pytest.fixture(scope="module")
def published():
    model = reference(CONFIG)
    codec, params = small.ported("vibevoice", vibevoice.hyperparameters(CONFIG), weights_of(model), "transformers")
    params = jax.device_put(params)  # once: there are 2.7 GB of them
    return model, codec, params, jax.jit(codec.apply, static_argnames="method")


@pytest.mark.parametrize("n_samples", [48_000, 30_001, 300])
def test_latents_and_audio_are_the_references(published, n_samples):
    model, _, params, apply = published
    audio = swelling(n_samples, seed=n_samples)
    wanted = run(model, audio)
    latent = np.asarray(apply({"params": params}, audio[None], method="encode"))[0]
    out = np.asarray(apply({"params": params}, wanted["latent"][None], method="decode"))[0, :n_samples]
    for name, found in (("latent", latent), ("out", out)):
        print(f"{n_samples}: {name} {np.abs(found - wanted[name]).max() / np.abs(wanted[name]).max():.1e} of its peak")
        close(found, wanted[name])
    assert wanted["latent"].std(axis=0).max() > 0.1 or n_samples == 300


def test_a_padded_batch_is_its_clips(published):
    model, codec, params, _ = published
    lengths = np.array([20_000, 9_001, 14_337], np.int32)
    batch = np.full((3, 20_000, 1), 9.0, np.float32)  # what is beyond a clip is not to be heard
    for clip, n in zip(batch, lengths):
        clip[:n] = swelling(n, seed=n)
    latents = jax.jit(lambda x, n: codec.apply({"params": params}, x, n, method="encode"))(batch, lengths)
    audio = jax.jit(lambda z, n: codec.apply({"params": params}, z, 20_000, n, method="decode"))(latents, lengths)
    for i, n in enumerate(lengths):
        wanted = run(model, batch[i, :n])
        close(latents[i, : len(wanted["latent"])], wanted["latent"])
        close(audio[i, :n], wanted["out"])
        assert not np.asarray(audio[i, n:]).any()


def test_the_reference_loads_what_is_written(tmp_path):
    model = reference(SMALL)
    hyperparameters = vibevoice.hyperparameters(SMALL)
    _, params = small.ported("vibevoice", hyperparameters, weights_of(model), "transformers")
    written = from_params(params, vibevoice.key_maps(**hyperparameters)["transformers"])
    safetensors.save_file(written, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(json.dumps(vibevoice.hub_config(**hyperparameters)))
    again, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    audio = swelling(960, seed=1)
    for name, array in run(model, audio).items():
        close(run(again.eval(), audio)[name], array, 1e-5)


def test_streams_are_the_references(published):
    """Frame by frame, as the reference does with its cache."""
    model, codec, params, _ = published
    tables = vibevoice.default_entropy(codec.bottleneck.symbols())
    ready = zoo.ReadyCodec(codec, {"params": params}, tables, {"family": "vibevoice", "model": {}})
    audio = swelling(9_600, seed=3)
    cache, latents = None, []
    with torch.no_grad():
        for block in np.split(audio, 3):
            given = torch.from_numpy(block.T.copy())[None]
            found = model.encode(given, padding_cache=cache, use_cache=True, sample=False)
            cache = found.padding_cache
            latents.append(found.latents[0].numpy())
    close(ready.encode_latents(audio)[0], np.concatenate(latents))


def write_golden() -> None:
    model = reference(SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in weights_of(model).items()}
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = swelling(n_samples, seed=n_samples)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden("vibevoice", "small", SMALL, arrays)


if __name__ == "__main__":
    write_golden()
