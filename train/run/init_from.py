"""Beginning a run with what a checkpoint holds: weights, discriminators and, if asked, the optimisers' moments."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from configs.base import Config, ModelConfig, Published
from train.step.state import TrainState
from zoo import families, shipped
from zoo.errors import CheckpointError, ZooError
from zoo.published import discriminators
from zoo.saved import checkpoint, runs
from zoo.saved.orbax_read import flat, path_name, read_tree
from zoo.wording import counted, some

Arrays = dict[str, np.ndarray]
"""by path, such as decoder/head/kernel"""

RECIPES_OWN = ("quantiser_dropout",)
"""hyper-parameters that only training knows: they are the recipe's, though the architecture is the checkpoint's"""


@dataclass(frozen=True)
class Source:
    """What a checkpoint has for a run to begin with."""

    place: str
    family: str
    model: dict[str, Any]
    """hyper-parameters of the family"""
    sample_rate: int
    channels: int
    generator: Arrays
    weights: str
    """which ones, in words"""
    discriminators: Arrays = field(default_factory=dict)
    moments: Arrays | None = None
    """of the generator's optimiser: mu/PATH, nu/PATH and count; None where they were not asked for"""
    discriminator_moments: Arrays | None = None


@dataclass(frozen=True)
class Taken:
    """A tree after the arrays of the same path and shape were put into it, and what became of the others."""

    tree: Any
    matched: int
    parameters: int
    new: tuple[str, ...]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        said = [f"{self.matched} arrays ({self.parameters:,} parameters) taken over"]
        said += [f"{len(self.new)} new ({some(self.new, '; ')})"] if self.new else []
        said += [f"{len(self.left_out)} left out ({some(self.left_out, '; ')})"] if self.left_out else []
        return ", ".join(said)


def read(name: str, *, weights: str = "averaged", optimisers: bool = False) -> Source:
    """Reads a run directory, one of its checkpoints, or whatever else `zoo.load` takes.

    Raises CheckpointError where there is nothing, or it is damaged; ZooError for something that it does not have.
    """
    if runs.is_run(name):
        return _of_run(runs.find(name), weights, optimisers)
    codec = zoo.load(name)
    if weights != "averaged" or optimisers:
        asked = "init_optimisers" if optimisers else f"init_weights {weights}"
        raise ZooError(f"{name} is no run of this program: it has no training state for {asked}")
    family, model = str(codec.metadata["family"]), dict(codec.metadata["model"])
    return Source(
        place=name,
        family=family,
        model=model,
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        generator=flat(codec.variables["params"]),
        weights="its only weights",
        discriminators=discriminators.beside(shipped.FOLDER / name if shipped.is_name(name) else Path(name)),
    )


def architecture(config: Config, source: Source, overrides: Collection[str] = ()) -> Config:
    """The configuration of the run: a checkpoint of a published family brings its own architecture.

    `overrides` are hyper-parameters that were asked for. Raises ZooError where they, or the number of channels,
    contradict the checkpoint.
    """
    if source.family in families.names():
        ours = _create(config.model)
        if ours.channels != source.channels:
            raise ZooError(
                f"{source.place} has {counted(source.channels, 'channel')}, but the model to train has "
                f"{ours.channels}: set --model.channels {source.channels}"
            )
        return config
    if refused := sorted(set(overrides) - set(RECIPES_OWN)):
        raise ZooError(
            f"model.{refused[0]} cannot be set: the architecture is that of {source.place} ({source.family}), "
            f"{config.model.recipe!r} is only the recipe"
        )
    recipe = config.model.kwargs()
    model = source.model | {key: recipe[key] for key in RECIPES_OWN if key in recipe and key in source.model}
    return dataclasses.replace(config, model=Published(source.family, model, config.model.recipe))


def differences(config: Config, source: Source) -> list[str]:
    """Lines that say with which other hyper-parameters a checkpoint's weights were trained: they fit all the same.

    What is convolved can go on at another sample rate; all that the new run keeps, its tables included, is of that one.
    """
    rate = _create(config.model).sample_rate
    lines = []
    if rate != source.sample_rate:
        lines.append(f"the weights were trained at {source.sample_rate} Hz; continuing at {rate} Hz")
    if config.model.family == source.family:
        apart = (*RECIPES_OWN, "sample_rate")
        lines += [
            f"the weights were trained with model.{key} {_json(source.model[key])}; continuing with {_json(value)}"
            for key, value in config.model.kwargs().items()
            if key in source.model and key not in apart and _json(source.model[key]) != _json(value)
        ]
    return lines


