"""`python -m evaluate --ckpt runs/vae [--data.root DIR]`: what codecs cost and how close they come, in one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from evaluate import cli
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.evaluation import System


@dataclass(frozen=True)
class Data:
    """The clips that are measured."""

    root: str | None = None
    """a folder of audio files of any format and rate; its first-level sub-folders are the domains; None = held-out
    clips of the embedded generator"""


@dataclass(frozen=True)
class Options:
    """Measures codecs on held-out audio: a table here, and a row per clip in results.json and results.csv.

    Examples:
      python -m evaluate --ckpt runs/vae                                       clips of the embedded generator
      python -m evaluate --ckpt runs/vae --data.root DIR --levels all          your files, every rate of the codec
      python -m evaluate --ckpt runs/vae runs/gan_vocoder --against opus:6     codecs and Opus on the same clips

    Rates are counted from entropy-coded bytes of the clips themselves. All systems get the clips at the same sample
    rate and with the same channels, those of the first codec unless given.
    """

    ckpt: tuple[str, ...]
    """run directories, or single checkpoints inside them"""
    data: Data = field(default_factory=Data)
    levels: tuple[str, ...] = ("default",)
    """operating points of the codecs: all, default, or numbers from 0 (lowest rate)"""
    against: tuple[str, ...] = ()
    """rivals: opus:KBPS"""
    limit: int | None = None
    """clips of each domain, evenly spaced; None = all"""
    output: str | None = None
    """folder for results.json and results.csv; None = evaluation/ in the first run directory"""
    batch_size: int = 8
    """clips measured at once; no result depends on it"""
    sample_rate: int | None = None
    """rate in Hz at which everything is compared; None = the first codec's"""
    channels: int | None = None
    """channels with which everything is compared; None = the first codec's"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    cli.command(Options, "python -m evaluate", run, arguments)


def run(options: Options) -> None:
    """Evaluates, prints the table and writes the files; raises ZooError for input that cannot be used."""
    from evaluate import table
    from evaluate.evaluation import codec_systems, evaluate
    from evaluate.peers import create

    levels = parse_levels(options.levels)
    codecs = cli.load_codecs(options.ckpt)
    first = next(iter(codecs.values()))
    sample_rate = first.sample_rate if options.sample_rate is None else options.sample_rate
    channels = first.channels if options.channels is None else options.channels
    if sample_rate < 1 or channels < 1:
        raise ZooError(f"cannot compare at {sample_rate} Hz with {channels} channels")
    systems: list[System] = []
    for name, codec in codecs.items():
        systems += codec_systems(codec, name, levels, sample_rate=sample_rate, channels=channels)
    systems += [create(spec, sample_rate=sample_rate, channels=channels) for spec in options.against]
    clips = cli.load_clips(options.data.root, first, limit=options.limit)
    with cli.progress(len(clips) * len(systems), "evaluating") as advance:
        rows = evaluate(systems, clips, batch_size=options.batch_size, on_clip=lambda system, clip: advance())
    source = options.data.root or "held-out clips of the embedded generator"
    output = Path(options.output) if options.output else cli.run_folder(first) / "evaluation"
    table.report(
        rows, output, title=f"{source} · {sample_rate} Hz · {'mono' if channels == 1 else f'{channels} channels'}"
    )
    if isinstance(clips, cli.ReadableClips) and clips.skipped:
        print(f"left out {len(clips.skipped)} files that could not be read", file=sys.stderr)


def parse_levels(words: Sequence[str]) -> str | list[int]:
    """ "all", "default", or the numbers in ascending order; raises ZooError for anything else."""
    if len(words) == 1 and words[0] in ("all", "default"):
        return words[0]
    if not words or not all(word.isdecimal() for word in words):
        raise ZooError(f"--levels {' '.join(words)}: choose all, default, or numbers from 0")
    return sorted({int(word) for word in words})


if __name__ == "__main__":
    main()
