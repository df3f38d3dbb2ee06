"""Finite scalar quantisation whose digits are one number: a code of all dimensions together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.bottlenecks import Quantised, SymbolFormat, straight_through

_BEYOND = 1e-3
"""share of the range by which bounded numbers may pass its ends"""


class JointFSQ(nn.Module):
    """Rounds dimension d of the latent to one of `levels[d]` values k / (levels[d] // 2), k from −levels[d] // 2 on.

    Mentzer et al. (2023), as lucidrains' vector-quantize-pytorch has it. The digits k of a frame, the first dimension's
    the least significant, are one code. Latents are bounded (`bounded`), and the gradient passes straight through.
    """

    levels: Sequence[int]

    loss_names = ()
    learnt_codebooks = None

    @property
    def default_level(self) -> int:
        return 0

    def symbols(self) -> SymbolFormat:
        return SymbolFormat((int(np.prod(self.levels)),))

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        half, places = self._half(), self._places()
        digits = jnp.round(jax.lax.stop_gradient(latent) * half) + half
        # latents of others may be out of bounds
        digits = jnp.clip(digits, 0, np.asarray(self.levels, np.float32)[None, None] - 1)
        codes = (digits.astype(jnp.int32) * places).sum(axis=-1, keepdims=True)
        return Quantised(straight_through(latent, digits / half - 1), codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        digits = codes // self._places() % np.asarray(self.levels, np.int32)[None, None]
        return digits.astype(jnp.float32) / self._half() - 1

    def _half(self) -> np.ndarray:
        return (np.asarray(self.levels) // 2).astype(np.float32)[None, None]

    def _places(self) -> np.ndarray:
        """What one step of each digit counts for."""
        return np.cumprod([1, *self.levels[:-1]]).astype(np.int32)[None, None]


def bounded(x: jax.Array, levels: Sequence[int]) -> jax.Array:
    """Bounds (B, F, D) smoothly to where `JointFSQ` of these levels rounds, in units of its steps.

    Between −levels[d] // 2 and so many steps more, and a little further at either end.
    """
    sizes = np.asarray(levels, np.float64)[None, None]
    half_range = (sizes - 1) * (1 + _BEYOND) / 2
    offset = np.where(sizes % 2 == 0, 0.5, 0.0)
    shift = np.arctanh(offset / half_range)
    y = jnp.tanh(x.astype(jnp.float32) + shift.astype(np.float32))
    return y * half_range.astype(np.float32) - offset.astype(np.float32)
