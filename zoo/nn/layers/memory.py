"""Layers that remember all that came before, and how they go on from chunk to chunk.

A window of a long clip is [before | chunk | after] frames. A layer with memory keeps its state at the beginning of the
next window's chunk in the variable collection "carry", if that is mutable; otherwise the array is a whole clip, and
what came before it is nothing. A network that goes on layer by layer (`zoo.nn.layers.chunk`) gives it the new steps
alone, as long as it is a layer of the network's own list, or in a sum beside layers that mix no steps.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers.edges import Span, apply_mask
from zoo.nn.layers.parameters import Dtype, Module, per_channel


def carrying(module: nn.Module) -> bool:
    """Whether the module is given a window, whose past is in the collection "carry", rather than a whole clip."""
    return module.is_mutable_collection("carry") and not module.is_initializing()


class LSTM(Module):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997), `n_layers` deep: (B, F, C) -> (B, F, C).

    Gates stand in the order input, forget, cell, output. Frames outside the clip leave the state as it is. In a
    window, the inputs are whole from frame `first` on, and `beside` frames do not belong to the chunk: the state
    that is carried on is the one after frame first + (F − beside) − 1.
    """

    n_layers: int = 1
    first: int = 0
    beside: int = 0
    dtype: Dtype = jnp.float32
    remembers: bool = True
    """whether the state is carried on; otherwise every array begins with none, even where others carry theirs"""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        """Without what is remembered."""
        return span

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, frames, size = x.shape
        windowed = self.remembers and carrying(self)
        first, n = (self.first, frames - self.beside) if windowed else (0, frames)
        valid = jnp.ones((batch, frames), bool) if mask is None else mask
        x = apply_mask(x, mask).astype(self.dtype)
        dense = nn.initializers.uniform(2 * size**-0.5)
        for i in range(self.n_layers):
            kernel = self.param(f"kernel_{i}", dense, (size, 4 * size), jnp.float32)
            recurrent = self.param(f"recurrent_{i}", dense, (size, 4 * size), jnp.float32).astype(self.dtype)
            bias = self.param(f"bias_{i}", nn.initializers.zeros, (4 * size,), jnp.float32)
            gates = x @ kernel.astype(self.dtype) + per_channel(bias, self.dtype)
            state = jnp.zeros((2, batch, size), self.dtype)
            if windowed:
                carried = self.variable("carry", f"state_{i}", jnp.zeros, (2, batch, size), self.dtype)
                state = carried.value
            state, chunk = _run(state, gates[:, first : first + n], valid[:, first : first + n], recurrent)
            if windowed:
                carried.value = state
            parts = [jnp.zeros((batch, first, size), self.dtype), chunk]
            if first + n < frames:
                parts.append(_run(state, gates[:, first + n :], valid[:, first + n :], recurrent)[1])
            x = jnp.concatenate(parts, axis=1)
        return x


class Remembering(nn.Module):
    """A causal convolution of stride 1 whose past is remembered from chunk to chunk, and no part of any context.

    At the rate of the frames: (B, F, C) -> (B, F, C'). It pays where many such layers follow each other, whose contexts
    add up.
    """

    layer: Any
    """a module like `Conv1d`, which is given zeros before a clip as they are"""
    past: int
    """frames before its own on which an output depends"""

    @nn.nowrap
    def inputs(self, span: Span) -> Span:
        """Without what is remembered."""
        return span

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        x = apply_mask(x, mask)
        if not carrying(self):
            y: jax.Array = self.layer(x, None)
            return y
        batch, _, channels = x.shape
        carried = self.variable("carry", "past", jnp.zeros, (batch, self.past, channels), x.dtype)
        x = jnp.concatenate([carried.value, x], axis=1)
        carried.value = x[:, -self.past :]
        return self.layer(x, None)[:, self.past :]


def _run(state: jax.Array, gates: jax.Array, valid: jax.Array, recurrent: jax.Array) -> tuple[jax.Array, jax.Array]:
    """State (2, B, C) after, and outputs (B, n, C) of, frames whose inputs gave `gates` (B, n, 4·C)."""

    def step(
        state: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        (output, cell), (gate, inside) = state, inputs
        i, f, g, o = jnp.split(gate + output @ recurrent, 4, axis=-1)
        new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_output = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
        output = jnp.where(inside[:, None], new_output, output)
        return (output, jnp.where(inside[:, None], new_cell, cell)), output

    # two arrays, because putting them together in each step takes a fifth of the time
    last, outputs = jax.lax.scan(step, (state[0], state[1]), (gates.swapaxes(0, 1), valid.swapaxes(0, 1)))
    return jnp.stack(last), outputs.swapaxes(0, 1)
