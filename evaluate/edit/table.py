"""Edits as tables, one for each kind, and as files: a row per clip, the means, and the tables in Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate import former
from evaluate import table as shared
from evaluate.edit.mixes import BELLS
from evaluate.edit.records import EditMean, EditRow, means
from evaluate.table import Column, show

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = {
    "si_sdr_db": Column("SI-SDR to\nedited sound", "dB", 2),
    "own_si_sdr_db": Column("that of the\ncodec alone", "dB", 2),
    "consistency_db": Column("SI-SDR to\nthat coded", "dB", 2),
    "mel": Column("mel to\nedited sound", "", 3),
    "own_mel": Column("that of the\ncodec alone", "", 3),
    "consistency_mel": Column("mel to\nthat coded", "", 3),
    "seam_db": Column("flux at join\nover around", "dB", 2),
    "pitch_error_cents": Column("pitch\nerror", "cents", 2),
    "duration_error_ms": Column("duration\nerror", "ms", 1),
    "onset_f": Column("onsets\nF", "", 3),
    "attack_ms": Column("attack\nlonger by", "ms", 1),
}
SETTINGS = {"mix": "weight", "gain": "dB", "eq": "", "splice": "fade s", "stretch": "factor", "pitch": "semitones"}
LEGENDS = {
    "mix": "decoded weighted latents against weighted waveforms, and against what the codec makes of these. On the\n"
    "waveform there is no error.",
    "gain": "as of mix.",
    "eq": f"as of mix; bells {BELLS}, for latents a matrix fitted to them.",
    "splice": "0 dB: the join is a place like any other. cut: without any fade, untouched: the first sound going on.",
    "stretch": "errors of tones and harmonics; onsets of drums that are found within 50 ms of where they must be.",
    "pitch": "as of stretch.",
}


def render(found: Sequence[EditMean], edit: str) -> Table:
    """The means of one kind of edit as a rich table: for each system its settings, then overall."""
    table = shared.styled(edit)
    table.add_column("system", vertical="bottom", max_width=30, overflow="fold")
    table.add_column(SETTINGS[edit], justify="right", vertical="bottom")
    table.add_column("clips", justify="right", vertical="bottom")
    shown = shown_columns(found)
    for column in shown.values():
        table.add_column(f"{column.title}\n{column.unit}", justify="right", vertical="bottom", no_wrap=True)
    for place, mean in enumerate(found):
        last = place + 1 == len(found) or found[place + 1].system != mean.system
        table.add_row(*_cells(mean, shown), style="bold" if mean.setting is None else None, end_section=last)
    return table


def markdown(found: Sequence[EditMean], edit: str) -> str:
    """The same table in Markdown."""
    shown = shown_columns(found)
    titles = [f"{c.title} {c.unit}".replace("\n", " ").strip() for c in shown.values()]
    lines = shared.markdown(["system", SETTINGS[edit], "clips", *titles], [_cells(mean, shown) for mean in found])
    return f"## {edit}\n\n" + "\n".join(lines) + "\n"


def shown_columns(found: Sequence[EditMean]) -> dict[str, Column]:
    """The columns of which there is a value."""
    return {name: column for name, column in COLUMNS.items() if any(mean.values[name] is not None for mean in found)}


def _cells(mean: EditMean, shown: dict[str, Column]) -> list[str]:
    setting = "all" if mean.setting is None else f"{mean.setting:g}"
    return [mean.system, setting, str(mean.n_clips), *(show(mean.values[name], c) for name, c in shown.items())]


def report(rows: Sequence[EditRow], output: Path, *, title: str, notes: Sequence[str] = ()) -> None:
    """Prints a table for each kind of edit, and writes edit.json, edit.csv, edit_means.json and edit.md."""
    found = means(rows)
    former.keep(output, shared.as_records(rows), ("edit.json", "edit.csv", "edit_means.json", "edit.md"))
    shared.write_json(rows, output / "edit.json")
    shared.write_csv(rows, output / "edit.csv")
    shared.write_means(found, output / "edit_means.json", keep=lambda _, value: value is not None)
    edits = list(dict.fromkeys(mean.edit for mean in found))
    of_each = {edit: [mean for mean in found if mean.edit == edit] for edit in edits}
    lines = [f"# {title}\n", *(markdown(members, edit) for edit, members in of_each.items()), *notes]
    shared.write_text(output / "edit.md", "\n".join(lines) + "\n")
    print(title)
    for edit, members in of_each.items():
        table = render(members, edit)
        out = shared.console(table=table)
        out.print(table)
        out.print(LEGENDS[edit], style="dim")
    coders = dict.fromkeys(f"{row.system}: {row.coder}" for row in rows if row.coder)
    out = shared.console()
    for line in (*notes, *(["; ".join(coders)] if coders else [])):
        out.print(line, style="dim", soft_wrap=True, markup=False)
    out.print(
        f"a row per clip: edit.json, edit.csv, means: edit_means.json, tables: edit.md, in {output}",
        style="dim",
        soft_wrap=True,
        markup=False,
    )
    sys.stdout.flush()
