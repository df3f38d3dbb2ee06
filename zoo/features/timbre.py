"""The shape of each frame's spectrum in one number: centroid, bandwidth, roll-off, flatness."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from zoo.features.analysis import TINY, Analysis, product

_AMIN = 1e-10
_BLOCK = 32
"""bins that are added up before it is known which of them matter"""


def _moments(clips: Analysis) -> tuple[jax.Array, jax.Array]:
    """Total magnitude of each frame (1 where there is none) and mean frequency in Hz, (B, F, 1) each."""
    sums = product(clips.magnitude, np.stack([np.ones_like(clips.frequencies), clips.frequencies], axis=1))
    total = jnp.where(sums[..., :1] < TINY, 1.0, sums[..., :1])
    return total, sums[..., 1:] / total


def spectral_centroid(clips: Analysis) -> jax.Array:
    return _moments(clips)[1]


def spectral_bandwidth(clips: Analysis) -> jax.Array:
    total, centroid = _moments(clips)
    # not by the mean square: float32 would lose a narrow band far above 0 Hz
    spread = clips.magnitude * jnp.square(clips.frequencies[None, None, :] - centroid)
    return jnp.sqrt(jnp.sum(spread, axis=-1, keepdims=True) / total)


def spectral_flatness(clips: Analysis) -> jax.Array:
    power = jnp.maximum(clips.power, _AMIN)
    geometric = jnp.exp(jnp.mean(jnp.log(power), axis=-1, keepdims=True))
    return geometric / jnp.mean(power, axis=-1, keepdims=True)


def spectral_rolloff(clips: Analysis) -> jax.Array:
    """Finds the block of bins in which the sum of magnitudes passes its threshold, then the bin in it.

    Sums over all bins of all frames would be slow to scan.
    """
    n_bins = clips.magnitude.shape[-1]
    n_blocks = -(-n_bins // _BLOCK)
    padded = jnp.pad(clips.magnitude, ((0, 0), (0, 0), (0, n_blocks * _BLOCK - n_bins)))
    blocks = padded.reshape(*padded.shape[:-1], n_blocks, _BLOCK)
    so_far = product(jnp.sum(blocks, axis=-1), np.triu(np.ones((n_blocks, n_blocks), np.float32)))
    threshold = clips.settings.roll_percent * so_far[..., -1:]
    chosen = jnp.sum(so_far[..., :-1] < threshold, axis=-1, keepdims=True)
    before = jnp.where(chosen > 0, jnp.take_along_axis(so_far, jnp.maximum(chosen - 1, 0), axis=-1), 0.0)
    block = jnp.take_along_axis(blocks, chosen[..., None], axis=-2)[..., 0, :]
    within = before + product(block, np.triu(np.ones((_BLOCK, _BLOCK), np.float32)))
    place = jnp.sum(within[..., :-1] < threshold, axis=-1, keepdims=True)
    place = jnp.minimum(chosen * _BLOCK + place, n_bins - 1)
    return place * jnp.float32(clips.settings.sample_rate / clips.settings.n_fft)
