"""`python -m evaluate compare A.json B.json`: which differences between two evaluations are more than chance."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from evaluate import cli, statistics
from evaluate.records import NOT_FINITE, SILENT, label
from evaluate.statistics import Totals
from zoo.console.command import command
from zoo.errors import ZooError
from zoo.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

Key = tuple[str, int | None]

SIGNIFICANCE = 0.05
EXACT_CLIPS = 14
"""Up to so many clips every pattern of signs is tried, beyond that `N_FLIPS` random ones."""
N_FLIPS = 20_000
_PART = 1000


@dataclass(frozen=True)
class Options:
    """Says which differences between two evaluations of the same clips are significant.

    Examples:
      python -m evaluate compare before/results.json after/results.json
      python -m evaluate compare runs/a/evaluation/results.json runs/b/evaluation/results.json --metric mel si_sdr_db

    Systems of the same name and level are paired, and what is left over if it is one system on either side. The p value
    is that of a paired permutation test over clips, corrected for the number of metrics.
    """

    before: Positional[Annotated[str, arg(metavar="BEFORE")]]
    """A: a results.json"""
    after: Positional[Annotated[str, arg(metavar="AFTER")]]
    """B: another one"""
    metric: tuple[str, ...] = ()
    """names as in the files; none = all that both have, and the rates"""
    output: str | None = None
    """JSON file for the differences"""
    seed: int = 0
    """of the resampling"""


@dataclass(frozen=True)
class Difference:
    """How a mean over the clips that two evaluations share changed from A to B."""

    system: str
    """both names where they differ"""
    level: int | None
    metric: str
    n_clips: int
    a: float
    b: float
    difference: float
    """b - a"""
    low: float
    high: float
    """limits of its bootstrap interval, not corrected for the number of metrics; nan for a single clip"""
    p: float
    """of a difference at least as large if each clip's had either sign with equal chance"""
    p_holm: float
    """p corrected for the number of metrics"""
    verdict: str
    """"better" or "worse" for B where the difference is significant, else empty"""


@dataclass(frozen=True)
class Comparison:
    """Differences of each pair of systems, and what was left out of them or keeps them from being significant."""

    differences: list[Difference]
    notes: list[str]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate compare", run, arguments, cached=False)


def run(options: Options) -> None:
    """Compares, prints the table and its notes; raises ZooError for input that cannot be used."""
    from evaluate import table

    cli.check_results_file(options.output)
    cli.check_seed(options.seed)
    found = compare(read(options.before), read(options.after), options.metric, seed=options.seed)
    if options.output is not None:
        table.write_json(found.differences, Path(options.output))
    out = table.console()
    out.print(render(found.differences, title=f"A {options.before}\nB {options.after}"))
    for note in [*found.notes, legend()]:
        out.print(note, style="dim", soft_wrap=True, markup=False)


def read(path: str) -> list[dict[str, Any]]:
    """The rows of a results.json; raises ZooError, naming file and row, for anything else."""
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError:
        raise ZooError(f"{path}: not a JSON file") from None
    if not isinstance(rows, list) or not rows:
        raise ZooError(f"{path}: not a list of results")
    kinds: dict[str, Any] = {"system": str, "level": int | None, "clip": str, "seconds": int | float}
    values = statistics.known_values()
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ZooError(f"{path}: entry {i} is not an object")
        for name, kind in kinds.items():
            if not isinstance(row.get(name), kind) or (name == "seconds" and not row[name] > 0):
                raise ZooError(f"{path}: entry {i} has no valid {name!r}")
        for name in values:
            if not isinstance(row.get(name), int | float | None):
                raise ZooError(f"{path}: entry {i}: {name} is {row[name]!r}, not a number")
    return rows


