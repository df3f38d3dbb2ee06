"""Bounds that an evaluation must keep, for continuous integration: `--require "mel<1.2,snr_db>8"`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.records import Row

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Requirement:
    """A bound on a system's overall mean of a value."""

    metric: str
    sign: str
    """one of `OPERATORS`"""
    bound: float

    def holds(self, value: float) -> bool:
        """Whether the value keeps the bound; nan keeps none."""
        return bool(OPERATORS[self.sign](value, self.bound))

    def __str__(self) -> str:
        return f"{self.metric}{self.sign}{self.bound:g}"


@dataclass(frozen=True)
class Failure:
    """A requirement that a system misses, and the mean by which it does."""

    system: str
    level: int | None
    requirement: Requirement
    value: float

    def __str__(self) -> str:
        level = "" if self.level is None else f" level {self.level}"
        return f"{self.system}{level}: {self.requirement.metric} is {self.value:.6g}, required {self.requirement}"


def parse(text: str, known: Sequence[str] = ()) -> list[Requirement]:
    """Requirements from a comma list of metric, sign and number; metrics are those `known`, or the values of a row.

    Raises ZooError for an unknown metric, listing those there are, and for anything that is no such list.
    """
    from evaluate.records import VALUES

    known = known or VALUES
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z_][\w@.-]*)\s*(<=|>=|<|>)\s*(\S+)\s*", part)
        if match is None:
            raise ZooError(f"--require: {part.strip()!r} is not of the form mel<1.2")
        metric, sign, number = match.groups()
        if metric not in known:
            raise ZooError(f"--require: unknown metric {metric!r}; there are {', '.join(known)}")
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise ZooError(f"--require: {number!r} in {part.strip()!r} is not a number")
        found.append(Requirement(metric, sign, bound))
    return found


def check(rows: Sequence[Row], requirements: Sequence[Requirement]) -> list[Failure]:
    """What each system's overall means miss, in order of systems and of requirements; empty = all is kept.

    A mean that is nan misses everything; silent clips are in none. Give only the rows of systems that are to be judged
    (not the rivals). Raises ZooError if there are none, or if no clip has a value of a required metric.
    """
    from evaluate import statistics

    systems = statistics.by_system(rows)
    if requirements and not systems:
        raise ZooError("--require: there are no results to check")
    found = []
    for (system, level), members in systems.items():
        for requirement in requirements:
            value = statistics.totals(members, requirement.metric).mean
            if not requirement.holds(value):
                found.append(Failure(system, level, requirement, value))
    return found
