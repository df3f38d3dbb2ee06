"""Gains as a table, and as files: a row per clip, SNR and denoiser, and their means by domain and by noise."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate import former
from evaluate import table as shared
from evaluate.denoise.records import VALUES, DenoisingMean, all_means, means
from evaluate.records import NOT_FINITE
from evaluate.table import Column, show
from zoo.wording import some

if TYPE_CHECKING:
    from rich.table import Table

    from evaluate.denoise.records import DenoisingRow
    from evaluate.denoise.run import Outcome

COLUMNS = {
    "si_sdr_in_db": Column("SI-SDR\nin", "dB", 2),
    "si_sdr_out_db": Column("\nout", "dB", 2),
    "gain_db": Column("\ngain", "dB", 2),
    "snr_out_db": Column("SNR\nout", "dB", 2),
    "mel_in": Column("mel\nin", "", 3),
    "mel_out": Column("\nout", "", 3),
    "lsd_in_db": Column("LSD\nin", "dB", 1),
    "lsd_out_db": Column("\nout", "dB", 1),
    "visqol_in": Column("ViSQOL\nin", "", 2),
    "visqol_out": Column("\nout", "", 2),
    "pesq_in": Column("PESQ\nin", "", 2),
    "pesq_out": Column("\nout", "", 2),
    "stoi_in": Column("STOI\nin", "", 3),
    "stoi_out": Column("\nout", "", 3),
    "estoi_in": Column("ESTOI\nin", "", 3),
    "estoi_out": Column("\nout", "", 3),
    "rtf": Column("speed", "×", 0),
}
LEGEND = (
    "in: the noisy audio, out: the denoised, both against the clean clip. gain: of SI-SDR, with the 95 % interval of\n"
    "its mean over clips. Higher is better: SI-SDR, gain, SNR. Lower: mel, LSD. speed: audio seconds per second."
)


def render(rows: Sequence[DenoisingRow], *, title: str | None = None) -> Table:
    """The means of rows as a rich table: for each system every input SNR, then overall."""
    found = means(rows)
    table = shared.styled(title)
    table.add_column("system", vertical="bottom", max_width=22, overflow="fold")
    table.add_column("input\nSNR\ndB", justify="right", vertical="bottom")
    table.add_column("clips", justify="right", vertical="bottom")
    shown = {name: column for name, column in COLUMNS.items() if any(x.values[name] is not None for x in found)}
    for name, column in shown.items():
        table.add_column(f"{column.title}\n{column.unit}", justify="right", vertical="bottom", no_wrap=True)
        if name == "gain_db":
            table.add_column("\n95 %\ndB", justify="right", vertical="bottom", no_wrap=True)
    for mean in found:
        last = mean.input_snr_db is None
        cells = [mean.system, "overall" if last else f"{mean.input_snr_db:g}", str(mean.n_clips)]
        for name, column in shown.items():
            cells.append(_signed(mean.values[name]) if name == "gain_db" else show(mean.values[name], column))
            if name == "gain_db":
                cells.append(f"{_signed(mean.gain_low_db)} {_signed(mean.gain_high_db)}")
        table.add_row(*cells, style="bold" if last else None, end_section=last)
    return table


def render_domains(rows: Sequence[DenoisingRow]) -> Table:
    """The mean gains of each domain as a rich table: a line per system and domain, a column per input SNR."""
    found = [mean for mean in all_means(rows) if mean.domain is not None]
    table = shared.styled("mean gain in dB by domain")
    table.add_column("system", max_width=22, overflow="fold")
    table.add_column("domain", max_width=14, overflow="ellipsis", no_wrap=True)
    table.add_column("clips", justify="right")
    for snr_db in dict.fromkeys(mean.input_snr_db for mean in found):
        table.add_column("overall" if snr_db is None else f"{snr_db:g} dB", justify="right", no_wrap=True)
    lines: dict[tuple[str, str | None], list[DenoisingMean]] = {}
    for system in dict.fromkeys(row.system for row in rows):
        for mean in (mean for mean in found if mean.system == system):
            lines.setdefault((system, mean.domain), []).append(mean)
    for (system, domain), members in lines.items():
        table.add_row(system, domain, str(members[-1].n_clips), *(_signed(mean.values["gain_db"]) for mean in members))
    return table


def report(outcome: Outcome, output: Path, *, title: str | None = None, notes: Sequence[str] = ()) -> None:
    """Prints tables, legend and remarks; writes denoise.json and .csv, and the means as denoise_means.json."""
    rows = outcome.rows
    former.keep(output, shared.as_records(rows), ("denoise.json", "denoise.csv", "denoise_means.json"))
    shared.write_json(rows, output / "denoise.json")
    shared.write_csv(rows, output / "denoise.csv")
    found = all_means(rows)
    absent = {name for name in VALUES if all(mean.values[name] is None for mean in found)}
    shared.write_means(found, output / "denoise_means.json", keep=lambda name, _: name not in absent)
    table = render(rows, title=title)
    out = shared.console(table=table)
    out.print(table)
    out.print(LEGEND, style="dim")
    if len({row.domain for row in rows}) > 1:
        # that of the noisy audio is 0
        out.print(render_domains([row for row in rows if row.rtf is not None]))
    for line in (*notes, *remarks(outcome)):
        out.print(line, style="dim", soft_wrap=True, markup=False)
    out.print(
        f"a row per clip: denoise.json, denoise.csv, means by domain and noise: denoise_means.json, in {output}",
        style="dim",
        soft_wrap=True,
        markup=False,
    )
    sys.stdout.flush()


def _signed(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:+.2f}"


def remarks(outcome: Outcome) -> list[str]:
    """Lines on the clips that were left out, on denoisers that gave NaN, and on the rivals' libraries."""
    reasons: dict[str, list[str]] = {}
    for clip in outcome.left_out:
        reasons.setdefault(clip.reason, []).append(clip.clip)
    lines = [f"left out {some(clips)}: {reason}" for reason, clips in reasons.items()]
    systems = dict.fromkeys(row.system for row in outcome.rows)
    for system in systems:
        members = [row for row in outcome.rows if row.system == system]
        if broken := dict.fromkeys(row.clip for row in members if row.remark == NOT_FINITE):
            lines.append(f"{system} gave NaN or infinity, so its means are NaN: {some(broken)}")
    coders = {row.system: row.coder for row in outcome.rows if row.coder}
    return [*lines, *(["; ".join(f"{system}: {coder}" for system, coder in coders.items())] if coders else [])]