def compare(
    a: statistics.Rows, b: statistics.Rows, metrics: Sequence[str] = (), *, seed: int = 0, n_flips: int = N_FLIPS
) -> Comparison:
    """Differences from A to B over the clips that both have, for each pair of systems and each metric.

    No metrics = all that both have, and the rates. Raises ZooError for an unknown metric, a clip that occurs twice in a
    system or differs in length, and where there is no pair, no common clip or nothing that both measured.
    """
    speeds = [name for name in statistics.known_values() if name.endswith("_rtf")]
    for name in metrics:
        if name in speeds:
            raise ZooError(f"{name} is the machine's as much as the system's: it is not compared")
        statistics.higher_is_better(name)
    names = list(dict.fromkeys(metrics)) or [name for name in statistics.known_values() if name not in speeds]
    systems = [statistics.by_system(rows) for rows in (a, b)]
    pairs = pair(list(systems[0]), list(systems[1]))
    notes = [
        f"only in {side}: {', '.join(label(*key) for key in left)}"
        for side, left in zip("AB", ([key for key in s if key not in p] for s, p in zip(systems, zip(*pairs))))
        if left
    ]
    differences = []
    for key_a, key_b in pairs:
        who = key_a[0] if key_a[0] == key_b[0] else f"{key_a[0]} → {key_b[0]}"
        title = label(who, key_a[1])
        clips = [_by_clip(systems[side][key], title) for side, key in enumerate((key_a, key_b))]
        common, said = _shared(clips, title)
        notes += said
        found = []
        for name in names:
            rows = [(clips[0][clip], clips[1][clip]) for clip in common]
            valued = [x for x in rows if all(_is_finite(statistics.get(row, name)) for row in x)]
            if valued and len(valued) < len(rows):
                notes.append(f"{title}: {name} has no value in {len(rows) - len(valued)} of {len(rows)} clips")
            if valued:
                found.append(_difference(who, key_a[1], name=name, rows=valued, seed=seed, n_flips=n_flips))
            elif metrics:
                raise ZooError(f"{title}: A and B have no values of {name} for the same clip")
        if found and (least := 2 ** (1 - min(x.n_clips for x in found)) * len(found)) > SIGNIFICANCE:
            notes.append(
                f"{title}: nothing can be significant with {counted(min(x.n_clips for x in found), 'clip')} and "
                f"{counted(len(found), 'test')} (p at least {min(least, 1):.2g}): take more clips or name fewer metrics"
            )
        differences += judge(found)
    if not differences:
        raise ZooError("A and B have no values of any metric for the same clip")
    return Comparison(differences, notes)


def pair(a: Sequence[Key], b: Sequence[Key]) -> list[tuple[Key, Key]]:
    """Systems to compare: equal (system, level); then, if one name is left on either side, its equal levels.

    Names that are left with a single level each are paired whatever it is. Raises ZooError if nothing fits.
    """
    pairs = [(key, key) for key in a if key in b]
    left = [[key for key in keys if (key, key) not in pairs] for keys in (a, b)]
    if all(len({name for name, _ in keys}) == 1 for keys in left):
        equal = [(x, y) for x in left[0] for y in left[1] if x[1] == y[1]]
        pairs += equal or [(left[0][0], left[1][0])] * (len(left[0]) == len(left[1]) == 1)
    if not pairs:
        names = [", ".join(label(*key) for key in keys) for keys in (a, b)]
        raise ZooError(f"no system of A ({names[0]}) is one of B ({names[1]})")
    return pairs


def sign_flip_p(differences: np.ndarray, *, seed: int = 0, n_flips: int = N_FLIPS) -> float:
    """Two-sided p of the sum of (n,) paired differences when each is as likely to have the other sign (Fisher, 1935).

    Exact for up to `EXACT_CLIPS` of them; else from `n_flips` random patterns, the observed one counted among them
    (Phipson & Smyth, 2010).
    """
    n = len(differences)
    # what rounding makes of equal sums is no difference
    bar = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if n <= EXACT_CLIPS:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)[None, :]) & 1)
        return float(np.mean(np.abs(signs @ differences) >= bar))
    rng = np.random.default_rng([seed, n])
    as_large = 0
    for start in range(0, n_flips, _PART):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (min(_PART, n_flips - start), n))
        as_large += int(np.sum(np.abs(signs @ differences) >= bar))
    return (1 + as_large) / (1 + n_flips)


