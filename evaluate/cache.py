"""Finished results, kept on disk by what they depend on: an interrupted or extended evaluation goes on where it was.

A key covers the clip's samples, the system (a codec by the hash of its weights, a rival by its settings and the
versions of its libraries), the format of the comparison and `REVISION`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluate.clips import Clip
from evaluate.perceptual import METRICS
from evaluate.records import Row
from evaluate.systems import System
from zoo.errors import ZooError

REVISION = 2
"""raised whenever a metric or the way of measuring changes"""
PACKAGES = {name: metric.package for name, metric in METRICS.items()}
_LIBRARIES = ("soundfile", "soxr", "av", "constriction", "jax")


class Cache:
    """Rows by key in a file of JSON lines, one appended as each row is finished."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a line that an interruption cut short is left out. Raises ZooError if it cannot."""
        self._path = path
        self._rows: dict[str, dict[str, object]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        except OSError as error:
            raise ZooError(f"{path}: cannot be used as a cache ({error.strerror})") from None
        for line in lines:
            try:
                entry = json.loads(line)
                self._rows[entry["key"]] = entry["row"]
            except (ValueError, KeyError, TypeError):
                continue

    def find(self, key: str) -> Row | None:
        """The row of a key; None if it is not there, or was written by a version with other columns."""
        values = self._rows.get(key)
        try:
            return Row(**values) if values is not None else None  # type: ignore[arg-type]
        except TypeError:
            return None

    def keep(self, key: str, row: Row) -> None:
        """Appends a row; raises ZooError if it cannot be written."""
        self._rows[key] = asdict(row)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "row": asdict(row)}) + "\n")
        except OSError as error:
            raise ZooError(f"{self._path}: cannot be written ({error.strerror})") from None


def key(system: System, clip: Clip, perceptual: Sequence[str] = ()) -> str:
    """The key of a clip through a system, with these perceptual scores."""
    content = hashlib.sha256()
    settings = (system.identity, system.coder, system.name, system.level, system.sample_rate, system.channels)
    for part in (REVISION, *settings):
        content.update(f"{part}\n".encode())
    for name in (*_LIBRARIES, *(PACKAGES[name] for name in sorted(perceptual))):
        content.update(f"{name} {_version(name)}\n".encode())
    about: tuple[object, ...] = (sorted(perceptual), clip.name, clip.domain, clip.sample_rate, clip.samples.shape)
    if clip.samples.shape[1] > 2:  # of fewer channels there is one way to take them
        about += (clip.layout, clip.downmix)
    content.update("".join(f"{part}\n" for part in about).encode())
    content.update(np.ascontiguousarray(clip.samples, np.float32).tobytes())
    return content.hexdigest()


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
