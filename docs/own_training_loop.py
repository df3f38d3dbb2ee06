"""Trains a codec in a loop of one's own, and makes of its weights a codec that all commands take.

    python docs/own_training_loop.py ~/music out/mine --steps 2000

The package gives the module, a pure function of (variables, audio), and the losses of its bottleneck; the data, the
losses on audio, the optimiser and the loop are this script's. At the end `zoo.ready_codec` fits the entropy coder to
what the weights code, and `zoo.export` writes a folder for `zoo.load`, `python -m zoo encode --ckpt out/mine` and the
others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import zoo

FAMILY = "vae"
HYPERPARAMETERS = {"sample_rate": 16_000, "latent_dim": 20, "widths": (16, 16), "strides": (5, 8), "dilations": (1,)}
CROP_S = 0.5
WEIGHTS = {"kl": 1e-4}
"""of the losses that the bottleneck names (`module.bottleneck.loss_names`)"""


def read_clips(folder: Path, sample_rate: int) -> list[np.ndarray]:
    """Every file as (T, 1) at `sample_rate` Hz; those shorter than a crop have silence behind them."""
    clips = []
    for path in zoo.audio.find_files(folder):
        read = zoo.audio.read(path, channels=1)
        samples = zoo.audio.resample(read.samples, read.sample_rate, sample_rate)
        missing = max(0, round(CROP_S * sample_rate) - len(samples))
        clips.append(np.pad(samples, ((0, missing), (0, 0))))
    return clips


def crops(clips: list[np.ndarray], n_samples: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """A batch (n, n_samples, 1) from anywhere in the clips, each of which is as likely."""
    found = []
    for i in rng.integers(0, len(clips), n):
        start = rng.integers(0, len(clips[i]) - n_samples + 1)
        found.append(clips[i][start : start + n_samples])
    return np.stack(found)


def train(module: zoo.Codec, clips: list[np.ndarray], steps: int, batch_size: int) -> Any:
    """The variables after so many steps."""
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    variables = jax.jit(module.init)(jax.random.key(0), *module.example())
    state = optimiser.init(variables)

    def loss(variables: Any, audio: jax.Array, key: jax.Array) -> jax.Array:
        output: Any = module.apply(variables, audio, keys=jax.random.split(key, len(audio)))
        own = sum(weight * output.losses[name].mean() for name, weight in WEIGHTS.items())
        return jnp.abs(output.audio - audio).mean() / jnp.abs(audio).mean() + own

    @jax.jit
    def step(variables: Any, state: Any, audio: jax.Array, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(variables, audio, key)
        updates, state = optimiser.update(gradients, state)
        return optax.apply_updates(variables, updates), state, value

    rng, n_samples = np.random.default_rng(0), round(CROP_S * module.sample_rate)
    for number in range(steps):
        audio = crops(clips, n_samples, batch_size, rng)
        variables, state, value = step(variables, state, audio, jax.random.key(number))
        if number % max(1, steps // 10) == 0 or number == steps - 1:
            print(f"step {number}: {value:.4f}")
    return variables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="audio files of any format and rate, in any sub-folders")
    parser.add_argument("out", type=Path, help="the folder that the codec is written to")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=8)
    args = parser.parse_args()
    if args.out.exists():
        raise zoo.ZooError(f"{args.out} is there already")

    module = zoo.create(FAMILY, **HYPERPARAMETERS)
    clips = read_clips(args.folder, module.sample_rate)
    variables = train(module, clips, args.steps, args.batch_size)

    codec = zoo.ready_codec(FAMILY, variables, clips, hyperparameters=HYPERPARAMETERS)
    zoo.export(codec, args.out)
    blob = zoo.load(args.out).compress(clips[0])
    seconds = len(clips[0]) / module.sample_rate
    print(f"{codec} in {args.out}; the first file: {8 * len(blob) / seconds / 1000:.1f} kbps")


if __name__ == "__main__":
    try:
        main()
    except zoo.ZooError as error:
        sys.exit(f"error: {error}")
