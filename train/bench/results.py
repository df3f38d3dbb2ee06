"""What the parts of a measurement find, a line of JSON for each case: a part that is killed loses nothing.

Run again, it goes on with what is missing. Standard library only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

LOST = "did not return"
"""The error of a case that was begun, and after which nothing was written."""


class Results:
    """The cases of one part, appended to a file that other parts use as well."""

    def __init__(self, path: str | Path, part: str) -> None:
        self._path, self._part = Path(path), part
        self._begun = {record["case"] for record in read(self._path) if record["part"] == part}
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def has(self, case: str) -> bool:
        """Whether a case was begun, now or in an earlier run."""
        return case in self._begun

    def begin(self, case: str) -> bool:
        """Whether a case is still to be measured; that it is tried is written down first.

        So one that took the process with it is not tried again.
        """
        if self.has(case):
            return False
        self._append({"part": self._part, "case": case, "begun": True})
        self._begun.add(case)
        return True

    def add(self, case: str, **values: Any) -> None:
        """Writes what was found of a case; numbers that are not finite become None."""
        self._begun.add(case)
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._append({"part": self._part, "case": case, **finite})

    def attempt(self, case: str, measure: Callable[[], Record]) -> Record | None:
        """Measures and writes a case, or the error that it raised; None where it was tried before."""
        if not self.begin(case):
            return None
        try:
            found = measure()
        except Exception as error:  # whatever a compiler or a device says is a result too
            found = {"error": first_line(error)}
        self.add(case, **found)
        return found

    def _append(self, record: Record) -> None:
        line = json.dumps(record, allow_nan=False) + "\n"
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                # a line that was cut off must not take the next with it
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(line.encode())


def first_line(error: BaseException, limit: int = 200) -> str:
    """The type of an error and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:limit] if lines else type(error).__name__


def shown(record: Record) -> str:
    """A record's numbers in a line, or its error."""
    if "error" in record:
        return str(record["error"])
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in record.items())


def read(path: str | Path) -> list[Record]:
    """The records of a file in the order of their cases, none where there is no file; lines that were cut off are not.

    Of a case that was measured twice the last counts; one that was begun and has no result has the error LOST.
    """
    found: dict[tuple[str, str], Record] = {}
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if Path(path).exists() else []
    for line in lines:
        try:
            record = json.loads(line)
            key = (record["part"], record["case"])
        except (ValueError, TypeError, KeyError):
            continue
        if record.pop("begun", False):
            found.setdefault(key, record | {"error": LOST})
        else:
            found[key] = record
    return list(found.values())
