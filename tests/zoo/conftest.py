"""Small codecs of every family with fitted tables, sounds to code with them, and a folder to run commands in."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

import zoo
from tests.complaint import complaint as of_command
from zoo.__main__ import main
from zoo.bitstream import entropy

RATE = 8_000
SMALL = {
    "autoencoder": {
        "hop_length": 40, "latent_dim": 40, "levels": (127, 31), "width": 16, "n_blocks": 1, "latent_scale": 40.0,
    },
    "vae": {
        "latent_dim": 20, "widths": (8, 8), "strides": (5, 8), "dilations": (1,),
        "grid_steps": (8.0, 4.0, 2.0, 1.0, 0.5),
    },
    "gan_vocoder": {
        "n_fft": 80, "hop_length": 40, "latent_dim": 8, "encoder_width": 16, "encoder_blocks": 1, "decoder_width": 16,
        "decoder_blocks": 1, "n_codebooks": 4, "codebook_size": 16, "code_dim": 4,
    },
}  # fmt: skip
SMALL["causal"] = {**SMALL["gan_vocoder"], "causal": True}
"""Hyper-parameters with which a test takes seconds: 8 kHz, 40 samples a frame."""

Build = Callable[..., zoo.ReadyCodec]


def sound(n_samples: int, channels: int = 1, *, sample_rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Tones that come and go over a little noise, (T, channels); channels are alike, but not equal."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_samples)[:, None] / sample_rate
    out = 0.003 * rng.standard_normal((n_samples, channels))
    for _ in range(6):
        tone = np.sin(2 * np.pi * (rng.uniform(80, 1800) * t + rng.random()))
        swell = np.clip(np.sin(2 * np.pi * (rng.uniform(0.2, 2.0) * t + rng.random())), 0, None)
        out = out + 0.1 * tone * swell * rng.uniform(0.5, 1.0, channels)
    return out.astype(np.float32)


@functools.cache
def make(name: str, **changes: object) -> zoo.ReadyCodec:
    """make("vae", channels=2, …): an untrained codec with tables fitted to its own codes; the same one each time."""
    family = "gan_vocoder" if name == "causal" else name
    options = {"sample_rate": RATE, **SMALL[name], **changes}
    module = zoo.create(family, **options)
    init = jax.jit(module.init, compiler_options={"xla_backend_optimization_level": 0})
    params = _shaken(init(jax.random.key(0), *module.example())["params"])
    fitter = entropy.Fitter(module.bottleneck.symbols())
    metadata = {"family": family, "model": options}
    empty = zoo.ReadyCodec(module, {"params": params}, fitter.fit(), metadata)
    audio = sound(4 * RATE, module.channels, seed=9)
    for level in range(empty.n_levels):
        fitter.update(empty.encode(audio, level=level).codes, level)
    return zoo.ReadyCodec(module, {"params": params}, fitter.fit(), metadata)


@pytest.fixture(scope="session")
def build() -> Build:
    """The function `make`."""
    return make


def _shaken(params: dict) -> dict:
    """Zero kernels get values, as after training: an untrained head would hide what the layers below it hear."""
    leaves, tree = jax.tree.flatten(jax.device_get(params))
    rng = np.random.default_rng(1)
    drawn = [np.asarray(0.02 * rng.standard_normal(x.shape), x.dtype) for x in leaves]
    return jax.tree.unflatten(tree, [x if np.any(x) or x.ndim < 2 else y for x, y in zip(leaves, drawn)])


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with runs/tiny, the checkpoint of an untrained VAE, and song.wav, 3.3 s of stereo at 11,025 Hz."""
    from configs.base import Config
    from configs.vae import VAE
    from train.run.checkpoints import Checkpoints
    from train.step.state import create_state
    from train.step.task import CodecTask

    folder = tmp_path_factory.mktemp("place")
    model = VAE(
        sample_rate=RATE, latent_dim=20, widths=(8, 8), strides=(5, 8), dilations=(1,), grid_steps=(8.0, 3.0, 1.0)
    )
    task = CodecTask(Config(model=model))
    shapes = jax.eval_shape(lambda: create_state(task, seed=0))
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    init = jax.jit(task.module.init, compiler_options={"xla_backend_optimization_level": 0})
    params = init(jax.random.key(0), np.zeros((1, 160, 1), np.float32))["params"]
    checkpoints = Checkpoints(folder / "runs" / "tiny", task.config)
    coder = entropy.Fitter(task.module.bottleneck.symbols()).fit()
    checkpoints.save(state.replace(step=np.int32(3), ema=params), coder)
    checkpoints.close()
    soundfile.write(folder / "song.wav", music(36_411), 11_025)
    return folder


@pytest.fixture
def here(place, tmp_path, monkeypatch) -> Path:
    """An empty working directory that sees the run and the song."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(place / "runs")
    (tmp_path / "song.wav").symlink_to(place / "song.wav")
    return tmp_path


def music(n_samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    t = np.arange(n_samples)[:, None] / 11_025
    return 0.3 * np.sin(2 * np.pi * np.array([[220.0 + seed, 331.0]])[:, :channels] * t)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "JAX_PLATFORMS": "cpu"}


def complaint(capfd, *arguments: str) -> str:
    """Runs `python -m zoo` in this process, which must end with status 2; its complaint."""
    return of_command(capfd, main, arguments)
