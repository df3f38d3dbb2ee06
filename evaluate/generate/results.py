"""Distances of sounds and gaps as tables, and as JSON, CSV and Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from evaluate import former, table
from evaluate.generate.gaps import GapRow
from evaluate.generate.sounds import SoundRow

SOUNDS = {
    "system": "sounds",
    "n": "n",
    "frechet": "Fréchet\nof n",
    "frechet_unbiased": "Fréchet\nn → ∞",
    "kernel": "kernel\n·10³",
    "share_frechet": "way %\nFréchet",
    "share_kernel": "way %\nkernel",
    "frechet_recorded": "to what was\nrecorded",
    "nearest": "nearest in\ntraining",
    "diversity": "diversity",
}
LEGEND = (
    "Fréchet: distance to one half of the real sounds; at n it is biased by about a constant / n, which n → ∞ leaves "
    "out. way %: from the better plain prior (0) to the real sounds' other half (100). nearest: median distance to the "
    "nearest of the training sounds; near that of copies means copied."
)


def report(rows: Sequence[SoundRow], gaps: Sequence[GapRow], output: Path, *, title: str) -> None:
    """Prints both tables, and writes generate.json, generate.csv, gaps.csv and generate.md into a folder."""
    from rich.table import Table

    lines = _sound_lines(rows)
    drawn = Table(title=title)
    for name, heading in SOUNDS.items():
        drawn.add_column(heading, justify="left" if name == "system" else "right")
    for line in lines:
        drawn.add_row(*line)
    out = table.console(table=drawn)
    out.print(drawn)
    out.print(LEGEND, style="dim", soft_wrap=True, markup=False)
    gap_heads, gap_lines = _gap_lines(gaps)
    if gaps:
        second = Table(title="mel distance inside a gap, mean ± standard error over recordings")
        for head in gap_heads:
            second.add_column(head, justify="left" if head == "ms" else "right")
        for line in gap_lines:
            second.add_row(*line)
        out.print(second)
    content = {"title": title, "sounds": table.as_records(rows), "gaps": table.as_records(gaps) if gaps else []}
    former.keep(output, content, ("generate.json", "generate.csv", "gaps.csv", "generate.md"))
    table.write_text(output / "generate.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    table.write_csv(rows, output / "generate.csv")
    if gaps:
        table.write_csv(gaps, output / "gaps.csv")
    heads = [heading.replace("\n", " ") for heading in SOUNDS.values()]
    page = [f"# {title}", "", *table.markdown(heads, lines), "", LEGEND, ""]
    if gaps:
        page += [
            "Mel distance inside a gap, mean ± standard error over recordings:",
            "",
            *table.markdown(gap_heads, gap_lines),
            "",
        ]
    table.write_text(output / "generate.md", "\n".join(page))
    out.print(f"generate.json, generate.csv, generate.md in {output}", style="dim", soft_wrap=True, markup=False)


def _sound_lines(rows: Sequence[SoundRow]) -> list[list[str]]:
    return [
        [
            row.system,
            str(row.n),
            _number(row.frechet, 2),
            _number(row.frechet_unbiased, 2),
            _number(row.kernel, 1),
            _number(None if row.share_frechet is None else 100 * row.share_frechet, 0),
            _number(None if row.share_kernel is None else 100 * row.share_kernel, 0),
            _number(row.frechet_recorded, 2),
            _number(row.nearest, 2),
            _number(row.diversity, 2),
        ]
        for row in rows
    ]


def _gap_lines(gaps: Sequence[GapRow]) -> tuple[list[str], list[list[str]]]:
    """A line for each length, a column for each way to fill."""
    systems = list(dict.fromkeys(row.system for row in gaps))
    lines = []
    for gap_ms in dict.fromkeys(row.gap_ms for row in gaps):
        found = {row.system: row for row in gaps if row.gap_ms == gap_ms}
        cells = [f"{found[name].mel:.3f} ± {found[name].standard_error:.3f}" for name in systems]
        lines.append([f"{gap_ms:g}", *cells])
    return ["ms", *systems], lines


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"
