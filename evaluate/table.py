"""Results as a table, of 120 columns unless a name is long, and as JSON and CSV files that say the same."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate import former
from evaluate.perceptual import METRICS
from evaluate.remarks import remarks
from zoo.errors import ZooError
from zoo.saved import whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from evaluate.records import Row

WIDTH = 120


@dataclass(frozen=True)
class Column:
    """How a value of a row is shown."""

    title: str
    unit: str
    decimals: int
    scale: float = 1.0


COLUMNS = {
    "payload_kbps": Column("pay-\nload", "kbps", 2),
    "kbps": Column("file", "kbps", 2),
    "snr_db": Column("SNR", "dB", 2),
    "si_sdr_db": Column("SI-SDR", "dB", 2),
    "segmental_snr_db": Column("segm.\nSNR", "dB", 2),
    "stft": Column("STFT", "", 3),
    "mel": Column("mel", "", 3),
    "stft_dac": Column("STFT\nDAC", "", 3),
    "mel_dac": Column("mel\nDAC", "", 3),
    "lsd_db": Column("LSD", "dB", 2),
    "bandwidth_hz": Column("band", "kHz", 1, 1e-3),
    "visqol": Column("ViSQOL", "", 2),
    "pesq": Column("PESQ", "", 2),
    "stoi": Column("STOI", "", 3),
    "estoi": Column("ESTOI", "", 3),
    "encode_rtf": Column("enc", "×", 0),
    "decode_rtf": Column("dec", "×", 0),
}


def console(*, stderr: bool = False, table: Table | None = None) -> Console:
    """A console at least as wide as a table, so that a log or a narrow terminal loses nothing."""
    from rich.console import Console

    needed = WIDTH if table is None else max(WIDTH, Console(width=10 * WIDTH).measure(table).maximum)
    found = Console(stderr=stderr, highlight=False)
    return found if found.width >= needed else Console(stderr=stderr, highlight=False, width=needed)


def render(rows: Sequence[Row], *, title: str | None = None) -> Table:
    """The means of rows as a rich table: for each system and level every domain, then overall."""
    from evaluate.records import OVERALL, means

    table = styled(title)
    table.add_column("system", vertical="bottom", max_width=22, overflow="fold")
    levels = len({(row.system, row.level) for row in rows}) > len({row.system for row in rows})
    if levels:
        table.add_column("level", justify="right", vertical="bottom")
    table.add_column("domain", vertical="bottom", max_width=14, overflow="ellipsis", no_wrap=True)
    table.add_column("clips", justify="right", vertical="bottom")
    shown = {name: column for name, column in COLUMNS.items() if any(getattr(row, name) is not None for row in rows)}
    for column in shown.values():
        table.add_column(f"{column.title}\n{column.unit}", justify="right", vertical="bottom", no_wrap=True)
    for mean in means(rows):
        cells = [mean.system] + [show_level(mean.level)] * levels + [mean.domain, str(mean.n_clips)]
        cells += [show(mean.values[name], column) for name, column in shown.items()]
        last = mean.domain == OVERALL
        table.add_row(*cells, style="bold" if last else None, end_section=last)
    return table


def show_level(level: int | None) -> str:
    return "" if level is None else str(level)


def show(value: float | None, column: Column) -> str:
    """A value in the column's unit, a dash for none; real-time factors to three digits."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    value *= column.scale
    if column.unit == "×":
        return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value:.0f}" if value >= 10 else f"{value:.1f}"
    return f"{value:.{column.decimals}f}"


def legend() -> str:
    """What the columns mean, in two lines."""
    return (
        "payload: entropy-coded audio, file: all bytes. Higher is better: SNR, SI-SDR, segmental SNR, band (retained\n"
        "bandwidth). Lower: STFT, mel (DAC: clamp of published tables), LSD. enc, dec: audio seconds per second."
    )


def as_records(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Dataclasses as dictionaries for JSON and CSV: floats to six digits, None for what is not finite.

    Perceptual scores that no row has are left out.
    """
    names = {f.name for row in rows[:1] for f in fields(row) if f.name.split("_")[0] in METRICS}
    absent = {name for name in names if all(getattr(row, name) is None for row in rows)}
    return [{key: plain(value) for key, value in asdict(row).items() if key not in absent} for row in rows]


def styled(title: str | None) -> Table:
    """An empty table in the style of this project."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown: the first column to the left, numbers to the right."""
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)], *lines]
    return ["| " + " | ".join(row) + " |" for row in rows]


def write_means(means: Sequence[Any], path: Path, *, keep: Callable[[str, float | None], bool]) -> None:
    """Writes means as a list of objects, each one's `values` beside the rest, those that `keep` says of.

    Raises ZooError, naming the path, if it cannot.
    """
    records = []
    for mean in means:
        record: dict[str, Any] = asdict(mean)
        record |= {name: value for name, value in record.pop("values").items() if keep(name, value)}
        records.append({name: plain(value) for name, value in record.items()})
    write_text(path, json.dumps(records, indent=1, allow_nan=False) + "\n")


def write_json(rows: Sequence[Any], path: Path) -> None:
    """Writes a list of objects; raises ZooError, naming the path, if it cannot."""
    write_text(path, json.dumps(as_records(rows), indent=1, allow_nan=False) + "\n")


def write_csv(rows: Sequence[Any], path: Path) -> None:
    """Writes a line per row under a line of names; raises ZooError, naming the path, if it cannot."""
    import io

    text = io.StringIO()
    records = as_records(rows)
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(path, text.getvalue())


def report(rows: Sequence[Row], output: Path, *, title: str | None = None, name: str = "results") -> None:
    """Prints the table with its legend and remarks, and writes `name`.json and `name`.csv into the folder `output`.

    Other results of this name that are there are kept (`former.keep`).
    """
    former.keep(output, as_records(rows), (f"{name}.json", f"{name}.csv"))
    write_json(rows, output / f"{name}.json")
    write_csv(rows, output / f"{name}.csv")
    table = render(rows, title=title)
    out = console(table=table)
    out.print(table)
    out.print(legend(), style="dim")
    for line in remarks(rows):
        out.print(line, style="dim", soft_wrap=True, markup=False)
    out.print(f"a row per clip: {name}.json, {name}.csv in {output}", style="dim", soft_wrap=True)
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON has it: floats to six digits, None for what is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def write_text(path: Path, text: str) -> None:
    """Writes a file, and the folders above it; raises ZooError, naming the path, if it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(path, text)
    except OSError as error:
        raise ZooError(f"{path}: cannot be written ({error.strerror})") from None
