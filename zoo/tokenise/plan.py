"""What is to be done, cut into units of about the same size: a function of the input and the options alone.

So every machine and every run after a killed one finds the same units, and a unit has the same shards whoever made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zoo.errors import ZooError, one_line
from zoo.library.store import File, Store
from zoo.tokenise.formats import Format
from zoo.tokenise.rows import Settings

NAME = "plan.json"
RECORDS = ".units"
"""the folder with a file for each unit that is done"""
SHARDS = "data"
VERSION = 1
SMALLEST_UNIT, LARGEST_UNIT = 1 << 22, 1 << 28
"""bytes of audio files: half a minute to half an hour of a lossless recording"""
N_UNITS = 256
"""that an input is cut into where these bounds allow it"""
FILE_BYTES = 1 << 15
"""what opening a file costs, as bytes of a larger one"""


@dataclass(frozen=True)
class Unit:
    """Files that are coded one after the other, and whose shards are of no others."""

    index: int
    files: tuple[File, ...]


@dataclass(frozen=True)
class Plan:
    """What an output folder holds, or will; it is in there as plan.json."""

    codec: str
    """digest"""
    settings: Settings
    format: Format
    shard_bytes: int
    unit_bytes: int
    n_units: int
    n_files: int
    n_bytes: int
    listing: str
    """SHA-256 of the names and lengths of all files"""

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}


def units_of(files: Sequence[File], unit_bytes: int | None) -> tuple[int, list[tuple[int, int]]]:
    """Bytes to a unit, and each unit's first file and that behind its last; a large file is a unit of its own."""
    if unit_bytes is None:
        total = sum(file.bytes + FILE_BYTES for file in files)
        unit_bytes = min(max(total // N_UNITS, SMALLEST_UNIT), LARGEST_UNIT)
    ends: list[tuple[int, int]] = []
    start, held = 0, 0
    for index, file in enumerate(files):
        cost = file.bytes + FILE_BYTES
        if index > start and held + cost > unit_bytes:
            ends.append((start, index))
            start, held = index, 0
        held += cost
    if files:
        ends.append((start, len(files)))
    return unit_bytes, ends


def digest_of(files: Iterable[File]) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.key}\n{file.bytes}\n".encode("utf-8", "surrogateescape"))
    return content.hexdigest()


def claim(out: Store, plan: Plan) -> None:
    """Writes a plan into an output folder, or finds it there; raises ZooError where that holds other work."""
    there = {name for name in out.children("") if not name.startswith(".")}
    if NAME not in there:
        if there:
            named = ", ".join(sorted(there)[:3]) + (" and others" if len(there) > 3 else "")
            raise ZooError(f"{out.name}: holds other things ({named}); tokens take a folder of their own")
        out.write(NAME, (json.dumps(plan.to_json(), indent=1) + "\n").encode())
        return
    before = read(out)
    now = plan.to_json()
    if before == now:
        return
    if before["codec"] != plan.codec:
        raise ZooError(f"{out.name}: its shards are by another codec, {before['codec']}; this one is {plan.codec}")
    if before["listing"] != plan.listing:
        was, is_ = (f"{p['n_files']} files of {p['n_bytes']} bytes" for p in (before, now))
        raise ZooError(f"{out.name}: the input was {was} when this was begun and is {is_}, or they have other names")
    changed = sorted(_changes(before, now))
    raise ZooError(f"{out.name}: was begun with other options: {', '.join(changed)}")


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = []
    for name, value in now.items():
        if isinstance(value, dict):
            changed += _changes(before.get(name) or {}, value)
        elif before.get(name) != value:
            changed.append(f"{name} {before.get(name)!r}, now {value!r}")
    return changed


def read(out: Store) -> dict[str, Any]:
    """The plan.json of a folder; raises ZooError for one that is none, or of another version."""
    try:
        found = json.loads(out.read(NAME))
        version = found["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{out.name}/{NAME}: is no plan ({one_line(error)})") from None
    if version != VERSION:
        raise ZooError(f"{out.name}/{NAME}: is of version {version}; this program knows version {VERSION}")
    # plans from before there was a choice
    return {**found, "settings": {"precision": "float32", **found.get("settings", {})}}


def record_name(index: int) -> str:
    return f"{index:06d}.json"


def done(out: Store) -> set[int]:
    """The units whose shards are all there."""
    names = out.children(RECORDS)
    return {int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()}
