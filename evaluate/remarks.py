"""What is said beside the means: which clips are in none, which systems failed, who coded for the rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluate.records import NOT_FINITE, SILENT, label
from zoo.errors import ZooError
from zoo.wording import some

if TYPE_CHECKING:
    from evaluate.records import Row


def remarks(rows: Sequence[Row]) -> list[str]:
    """One line for the silent clips, one for each system that gave NaN, one for the rivals' libraries; or fewer."""
    from evaluate import statistics

    lines = []
    if silent := dict.fromkeys(row.clip for row in rows if row.remark == SILENT):
        subject, has, is_ = ("1 clip", "has", "is") if len(silent) == 1 else (f"{len(silent)} clips", "have", "are")
        lines.append(f"{subject}, silent as compared, {has} no SNR and {is_} in no mean: {some(silent)}")
    for (system, level), members in statistics.by_system(rows).items():
        if broken := [row.clip for row in members if row.remark == NOT_FINITE]:
            lines.append(f"{label(system, level)} gave NaN or infinity, so its means are NaN: {some(broken)}")
    coders = {statistics.family(row.system, row.level): row.coder for row in rows if row.coder}
    if coders:
        lines.append("; ".join(f"{family}: {coder}" for family, coder in coders.items()))
    return lines


def require_sound(rows: Sequence[Row], source: str) -> None:
    """Raises ZooError, blaming the `source` of the clips, where all of them are silent."""
    if all(row.remark == SILENT for row in rows):
        n = len({row.clip for row in rows})
        raise ZooError(f"{source}: {f'all {n} clips are' if n > 1 else 'the only clip is'} silent: nothing to compare")
