"""What all layers say about their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Dtype = Any
Initializer = Callable[..., jax.Array]


PER_TENTH = 10.0
"""What a parameter called `…_tenths` is multiplied with where it is used: an optimiser's step of 1e-3 is one of a
hundredth then, which moves the logarithm of a scale by a per cent, and lets an entry of a codebook follow."""


def per_channel(parameter: jax.Array, dtype: Dtype = jnp.float32) -> jax.Array:
    """Reshapes (C,) to (1, 1, C): ranks are never promoted implicitly."""
    return parameter.astype(dtype)[None, None]
