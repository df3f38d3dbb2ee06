"""What a run is about to train: parameters by part, and operations per second of audio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from evaluate.bench import operations
from train.devices import processes
from zoo.codec import Codec

if TYPE_CHECKING:
    from rich.table import Table

    from train.step.task import CodecTask

FRAMES = 4
"""Operations of an additional so many groups of frames are counted: the ends of a clip are no part of what a second
costs."""


@dataclass(frozen=True)
class Part:
    """A part of the model, and how deep it lies in it."""

    name: str
    depth: int
    parameters: int
    megabytes: float


@dataclass(frozen=True)
class Flops:
    """The operations of a forward pass per second of audio, additions included; None for what is no codec."""

    encoder: float | None
    decoder: float | None


def parts(params: Mapping[str, Any], discriminator: Mapping[str, Any], *, depth: int = 2) -> list[Part]:
    """Encoder, bottleneck, decoder and, where there are any, discriminators, each with its own parts."""
    trees = dict(params) | ({"discriminators": discriminator} if discriminator else {})
    order = {name: place for place, name in enumerate(("encoder", "bottleneck", "decoder", "discriminators"))}
    found: list[Part] = []

    def add(name: str, tree: Any, level: int) -> None:
        leaves = jax.tree.leaves(tree)
        megabytes = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / 1e6
        found.append(Part(name, level, sum(leaf.size for leaf in leaves), megabytes))
        if level + 1 < depth and isinstance(tree, Mapping):
            for key, below in tree.items():
                add(key, below, level + 1)

    for name in sorted(trees, key=lambda name: (order.get(name, len(order)), name)):
        add(name, trees[name], 0)
    return found


def flops(module: Any, params: Any) -> Flops:
    """Operations of a codec per second of audio (`evaluate.bench.operations`); nothing is compiled."""
    if not isinstance(module, Codec):
        return Flops(None, None)
    group = FRAMES * module.frame_multiple
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)

    def per_second(count: Callable[[int], float]) -> float:
        return (count(2 * group) - count(group)) / group * module.frame_rate_hz

    def audio(frames: int) -> jax.ShapeDtypeStruct:
        # the longest clip of that many frames; one of few may be shorter than the silence around it
        n = max(module.max_samples(frames + module.n_frames(0)), 1)
        return jax.ShapeDtypeStruct((1, n, module.channels), jnp.float32)

    def encode(frames: int) -> float:
        run = lambda p, x: module.apply({"params": p}, x, method="encode")  # noqa: E731
        return operations.of(run, shapes, audio(frames))

    latent_dim = jax.eval_shape(
        lambda p, x: module.apply({"params": p}, x, method="encode"), shapes, audio(group)
    ).shape[-1]

    def decode(frames: int) -> float:
        run = lambda p, z: module.apply({"params": p}, z, method="decode_frames")  # noqa: E731
        return operations.of(run, shapes, jax.ShapeDtypeStruct((1, frames, latent_dim), jnp.float32))

    return Flops(per_second(encode), per_second(decode))


def show(task: CodecTask, params: Any, discriminator: Any) -> None:
    """Prints the table, by process 0."""
    from evaluate.table import console

    if processes.is_first():
        table = render(parts(params, discriminator), flops(task.module, params))
        console(table=table).print(table)
        sys.stdout.flush()


def render(found: list[Part], counted: Flops) -> Table:
    """The rich table."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("part")
    for head in ("parameters", "MB", "GFLOP per s of audio"):
        table.add_column(head, justify="right")
    by_part = {"encoder": counted.encoder, "decoder": counted.decoder}
    for part in found:
        top = part.depth == 0
        table.add_row(
            "  " * part.depth + part.name,
            f"{part.parameters:,}",
            f"{part.megabytes:.2f}",
            giga(by_part[part.name]) if top and part.name in by_part else "",
            style="bold" if top else "dim",
        )
    total = [part for part in found if part.depth == 0]
    table.add_section()
    table.add_row("all", f"{sum(p.parameters for p in total):,}", f"{sum(p.megabytes for p in total):.2f}", "")
    return table


def giga(value: float | None) -> str:
    """Writes a number in 10⁹, to three digits."""
    return "–" if value is None else f"{value / 1e9:.3g}"