def begin(state: TrainState, source: Source) -> tuple[TrainState, str]:
    """A new run's state with what fits of `source`, and a few lines that say what does not.

    Parameters and their average both become the checkpoint's weights; steps, schedules and the position in the data
    begin at zero. Raises CheckpointError if nothing fits.
    """
    generator = _take(state.params, source.generator)
    if not generator.matched:
        raise CheckpointError(
            f"{source.place} ({source.family}) has nothing for this model: no array of the same name and shape; it has "
            f"{some(source.generator, '; ')}; the model {some(generator.new, '; ')}"
        )
    lines = [
        f"beginning with {source.place} ({source.family}, {source.sample_rate} Hz, {source.weights})",
        f"  generator: {generator}",
    ]
    changes: dict[str, Any] = {"params": generator.tree, "ema": jax.tree.map(jnp.copy, generator.tree)}
    if state.discriminator:
        adversaries = _take(state.discriminator, source.discriminators)
        changes["discriminator"] = adversaries.tree
        none = f"all new, {source.place} has none"
        lines.append(f"  discriminators: {adversaries if source.discriminators else none}")
    elif source.discriminators:
        lines.append("  discriminators: left out, this run has none (adversarial_start)")
    if source.moments is not None:
        changes["opt_state"], said = _take_moments(state.opt_state, source.moments)
        lines.append(f"  optimiser: {said}")
    if source.discriminator_moments is not None and state.discriminator:
        changes["discriminator_opt_state"], said = _take_moments(
            state.discriminator_opt_state, source.discriminator_moments
        )
        lines.append(f"  discriminators' optimiser: {said}")
    return state.replace(**changes), "\n".join(lines)  # type: ignore[attr-defined]


def _of_run(place: Path, weights: str, optimisers: bool) -> Source:
    metadata = checkpoint.read_metadata(place)
    try:
        module = families.create(metadata["family"], **metadata["model"])
    except ZooError as error:
        raise CheckpointError(f"checkpoint {place}: {error}") from None
    training = (place / "training").is_dir()
    if not training and (weights == "raw" or optimisers):
        asked = "init_optimisers" if optimisers else "init_weights raw"
        raise CheckpointError(f"checkpoint {place} has no training state for {asked}")
    wanted = {"discriminator"} | ({"params"} if weights == "raw" else set())
    wanted |= {"opt_state", "discriminator_opt_state"} if optimisers else set()
    state = read_tree(place / "training", wanted) if training else {}
    generator = state["params"] if weights == "raw" else read_tree(place / "codec", {"params"})["params"]
    said = f"step {metadata.get('step')}, {weights} weights"
    adversaries = flat(state.get("discriminator") or {})
    moments = _moments(state["opt_state"]) if optimisers else None
    others = _moments(state["discriminator_opt_state"]) if optimisers and adversaries else None
    return Source(
        place=str(place),
        family=metadata["family"],
        model=metadata["model"],
        sample_rate=module.sample_rate,
        channels=module.channels,
        generator=flat(generator),
        weights=said,
        discriminators=adversaries,
        moments=moments,
        discriminator_moments=others,
    )


def _take(tree: Any, source: Mapping[str, np.ndarray]) -> Taken:
    new: list[str] = []
    misshaped: set[str] = set()
    matched: dict[str, int] = {}

    def take(path: Any, leaf: jax.Array) -> jax.Array:
        name = path_name(path)
        found = source.get(name)
        if found is None:
            new.append(name)
            return leaf
        if found.shape != leaf.shape:
            misshaped.add(name)
            new.append(f"{name}, {_shape(leaf)} here and {_shape(found)} there")
            return leaf
        matched[name] = leaf.size
        return jnp.array(found, leaf.dtype)  # a copy: the step gives its buffers away

    taken = jax.tree_util.tree_map_with_path(take, tree)
    # what is there in another shape is named once, as new
    left_out = tuple(name for name in source if name not in matched and name not in misshaped)
    return Taken(taken, len(matched), sum(matched.values()), tuple(new), left_out)


def _take_moments(opt_state: Any, source: Arrays) -> tuple[Any, str]:
    """Adam's moments and its count, without which they would be taken for those of a first step; not the schedules."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(opt_state)
    names = _moment_names([path_name(path) for path, _ in leaves])
    missing = 0
    taken = []
    for name, (_, leaf) in zip(names, leaves):
        found = source.get(name) if name else None
        fits = found is not None and found.shape == leaf.shape
        missing += bool(name) and not fits
        taken.append(jnp.array(found, leaf.dtype) if fits else leaf)
    n = sum(map(bool, names))
    said = f"{n - missing} arrays of moments taken over" + (f", {missing} begin at zero" if missing else "")
    return jax.tree_util.tree_unflatten(structure, taken), f"{said}; its schedule begins anew"


def _moments(opt_state: Any) -> Arrays:
    arrays = flat(opt_state)
    return {name: array for name, array in zip(_moment_names(list(arrays)), arrays.values()) if name}


def _moment_names(paths: list[str]) -> list[str]:
    """Names of an optimiser's leaves that do not depend on what its parts are wrapped in; empty for all but Adam's."""
    split = [path.split("/") for path in paths]
    adam = next((p[: p.index("mu")] for p in split if "mu" in p), None)
    ours = [adam is not None and p[: len(adam)] == adam for p in split]
    return ["/".join(p[len(adam or []) :]) if own else "" for p, own in zip(split, ours)]


def _shape(array: Any) -> str:
    return "×".join(map(str, array.shape)) or "a number"


def _json(value: Any) -> str:
    """A hyper-parameter as JSON has it, in which tuples are lists."""
    return json.dumps(value)


def _create(model: ModelConfig) -> Any:
    return families.create(model.family, **model.kwargs())
