"""Activations of whole blocks computed again in the backward pass, for models that do not fit the memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax

from zoo.nn.layers import Block


@contextlib.contextmanager
def rematerialised(on: bool) -> Iterator[None]:
    """Within it, modules that are applied keep no activations inside a `Block` (Chen et al., 2016).

    The values stay the same; a step computes each block's forward pass twice. Nothing happens unless `on`.
    """
    if not on:
        yield
        return
    inside = False

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        nonlocal inside
        module = context.module
        if inside or not isinstance(module, Block) or context.method_name != "__call__" or module.is_initializing():
            return call(*args, **kwargs)
        apply = module.clone(parent=None, name=None).apply
        inside = True  # of this function's own call, while it is traced
        try:
            return jax.checkpoint(lambda variables, args: apply(variables, *args, **kwargs))(module.variables, args)
        finally:
            inside = False

    with nn.intercept_methods(intercept):
        yield
