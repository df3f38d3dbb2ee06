"""Checksums of a folder's files, by which bytes that have changed on the disk are noticed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from pathlib import Path

from zoo.errors import CheckpointError
from zoo.saved import whole

FILE = "checksums.json"
_BLOCK = 2**22


def write(folder: Path, parts: Collection[str]) -> None:
    """Writes `checksums.json`: {path: [bytes, crc32]} of these files, and of all in these sub-folders."""
    found = {}
    for part in sorted(parts):
        for path in (folder / part, *sorted((folder / part).rglob("*"))):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = _of(path)
    whole.write_text(folder / FILE, json.dumps(found, indent=0) + "\n")


def check(folder: Path, parts: Collection[str]) -> None:
    """Raises CheckpointError where one of these files, or one in these sub-folders, is no longer what it was.

    A folder without checksums, of an earlier version, is taken as it is.
    """
    try:
        expected: dict[str, list[int]] = json.loads((folder / FILE).read_text())
        chosen = {
            name: [int(n_bytes), int(checksum)]
            for name, (n_bytes, checksum) in expected.items()
            if name.split("/")[0] in parts
        }
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CheckpointError(f"checkpoint {folder} is damaged: {FILE} cannot be read ({error})") from None
    for name, numbers in chosen.items():
        try:
            found = _of(folder / name)
        except OSError as error:
            raise CheckpointError(f"checkpoint {folder} is damaged: {name}: {error.strerror}") from None
        if found != numbers:
            what = "bytes have changed" if found[0] == numbers[0] else f"has {found[0]} bytes, not {numbers[0]}"
            raise CheckpointError(f"checkpoint {folder} is damaged: {name}: {what} since it was written")


def _of(path: Path) -> list[int]:
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size += len(block)
            checksum = zlib.crc32(block, checksum)
    return [size, checksum]
