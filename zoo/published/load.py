"""From the files of a published model to a `ReadyCodec`, and from any codec to files in the hub's layout."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import jax
import numpy as np

from zoo import families, given
from zoo.arguments import as_path, number
from zoo.audio.output import check_whole_folder
from zoo.bitstream import entropy
from zoo.codec import Codec
from zoo.errors import CheckpointError, ZooError, one_line
from zoo.nn.bottlenecks import SymbolFormat
from zoo.published import configurations, hub, keymap, registry
from zoo.published import discriminators as adversaries
from zoo.published.files import torch_writer, weights
from zoo.published.precision import Precision, narrow, rounded
from zoo.published.stated import hyperparameters, stated
from zoo.ready import ReadyCodec
from zoo.saved import checkpoint, checksums, whole

_LOG = logging.getLogger(__name__)
OURS = "codec-zoo"
"""`model_type` in the config.json of families that are trained here"""
_CODEC = "codec"
"""under which name the metadata of entropy.safetensors have family and hyper-parameters"""
_KEPT = {"step": int, "task": str, "licence": str, "trained_on": str, "kbps": list}
"""what else of a codec's metadata is written into both, and of which type it is"""
_EXACT = "params/"
"""before the paths of parameters in entropy.safetensors, which other files can say only up to rounding"""
_LAYOUTS = {  # what the implementation of a family reads; the others: CONFIGS[0] and WEIGHTS[0]
    "oobleck": ("config.json", "diffusion_pytorch_model.safetensors"),
    "same": ("model_config.json", "model.safetensors"),
    "snac": ("config.json", "pytorch_model.bin"),
    "vocos": ("config.yaml", "pytorch_model.bin"),
}


