"""SAME-S against its authors' implementation at published size; run as a module, it rewrites the golden file.

Their package wants Python 3.10 and much else; what is compared needs none of it:

    pip install --no-deps --ignore-requires-python stable-audio-tools==0.0.20 && pip install einops
"""

import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest

import zoo
from tests.zoo.published import small
from tests.zoo.published.parity.sounds import weights_of
from tests.zoo.published.small import HUB_CONFIGS, close
from zoo.published import same
from zoo.published.keymap import from_params
from zoo.published.registry import known

torch = pytest.importorskip("torch")
pytest.importorskip("einops")
if importlib.util.find_spec("stable_audio_tools") is None:
    pytest.skip("stable-audio-tools is not installed", allow_module_level=True)

SMALL = HUB_CONFIGS["same"]
CONFIG = known("stabilityai/SAME-S").config
LENGTHS = (403, 288, 5)
"""samples of the golden clips"""


def _made(config):
    """Their model of a configuration; modules that it does not need are mocks, which are gone afterwards."""
    root = Path(importlib.util.find_spec("stable_audio_tools").submodule_search_locations[0])
    modules = {}
    for name in ("", ".models", ".inference"):
        modules[f"stable_audio_tools{name}"] = module = types.ModuleType(f"stable_audio_tools{name}")
        module.__path__ = [str(root / name[1:])]
    unused = ["alias_free_torch", "torchaudio", "torchaudio.transforms"]
    unused += [f"stable_audio_tools.inference.{name}" for name in ("sampling", "utils")]
    unused += [f"stable_audio_tools.models.{name}" for name in ("diffusion", "wavelets")]
    modules |= {name: mock.MagicMock() for name in unused if name not in sys.modules}
    sys.modules.update(modules)
    try:
        authors = importlib.import_module("stable_audio_tools.models.autoencoders")
        return authors.create_autoencoder_from_config(config).eval()
    finally:
        for name in [name for name in sys.modules if name in modules or name.startswith("stable_audio_tools")]:
            del sys.modules[name]


def reference(config):
    """Their model with random weights that keep signals at their level, without the noise that its decoder adds."""
    torch.manual_seed(0)
    model = _made(config)
    model.bottleneck.noise_regularize = False
    for module in model.modules():
        if hasattr(module, "mask_noise"):
            module.mask_noise = 0
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("weight_v"):
                tensor.normal_()
                gain = dict(model.named_parameters())[name.removesuffix("v") + "g"]
                norm = tensor.flatten(1).norm(dim=1).reshape(gain.shape)
                share = 6.0 if name.startswith("encoder") else 0.3  # audio is soft
                gain.copy_(share * norm / tensor[0].numel() ** 0.5 * torch.empty_like(norm).uniform_(0.8, 1.2))
            elif name.endswith("new_tokens"):
                tensor.normal_()
            elif name.endswith("alpha"):
                tensor.uniform_(0.4, 0.8)
            elif name.endswith("gamma"):
                # of attention: or all would be heard alike
                tensor.uniform_(0.8, 1.4).mul_(1.8 if "q_norm" in name or "k_norm" in name else 1.0)
            elif name.endswith(("beta", "bias")):
                tensor.normal_(0, 0.05)
            elif name.endswith("scaling_factor"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_std"):
                tensor.fill_(1.3)
            elif tensor.ndim == 2:
                tensor.normal_(0, (2.0 if "to_" in name else 1.0) * tensor.shape[1] ** -0.5)
        for tensor in model.parameters():
            tensor.copy_(tensor.half().float())
    return model


def sound(n_samples: int, channels: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, None]
    tones = sum(np.sin(t * w + rng.uniform(0, 6, channels)) for w in rng.uniform(0.005, 0.5, 5))
    return (0.1 * tones + 0.02 * rng.standard_normal((n_samples, channels))).astype(np.float32)


def run(model, audio: np.ndarray) -> dict[str, np.ndarray]:
    """Latents (F, D) and decoded audio of one clip (T, C), as long as it was."""
    with torch.no_grad():
        latent = model.encode(torch.from_numpy(audio.T.copy())[None])
        out = model.decode(latent)
    return {"latent": latent[0].numpy().T, "out": out[0].numpy().T[: len(audio)]}


def ported(model, config) -> tuple[zoo.Codec, dict]:
    return small.ported("same", same.hyperparameters(config), weights_of(model), "original autoencoder")


@pytest.fixture(scope="module")
def published():
    model = reference(CONFIG)
    codec, params = ported(model, CONFIG)
    return model, codec, params, jax.jit(codec.apply, static_argnames="method")


@pytest.mark.parametrize("n_samples", [132_300, 12_289, 2048])
def test_latents_and_audio_are_the_references(published, n_samples):
    model, _, params, apply = published
    audio = sound(n_samples, 2, seed=n_samples)
    wanted = run(model, audio)
    latent = np.asarray(apply({"params": params}, audio[None], method="encode"))[0]
    out = np.asarray(apply({"params": params}, wanted["latent"][None], method="decode"))[0, :n_samples]
    for name, found in (("latent", latent), ("out", out)):
        print(f"{n_samples}: {name} {np.abs(found - wanted[name]).max() / np.abs(wanted[name]).max():.1e} of its peak")
        close(found, wanted[name])
    assert wanted["latent"].std(axis=0).max() > 0.1


def test_a_padded_batch_is_its_clips(published):
    model, codec, params, _ = published
    lengths = np.array([40_001, 8_192, 24_601], np.int32)
    batch = np.full((3, 40_001, 2), 9.0, np.float32)  # what is beyond a clip is not to be heard
    for clip, n in zip(batch, lengths):
        clip[:n] = sound(n, 2, seed=n)
    latents = jax.jit(lambda x, n: codec.apply({"params": params}, x, n, method="encode"))(batch, lengths)
    audio = jax.jit(lambda z, n: codec.apply({"params": params}, z, 40_001, n, method="decode"))(latents, lengths)
    for i, n in enumerate(lengths):
        wanted = run(model, batch[i, :n])
        close(latents[i, : len(wanted["latent"])], wanted["latent"])
        close(audio[i, :n], wanted["out"])
        assert not np.asarray(audio[i, n:]).any()


def test_the_reference_loads_what_is_written(published):
    model, _, params, _ = published
    hyperparameters = same.hyperparameters(CONFIG)
    written = from_params(params, same.key_maps(**hyperparameters)["original autoencoder"])
    again = _made(same.hub_config(**hyperparameters))
    again.load_state_dict({name: torch.from_numpy(array) for name, array in written.items()})  # strict
    again.bottleneck.noise_regularize = False
    audio = sound(20_000, 2, seed=1)
    for name, array in run(model, audio).items():
        close(run(again, audio)[name], array, 1e-4)


def write_golden() -> None:
    model = reference(SMALL)
    arrays = {f"w:{name}": array.astype(np.float16) for name, array in weights_of(model).items()}
    for i, n_samples in enumerate(LENGTHS):
        arrays[f"audio_{i}"] = sound(n_samples, 2, seed=i)
        arrays |= {f"{name}_{i}": array for name, array in run(model, arrays[f"audio_{i}"]).items()}
    small.write_golden("same", "small", SMALL, arrays)


if __name__ == "__main__":
    write_golden()
