"""Attention inside windows of time, of SNAC (Siuzdak, Grötschla and Lanzendörfer, 2024)."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers import Conv1d, Dtype, LayerNorm, Span
from zoo.published.keymap import DENSE_AS_CONV, VECTOR, Entry, Layout

HEAD_DIM = 64


class LocalAttention(nn.Module):
    """Attention with rotary positions (Su et al., 2021) inside windows of (B, T, C), and the residual.

    T is a multiple of `window`.
    """

    window: int
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        return Span(span.first // self.window * self.window, (span.last // self.window + 1) * self.window - 1)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, length, channels = x.shape
        if length % self.window:
            raise ValueError(f"{length} steps are not a whole number of windows of {self.window}")
        y = LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(x)
        y = Conv1d(3 * channels, use_bias=False, dtype=self.dtype, name="qkv")(y)
        y = y.reshape(batch * length // self.window, self.window, 3, channels // HEAD_DIM, HEAD_DIM)
        query, key, value = _rotated(y[:, :, 0]), _rotated(y[:, :, 1]), y[:, :, 2]
        y = jax.nn.dot_product_attention(query, key, value).reshape(batch, length, channels)
        return x + Conv1d(channels, use_bias=False, dtype=self.dtype, name="out")(y)


def attention_entries(path: str, key: str) -> list[Entry]:
    """Maps the parameters of the layer at `path` to their keys in the authors' checkpoints."""
    return [
        Entry(f"{path}/norm/scale", (f"{key}.norm.weight",), VECTOR),
        Entry(f"{path}/norm/bias", (f"{key}.norm.bias",), VECTOR),
        Entry(f"{path}/qkv/kernel", (f"{key}.to_qkv.weight",), DENSE_AS_CONV),
        Entry(f"{path}/out/kernel", (f"{key}.to_out.weight",), DENSE_AS_CONV),
    ]


def constant_entries(path: str, key: str) -> list[Entry]:
    """What a checkpoint is to hold besides."""
    return [Entry(f"{path}/qkv/kernel", (f"{key}.rel_pos.inv_freq",), _INVERSE_FREQUENCIES)]


def _inverse_frequencies() -> np.ndarray:
    return (1.0 / 10_000 ** (np.arange(0, HEAD_DIM, 2) / HEAD_DIM)).astype(np.float32)


def _rotated(x: jax.Array) -> jax.Array:
    """Channels c and c + HEAD_DIM / 2 of (N, T, heads, HEAD_DIM) turned by angles that grow with time."""
    angles = np.arange(x.shape[1], dtype=np.float32)[:, None] * _inverse_frequencies()
    cosine = jnp.asarray(np.cos(angles)[None, :, None], x.dtype)
    sine = jnp.asarray(np.sin(angles)[None, :, None], x.dtype)
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=-1)


_INVERSE_FREQUENCIES = Layout("INVERSE_FREQUENCIES", lambda array: array, lambda _: (_inverse_frequencies(),))
"""a buffer that the torch model insists on, although it is a constant"""
