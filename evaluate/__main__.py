"""`python -m evaluate --ckpt runs/vae [--data.root DIR]`: what codecs cost and how close they come, in one table."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluate import cli
from zoo.console import host_memory
from zoo.console.command import command, fail, progress
from zoo.console.terminal import printable
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.clips import Clip
    from evaluate.records import Row
    from evaluate.systems import System

TASKS = {
    "denoise": "evaluate.denoise.command",
    "edit": "evaluate.edit.command",
    "generate": "evaluate.generate.command",
    "probe": "evaluate.probe.command",
}
"""What --task names besides "coding", the table of this page: modules with a `main(arguments)` and options of their
own, which get all arguments but --task itself."""


@dataclass(frozen=True)
class Data(cli.Measured):
    """The clips that are measured."""

    root: str | None = None
    """a folder or store of audio files of any format and rate; its first-level sub-folders are the domains; None =
    held-out clips of the embedded generator"""


@dataclass(frozen=True)
class Options:
    """Measures codecs on held-out audio: a table here, and a row per clip in results.json and results.csv.

    Examples:
      python -m evaluate --ckpt runs/vae                                       clips of the embedded generator
      python -m evaluate --ckpt runs/vae --data.root DIR --levels all          your files, every rate of the codec
      python -m evaluate --ckpt runs/vae runs/gan_vocoder --against opus,mp3,aac,vorbis --data.root DIR --report report
      python -m evaluate --ckpt runs/vae --require "mel<1.2,snr_db>8"          fails where a codec misses a bound
      python -m evaluate compare A.json B.json                                 which differences are significant

    Rates are counted from the bytes of whole files, and of coded audio alone. All systems get the clips at the same
    sample rate and with the same channels.
    """

    ckpt: tuple[str, ...]
    """codecs of the package (codec_24khz), run directories, single checkpoints inside them, or published models (hub
    ids, folders, files)"""
    data: Data = field(default_factory=Data)
    levels: tuple[str, ...] = ()
    """operating points of the codecs: all, default, or numbers from 0 (lowest rate); in a report all, else default"""
    bitrates: tuple[float, ...] = ()
    """kbps that every clip keeps to by itself, as with `zoo encode --bitrate`: instead of levels, or beside them"""
    against: tuple[str, ...] = ()
    """rivals, each at one rate (opus:12, mp3:64, aac:32, vorbis:q3, opus-cbr:16: kbps, or a quality) or at those that
    make a curve (opus,mp3,aac,vorbis)"""
    limit: int | None = None
    """clips of each domain, evenly spaced; None = all"""
    output: str | None = None
    """folder for results.json and results.csv; None = evaluation/ in the first run directory, or that of the report"""
    report: str | None = None
    """folder for a page with curves, spectrograms and a player of all systems; it needs no network"""
    require: str | None = None
    """bounds on the overall means of the codecs' levels (those of --levels, else the default ones), such as
    "mel<1.2,snr_db>8": exit status 1 where one is missed"""
    perceptual: tuple[str, ...] = ()
    """scores that need the extra of this name: visqol, pesq, stoi, estoi; slow"""
    rate: int | None = None
    """Hz at which everything is compared; None = the highest of the codecs'"""
    channels: int | None = None
    """channels with which everything is compared; None = the most of the codecs'"""
    batch_size: int = 8
    """clips measured at once; no result depends on it"""
    cache: bool = True
    """keep finished results beside the others, and use those that are there"""
    task: str = "coding"
    """what is measured: what coding costs and how close it comes, or what another task measures, which has options of
    its own (--task NAME --help)"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["compare"]:
        from evaluate.compare import main as compare

        compare(words[1:])
        return
    task, others = take_task(words)
    if task in TASKS:
        importlib.import_module(TASKS[task]).main(others)
        return
    command(Options, "python -m evaluate", run, others)


def take_task(words: Sequence[str]) -> tuple[str, list[str]]:
    """The task that arguments name, and the others; exits with status 2 and one line where there is none such."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--task", nargs="?", const="", default="coding")
    known, others = parser.parse_known_args(words)
    if known.task not in ("coding", *TASKS):
        fail(f"--task {known.task}: choose from {', '.join(('coding', *TASKS))}")
    return known.task, others


