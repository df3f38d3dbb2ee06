"""Whether latents mix as sounds do: encoder and decoder on mixes of the examples of a batch, each with the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from zoo.codec import Codec

LOSS = "mix_consistency"
"""its name in the config"""
FLOOR = 1e-4
"""of an error's share of the energy: what is beyond 40 dB does not count"""
_STREAM = 0x6D697865  # sets the shares apart from other draws, whose keys also come from (seed, example)

Mix = Callable[[jax.Array], jax.Array]
"""What is of the examples (B, …) -> the same of their mixes."""


def mixing(index: jax.Array, *, seed: int, axis_name: str | None = None) -> Mix:
    """The function w · x + (1 − w) · y of each example `index` (B,) and its successor; w is uniform in [0, 1].

    The last one's successor is the first of the next device's along `axis_name`, or of the batch.
    """
    key = jax.random.fold_in(jax.random.key(seed), _STREAM)
    share = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i)))(index)

    def mix(x: jax.Array) -> jax.Array:
        w = share.reshape(-1, *(1,) * (x.ndim - 1))
        return w * x + (1 - w) * successors(x, axis_name)

    return mix


def successors(x: jax.Array, axis_name: str | None = None) -> jax.Array:
    """The next examples (B, …) of a batch (B, …) that goes on on the devices along `axis_name`, and round again."""
    following = x[:1]
    if axis_name is not None:
        n = jax.lax.axis_size(axis_name)
        following = jax.lax.ppermute(following, axis_name, [(i, (i - 1) % n) for i in range(n)])
    return jnp.concatenate([x[1:], following])


def inconsistency_db(
    module: Codec, audio: jax.Array, latent: jax.Array, decoded: jax.Array, keys: Any, mix: Mix
) -> jax.Array:
    """How far mixes of latents are from latents of mixes, and decoded mixes from mixes of what was decoded, dB (B,).

    A method of codecs, for a forward pass that has given `latent` and `decoded` of `audio` with `keys`: the mean of two
    errors, relative to the energy of what is mixed. Where both are small a codec mixes in its latents as it mixes
    sounds, however close it comes to these. What was decoded had the noise of training, or was quantised: so is the
    mix.
    """
    quantised = module.bottleneck(latent, keys=keys).latent
    of_encoder = _error_db(mix(latent), module.encode(mix(audio)))
    of_decoder = _error_db(mix(decoded), module.decode(mix(quantised), audio.shape[1]))
    return (of_encoder + of_decoder) / 2


def _error_db(wanted: jax.Array, found: jax.Array) -> jax.Array:
    signal = jnp.square(wanted).sum(axis=(1, 2)) + 1e-6
    return 10.0 * jnp.log10(jnp.square(found - wanted).sum(axis=(1, 2)) / signal + FLOOR)
