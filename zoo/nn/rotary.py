"""Rotary positions (Su et al., 2021): attention scores that depend on how far apart two steps are."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def angles(positions: jax.Array, head_dim: int, theta: float = 10_000.0) -> jax.Array:
    """The angles of rotation (T, head_dim / 2), radians, of the steps at `positions` (T,)."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    return positions.astype(jnp.float32)[:, None] * frequencies[None]


def rotate(x: jax.Array, turns: jax.Array) -> jax.Array:
    """Turns channels d and d + D/2 of (B, T, H, D) by angle d of `turns` (T, D/2), as if they were a complex number."""
    cosine, sine = (f(turns).astype(x.dtype)[None, :, None] for f in (jnp.cos, jnp.sin))
    real, imaginary = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([real * cosine - imaginary * sine, imaginary * cosine + real * sine], axis=-1)