def run(options: Options) -> None:
    """Evaluates, prints the table and writes the files; raises ZooError for input that cannot be used."""
    from evaluate import perceptual, require, rivals, table
    from evaluate.cache import Cache
    from evaluate.remarks import require_sound
    from evaluate.run import evaluate
    from evaluate.systems import RatedSystem, codec_systems

    levels = parse_levels(options.levels or (("all",) if options.report else ("default",)))
    requirements = require.parse(options.require) if options.require else []
    if options.perceptual:
        perceptual.require(options.perceptual)
    for folder in (options.output, options.report):
        if folder is not None:  # before a codec is loaded
            cli.results_folder(folder, None)
    codecs = cli.load_codecs(options.ckpt)
    for codec in codecs.values():
        codec.engine.check_coded("measure it with --task denoise" if codec.denoises else None)
    first = next(iter(codecs.values()))
    rate = max(codec.sample_rate for codec in codecs.values()) if options.rate is None else options.rate
    channels = max(codec.channels for codec in codecs.values()) if options.channels is None else options.channels
    if rate < 1 or channels < 1:
        raise ZooError(f"cannot compare at {rate} Hz with {channels} channels")
    systems: list[System] = []
    for name, codec in codecs.items():
        systems += [RatedSystem(codec, name, kbps, rate, channels) for kbps in options.bitrates]
        if options.levels or not options.bitrates:
            systems += codec_systems(codec, name, levels, sample_rate=rate, channels=channels)
    n_codecs = len(systems)
    systems += rivals.systems(options.against, sample_rate=rate, channels=channels) if options.against else []
    clips = cli.load_clips(options.data, first, limit=options.limit)
    output = cli.results_folder(options.output or options.report, first)
    cache = Cache(output / "cache.jsonl") if options.cache else None
    with progress(len(clips) * len(systems), "evaluating") as advance:
        rows = evaluate(
            systems,
            clips,
            batch_size=options.batch_size,
            on_clip=lambda system, clip: advance(1),
            cache=cache,
            perceptual=options.perceptual,
        )
    source = printable(options.data.root or "held-out clips of the embedded generator")
    require_sound(rows, source)
    title = f"{source} · {rate} Hz · {'mono' if channels == 1 else f'{channels} channels'}"
    table.report(rows, output, title=title)
    if options.report:
        write_report(options.report, rows, systems, clips, title)
    if isinstance(clips, cli.ReadableClips):
        clips.say_what_was_taken(channels)
    # of a curve, that was not asked for, only the point that counts
    defaults = {name: codec.default_level for name, codec in codecs.items()}
    asked = options.levels or options.bitrates
    mine = {(s.name, s.level) for s in systems[:n_codecs] if asked or s.level == defaults[s.name]}
    failures = require.check([row for row in rows if (row.system, row.level) in mine], requirements)
    for failure in failures:
        print(f"missed: {failure}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


def write_report(directory: str, rows: list[Row], systems: list[System], clips: Iterable[Clip], title: str) -> None:
    """The page of all systems, and prints where it is; every clip is coded once more, for its players."""
    import numpy as np

    from evaluate import report
    from evaluate.clips import pieces
    from evaluate.run import run as process

    def examples() -> Iterator[report.Example]:
        with progress(len(names), "report") as advance:
            for piece in (piece for clip in clips for piece in pieces(clip)):
                trials = {report.label(system.name, system.level): process(system, piece) for system in systems}
                original = next(iter(trials.values())).reference
                # where a system failed there is nothing to play
                estimates = {name: np.nan_to_num(x.estimate, posinf=0.0, neginf=0.0) for name, x in trials.items()}
                yield report.Example(piece.name, piece.domain, systems[0].sample_rate, original, estimates)
                advance(1)

    names = {row.clip for row in rows}
    page = report.write(directory, rows, examples(), title=title, n_examples=len(names))
    print(f"look at {page} ({page.stat().st_size / 1e6:.0f} MB)")


def parse_levels(words: Sequence[str]) -> str | list[int]:
    """ "all", "default", or the numbers in ascending order; raises ZooError for anything else."""
    if len(words) == 1 and words[0] in ("all", "default"):
        return words[0]
    if not words or not all(word.isdecimal() for word in words):
        raise ZooError(f"--levels {' '.join(words)}: choose all, default, or numbers from 0")
    return sorted({int(word) for word in words})


if __name__ == "__main__":
    host_memory.use_huge_pages(idle=("compare",))
    main()
