"""`python -m evaluate.bench features`: how fast features of a folder of clips are, and whether they are librosa's."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from evaluate import cli
from zoo.console.command import command
from zoo.errors import ZooError

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from evaluate.clips import Clip

OURS, SEPARATE, SHARED = "zoo", "librosa, a call each", "librosa, one spectrogram for all"
TOLERANCE = 1e-4
"""Difference from librosa, of the largest magnitude that it gives for the clip, up to which values are equal."""
GENERATED_CLIPS, GENERATED_S, GENERATED_HZ = 24, 5.0, 22_050


@dataclass(frozen=True)
class Options:
    """Measures the speed of audio features of all clips, ours and librosa's in turn: a table and, if asked for, JSON.

    Examples:
      python -m evaluate.bench features                          clips of the embedded generator
      python -m evaluate.bench features --data.root DIR
      python -m evaluate.bench features --data.root DIR --names mfcc chroma --limit 100

    librosa is compared with where it is installed (pip install librosa).
    """

    data: cli.Folder = field(default_factory=cli.Folder)
    """clips, whose channels are averaged; None = 24 clips of 5 s of the embedded generator"""
    names: tuple[str, ...] = ()
    """features; all by default"""
    limit: int | None = None
    """clips, evenly spaced; they are all held at once; None = all"""
    batch_size: int | None = None
    """clips in one call of ours; None = what suits the device"""
    repeat: int = 3
    """passes over all clips of each, in turn"""
    output: Annotated[str | None, arg(aliases=("--json",))] = None
    """JSON file to write"""


@dataclass(frozen=True)
class Passes:
    """Seconds that passes over all clips took."""

    name: str
    first_s: float
    """of the first pass, compilation included"""
    all_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        return statistics.median(self.all_s)

    def times(self, other: Passes) -> float:
        """How many times as long as another, whose passes were made in turn: the median of the ratios."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.all_s, other.all_s))


