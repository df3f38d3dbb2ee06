"""Mixes of the examples of a batch, of which each is paired with the next one: for latents that mix as sounds do."""

from __future__ import annotations

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from zoo.codec import Codec

LOSS = "mix_consistency"
"""its name in the config"""
_STREAM = 0x6D697865  # sets the shares apart from other draws, whose keys also come from (seed, example)


@flax.struct.dataclass
class Mixes:
    """Weighted sums of latents (B, F, D), and the same ones of their audio (B, T, C)."""

    latent: jax.Array
    audio: jax.Array


def mixes(latent: jax.Array, audio: jax.Array, index: jax.Array, *, seed: int, axis_name: str | None = None) -> Mixes:
    """w · a + (1 − w) · b of each example `index` (B,) and its successor, with w uniform in [0, 1], of each its own.

    The last one's successor is the first of the next device's along `axis_name`, or of the batch.
    """
    key = jax.random.fold_in(jax.random.key(seed), _STREAM)
    share = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(index)[:, None, None]

    def mixed(x: jax.Array) -> jax.Array:
        return share * x + (1 - share) * successors(x, axis_name)

    return Mixes(mixed(latent), mixed(audio))


def successors(x: jax.Array, axis_name: str | None = None) -> jax.Array:
    """The next examples (B, …) of a batch (B, …) that goes on on the devices along `axis_name`, and round again."""
    following = x[:1]
    if axis_name is not None:
        n = jax.lax.axis_size(axis_name)
        following = jax.lax.ppermute(following, axis_name, [(i, (i - 1) % n) for i in range(n)])
    return jnp.concatenate([x[1:], following])


def decoder(n_samples: int) -> Callable[[Codec, jax.Array, jax.Array], jax.Array]:
    """A method of codecs: audio (B, n_samples, C) of latents (B, F, D), whose bottleneck has noise as in training.

    What is mixed goes the way of all latents, so that a decoder need not know two kinds of them.
    """

    def decode(module: Codec, latent: jax.Array, keys: jax.Array) -> jax.Array:
        return module.decode(module.bottleneck(latent, keys=keys).latent, n_samples)

    return decode