def holm(p: Sequence[float]) -> list[float]:
    """Corrects p values for their number (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def judge(found: Sequence[Difference]) -> list[Difference]:
    """The differences of one pair with p corrected for their number, and a verdict where it is significant."""
    result = []
    for x, p in zip(found, holm([x.p for x in found])):
        significant = p <= SIGNIFICANCE and (x.low > 0 or x.high < 0)
        better = (x.difference > 0) == statistics.higher_is_better(x.metric)
        result.append(replace(x, p_holm=p, verdict="" if not significant else "better" if better else "worse"))
    return result


def render(differences: Sequence[Difference], *, title: str | None = None) -> Table:
    """The differences as a rich table."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("system", max_width=34, overflow="fold")
    table.add_column("metric", no_wrap=True)
    for name in ("clips", "A", "B", "B - A", "95 % interval", "p", "p (Holm)"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is", no_wrap=True)
    for x, following in zip(differences, [*differences[1:], None]):
        last = following is None or (following.system, following.level) != (x.system, x.level)
        limits = "unknown" if math.isnan(x.low) else f"{x.low:+.3g} … {x.high:+.3g}"
        cells = [label(x.system, x.level), x.metric, str(x.n_clips), f"{x.a:.4g}", f"{x.b:.4g}"]
        cells += [f"{x.difference:+.3g}", limits, f"{x.p:.2g}", f"{x.p_holm:.2g}", x.verdict]
        table.add_row(*cells, style="bold" if x.verdict else None, end_section=last)
    return table


def legend() -> str:
    """What the columns mean, in two lines."""
    return (
        "interval: paired bootstrap over clips, uncorrected. p: paired sign-flip permutation test; Holm: corrected\n"
        f"for the metrics of a pair. better, worse: p (Holm) at most {SIGNIFICANCE:g} and 0 outside the interval."
    )


def _difference(
    system: str, level: int | None, name: str, rows: Sequence[tuple[Any, Any]], seed: int, n_flips: int
) -> Difference:
    a, b = (statistics.totals([pair[side] for pair in rows], name) for side in range(2))
    # each clip counts in B as it does in A, where lengths differ by a sample
    weighted = a.weights * (b.values / b.weights - a.values / a.weights)
    change = Totals(a.clips, weighted, a.weights)
    low, high = math.nan, math.nan
    if len(a.clips) > 1:
        low, high = statistics.interval(change.resampled(seed, statistics.N_RESAMPLES))
    p = sign_flip_p(weighted, seed=seed, n_flips=n_flips)
    return Difference(
        system,
        level,
        metric=name,
        n_clips=len(a.clips),
        a=a.mean,
        b=b.mean,
        difference=change.mean,
        low=low,
        high=high,
        p=p,
        p_holm=p,
        verdict="",
    )


def _by_clip(rows: statistics.Rows, title: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        if statistics.get(row, "clip") in found:
            raise ZooError(f"{title}: clip {statistics.get(row, 'clip')} occurs twice")
        found[statistics.get(row, "clip")] = row
    return found


def _shared(clips: Sequence[dict[str, Any]], title: str) -> tuple[list[str], list[str]]:
    """Clips that both sides have and that are not silent, and what is to be said of the others and of the sides."""
    both = [clip for clip in clips[0] if clip in clips[1]]
    if not both:
        raise ZooError(f"{title}: A and B have no clip in common")
    notes = []
    if missing := len(clips[0]) + len(clips[1]) - 2 * len(both):
        notes.append(f"{title}: {missing} clips that only one of them has are left out")
    common = [clip for clip in both if not any(statistics.get(side[clip], "remark") == SILENT for side in clips)]
    if not common:
        raise ZooError(f"{title}: all clips that A and B have in common are silent")
    if len(common) < len(both):
        notes.append(f"{title}: silent clips are left out, {len(both) - len(common)} of {len(both)}")
    for name, side in zip("AB", clips):
        if broken := sum(statistics.get(side[clip], "remark") == NOT_FINITE for clip in common):
            notes.append(f"{title}: {name} gave NaN or infinity for {broken} of {len(common)} clips")
    for clip in common:
        lengths = [float(statistics.get(side[clip], "seconds")) for side in clips]
        if abs(lengths[0] - lengths[1]) > 1e-3 * max(1.0, *lengths):
            raise ZooError(f"{clip} lasts {lengths[0]:g} s in A and {lengths[1]:g} s in B: not the same audio")
    coders = [", ".join(sorted({statistics.get(side[clip], "coder") or "" for clip in common})) for side in clips]
    if all(coders) and coders[0] != coders[1]:
        notes.append(f"{title}: A is coded by {coders[0]}, B by {coders[1]}")
    return common, notes


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
