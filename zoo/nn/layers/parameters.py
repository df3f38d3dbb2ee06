"""What all layers say about their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Dtype = Any
Initializer = Callable[..., jax.Array]


def per_channel(parameter: jax.Array, dtype: Dtype = jnp.float32) -> jax.Array:
    """(C,) -> (1, 1, C): ranks are never promoted implicitly."""
    return parameter.astype(dtype)[None, None]
