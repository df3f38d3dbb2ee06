"""Results that are there already: those that new ones would take the place of are kept under other names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError

_SPEED = "rtf"
"""how names of what differs from one measurement to the next end"""


def keep(output: Path, content: Any, files: Sequence[str]) -> None:
    """Renames the results in `output` unless all of them are in the `content` that is to take their place.

    `files` are what is written together, first the JSON file of that content; they become results-1.json and the like,
    which is said in a line. Others of these files without the first are not results of ours, and are kept like those.
    Speeds do not count. Raises ZooError, naming the file, where they cannot be renamed.
    """
    there = [output / name for name in files if (output / name).is_file()]
    if not there or (there[0].name == files[0] and _holds(content, there[0])):
        return
    number = next(n for n in range(1, sys.maxsize) if not any(_numbered(output / name, n).exists() for name in files))
    for place in there:
        try:
            place.rename(_numbered(place, number))
        except OSError as error:
            raise ZooError(f"{place}: cannot be renamed ({error.strerror})") from None
    print(f"{there[0]}: what was there is kept as {_numbered(there[0], number).name}", file=sys.stderr)


def _holds(content: Any, place: Path) -> bool:
    """Whether all results of a file are among others; not where the file is of another kind."""
    try:
        before = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    new = {_key(record) for record in _records(json.loads(json.dumps(content)))}
    return isinstance(before, list | dict) and all(_key(record) in new for record in _records(before))


def _records(content: Any) -> Iterator[Any]:
    """The rows of a list, or of all lists in an object."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from value if isinstance(value, list) else ()
    else:
        yield from content


def _key(record: Any) -> str:
    if isinstance(record, Mapping):
        record = {name: value for name, value in record.items() if not name.endswith(_SPEED)}
    return json.dumps(record, sort_keys=True)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
