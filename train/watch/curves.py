"""`python -m train report RUN...`: the curves of several runs, drawn over each other on one page."""

from __future__ import annotations

import contextlib
import html
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from zoo.console.command import command
from zoo.console.terminal import printable
from zoo.errors import ZooError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from train.watch.log import Row

COLOURS = ("#1f5f8b", "#c1553b", "#4d8b3f", "#8a5aa8", "#b08a1e", "#3f8f96", "#a0486f", "#5b5b5b", "#2f9e6e", "#d08030")
MAX_PANELS = 32
PANELS_PER_ROW = 3
UNKNOWN = "–"
NOT_COMPARED = ("workdir", "resume", "overwrite", "tensorboard", "profile", "distributed")
"""parts of a configuration that say nothing about what is learnt"""
STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1180px; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
th { border-bottom: 1px solid #bbb; } tr + tr td { border-top: 1px solid #eee; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: 1.6em; height: 3px; margin-right: .5em; vertical-align: middle; }
svg { width: 100%; height: auto; }
"""


@dataclass(frozen=True)
class Run:
    """The log and the configuration of a run."""

    name: str
    rows: list[Row]
    config: dict[str, Any]

    @property
    def seconds(self) -> float:
        return float(self.rows[-1].get("seconds", math.nan))


@dataclass(frozen=True)
class Options:
    """Draws the curves of runs over each other, with what differs between their configurations, into one page."""

    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN …")]]
    """run directories"""
    output: Annotated[str, arg(aliases=("--out",))] = "report.html"
    """.html, which needs no other file, or .png"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; bad input ends in one line and exit status 2."""
    command(Options, "python -m train report", run, arguments, extra="train")


def run(options: Options) -> None:
    """Reads, draws and writes; raises ZooError for what is no run, and for a page that cannot be written."""
    from evaluate import cli, table

    output = Path(options.output)
    if output.suffix not in (".html", ".png"):
        raise ZooError(f"{output}: the page is .html or .png")
    cli.check_results_file(options.output)
    runs = read(options.runs)
    if output.suffix == ".html":
        table.write_text(output, page(runs))
    else:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_bytes(picture(runs))
        except OSError as error:
            raise ZooError(f"{output}: cannot be written ({error.strerror})") from None
    print(f"written to {output}")


def read(folders: Sequence[str]) -> list[Run]:
    """Runs, named by what their folders differ in; raises ZooError for a folder that is none, or has logged nothing."""
    from train.watch.log import read_metrics

    if not folders:
        raise ZooError("no runs: python -m train report RUN...")
    found = []
    for folder, name in zip(folders, _names([Path(folder) for folder in folders])):
        log, stored = Path(folder) / "metrics.jsonl", Path(folder) / "config.json"
        if not log.is_file() or not stored.is_file():
            raise ZooError(f"{folder} is no run: it has no {(log if stored.is_file() else stored).name}")
        try:
            config = json.loads(stored.read_text())
        except (OSError, ValueError) as error:
            raise ZooError(f"{stored}: cannot be read ({error})") from None
        rows = read_metrics(log)
        if not rows:
            raise ZooError(f"{folder} has not logged a step yet")
        found.append(Run(name, rows, config))
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    paths = [folder.absolute().parts for folder in folders]
    for n in range(1, max(map(len, paths)) + 1):
        names = [printable("/".join(parts[-n:])) for parts in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Each key of the configurations that differs, with its value in each run."""
    flat = [_flat(run.config) for run in runs]
    keys = sorted({key for values in flat for key in values}, key=lambda key: ("." in key, key))
    shown = {key: [values.get(key, UNKNOWN) for values in flat] for key in keys}
    return {
        key: values for key, values in shown.items() if len(set(values)) > 1 and key.split(".")[0] not in NOT_COMPARED
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = printable(value) if isinstance(value, str) else json.dumps(value)
    return flat


def page(runs: Sequence[Run]) -> str:
    """A page of HTML that needs no other file and no network."""
    names = ", ".join(run.name for run in runs)
    figure = draw(runs)
    drawn = io.StringIO()
    with _style(svg_fonttype="none", svg_hashsalt="codec-zoo"):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = drawn.getvalue()
    swatches = [f'<span class="swatch" style="background: {_colour(i)}"></span>' for i in range(len(runs))]
    labels = [swatch + html.escape(run.name) for swatch, run in zip(swatches, runs)]
    table = "".join(
        f'<tr><td>{label}</td><td class="number">{run.rows[-1]["step"]}</td>'
        f'<td class="number">{_duration(run.seconds)}</td></tr>'
        for label, run in zip(labels, runs)
    )
    parts = [
        f"<h1>{html.escape(names)}</h1>",
        '<table><tr><th>run</th><th class="number">steps</th><th class="number">time</th></tr>' + table + "</table>",
        "<p>Thin: as logged. Thick: running mean over a twentieth of the curve.</p>",
        svg[svg.index("<svg") :],
    ]
    if len(runs) > 1:
        heads = "".join(f"<th>{label}</th>" for label in labels)
        rows = "".join(
            f"<tr><td>{html.escape(key)}</td>{''.join(f'<td>{html.escape(value)}</td>' for value in values)}</tr>"
            for key, values in differences(runs).items()
        )
        parts.append("<h2>What differs</h2>")
        parts.append(f"<table><tr><th></th>{heads}</tr>{rows}</table>" if rows else "<p>Nothing.</p>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(names)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def picture(runs: Sequence[Run]) -> bytes:
    """The same as a PNG file, what differs in lines below the curves."""
    lines = [f"{key}: {' · '.join(values)}" for key, values in differences(runs).items()]
    figure = draw(runs, lines)
    drawn = io.BytesIO()
    with _style():
        figure.savefig(drawn, format="png", dpi=110, metadata={"Software": "codec-zoo"})
    return drawn.getvalue()


def draw(runs: Sequence[Run], lines: Sequence[str] = ()) -> Figure:
    """A panel for each metric, the runs over each other; `lines` of text below."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from train.watch import picture

    panels = picture.panels_of([row for run in runs for row in run.rows], limit=MAX_PANELS)
    n_rows = math.ceil(len(panels) / PANELS_PER_ROW)
    with _style():
        height, foot = 0.8 + 2.2 * max(n_rows, 1), 0.15 * len(lines) + 0.2 * bool(lines)
        figure = Figure(figsize=(12.0, height + foot), layout="constrained")
        whole: Any = [figure]
        if foot:
            whole = figure.subfigures(2, 1, height_ratios=(height, foot))
            whole[1].text(0.01, 0.98, "\n".join(lines), va="top", family="monospace", fontsize=8)
        top = whole[0]
        handles = [Line2D([], [], color=_colour(i), linewidth=2.0) for i in range(len(runs))]
        top.legend(handles, [run.name for run in runs], loc="outside upper left", ncols=min(len(runs), 5))
        axes = top.subplots(max(n_rows, 1), PANELS_PER_ROW, squeeze=False).flatten()
        for ax, (name, keys) in zip(axes, panels.items()):
            shown = [_draw_run(ax, run, keys, _colour(i)) for i, run in enumerate(runs)]
            title = name if len(keys) == 1 else f"{name} (mean of {len(keys)})"
            picture.set_axes(ax, name, np.concatenate(shown).tolist())
            ax.set_title(title.replace("_", " "), loc="left")
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
    return figure


def _draw_run(ax: Any, run: Run, keys: Sequence[str], colour: str) -> np.ndarray:
    """Draws the mean of the keys that the run has; gives its finite values."""
    from train.watch import picture

    columns = [picture.series(run.rows, key) for key in keys]
    columns = [column for column in columns if column.size]
    # those of a family are logged together
    whole = [column for column in columns if column.shape == columns[0].shape]
    if not whole:
        return np.zeros(0)
    steps, values = whole[0][0], np.mean([column[1] for column in whole], axis=0)
    values = np.where(np.isfinite(values), values, np.nan)
    ax.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7, marker="o" if len(steps) == 1 else None)
    ax.plot(steps, picture.smoothed(values), color=colour, linewidth=1.6)
    return values[np.isfinite(values)]


@contextlib.contextmanager
def _style(**more: str) -> Iterator[None]:
    """matplotlib's defaults with the reports' changes, whatever the user's own are."""
    import matplotlib

    from train.watch import picture

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(picture.STYLE | {key.replace("_", "."): value for key, value in more.items()})
        yield


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _duration(seconds: float) -> str:
    from train.watch.progress import duration

    return duration(seconds)
