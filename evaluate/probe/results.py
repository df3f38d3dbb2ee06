"""Trials as a table, and as JSON, CSV and a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from evaluate import former, table
from evaluate.probe.picture import confusion_svg
from evaluate.probe.trial import Trial

HEADINGS = ("features", "classifier", "n_features", "accuracy", "low", "high", "macro_f1")


def print_table(trials: Sequence[Trial], title: str) -> None:
    """Prints a line for each set of features: accuracy, its interval, and macro-F1 by classifier, in per cent."""
    from rich.table import Table

    kinds = list(dict.fromkeys(trial.classifier for trial in trials))
    drawn = Table(title=title)
    drawn.add_column("features")
    drawn.add_column("n", justify="right")
    for kind in kinds:
        drawn.add_column(f"{kind}\naccuracy %", justify="right")
        drawn.add_column("95 %\nWilson", justify="right")
        drawn.add_column("macro\nF1 %", justify="right")
    for name in dict.fromkeys(trial.features for trial in trials):
        row = {trial.classifier: trial for trial in trials if trial.features == name}
        cells = [name, str(next(iter(row.values())).n_features)]
        for kind in kinds:
            trial = row[kind]
            cells += [
                f"{100 * trial.accuracy:.1f}", f"{100 * trial.low:.1f}–{100 * trial.high:.1f}",
                f"{100 * trial.macro_f1:.1f}",
            ]  # fmt: skip
        drawn.add_row(*cells)
    table.console(table=drawn).print(drawn)


def write(trials: Sequence[Trial], classes: Sequence[str], folder: str | Path, title: str, n_folds: int) -> None:
    """Writes probe.json, probe.csv and, of the most accurate trial, confusion.svg; raises ZooError where it cannot."""
    place = Path(folder)
    rows = [{name: getattr(trial, name) for name in HEADINGS} for trial in trials]
    content = {
        "title": title,
        "classes": list(classes),
        "folds": n_folds,
        "interval": "95 %, Wilson's score over clips",
        "trials": [row | {"confusion": trial.confusion.tolist()} for row, trial in zip(rows, trials)],
    }
    lines = io.StringIO()
    writer = csv.DictWriter(lines, HEADINGS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    best = max(trials, key=lambda trial: trial.accuracy)
    picture = confusion_svg(
        best.confusion, classes, f"{best.features}, {best.classifier}: {100 * best.accuracy:.1f} % right"
    )
    former.keep(place, content, ("probe.json", "probe.csv", "confusion.svg"))
    table.write_text(place / "probe.json", json.dumps(content, indent=1) + "\n")
    table.write_text(place / "probe.csv", lines.getvalue())
    table.write_text(place / "confusion.svg", picture)
    print(f"wrote probe.json, probe.csv and confusion.svg to {place}")
