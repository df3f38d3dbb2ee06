"""Weights at random, for codecs that nobody has trained."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from zoo.codec import Codec, parameter_shapes


def random_variables(module: Codec, seed: int = 0) -> dict[str, Any]:
    """Variables of a codec of which none has its neutral initial value: no layer is silent, or the identity."""
    variables: dict[str, Any] = random_like({"params": parameter_shapes(module)}, seed)
    return variables


def random_like(shapes: Any, seed: int = 0) -> Any:
    """A tree of normally distributed numbers: kernels keep a signal's scale, scales are near 1 and all else near 0."""
    rng = np.random.default_rng(seed)

    def draw(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(leaf.shape) > 1:
            return (rng.standard_normal(leaf.shape) * np.prod(leaf.shape[:-1]) ** -0.5).astype(np.float32)
        mean = 1.0 if path[-1].key in ("scale", "alpha", "layer_scale") else 0.0
        return (mean + 0.1 * rng.standard_normal(leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
