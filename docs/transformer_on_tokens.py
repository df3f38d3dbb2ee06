"""Trains a small transformer on the tokens of a library, and lets it go on where a recording ends.

    python -m zoo tokenise ~/music tokens --ckpt descript/dac_24khz --level 3 --channels mix
    python docs/transformer_on_tokens.py tokens continued.wav --ckpt descript/dac_24khz --steps 2000

Each stream of a row is a sequence of frames of Q codes. They are laid out in the delay pattern (MusicGen, Copet et al.,
2023): codebook q is shifted by q steps, so that a step predicts one code of each and knows a frame's coarser ones. The
embeddings of a step's codes are added up, causal attention runs over `--context` steps, and Q heads give the next ones.
It is a toy: it shows the way from shards to audio, and makes music only by accident.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import zoo
from zoo import audio
from zoo.tokenise import Row, read


class Transformer(nn.Module):
    """Logits (B, T, Q, V) of the codes that follow each of the steps (B, T, Q)."""

    vocabulary: int
    n_codebooks: int
    width: int = 128
    n_layers: int = 3
    n_heads: int = 4

    @nn.compact
    def __call__(self, steps: jax.Array) -> jax.Array:
        offsets = self.vocabulary * jnp.arange(self.n_codebooks)
        embedded = nn.Embed(self.vocabulary * self.n_codebooks, self.width)(steps + offsets[None, None])
        places = self.param("places", nn.initializers.normal(0.02), (steps.shape[1], self.width))
        x = embedded.sum(axis=2) + places[None]
        mask = nn.make_causal_mask(steps[..., 0])
        for _ in range(self.n_layers):
            normal = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(self.n_heads)(normal, normal, mask=mask)
            x = x + nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        logits = nn.Dense(self.n_codebooks * self.vocabulary)(nn.LayerNorm()(x))
        return logits.reshape(*steps.shape, self.vocabulary)


def delay(codes: np.ndarray, gap: int) -> np.ndarray:
    """Steps (F + Q − 1, Q) of codes (F, Q); `gap` stands where there is no code."""
    n_frames, n_codebooks = codes.shape
    steps = np.full((n_frames + n_codebooks - 1, n_codebooks), gap)
    for q in range(n_codebooks):
        steps[q : q + n_frames, q] = codes[:, q]
    return steps


def undelay(steps: np.ndarray) -> np.ndarray:
    """The codes (F, Q) of steps (F + Q − 1, Q)."""
    n_frames, n_codebooks = len(steps) - steps.shape[1] + 1, steps.shape[1]
    return np.stack([steps[q : q + n_frames, q] for q in range(n_codebooks)], axis=1)


def shards(folder: Path) -> Iterator[Row]:
    """All rows of a folder that `python -m zoo tokenise` has written to Parquet."""
    for shard in sorted((folder / "data").glob("*.parquet")):
        yield from read(shard)


def batches(sequences: list[np.ndarray], size: int, length: int, gap: int, seed: int) -> Iterator[np.ndarray]:
    """Crops (size, length, Q) of sequences in proportion to their lengths; short ones are filled up with gaps."""
    rng = np.random.default_rng(seed)
    weights = np.array([len(sequence) for sequence in sequences], float)
    while True:
        crops = []
        for index in rng.choice(len(sequences), size, p=weights / weights.sum()):
            start = rng.integers(max(len(sequences[index]) - length, 0) + 1)
            crop = sequences[index][start : start + length]
            crops.append(np.pad(crop, ((0, length - len(crop)), (0, 0)), constant_values=gap))
        yield np.stack(crops)


def train(model: Transformer, sequences: list[np.ndarray], args: argparse.Namespace, gap: int) -> dict:
    """The parameters after args.steps steps."""
    data = batches(sequences, args.batch_size, args.context + 1, gap, seed=0)
    params = model.init(jax.random.key(0), next(data)[:, :-1])
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-3, min(100, args.steps // 10), args.steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    state = optimiser.init(params)

    @jax.jit
    def step(params: dict, state: optax.OptState, steps: jax.Array) -> tuple[dict, optax.OptState, jax.Array]:
        def loss(params: dict) -> jax.Array:
            losses = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, steps[:, :-1]), steps[:, 1:])
            known = steps[:, 1:] != gap
            return jnp.sum(losses * known) / jnp.maximum(known.sum(), 1)

        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    for number in range(1, args.steps + 1):
        params, state, value = step(params, state, next(data))
        if number == 1 or number % max(args.steps // 10, 1) == 0:
            print(f"step {number}: {value:.3f} nats a code", flush=True)
    return params


def go_on(model: Transformer, params: dict, prompt: np.ndarray, n_frames: int, context: int, gap: int) -> np.ndarray:
    """The codes (F, Q) of a prompt, and n_frames of codes drawn behind it."""
    steps = delay(prompt, gap)[: len(prompt)]  # of the last frames the finer codes are drawn anew
    n_codebooks = prompt.shape[1]

    @jax.jit
    def draw(key: jax.Array, window: jax.Array, last: jax.Array) -> jax.Array:
        logits = model.apply(params, window[None])[0, last]
        return jax.random.categorical(key, logits.at[:, gap].set(-jnp.inf))  # type: ignore[union-attr]

    for key in jax.random.split(jax.random.key(1), n_frames + n_codebooks - 1):
        known = steps[-context:]
        window = np.pad(known, ((0, context - len(known)), (0, 0)), constant_values=gap)
        steps = np.concatenate([steps, np.asarray(draw(key, window, len(known) - 1))[None]])
    return undelay(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path, help="a folder that `python -m zoo tokenise` has written")
    parser.add_argument("target", type=Path, help="the recording with its continuation; must not be there yet")
    parser.add_argument("--ckpt", required=True, help="the codec")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--context", type=int, default=256, help="steps that the model sees")
    parser.add_argument("--prompt_s", type=float, default=3.0, help="seconds of the first clip that it begins with")
    parser.add_argument("--seconds", type=float, default=5.0, help="that it goes on for")
    args = parser.parse_args()
    if args.target.exists():
        raise zoo.ZooError(f"{args.target} is there already")
    codec = zoo.load(args.ckpt)
    rows = list(shards(args.tokens))
    if not rows:
        raise zoo.ZooError(f"{args.tokens}: holds no Parquet with tokens")
    if rows[0].codec != codec.digest.hex() or rows[0].level < 0:
        raise zoo.ZooError(f"{args.tokens}: holds no codes of {args.ckpt}")
    level = rows[0].level
    sizes = codec.symbols.code_sizes(level)
    gap = int(sizes.max())
    sequences = [delay(stream, gap) for row in rows for stream in row.values]
    model = Transformer(vocabulary=gap + 1, n_codebooks=len(sizes))
    params = train(model, sequences, args, gap)
    rate = codec.module.frame_rate_hz
    prompt = rows[0].values[0, : max(round(args.prompt_s * rate), 1)]
    codes = go_on(model, params, prompt, round(args.seconds * rate), args.context, gap)
    codes = np.minimum(codes, sizes - 1)[: len(codes) // codec.module.frame_multiple * codec.module.frame_multiple]
    audio.write(args.target, codec.decode(codes[None], level=level)[0], codec.sample_rate)
    print(f"{len(prompt)} frames of {rows[0].key} and {len(codes) - len(prompt)} more: {args.target}")


if __name__ == "__main__":
    try:
        main()
    except zoo.ZooError as error:
        sys.exit(f"error: {error}")
