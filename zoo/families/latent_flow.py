"""Latent flow: a transformer over a codec's latent frames, as a prior by flow matching.

As diffusion transformers are (Peebles and Xie, 2023): time and class shift, scale and gate each half of a layer, and
the gates begin at zero; rotary positions, normalised queries and keys, a gated dense layer (Shazeer, 2020). Frames that
are known are an input of their own, beside those that are noise.

Sounds are loud and soft, by factors of a hundred: what a frame's noise hides depends on that before all. So the network
is told levels, and its output is a gain for each component of what it got, and something added.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers import Dtype
from zoo.nn.rotary import angles, rotate
from zoo.prior import Prior

_UNHEARD = -1e30
_TIME_CHANNELS = 64
_SOFTEST = 1e-3
"""power below which frames are alike"""
_FASTEST = 100.0
"""radians by which the fastest wave of time turns from noise to data"""


class FlowTransformer(nn.Module):
    """Components with noise (B, F, K), at times (B,), to what the velocity of normal ones lacks (B, F, K)."""

    width: int
    n_layers: int
    n_heads: int
    n_labels: int
    dtype: Dtype

    @nn.compact
    def __call__(
        self,
        z: jax.Array,
        context: jax.Array,
        known: jax.Array,
        times: jax.Array,
        labels: jax.Array,
        valid: jax.Array,
    ) -> jax.Array:
        given = jnp.concatenate([z, context, _level(z), _level(context), known[..., None].astype(z.dtype)], axis=-1)
        x = nn.Dense(self.width, dtype=self.dtype, name="stem")(given.astype(self.dtype))
        condition = self._condition(times, labels)
        turns = angles(jnp.arange(z.shape[1]), self.width // self.n_heads)
        for i in range(self.n_layers):
            x = FlowLayer(self.n_heads, self.dtype, name=f"layer_{i}")(x, condition, valid, turns)
        shift, scale = jnp.split(_zeros(2 * self.width, "modulation")(condition)[:, None], 2, axis=-1)
        x = normalised(x) * (1 + scale) + shift
        gain, added = jnp.split(_zeros(2 * z.shape[-1], "head")(x.astype(jnp.float32)), 2, axis=-1)
        return gain * z + added

    def _condition(self, times: jax.Array, labels: jax.Array) -> jax.Array:
        """(B, width): what depends on time and class alone."""
        phases = times[:, None] * np.geomspace(1.0, _FASTEST, _TIME_CHANNELS // 2).astype(np.float32)[None]
        waves = jnp.concatenate([jnp.cos(phases), jnp.sin(phases)], axis=-1)
        hidden = nn.silu(nn.Dense(self.width, name="time_in")(waves))
        of_label = nn.Embed(self.n_labels + 1, self.width, name="label")(labels)
        return nn.silu(nn.Dense(self.width, name="time_out")(hidden) + of_label)


class FlowLayer(nn.Module):
    """Attention and a gated dense layer over (B, F, width), conditioned on (B, width)."""

    n_heads: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array, valid: jax.Array, turns: jax.Array) -> jax.Array:
        width = x.shape[-1]
        six = _zeros(6 * width, "modulation")(condition)[:, None].astype(self.dtype)
        shift, scale, gate, dense_shift, dense_scale, dense_gate = jnp.split(six, 6, axis=-1)
        y = self._attention(normalised(x) * (1 + scale) + shift, valid, turns)
        x = x + gate * y
        y = normalised(x) * (1 + dense_scale) + dense_shift
        # two thirds of four times the width, in whole vectors of a processor
        hidden = -(-8 * width // 3 // 16) * 16
        left, right = jnp.split(self._dense(2 * hidden, "expand")(y), 2, axis=-1)
        return x + dense_gate * self._dense(width, "project")(nn.silu(left) * right)

    def _attention(self, x: jax.Array, valid: jax.Array, turns: jax.Array) -> jax.Array:
        batch, length, width = x.shape
        heads = batch, length, 3, self.n_heads, width // self.n_heads
        qkv = self._dense(3 * width, "qkv")(x).reshape(heads)
        query, key = (rotate(normalised(qkv[:, :, i]), turns) for i in range(2))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key).astype(jnp.float32) * np.float32(heads[-1] ** -0.5)
        weights = jax.nn.softmax(jnp.where(valid[:, None, None], scores, _UNHEARD), axis=-1)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(self.dtype), qkv[:, :, 2])
        return self._dense(width, "out")(y.reshape(batch, length, width))

    def _dense(self, features: int, name: str) -> nn.Dense:
        return nn.Dense(features, use_bias=False, dtype=self.dtype, name=name)


def _level(x: jax.Array) -> jax.Array:
    """The logarithm (B, F, 1) of a frame's power."""
    return jnp.log(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + _SOFTEST)


def normalised(x: jax.Array) -> jax.Array:
    """(…, C) with a mean square of 1 over the channels (RMSNorm, Zhang and Sennrich, 2019)."""
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(jnp.square(y), axis=-1, keepdims=True) + 1e-6)).astype(x.dtype)


def _zeros(features: int, name: str) -> nn.Dense:
    """A dense layer that begins as zero."""
    return nn.Dense(features, kernel_init=nn.initializers.zeros, name=name)


def latent_flow(
    *,
    width: int = 256,
    n_layers: int = 6,
    n_heads: int = 4,
    components: int = 64,
    whitening: float = 0.5,
    label_dropout: float = 0.15,
    fill: float = 0.5,
    time_mean: float = 0.0,
    time_std: float = 1.0,
    codec_hash: str = "",
    latent_dim: int = 64,
    window: int = 128,
    labels: tuple[str, ...] = (),
    sample_rate: int = 24_000,
    hop_length: int = 320,
    channels: int = 1,
    dtype: Any = jnp.float32,
) -> Prior:
    """A prior of `n_layers` layers; the parameters from `codec_hash` on are the codec's and the data's.

    `components` principal components of latents are modelled, and `whitening` says how much alike they count
    (`zoo.prior.measured`).
    """
    if width % (2 * n_heads):
        raise ValueError(f"width {width} is not a multiple of twice the {n_heads} heads")
    if not 1 <= components <= latent_dim:
        raise ValueError(f"components {components} must lie between 1 and latent_dim, {latent_dim}")
    if not 0 <= whitening <= 1:
        raise ValueError(f"whitening {whitening} must lie in [0, 1]")
    return Prior(
        FlowTransformer(width, n_layers, n_heads, len(labels), dtype),
        latent_dim=latent_dim,
        components=components,
        labels=labels,
        window=window,
        sample_rate=sample_rate,
        hop_length=hop_length,
        channels=channels,
        codec_hash=codec_hash,
        label_dropout=label_dropout,
        fill=fill,
        time_mean=time_mean,
        time_std=time_std,
    )
