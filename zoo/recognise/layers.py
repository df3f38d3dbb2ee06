"""What an encoder computes on its way: the outputs of its layers, of whatever family it is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from zoo.codec import Codec

MOST = 8
"""layers that are taken, evenly spaced over those that there are"""
FEWEST = 4
"""The shallowest level of the module tree with so many layers on it is the one they are taken from."""
ENCODER = "encoder"


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, eq=False)
class Encoded:
    """Latents (B, F, D), and outputs of layers (B, F·r, W) by their paths, r whole and of each layer its own."""

    latent: jax.Array
    layers: dict[str, jax.Array]


def choose(module: Codec, variables: Any) -> tuple[str, ...]:
    """The paths of the layers that are taken, in the order in which they are computed; nothing is computed for it."""
    order: list[tuple[str, ...]] = []

    def remember(layer: Any, method: str) -> bool:
        inside = method == "__call__" and layer.path[:1] == (ENCODER,) and len(layer.path) > 1
        if inside and layer.path not in order:
            order.append(layer.path)
        return inside

    def encode(audio: jax.Array) -> Any:
        return module.apply(
            variables, audio, method="encode", capture_intermediates=remember, mutable=["intermediates"]
        )

    shapes = []
    for n in (4, 7):  # two lengths, of which the axis of time is the one that grows
        frames = n * max(module.min_first_frames, module.frame_multiple)
        samples = jax.ShapeDtypeStruct((1, module.max_samples(frames), module.channels), jnp.float32)
        latent, state = jax.eval_shape(encode, samples)
        shapes.append((latent.shape[1], {path: _output(state, path) for path in order}))
    (short, before), (long, after) = shapes
    usable = [path for path in order if _is_sequence(before[path], after[path], short, long)]
    for depth in sorted({len(path) for path in usable}):
        level = [path for path in usable if len(path) == depth]
        if len(level) >= FEWEST or depth == max(len(path) for path in usable):
            n = min(MOST, len(level))
            return tuple("/".join(level[(2 * i + 1) * len(level) // (2 * n)]) for i in range(n))
    return ()


def encode(module: Codec, variables: Any, audio: jax.Array, n_samples: jax.Array, paths: tuple[str, ...]) -> Encoded:
    """Latents and the outputs of layers for audio (B, T, C) of which `n_samples` (B,) count; a pure function."""
    if not paths:
        return Encoded(module.apply(variables, audio, n_samples, method="encode"), {})  # type: ignore[arg-type]
    wanted = {tuple(path.split("/")) for path in paths}
    latent, state = module.apply(
        variables, audio, n_samples, method="encode", mutable=["intermediates"],
        capture_intermediates=lambda layer, method: method == "__call__" and layer.path in wanted,
    )  # fmt: skip
    n_frames = latent.shape[1]
    return Encoded(latent, {path: _whole(_output(state, tuple(path.split("/"))), n_frames) for path in paths})


def _output(state: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What a layer gave at its first call, None if that is not kept."""
    found: Any = state["intermediates"]
    for name in path:
        found = found.get(name, {})
    return found.get("__call__", (None,))[0]


def _is_sequence(before: Any, after: Any, short: int, long: int) -> bool:
    """Whether an output is (1, T, W) for clips of `short` and of `long` frames, with equally many steps a frame."""
    if not (getattr(before, "ndim", 0) == getattr(after, "ndim", 0) == 3):
        return False
    steps = round(before.shape[1] / short)
    return (
        steps > 0
        and steps == round(after.shape[1] / long)
        and before.shape[::2] == after.shape[::2] == (1, after.shape[2])
    )


def _whole(x: jax.Array, n_frames: int) -> jax.Array:
    """Cut or filled up with zeros to a whole number of steps a frame: convolutions may leave some more, or fewer."""
    length = max(1, round(x.shape[1] / n_frames)) * n_frames
    return jnp.pad(x[:, :length], ((0, 0), (0, max(0, length - x.shape[1])), (0, 0)))
