"""Parameters of layers: how they are declared, and what all layers say about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Dtype = Any
Initializer = Callable[..., jax.Array]


PER_TENTH = 10.0
"""What a parameter called `…_tenths` is multiplied with where it is used: an optimiser's step of 1e-3 is one of a
hundredth then, which moves the logarithm of a scale by a per cent, and lets an entry of a codebook follow."""


class Module(nn.Module):
    """A linen module that traces the initialiser of a parameter only where the parameter is made.

    flax traces it at every use as well, to compare shapes, which is a fifth of the time that a codec takes to trace.
    """

    @nn.nowrap
    def param(  # type: ignore[override]
        self, name: str, init_fn: Initializer, shape: tuple[int, ...], dtype: Dtype = jnp.float32
    ) -> jax.Array:
        """The parameter `name`; raises ScopeParamShapeError if it is there and has another shape."""
        if not self.has_variable("params", name):
            made: jax.Array = super().param(name, init_fn, shape, dtype)
            return made
        value: jax.Array = self.variable("params", name).value
        if np.shape(value) != tuple(shape):
            where = "/" + "/".join(self.path)
            raise flax.errors.ScopeParamShapeError(name, where, np.shape(value), tuple(shape))
        return value


def per_channel(parameter: jax.Array, dtype: Dtype = jnp.float32) -> jax.Array:
    """Reshapes (C,) to (1, 1, C): ranks are never promoted implicitly."""
    return parameter.astype(dtype)[None, None]
