"""Parts of a model that training leaves as they are, named by the beginning of their path in the parameter tree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax

from zoo.errors import ZooError


def trainable_mask(params: Any, freeze: Sequence[str]) -> Any:
    """The tree of `params` with True where no name in `freeze` is the beginning of a leaf's path, False elsewhere."""
    prefixes = [_parts(name) for name in freeze]

    def trainable(path: Any, _: Any) -> bool:
        parts = [str(key.key) for key in path]
        return not any(parts[: len(prefix)] == prefix for prefix in prefixes)

    return jax.tree_util.tree_map_with_path(trainable, params)


def stop_frozen(params: Any, freeze: Sequence[str]) -> Any:
    """`params`, those that are frozen without a gradient."""
    mask = trainable_mask(params, freeze)
    return jax.tree.map(lambda x, trainable: x if trainable else jax.lax.stop_gradient(x), params, mask)


def restore_frozen(new: Any, old: Any, freeze: Sequence[str]) -> Any:
    """`new`, with `old` in the place of what is frozen: even x + 0 is another number where x is −0."""
    mask = trainable_mask(new, freeze)
    return jax.tree.map(lambda x, y, trainable: x if trainable else y, new, old, mask)


def check(params: Any, freeze: Sequence[str]) -> None:
    """Raises ZooError for a name that matches nothing, and for names that leave nothing to train."""
    for name in freeze:
        tree, known = params, ""
        for part in _parts(name):
            if not isinstance(tree, dict) or part not in tree:
                there = ", ".join(tree) if isinstance(tree, dict) else "no parts"
                raise ZooError(f"freeze: there is no {name!r} in the model; {known or 'it'} has: {there}")
            tree, known = tree[part], f"{known}.{part}".lstrip(".")
    if not any(jax.tree.leaves(trainable_mask(params, freeze))):
        raise ZooError(f"freeze: {' '.join(freeze)} is the whole model, which leaves nothing to train")


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[./]", name) if part]
