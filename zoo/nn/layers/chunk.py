"""Long clips chunk by chunk: each layer keeps the last of its inputs, and nothing is computed twice but at its seams.

A window of a clip is the frames on which a chunk depends, [before | chunk | after]. From chunk to chunk it moves on by
a chunk's n frames, and so does every layer: by its `inputs` it is known up to where its outputs are needed, which it
was given up to n frames earlier, so that it takes n frames of new inputs and gives n frames of new outputs. What of the
older inputs these depend on as well, it has kept in the variable collection "carry" (overlap-save, layer by layer).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.layers.edges import Span


@dataclass(frozen=True)
class Chunk:
    """Where in the window of a chunk the new inputs of some layers end, and which of their outputs are wanted.

    Positions count samples from the window's beginning, at the rate that the signal has there.
    """

    mask: jax.Array
    """bool (B, W), the window's frames that belong to the clip, or at a rate that is a whole multiple of that"""
    frames: int
    """W, of the window"""
    before: int
    n: int
    """frames of a chunk"""
    is_first: bool
    """whether nothing came before, so that all from the chunk's first frame on is new"""
    end: int
    """where the inputs end"""
    rate: int
    """outputs to a frame"""
    last: int
    """the last output that is wanted"""

    @property
    def outputs(self) -> Span:
        """Those that are wanted."""
        return Span(self.before * self.rate if self.is_first else self._usually_first, self.last)

    @property
    def usual_outputs(self) -> Span:
        """Those that are wanted of a chunk that is not the first one."""
        return Span(self._usually_first, self.last)

    @property
    def _usually_first(self) -> int:
        return self.last + 1 - self.n * self.rate

    def mask_at(self, rate: int, first: int, length: int) -> jax.Array:
        """The mask (B, length) of so many samples from `first` on, at a rate in samples to a frame."""
        wide = jnp.repeat(self.mask, rate * self.frames // self.mask.shape[1], axis=1)
        return _cut(wide, 0, first, first + length)


_FAR = 1 << 10
"""frames, a whole number of the windows of any attention that has a grid"""


def _inputs_per_frame(layer: Any, rate: int) -> int:
    """Samples of a layer's input to a frame, of which there are `rate` samples of its output."""
    far = _FAR * rate
    further: int = layer.inputs(Span(far, far)).first - layer.inputs(Span(0, 0)).first
    return further // _FAR


def can_continue(layers: Iterable[Any], rate: int) -> bool:
    """Whether layers whose output has so many samples to a frame can go on from chunk to chunk.

    They can if outputs a step later depend on inputs a step later, which is not so where attention has a grid.
    """
    return all(_continues(layer, rate, 0) or _steady(layer, rate) for layer, rate, _ in _backwards(layers, rate, 0))


def continued(module: nn.Module, layers: Iterable[Any], x: jax.Array, chunk: Chunk) -> jax.Array:
    """What the layers, one after the other, make of the new inputs (B, T, …) of a chunk: its new outputs.

    What they keep are variables of `module`. Between layers there may be several signals, a tuple of arrays.
    """
    layers = list(layers)
    ends = {id(layer): (rate, last) for layer, rate, last in _backwards(layers, chunk.rate, chunk.last)}
    for i, layer in enumerate(layers):
        if id(layer) not in ends:
            x = layer(x)
            continue
        rate, last = ends[id(layer)]
        chunk = replace(chunk, rate=rate, last=last)
        if _continues(layer, rate, chunk.n * rate):
            x = layer(x, chunk)
        else:
            x = _overlapped(module, f"past_{i}", layer, x, chunk)
        mask = layer.mask_after(chunk.mask, chunk.frames * rate) if hasattr(layer, "mask_after") else chunk.mask
        chunk = replace(chunk, mask=mask, end=last + 1)
    return x


def _backwards(layers: Iterable[Any], rate: int, last: int) -> Iterator[tuple[Any, int, int]]:
    """Of each layer that mixes samples, the last one first: samples of its output to a frame, and the last wanted."""
    for layer in reversed(list(layers)):
        if hasattr(layer, "inputs"):
            yield layer, rate, last
            rate, last = _inputs_per_frame(layer, rate), layer.inputs(Span(last, last)).last


def _continues(layer: Any, rate: int, length: int) -> bool:
    return hasattr(layer, "continues") and layer.continues(rate, length)


def _steady(layer: Any, rate: int) -> bool:
    into, out = _step(layer, rate)
    now, later = layer.inputs(Span(0, 0)), layer.inputs(Span(out, out))
    return bool(later == Span(now.first + into, now.last + into))


def _step(layer: Any, rate: int) -> tuple[int, int]:
    """The fewest samples of the input that are a whole number of samples of the output, and that number."""
    into = _inputs_per_frame(layer, rate)
    common = math.gcd(into, rate)
    return into // common, rate // common


def _overlapped(module: nn.Module, name: str, layer: Any, x: Any, chunk: Chunk) -> Any:
    """The new outputs of a layer that knows nothing of chunks: it is given what it needs as a clip of its own."""
    (into, out), rate = _step(layer, chunk.rate), _inputs_per_frame(layer, chunk.rate)

    def first_needed(outputs: Span) -> int:
        return int(layer.inputs(outputs).first) // into * into

    past = max(chunk.end - chunk.n * rate - first_needed(chunk.usual_outputs), 0)
    if past:
        nothing = jax.tree.map(lambda new: jnp.zeros((new.shape[0], past, *new.shape[2:]), new.dtype), x)
        carried = module.variable("carry", name, lambda: nothing)
        x = jax.tree.map(lambda kept, new: jnp.concatenate([kept, new], axis=1), carried.value, x)
        carried.value = jax.tree.map(lambda array: array[:, -past:], x)
    outputs = chunk.outputs
    # a layer that moves a signal in time gives outputs beside its inputs
    first = min(first_needed(outputs), outputs.first // out * into)
    end = max(layer.inputs(outputs).last + 1, -(-(outputs.last + 1) // out) * into)
    steps = -(-(end - first) // into)
    x = jax.tree.map(lambda array: _cut(array, chunk.end - array.shape[1], first, first + steps * into), x)
    slow = min(rate, chunk.rate)
    y = layer(x, chunk.mask_at(slow, first * slow // rate, steps * into * slow // rate))
    start = outputs.first - first // into * out
    return jax.tree.map(lambda array: array[:, start : start + outputs.last + 1 - outputs.first], y)


def _cut(x: jax.Array, begins: int, first: int, end: int) -> jax.Array:
    """The samples first … end − 1 of an array (B, T, …) that begins with sample `begins`; zeros where it has none."""
    before, after = max(begins - first, 0), max(end - begins - x.shape[1], 0)
    if before or after:
        x = jnp.pad(x, ((0, 0), (before, after), *((0, 0),) * (x.ndim - 2)))
    return x[:, first - begins + before :][:, : end - first]
