"""From weights that a training loop of anyone's own has made to a codec ready for use: `ready_codec`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import jax
import numpy as np

from zoo import arguments, families
from zoo.audio.arrays import as_audio
from zoo.bitstream.entropy import EntropyModel, Fitter
from zoo.codec import Codec, parameter_shapes
from zoo.coding.clips import to_model
from zoo.errors import ZooError
from zoo.published import keymap
from zoo.ready import ReadyCodec

Task = Literal["reconstruct", "denoise"]


def ready_codec(
    family: str,
    variables: Mapping[str, Any],
    clips: Any = (),
    sample_rate: int | None = None,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    task: Task = "reconstruct",
    networks: bool = False,
) -> ReadyCodec:
    """A codec ready for use, of trained weights, with an entropy coder fitted to its codes of some clips at all levels.

    `variables` {"params": tree} are what `zoo.create(family, **hyperparameters).apply` takes; those hyper-parameters
    must be JSON values. `clips` is audio (T,), (T, C) or (B, T, C) at `sample_rate` Hz, by default the codec's, or an
    iterable of such arrays of any length: a few minutes of the training data. Other clips than these are coded as
    exactly, in some more bytes. A codec without codes takes none; `task` "denoise" says that it restores its input.
    `networks` code the symbols of scalar quantisers better and take up to a minute to fit.

    `zoo.export` writes the codec to a folder for `zoo.load`. Raises ZooError for parameters that are missing, unknown,
    misshaped or not finite, clips that the codec cannot take, hyper-parameters that cannot be saved.
    """
    if task not in ("reconstruct", "denoise"):
        raise ZooError(f"task must be reconstruct or denoise, got {task!r}")
    model = families.with_defaults(family, dict(hyperparameters or {}))
    _check_saveable(model)
    module = families.create(family, **model)
    metadata = {"family": family, "model": model} | ({"task": task} if task == "denoise" else {})
    flat = Fitter(module.bottleneck.symbols()).fit(networks=False)
    codec = ReadyCodec(module, {"params": _checked(module, variables)}, flat, metadata)
    if not codec.symbols.codebook_sizes:
        return codec
    rate = module.sample_rate if sample_rate is None else arguments.sample_rate(sample_rate)
    return ReadyCodec(module, codec.variables, _fitted(codec, clips, rate, networks=networks), metadata)


def _fitted(codec: ReadyCodec, clips: Any, sample_rate: int, *, networks: bool) -> EntropyModel:
    fitter, engine = Fitter(codec.symbols), codec.engine
    packet_frames = codec.packet_frames()
    count = 0
    for clip in _each(clips):
        try:
            latents = engine.encode_latents(to_model(as_audio(clip), sample_rate, codec.module))
        except ZooError as error:
            raise ZooError(f"clips[{count}]: {error}") from None
        for level in fitter.levels:
            fitter.update(np.concatenate([engine.quantise(x, level, packet_frames) for x in latents], axis=1), level)
        count += 1
    if not count:
        raise ZooError("clips: there are none, and the entropy coder is fitted to their codes")
    return fitter.fit(networks=networks)


def _each(clips: Any) -> Iterator[Any]:
    if hasattr(clips, "shape"):
        return iter((clips,))
    if isinstance(clips, str | bytes) or not isinstance(clips, Iterable):
        raise ZooError(f"clips must be an array of audio, or arrays one after the other, got {type(clips).__name__}")
    return iter(clips)


def _checked(module: Codec, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in `variables`, shaped and typed as the module's, on the device."""
    if (
        not isinstance(variables, Mapping)
        or set(variables) != {"params"}
        or not isinstance(variables["params"], Mapping)
    ):
        got = ", ".join(map(str, variables)) if isinstance(variables, Mapping) else type(variables).__name__
        raise ZooError(
            f'variables must be {{"params": …}}, as a module\'s init gives them, got {got[:80] or "nothing"}'
        )
    template = parameter_shapes(module)
    leaves = keymap.flatten(variables["params"])
    tensors = {path.replace("/", "."): arguments.as_array(leaf, path) for path, leaf in leaves.items()}
    params = keymap.to_params(tensors, keymap.plain(template), template)
    placed: dict[str, Any] = jax.device_put(params)
    return placed


def _check_saveable(hyperparameters: Mapping[str, Any]) -> None:
    for name, value in hyperparameters.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise ZooError(
                f"hyper-parameter {name!r} cannot be saved, it is no JSON value: {' '.join(repr(value).split())[:80]}"
            ) from None
