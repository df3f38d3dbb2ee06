"""Networks that list their layers once: walked forwards the list computes, walked backwards it says what was needed."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import flax.linen as nn
import jax

from zoo.nn.layers.chunk import Chunk, can_continue, continued
from zoo.nn.layers.edges import Span
from zoo.nn.layers.parameters import Module

Layer = Callable[..., Any]
"""A module, or anything else that can be called, of a signal or a tuple of signals. One that has `inputs` is called
with (x, mask); one that has none works on each step of time by itself, and is called with x alone. Where clips end
earlier in its output than in its input, `mask_after(mask, length)` is the mask of the output, of so many samples."""
Layers = Iterable[Layer]


Asked = ParamSpec("Asked")
Found = TypeVar("Found")


def run(layers: Layers, x: Any, mask: jax.Array | None) -> Any:
    """What the layers, one after the other, make of `x` (B, T, C); `mask` bool (B, F), or None."""
    for layer in layers:
        x = layer(x, mask) if hasattr(layer, "inputs") else layer(x)
        mask = layer.mask_after(mask, jax.tree.leaves(x)[0].shape[1]) if hasattr(layer, "mask_after") else mask
    return x


def inputs_of(layers: Layers, span: Span) -> Span:
    """The inputs of the first layer on which the outputs `span` of the last one depend."""
    for layer in reversed(list(layers)):
        span = layer.inputs(span) if hasattr(layer, "inputs") else span
    return span


def asking(function: Callable[Asked, Found]) -> Callable[Asked, Found]:
    """Decorates what makes layers only to ask them for their inputs, such as a module's method `inputs(self, span)`.

    Modules become a part of the module in whose methods they are made, which may be another one that is being
    computed, and where their names may be taken. Those that are made in a decorated function become a part of nothing.
    """

    @nn.nowrap
    @functools.wraps(function)
    def ask(*args: Asked.args, **kwargs: Asked.kwargs) -> Found:
        found: Any = _Nowhere().apply({}, functools.partial(function, *args, **kwargs))
        return found

    return ask


class _Nowhere(nn.Module):
    """What modules are a part of that nobody keeps."""

    @nn.compact
    def __call__(self, ask: Callable[[], Any]) -> Any:
        return ask()


class Network(Module):
    """Layers one after the other, (B, T, C) -> (B, T', C'); a subclass only says which.

    Its method `layers` makes them, with the names that their parameters are to have. What is more than a list overrides
    `__call__`, and `inputs` where the way through its lists is another.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        if "layers" in vars(cls):
            nn.nowrap(cls.layers)  # what it makes becomes a part of the module that is being computed
        super().__init_subclass__(**options)

    def layers(self) -> Layers:
        """The layers, the first one first."""
        raise NotImplementedError

    @asking
    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        return inputs_of(self.layers(), span)

    @asking
    def continues(self, rate: int, length: int = 0) -> bool:
        """Whether it may be given a `Chunk` rather than a mask.

        Its output has `rate` samples to a frame, and `length` samples to a chunk.
        """
        return type(self).__call__ is Network.__call__ and can_continue(self.layers(), rate)

    @nn.compact
    def __call__(self, x: jax.Array, mask: Any = None) -> jax.Array:
        if isinstance(mask, Chunk):
            return continued(self, self.layers(), x, mask)
        return run(self.layers(), x, mask)


class Residual(Network):
    """Layers one after the other, and what goes into the first of them added to what comes out of the last."""

    @asking
    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        return span | inputs_of(self.layers(), span)

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return x + run(self.layers(), x, mask)


class Sum:
    """The sum of what each of the branches, which are lists of layers, makes of the same input.

    A branch without layers gives the input as it is.
    """

    def __init__(self, *branches: Layers) -> None:
        self._branches = [list(branch) for branch in branches]

    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` of any branch depend."""
        return functools.reduce(operator.or_, [inputs_of(branch, span) for branch in self._branches])

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return functools.reduce(operator.add, [run(branch, x, mask) for branch in self._branches])


@dataclass(frozen=True)
class Beside:
    """A layer of the first of several signals, which are a tuple; the others go past it as they are."""

    layer: Layer

    def inputs(self, span: Span) -> Span:
        """The inputs on which the outputs `span` depend."""
        return span | inputs_of([self.layer], span)

    def __call__(self, signals: tuple[jax.Array, ...], mask: jax.Array | None = None) -> tuple[jax.Array, ...]:
        first, *others = signals
        return run([self.layer], first, mask), *others


@dataclass(frozen=True)
class Transform:
    """A function of (x, mask) as a layer, and on what its outputs depend."""

    function: Callable[[Any, Any], Any]
    inputs: Callable[[Span], Span]
    continues: Callable[[int, int], bool] = lambda rate, length: False
    """as of a `Network`: whether the function may be given a `Chunk` rather than a mask"""
    mask_after: Callable[[jax.Array | None, int], jax.Array | None] = lambda mask, length: mask

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        return self.function(x, mask)