@dataclass(frozen=True)
class Deviation:
    """How far a feature is from librosa's, over all clips, as shares of its largest magnitude in each."""

    feature: str
    median: float
    largest: float
    n_equal: int
    """clips whose deviation is at most `TOLERANCE`"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.bench features", run, arguments, cached=False)


def run(options: Options) -> None:
    """Measures and prints; raises ZooError for input that cannot be used."""
    from evaluate import table
    from evaluate.bench import hardware, librosa_peer
    from zoo import features

    if options.repeat < 1:
        raise ZooError(f"--repeat must be at least 1, got {options.repeat}")
    names = options.names or features.NAMES
    if unknown := [name for name in names if name not in features.NAMES]:
        raise ZooError(f"unknown feature {unknown[0]!r}; there are {', '.join(features.NAMES)}")
    cli.check_results_file(options.output)
    machine, start = hardware.hardware(), time.perf_counter()
    clips = _clips(options)
    reading_s = time.perf_counter() - start
    sides: dict[str, Callable[[], Any]] = {OURS: lambda: [*_ours(clips, names, options.batch_size)]}
    console = table.console()
    if librosa_peer.is_installed():
        sides[SEPARATE] = partial(_theirs, librosa_peer.separate, clips, names)
        sides[SHARED] = partial(_theirs, librosa_peer.shared, clips, names)
    else:
        console.print("librosa is not installed, so only ours is measured: pip install librosa", style="dim")
    passes, first = _in_turn(sides, options.repeat)
    deviations = _deviations(names, first[OURS], first[SEPARATE]) if SEPARATE in first else []
    seconds = sum(len(clip.samples) / clip.sample_rate for clip in clips)
    if options.output:
        record = {
            "hardware": machine, "features": list(names), "n_clips": len(clips), "audio_s": seconds,
            "reading_s": reading_s, "passes": [asdict(one) for one in passes],
            "times_faster": {one.name: one.times(passes[0]) for one in passes[1:]},
            "deviations": [asdict(one) for one in deviations],
        }  # fmt: skip
        table.write_text(Path(options.output), json.dumps(record, indent=1, allow_nan=False) + "\n")
    title = f"{len(names)} features of {len(clips)} clips, {seconds:.0f} s of audio"
    console.print(hardware.describe(machine), style="dim")
    console.print(render_passes(passes, title, reading_s=reading_s, audio_s=seconds))
    if deviations:
        console.print(render_deviations(deviations, len(clips)))


def _clips(options: Options) -> list[Clip]:
    from evaluate.clips import clips_from_folder, held_out_clips

    if options.data.root is None:
        n_clips = GENERATED_CLIPS if options.limit is None else min(options.limit, GENERATED_CLIPS)
        return held_out_clips(n_clips=n_clips, clip_s=GENERATED_S, sample_rate=GENERATED_HZ)
    found = [
        clip for clip in clips_from_folder(options.data.root, channels=1, limit=options.limit) if clip.samples.size
    ]
    if not found:
        raise ZooError(f"{options.data.root}: no file in it can be read")
    return found


def _ours(clips: Sequence[Clip], names: Sequence[str], batch_size: int | None) -> Iterator[dict[str, np.ndarray]]:
    """In the order of clips; those of one sample rate after another are computed together."""
    from zoo import features

    for sample_rate, group in groupby(clips, key=lambda clip: clip.sample_rate):
        samples = (clip.samples[:, 0] for clip in group)
        yield from features.extract_each(samples, sample_rate, names, batch_size=batch_size)


def _theirs(peer: Callable[..., Any], clips: Sequence[Clip], names: Sequence[str]) -> list[dict[str, np.ndarray]]:
    return [peer(clip.samples[:, 0], clip.sample_rate, names) for clip in clips]


def _in_turn(sides: dict[str, Callable[[], Any]], repeat: int) -> tuple[list[Passes], dict[str, Any]]:
    """A first pass of each, with its results, then `repeat` in turn."""
    first: dict[str, Any] = {}
    first_s: dict[str, float] = {}
    all_s: dict[str, list[float]] = {name: [] for name in sides}
    for name, compute in sides.items():
        start = time.perf_counter()
        first[name] = compute()
        first_s[name] = time.perf_counter() - start
    for _ in range(repeat):
        for name, compute in sides.items():
            start = time.perf_counter()
            compute()
            all_s[name].append(time.perf_counter() - start)
    return [Passes(name, first_s[name], tuple(all_s[name])) for name in sides], first


def _deviations(names: Sequence[str], ours: Sequence[Any], theirs: Sequence[Any]) -> list[Deviation]:
    import numpy as np

    def deviation(found: np.ndarray, expected: np.ndarray) -> float:
        scale = float(np.max(np.abs(expected)))
        return float(np.max(np.abs(found - expected))) / (scale or 1.0)

    found = []
    for name in names:
        all_clips = [deviation(mine[name], other[name]) for mine, other in zip(ours, theirs)]
        n_equal = sum(one <= TOLERANCE for one in all_clips)
        found.append(Deviation(name, statistics.median(all_clips), max(all_clips), n_equal))
    return found


def render_passes(passes: Sequence[Passes], title: str, *, reading_s: float, audio_s: float) -> Table:
    """The rich table of times; reading the files stands apart."""
    table = _table(title, "", "first pass\ns", "a pass\ns", "audio s\nper s", "times\nas long")
    table.add_row("reading the clips", "", f"{reading_s:.2f}", f"{audio_s / max(reading_s, 1e-9):.0f}", "")
    for one in passes:
        ratio = f"{one.times(passes[0]):.1f}"
        table.add_row(one.name, f"{one.first_s:.2f}", f"{one.median_s:.2f}", f"{audio_s / one.median_s:.0f}", ratio)
    return table


def render_deviations(deviations: Sequence[Deviation], n_clips: int) -> Table:
    """The rich table of differences from librosa, as shares of the largest magnitude."""
    table = _table("difference from librosa", "feature", "median", "largest", f"within\n{TOLERANCE:.0e}")
    for one in deviations:
        table.add_row(one.feature, f"{one.median:.0e}", f"{one.largest:.0e}", f"{one.n_equal} of {n_clips}")
    return table


def _table(title: str, first: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, vertical="bottom")
    for heading in headings:
        table.add_column(heading, justify="right", vertical="bottom")
    return table
