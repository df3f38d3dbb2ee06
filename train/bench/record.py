"""The table of a measurement, of as much as there is: `python -m train.bench.record RESULTS --out FOLDER`.

Writes table.json and table.md, with hardware, versions and command. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from train.bench import choice
from train.bench.results import Record, read
from zoo.saved import whole

Cells = dict[str, Callable[[Record], Any]]


def tables(records: Sequence[Record], curve: Sequence[Record], command: str) -> str:
    """Everything that was found, in Markdown."""
    machine = _of("machine", records)
    sections = ["# On an accelerator", *_about(machine, command)]
    rates = [record for record in machine if record["case"] != "hardware"]
    sections += _section(
        "Products of matrices",
        rates,
        {"precision": lambda r: r["case"].removeprefix("matrices "), "TFLOP/s": _("tflops")},
    )
    sections += _section("Parts", _of("parts", records), {"part": _("case"), "ended": _ended, "s": _("seconds")})
    checks = _of("checks", records)
    passed = [record for record in checks if record.get("outcome") == "passed"]
    if checks:
        sections += ["## Tests", f"{len(passed)} of {len(checks)} passed."]
    sections += _section(
        "", [r for r in checks if r not in passed], {"test": _("case"), "outcome": _("outcome"), "s": _("seconds")}
    )
    columns = {"layer": _("case"), "forward error": _("forward_error"), "ms": _("forward_ms")}
    columns |= {"gradient error": _("gradient_error"), "ms ": _("gradient_ms")}
    sections += _section("Layers", _of("layers", records), columns)
    columns = {"case": _("case"), "audio s/s": _("audio_per_s"), "ms": _("ms"), "TFLOP/s": _("tflops")}
    columns |= {"of matrix rate": lambda r: None if r.get("share") is None else f"{100 * r['share']:.3g} %"}
    measured = [r for r in _of("throughput", records) if not r["case"].endswith(" compilation") or "error" in r]
    sections += _section("Throughput", measured, columns)
    for model in sorted({r["model"] for r in measured if r.get("what") == "training" and "model" in r}):
        if chosen := choice.choose(measured, model):
            sections.append(f"Best for training {model}: batches of {chosen.batch_size} in {chosen.precision}.")
    if curve:
        rows = [*curve[:: max(1, len(curve) // 10)], curve[-1]]
        columns = {name: _(name) for name in ("step", "seconds", "loss", "audio_per_s", "wait_share")}
        held_out = sorted({name for row in curve for name in row if name.startswith("held_out/")})
        rows = [row for n, row in enumerate(rows) if row not in rows[:n]]
        sections += _section("Training", rows, columns | {name: _(name) for name in held_out})
    return "\n\n".join(sections) + "\n"


def _about(machine: Iterable[Record], command: str) -> list[str]:
    found = next((record for record in machine if record["case"] == "hardware" and "device" in record), None)
    lines = [f"Command: `{command}`"] if command else []
    if found:
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        lines.append(f"{found['device']}; {found['cpu']}, {found['cores']} cores; Python {found['python']}, {versions}")
    return lines


def _(name: str) -> Callable[[Record], Any]:
    return lambda record: record.get(name)


def _ended(record: Record) -> str:
    """What an exit status says, as `timeout` gives it."""
    status = record.get("status")
    if status is None:
        return "not begun: no time was left"
    if status in (124, 137):
        return "when its time was up" + ", by force" * (status == 137)
    return "by itself" if status == 0 else f"crashed (signal {status - 128})" if status > 128 else f"failed ({status})"


def _of(part: str, records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record["part"] == part]


def _section(title: str, records: Sequence[Record], columns: Cells) -> list[str]:
    """A heading and a table; the last column is for errors, where there are any. Nothing without records."""
    if not records:
        return []
    if any("error" in record for record in records):
        columns = columns | {"error": lambda record: str(record.get("error", "")).replace("|", "\\|")}
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[_shown(cell(record)) for cell in columns.values()] for record in records]
    return [f"## {title}"] * bool(title) + ["\n".join(f"| {' | '.join(row)} |" for row in rows)]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; curves are those of the run, as far as there are any."""
    parser = argparse.ArgumentParser("python -m train.bench.record", description="Makes the table of a measurement.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="run directory with the curves, which are copied")
    parser.add_argument("--command", default="")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    records, curve = read(options.results), []
    if options.run and (log := options.run / "metrics.jsonl").is_file():
        shutil.copyfile(log, options.out / log.name)
        curve = _curve(log)
    written = {"command": options.command, "records": records, "training": curve}
    whole.write_text(options.out / "table.json", json.dumps(written, indent=1) + "\n")
    whole.write_text(options.out / "table.md", tables(records, curve, options.command))


def _curve(log: Path) -> list[Record]:
    rows = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # the last one, cut off
            continue
    return rows


if __name__ == "__main__":
    main()