def load_published(name: str | Path, family: str | None = None, config: Any = None) -> ReadyCodec:
    """The codec of a folder or file in a layout of the hub or the original authors, or of a hub id.

    `family` and `config` say what weights are that nothing else tells of (`stated`). Raises CheckpointError, naming the
    model, for files that are missing, damaged or of something else, and for what was said of them; keys that are
    missing, misshaped or not known are named.
    """
    files = hub.find(name)
    stored = weights.read_all(files.weights, *files.others)
    tables = weights.read(files.tables) if files.tables else None
    try:
        if family is None and config is None:
            family, model, extra = _identify(files, stored, tables)
        else:
            (family, model), extra = stated(family, config, _configuration(files, stored)), {}
        if family not in families.PUBLISHED and files.tables:
            checksums.check(files.tables.parent, (hub.WEIGHTS[0], hub.TABLES))
        module = families.create(family, **model)
        params = _exact(_params(family, model, module, stored.tensors), tables)
        model_coder = _entropy(families.module_of(family), module.bottleneck.symbols(), tables)
    except (ZooError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{name}: {one_line(error, None)}") from None
    if tables is None and family not in families.PUBLISHED:
        _LOG.warning("%s: has no %s, without which its files take several times the bytes", name, hub.TABLES)
    known = registry.known(str(name))
    if known is not None and known.is_non_commercial:
        _LOG.warning("%s: its weights are not for commercial use (%s)", name, known.licence)
    metadata = {**extra, "family": family, "model": model, "path": str(name)}
    return ReadyCodec(module, {"params": jax.device_put(params)}, model_coder, metadata)


class _Placing:
    """Puts parameters on the device one by one, and gives back the file's memory as they are there."""

    _EVERY_BYTES = 32_000_000

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._tensors = tensors
        self._placed_bytes = 0

    def __call__(self, array: np.ndarray) -> jax.Array:
        placed = jax.device_put(array)
        self._placed_bytes += array.nbytes
        if self._placed_bytes > self._EVERY_BYTES:
            placed.block_until_ready()
            weights.release(next(iter(self._tensors.values())))
            self._placed_bytes = 0
        return placed


def export(
    codec: ReadyCodec,
    folder: str | Path,
    *,
    force: bool = False,
    precision: Precision = "float32",
    licence: str | None = None,
    trained_on: str | None = None,
    kbps: tuple[float, float] | None = None,
    discriminators: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes configuration, weights and tables of a codec to a folder that `zoo.load` and the hub take.

    Of a published family they are those that its torch implementation loads; of one that is trained here they may be
    rounded to another `precision`, which makes another codec of it, and `licence`, `trained_on` and `kbps` (the lowest
    and highest that was measured) say what is known of the weights, by default what the codec's metadata have.
    `discriminators` are written beside them, for those who train the codec on. The folder is there when it is whole;
    one that exists is replaced with `force`, if it is of this kind. Raises ZooError where that is not so, for a
    precision of a published family, and for weights that the precision cannot hold.
    """
    codec, folder = given.codec(codec), Path(as_path(folder))
    check_folder(folder, force=force)
    if not {"family", "model"} <= codec.metadata.keys():
        raise ZooError("the codec does not say of which family it is: zoo.ready_codec makes one that can be exported")
    published = codec.metadata["family"] in families.PUBLISHED
    if precision not in get_args(Precision):
        raise ZooError(f"precision {precision!r} is none: there are {', '.join(get_args(Precision))}")
    if published:
        if precision != "float32" or licence or trained_on or kbps:
            raise ZooError(
                f"{codec.metadata['family']} is a published family: its weights stay as its torch implementation loads "
                f"them, and their licence is their authors'"
            )
        if discriminators:
            raise ZooError(f"{codec.metadata['family']} is a published family, in whose layout are no discriminators")
    rates = None if kbps is None else _bitrates(kbps)
    said = {"licence": licence, "trained_on": trained_on, "kbps": rates}
    codec = dataclasses.replace(
        rounded(codec, precision), metadata=codec.metadata | {key: known for key, known in said.items() if known}
    )
    try:
        with whole.folder(folder) as part:
            part.mkdir(parents=True)
            _write(codec, part, precision)
            if discriminators:
                adversaries.write(part, discriminators, precision)
            if not published:
                checksums.write(part, [path.name for path in part.iterdir()])
    except OSError as error:
        raise ZooError(f"{folder}: cannot be written ({error.strerror})") from None


def _bitrates(kbps: Any) -> list[float]:
    """The lowest and highest bitrate as a configuration has them; raises ZooError for anything else."""
    rates = [number(rate, "kbps") for rate in kbps] if isinstance(kbps, list | tuple) else []
    if len(rates) != 2 or not 0 < rates[0] <= rates[1] < math.inf:
        raise ZooError(f"kbps must be the lowest and the highest bitrate, both positive, got {str(kbps)[:80]!r}")
    return [float(rate) for rate in rates]


def check_folder(folder: str | Path, *, force: bool) -> None:
    """Raises ZooError for a folder that `export` would not write."""
    check_whole_folder(folder, force=force, ours=hub.is_folder, content="is no exported model")


def _write(codec: ReadyCodec, folder: Path, precision: Precision) -> None:
    family, model = str(codec.metadata["family"]), json.loads(json.dumps(codec.metadata["model"]))
    params = codec.variables["params"]
    about = {"family": family, "hyperparameters": model}
    about |= {key: codec.metadata[key] for key in _KEPT if key in codec.metadata}
    if codec.denoises:
        about["task"] = "denoise"
    own = family not in families.PUBLISHED
    if not own:
        implementation = families.module_of(family)
        config = implementation.hub_config(**model)
        layout = next(iter(implementation.key_maps(**model).values()))
    else:
        n_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
        about |= {"precision": precision, "parameters": n_parameters, "digest": codec.digest.hex()}
        config = {"model_type": OURS, "format": checkpoint.FORMAT, **about}
        layout = keymap.plain(params)
    tensors = keymap.from_params(params, layout)
    again = keymap.flatten(keymap.to_params(tensors, layout, params))
    exact = {
        _EXACT + path: np.asarray(array)
        for path, array in keymap.flatten(params).items()
        if not np.array_equal(array, again[path])
    }
    config_file, weights_file = _LAYOUTS.get(family, (hub.CONFIGS[0], hub.WEIGHTS[0]))
    # JSON is YAML too
    (folder / config_file).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if weights_file.endswith(".safetensors"):
        stored = {name: narrow(array, precision) for name, array in tensors.items()}
        weights.write_safetensors(folder / weights_file, stored)
    else:
        torch_writer.write(folder / weights_file, tensors)
    weights.write_safetensors(folder / hub.TABLES, codec.entropy.arrays | exact, {_CODEC: json.dumps(about)})


def _identify(
    files: hub.Files, stored: weights.Checkpoint, tables: weights.Checkpoint | None
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Family, hyper-parameters, and what else is known."""
    config = _configuration(files, stored)
    about = _about(config) if config else None
    if tables is not None and _CODEC in tables.metadata:  # says more than a config.json of others can
        configured = about
        try:
            about = _about({"model_type": OURS, "format": checkpoint.FORMAT, **json.loads(tables.metadata[_CODEC])})
        except (ValueError, TypeError):
            raise CheckpointError(f"{hub.TABLES} does not say what codec it belongs to") from None
        for key in ("family", "hyperparameters"):
            if configured and about and configured[key] != about[key]:
                raise CheckpointError(f"{hub.CONFIGS[0]} and {hub.TABLES} are of two codecs: their {key} differ")
    if about is not None:
        kept = {key: about[key] for key, kind in _KEPT.items() if isinstance(about.get(key), kind)}
        return about["family"], about["hyperparameters"], kept
    if config is None:
        model = _recognise(stored.tensors)
        return model.family, hyperparameters(model.family, model.config), {}
    family = configurations.family_of(config)
    if family is None:
        kind = config.get("model_type") or config.get("_class_name")
        known = ", ".join(families.PUBLISHED)
        raise CheckpointError(f"its configuration is of no family known here ({kind or 'unnamed'}; known: {known})")
    return family, hyperparameters(family, config), {}


def _configuration(files: hub.Files, stored: weights.Checkpoint) -> dict[str, Any] | None:
    return _inside(stored.metadata) or (hub.read_config(files.config) if files.config else None)


def _about(config: dict[str, Any]) -> dict[str, Any] | None:
    """What we wrote ourselves into a configuration, if it is one of ours."""
    if config.get("model_type") != OURS:
        return None
    if config.get("format") != checkpoint.FORMAT:
        raise CheckpointError(f"it has format {config.get('format')}; this version reads {checkpoint.FORMAT}")
    if not isinstance(config.get("hyperparameters"), dict) or not isinstance(config.get("family"), str):
        raise CheckpointError("its configuration does not say family and hyperparameters")
    return config


def _inside(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration that a file of weights carries itself: the authors' arguments, or JSON in .safetensors."""
    inner = metadata.get("metadata", metadata)
    for holder in (inner, metadata):
        for name in ("kwargs", "config"):
            found = holder.get(name) if isinstance(holder, Mapping) else None
            if isinstance(found, str):
                try:
                    found = json.loads(found)
                except ValueError:
                    continue
            if isinstance(found, dict) and configurations.family_of(found):
                return found
    return None


def _recognise(tensors: Mapping[str, np.ndarray]) -> registry.PublishedModel:
    """The known model whose keys and shapes these are."""
    fitting = []
    for model in registry.KNOWN:
        arguments = hyperparameters(model.family, model.config)
        for layout in families.module_of(model.family).key_maps(**arguments).values():
            if model.files and tensors.keys() < {key for entry in layout.entries for key in entry.keys}:
                raise CheckpointError(f"it is a part of {model.name}: give a folder with {' and '.join(model.files)}")
            if keymap.mismatches(tensors, layout):
                continue
            try:
                keymap.to_params(tensors, layout, _template(families.create(model.family, **arguments)))
            except CheckpointError:
                continue
            fitting.append(model)
            break
    if len(fitting) != 1:
        those = f"those of {' or '.join(model.name for model in fitting)}" if fitting else "of no model known here"
        raise CheckpointError(f"there is no configuration beside it, and its {len(tensors)} tensors are {those}")
    return fitting[0]


def _template(module: Codec) -> dict[str, Any]:
    params: dict[str, Any] = checkpoint.codec_template(module)["params"]
    return params


def _params(family: str, model: dict[str, Any], module: Codec, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    template = _template(module)
    if family not in families.PUBLISHED:
        return keymap.to_params(tensors, keymap.plain(template), template, _Placing(tensors))
    implementation = families.module_of(family)
    layouts = list(implementation.key_maps(**model).values())
    layout = min(layouts, key=lambda layout: keymap.mismatches(tensors, layout))
    needed: dict[str, str] = implementation.needs(**model) if hasattr(implementation, "needs") else {}
    if needed and keymap.mismatches(tensors, layout):  # published without the other models that it builds upon
        for prefix, name in needed.items():
            others = weights.read_all(hub.find(name).weights).tensors
            tensors = tensors | {prefix + key: array for key, array in others.items()}
        layout = min(layouts, key=lambda layout: keymap.mismatches(tensors, layout))
    return keymap.to_params(tensors, layout, template, _Placing(tensors))


def _exact(params: dict[str, Any], tables: weights.Checkpoint | None) -> dict[str, Any]:
    leaves = keymap.flatten(params)
    for name, array in (tables.tensors if tables else {}).items():
        leaf = leaves.get(name.removeprefix(_EXACT)) if name.startswith(_EXACT) else None
        # unless the weights were changed since
        if leaf is not None and leaf.shape == array.shape and np.allclose(leaf, array, rtol=1e-5, atol=0):
            leaves[name.removeprefix(_EXACT)] = np.array(array, leaf.dtype)
    return keymap.unflatten(leaves)


def _entropy(family: ModuleType, symbols: SymbolFormat, tables: weights.Checkpoint | None) -> entropy.EntropyModel:
    if tables is not None:
        arrays = {name: np.array(array) for name, array in tables.tensors.items() if not name.startswith(_EXACT)}
        return entropy.EntropyModel(symbols, arrays)
    if hasattr(family, "default_entropy"):
        default: entropy.EntropyModel = family.default_entropy(symbols)
        return default
    return entropy.Fitter(symbols).fit()
