"""Finding configurations, and their way to JSON and back."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
import types
import typing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from configs.base import Config, Published, Weight

_HERE = Path(__file__).parent
_NOT_EXPERIMENTS = {"__init__", "base", "effects", "loading"}
GROUP = "codec_zoo.configs"
"""of entry points: modules of other packages that set CONFIG"""


class ConfigError(ValueError):
    """A configuration that does not exist or does not fit; the message is one line."""


def names() -> list[str]:
    """Names of the configurations in this folder, and of those that installed packages bring."""
    return sorted({*_here(), *entry_points(group=GROUP).names})


def get(name: str) -> Config:
    """The configuration `configs/NAME.py`, or that of an installed package.

    Raises ConfigError for an unknown name, and for a package that cannot be imported.
    """
    if name in _here():
        return _config_of(importlib.import_module(f"configs.{name}"), name)
    for point in entry_points(group=GROUP, name=name):
        try:
            module = point.load()
        except Exception as error:  # it is the package's code
            raise ConfigError(f"configuration {name!r} ({point.value}) cannot be imported: {error}") from None
        return _config_of(module, name)
    raise ConfigError(f"unknown model {name!r}; there are: {', '.join(names())}")


def from_file(path: str | Path) -> Config:
    """The `CONFIG` of a user's own Python file; raises ConfigError if there is none."""
    path = Path(path)
    spec = importlib.util.spec_from_file_location("user_config", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"no configuration at {path}: expected a Python file that sets CONFIG")
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up when annotations are strings
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's code
        raise ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from None
    return _config_of(module, str(path))


def to_dict(config: Config) -> dict[str, Any]:
    """Plain dictionaries, lists and numbers, with the family's name beside its hyper-parameters."""
    values = dataclasses.asdict(config)
    values["model"] = {"family": config.model.family, **values["model"]}
    return values


def from_dict(values: dict[str, Any]) -> Config:
    """Reads what `to_dict` gave, after JSON too; raises ConfigError for an unknown key or a wrong type."""
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise ConfigError("no configuration: expected keys and values, among them model")
    model = dict(values["model"])
    # a published architecture has no configuration of its own: it brings its hyper-parameters
    kind = Published if "hyperparameters" in model else type(get(model.pop("family", "")).model)
    return _build(Config, {**values, "model": _build(kind, model, "model")}, "")


def keys(config: Config) -> dict[str, Any]:
    """Every value that can be overridden, as `section.field`, and its type."""
    found: dict[str, Any] = {}
    for key, kind in typing.get_type_hints(Config).items():
        section = type(config.model) if key == "model" else kind
        if section is Published:
            continue  # its checkpoint's, not to be overridden
        if dataclasses.is_dataclass(section):
            hints = typing.get_type_hints(section)
            found |= {f"{key}.{field.name}": hints[field.name] for field in dataclasses.fields(section)}
        else:
            found[key] = kind
    return found


def describe(kind: Any) -> str:
    """A type in words, such as "an int" or "one of hinge, least_squares"."""
    if kind == Weight:
        return "a number or a schedule such as linear:0:0.07:500 or cosine:1:0.1:500"
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(describe(option) for option in typing.get_args(kind) if option is not types.NoneType)
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    if typing.get_origin(kind) is tuple:
        return f"a list, each item {describe(typing.get_args(kind)[0])}"
    words = {int: "an int", float: "a number", bool: "true or false", str: "a string"}
    return words.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _here() -> set[str]:
    return {path.stem for path in _HERE.glob("*.py")} - _NOT_EXPERIMENTS


def _config_of(module: types.ModuleType, name: str) -> Config:
    config = getattr(module, "CONFIG", None)
    if not isinstance(config, Config):
        raise ConfigError(f"{name} sets no CONFIG of type configs.base.Config")
    return config


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {_join(where, key)}; there are: {', '.join(sorted(known))}")
    return kind(**{key: _convert(hints[key], value, _join(where, key)) for key, value in values.items()})


def _convert(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(kind)
        for option in options:
            try:
                return _convert(option, value, where)
            except ConfigError:
                # keys and values can only be meant as the dataclass: its own complaint says more
                if isinstance(value, dict) and dataclasses.is_dataclass(option):
                    raise
    elif dataclasses.is_dataclass(kind):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected keys and values, got {value!r}")
        return _build(kind, value, where)
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(typing.get_args(kind)[0], item, where) for item in value)
    elif origin is dict and isinstance(value, dict):
        return dict(value)
    elif origin is typing.Literal and value in typing.get_args(kind):
        return value
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif isinstance(kind, type) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise ConfigError(f"{where}: {value!r} is not {describe(kind)}")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
