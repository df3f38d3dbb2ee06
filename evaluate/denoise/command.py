"""`python -m evaluate --task denoise --ckpt runs/denoiser`: how much a denoiser gains, by input SNR, in one table."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluate import cli
from zoo.console.command import command, progress
from zoo.console.terminal import printable
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.denoise.mixing import Source
    from evaluate.denoise.run import Outcome


@dataclass(frozen=True)
class Data(cli.Measured):
    """The clean clips, and the noise."""

    root: str | None = None
    """a folder of clean audio files of any format and rate; its first-level sub-folders are the domains; None =
    held-out clips of the embedded generator"""
    noise: str | None = None
    """a folder of recorded noise, which joins the procedural kinds, each file a noise of its own"""


@dataclass(frozen=True)
class Options:
    """Measures how much denoisers gain by input SNR: a table here, and a row per clip in denoise.json and denoise.csv.

    Examples:
      python -m evaluate --task denoise --ckpt runs/denoiser                         clips of the embedded generator
      python -m evaluate --task denoise --ckpt runs/denoiser --data.root DIR --data.noise NOISE
      python -m evaluate --task denoise --ckpt runs/denoiser --against noisereduce,wiener,rnnoise
      python -m evaluate --task denoise --ckpt runs/denoiser --require "gain_db@0>6"   fails where it gains less

    Every clip gets one noise, the same at all SNRs. Any codec can be measured: one that was not trained to denoise
    shows what its own distortion costs.
    """

    ckpt: tuple[str, ...] = ()
    """run directories, single checkpoints inside them, or published models; none = rivals alone"""
    data: Data = field(default_factory=Data)
    snr_db: tuple[float, ...] = (-5.0, 0.0, 5.0, 10.0, 20.0)
    """input SNRs at which clips and noise are mixed, dB"""
    kinds: tuple[str, ...] = ()
    """procedural noises: hiss, hum, crackle, babble, fan, rain, wind, or none (recordings alone); default all"""
    against: tuple[str, ...] = ()
    """other denoisers: noisereduce, noisereduce:stationary, wiener, wiener:15 (window in samples), rnnoise"""
    perceptual: tuple[str, ...] = ()
    """scores that need the extra of this name: visqol, pesq, stoi, estoi; slow"""
    seed: int = 0
    """of the noises and of which clip gets which"""
    limit: int | None = None
    """clips of each domain, evenly spaced; None = all"""
    output: str | None = None
    """folder for denoise.json, denoise.csv and denoise_means.json; None = evaluation/ in the first run directory"""
    require: str | None = None
    """bounds on the codecs' means over all SNRs, or at one of them, such as "gain_db>3,gain_db@0>6": exit status 1
    where one is missed"""
    rate: int | None = None
    """Hz at which everything is compared; None = the highest of the codecs', 48000 without any"""
    channels: int | None = None
    """channels with which everything is compared; None = the most of the codecs', 1 without any"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate --task denoise", run, arguments)


def run(options: Options) -> None:
    """Evaluates, prints the table and writes the files; raises ZooError for input that cannot be used."""
    from evaluate import perceptual, require
    from evaluate.denoise import mixing, records, rivals, table
    from evaluate.denoise.denoisers import CodecDenoiser, Denoiser, Untouched
    from evaluate.denoise.run import evaluate

    snrs_db = parse_snrs(options.snr_db)
    requirements = require.parse(options.require, records.bounded_values(snrs_db)) if options.require else []
    scores = tuple(name for words in options.perceptual for name in words.split(","))
    if scores:
        perceptual.require(scores)
    cli.check_seed(options.seed)
    others = rivals.create_all(options.against)
    if not options.ckpt and not others:
        raise ZooError("nothing to measure: --ckpt needs a run directory, or --against another denoiser")
    codecs = cli.load_codecs(options.ckpt) if options.ckpt else {}
    if requirements and not codecs:
        raise ZooError("--require: bounds are the codecs', and --ckpt names none")
    output = cli.results_folder(options.output, next(iter(codecs.values()), None))
    rate = max((c.sample_rate for c in codecs.values()), default=cli.RATE_WITHOUT_CODEC)
    rate = rate if options.rate is None else options.rate
    channels = max((c.channels for c in codecs.values()), default=1) if options.channels is None else options.channels
    if rate < 1 or channels < 1:
        raise ZooError(f"cannot compare at {rate} Hz with {channels} channels")
    taken = {Untouched().name, *(rival.name for rival in others)}
    mine = {f"{name} (codec)" if name in taken else name: codec for name, codec in codecs.items()}
    denoisers: list[Denoiser] = [Untouched(), *(CodecDenoiser(codec, name) for name, codec in mine.items()), *others]
    noises = mixing.sources(options.kinds, options.data.noise)
    clips = cli.load_clips(options.data, next(iter(codecs.values()), None), limit=options.limit)
    with progress(len(clips), "denoising") as advance:
        outcome = evaluate(
            denoisers,
            clips,
            noises,
            snrs_db=snrs_db,
            sample_rate=rate,
            channels=channels,
            seed=options.seed,
            perceptual=scores,
            on_clip=lambda clip: advance(1),
        )
    source = printable(options.data.root or "held-out clips of the embedded generator")
    title = f"{source} with noise · {rate} Hz · {'mono' if channels == 1 else f'{channels} channels'}"
    table.report(outcome, output, title=title, notes=_notes(outcome, noises))
    if isinstance(clips, cli.ReadableClips):
        clips.say_what_was_taken(channels)
    failures = records.check([row for row in outcome.rows if row.system in mine], requirements)
    for failure in failures:
        print(f"missed: {failure}", file=sys.stderr)
    if failures:
        raise SystemExit(1)


def parse_snrs(values: Sequence[float]) -> list[float]:
    """Input SNRs in dB, ascending and each once; raises ZooError for none, and for what is beyond 100 dB."""
    if not values:
        raise ZooError("--snr_db needs at least one ratio in dB")
    for value in values:
        if not math.isfinite(value) or abs(value) > 100:
            raise ZooError(f"--snr_db {value:g}: must be between -100 and 100 dB")
    return sorted({float(value) for value in values})


def _notes(outcome: Outcome, noises: Sequence[Source]) -> list[str]:
    """What the mixes were made of."""
    from evaluate.denoise.mixing import Procedural

    n_used = len({row.noise for row in outcome.rows})
    n_clips = len({row.clip for row in outcome.rows})
    kinds = [noise.name for noise in noises if isinstance(noise, Procedural)]
    if n := len(noises) - len(kinds):
        kinds.append(f"{n} recording{'s' * (n > 1)}")
    lines = [f"noises, one to each of {n_clips} clips: {', '.join(kinds)}"]
    if n_used < len(noises):
        lines.append(f"only {n_used} of these {len(noises)} noises occur: there are not clips enough")
    return lines


if __name__ == "__main__":
    main()
