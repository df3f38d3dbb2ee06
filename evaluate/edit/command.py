"""`python -m evaluate --task edit --ckpt runs/vae`: how well sounds are edited, as waveforms and as latents."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluate import cli
from zoo.console.command import command, progress
from zoo.console.terminal import printable
from zoo.errors import ZooError
from zoo.wording import counted

if TYPE_CHECKING:
    from evaluate.clips import Clip
    from evaluate.edit.records import EditRow
    from zoo.ready import ReadyCodec

SAMPLE_RATE = 44_100
"""Hz of the tones and drums that are stretched and shifted"""
EDITS = ("mix", "gain", "eq", "splice", "stretch", "pitch")


@dataclass(frozen=True)
class Data(cli.Measured):
    """The clips that are mixed and joined."""

    root: str | None = None
    """a folder of audio files of any format and rate; None = held-out clips of the embedded generator"""


@dataclass(frozen=True)
class Options:
    """Measures edits of latents beside those of waveforms: tables here, and rows in edit.json and edit.csv.

    Examples:
      python -m evaluate --task edit --ckpt runs/vae                                 clips of the embedded generator
      python -m evaluate --task edit --ckpt runs/vae runs/autoencoder --data.root DIR --against librosa,rubberband
      python -m evaluate --task edit --ckpt runs/vae --edits mix --require "consistency_db>15"

    mix, gain, eq: do latents follow as sounds do? splice: is a join heard? stretch, pitch: errors of tones in cents
    and ms, and onsets of drums that are kept.
    """

    ckpt: tuple[str, ...] = ()
    """run directories, single checkpoints inside them, or published models; none = edits of waveforms alone"""
    data: Data = field(default_factory=Data)
    edits: tuple[str, ...] = EDITS
    """which of them are measured"""
    weights: tuple[float, ...] = (0.5, 0.7)
    """of the first of two sounds; the other one has the rest"""
    fade_s: tuple[float, ...] = (0.02,)
    """cross-fades at joins, seconds"""
    factors: tuple[float, ...] = (0.8, 1.25, 1.5)
    """of stretching"""
    semitones: tuple[float, ...] = (-4.0, 3.0)
    """of pitch shifting"""
    against: tuple[str, ...] = ()
    """others that stretch and shift: librosa, rubberband, rubberband:finer"""
    limit: int | None = None
    """clips of each domain, evenly spaced; None = all"""
    output: str | None = None
    """folder for edit.json, edit.csv, edit_means.json and edit.md; None = evaluation/ in the first run directory"""
    require: str | None = None
    """bounds on the codecs' means over all edits, such as "consistency_db>15": exit status 1 where one is missed"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate --task edit", run, arguments)


def run(options: Options) -> None:
    """Evaluates, prints the tables and writes the files; raises ZooError for input that cannot be used."""
    from evaluate import require
    from evaluate.edit import editors, records, table

    edits = [name for words in options.edits for name in words.split(",")]
    if not edits or not set(edits) <= set(EDITS):
        raise ZooError(f"--edits {' '.join(options.edits)}: choose from {', '.join(EDITS)}")
    _check(options)
    requirements = require.parse(options.require, records.VALUES) if options.require else []
    others = editors.rivals(options.against) if options.against else []
    codecs = cli.load_codecs(options.ckpt) if options.ckpt else {}
    if requirements and not codecs:
        raise ZooError("--require: bounds are the codecs', and --ckpt names none")
    output = cli.results_folder(options.output, next(iter(codecs.values()), None))
    left_out: dict[str, list[str]] = {}
    rows: list[EditRow] = []
    if set(edits) & {"mix", "gain", "eq", "splice"}:
        rows += _clips(options, edits, codecs, left_out)
    if set(edits) & {"stretch", "pitch"}:
        rows += _signals(options, edits, codecs, others)
    rows.sort(key=lambda row: EDITS.index(row.edit))
    if not rows:
        raise ZooError("nothing to measure: --ckpt needs a run directory to mix latents")
    source = printable(options.data.root or "held-out clips of the embedded generator")
    notes = [f"left out {counted(len(names), 'clip')}: {reason} ({names[0]})" for reason, names in left_out.items()]
    table.report(rows, output, title=f"edits · {source}", notes=notes)
    failures = records.check([row for row in rows if row.system in codecs], requirements)
    for failure in failures:
        print(f"missed: {failure}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


def _clips(
    options: Options, edits: Sequence[str], codecs: dict[str, ReadyCodec], left_out: dict[str, list[str]]
) -> list[EditRow]:
    """Rows of mixes and joins of pairs of clips."""
    from evaluate.edit import mixes

    clips = cli.load_clips(options.data, next(iter(codecs.values()), None), limit=options.limit)
    found = mixes.pairs(clips, lambda name, reason: left_out.setdefault(reason, []).append(name))
    rows: list[EditRow] = []
    with progress(len(clips), "mixing") as advance:

        def counted() -> Iterator[tuple[Clip, Clip]]:
            for pair in found:
                yield pair
                advance(1)

        rows += mixes.measure(codecs, counted(), edits=edits, weights=options.weights, fades_s=options.fade_s)
    if not rows and "splice" in edits:
        raise ZooError("there are no two clips to join")
    return rows


def _signals(
    options: Options, edits: Sequence[str], codecs: dict[str, ReadyCodec], others: Sequence[object]
) -> list[EditRow]:
    """Rows of tones and drums."""
    from evaluate.edit import times
    from evaluate.edit.editors import Editor, Latents, Waveform

    everyone: list[Editor] = [Waveform(), *(Latents(codec, name) for name, codec in codecs.items()), *others]  # type: ignore[list-item]
    factors = options.factors if "stretch" in edits else ()
    semitones = options.semitones if "pitch" in edits else ()
    with progress(len(everyone) * (len(factors) + len(semitones)), "stretching") as advance:
        return list(
            times.measure(
                everyone,
                sample_rate=SAMPLE_RATE,
                factors=factors,
                semitones=semitones,
                on_edit=lambda: advance(1),
            )
        )


def _check(options: Options) -> None:
    """Raises ZooError for settings that make no sense."""
    from zoo.editing import stretching

    for weight in options.weights:
        if not 0 <= weight <= 1:
            raise ZooError(f"--weights {weight:g} is not between 0 and 1")
    for fade in options.fade_s:
        if not 0 <= fade <= 0.2:
            raise ZooError(f"--fade_s {fade:g} is not between 0 and 0.2 seconds")
    for factor in options.factors:
        stretching.check_factor(factor)
    for steps in options.semitones:
        if not math.isfinite(steps):
            raise ZooError(f"--semitones {steps:g} is no pitch")
        stretching.pitch_rates(steps, SAMPLE_RATE)


if __name__ == "__main__":
    main()
