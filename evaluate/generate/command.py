"""`python -m evaluate --task generate`: how near generated sounds come to real ones, and how well gaps are filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluate import cli
from zoo.console.command import command, progress
from zoo.console.terminal import printable
from zoo.errors import ZooError


@dataclass(frozen=True)
class Options:
    """Measures a prior: its sounds beside real ones and plain noise, and gaps that it filled.

    Examples:
      python -m evaluate --task generate --ckpt runs/latent_flow --data.root DIR
      python -m evaluate --task generate --ckpt runs/latent_flow --data.root DIR --features runs/gan_vocoder

    Distances are between sets of sounds, all through the prior's codec, in the features of another codec or of cepstra:
    Fréchet's as it is and extrapolated to infinitely many sounds, and the kernel distance, which has no bias. A share
    is how much of the way the prior has come from the better of two plain ones to the distance of two halves of the
    real sounds from each other.
    """

    ckpt: str
    """a run of `python -m train --model latent_flow`, or a checkpoint of one"""
    codec: str | None = None
    """its codec; None = the one that the run has kept"""
    data: cli.Folder = field(default_factory=cli.Folder)
    """real sounds: what the prior was trained on, or alike"""
    features: str | None = None
    """another codec, in whose features sounds are compared; None = cepstra"""
    n: int = 256
    """sounds of each kind"""
    seconds: float | None = None
    """how long they are; None = a window of the prior"""
    nearest: int = 1000
    """training sounds among which the nearest to each is looked for"""
    gaps_ms: tuple[float, ...] = (20.0, 50.0, 100.0, 200.0)
    """lengths of the gaps that are filled; none = no gaps"""
    gap_clips: int = 32
    """clips with gaps, evenly from all recordings"""
    gap_data: cli.Folder = field(default_factory=cli.Folder)
    """where these are from; None = data.root"""
    steps: int = 32
    """evaluations of the network for a sound"""
    guidance: float = 1.0
    labelled: bool = True
    """sounds are made with the labels of the real ones, as many of each"""
    seed: int = 0
    output: str | None = None
    """folder for generate.json, generate.csv, gaps.csv and generate.md; None = evaluation/ in the run directory"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate --task generate", run, arguments)


def run(options: Options) -> None:
    """Measures, prints the tables and writes the files; raises ZooError for input that cannot be used."""
    from pathlib import Path

    from evaluate.generate import features, gaps, results, sounds
    from zoo import generating
    from zoo.generating import Sampling, latents

    cli.check_seed(options.seed)
    if options.data.root is None:
        raise ZooError("--data.root needs a folder of real sounds")
    if options.n < 8 or options.nearest < 8 or options.gap_clips < 1:
        raise ZooError("--n and --nearest must be at least 8, and --gap_clips at least 1")
    if any(not 1 <= gap_ms <= 5000 for gap_ms in options.gaps_ms):
        raise ZooError("--gaps_ms: gaps are of 1 to 5000 ms")
    prior = generating.load(options.ckpt, options.codec)
    place = Path(prior.metadata["path"]).parent.parent / "evaluation"
    output = cli.results_folder(options.output or str(place), None)
    seconds = prior.module.window / prior.module.frame_rate_hz if options.seconds is None else options.seconds
    if not 0.1 <= seconds <= 60:
        raise ZooError(f"--seconds must lie between 0.1 and 60, got {seconds:g}")
    vectors = features.create(options.features, prior.module.codec_hash)
    sampling = Sampling(None, options.seed, options.steps, options.guidance)
    drawn = sounds.draw(options.data.root, seconds, options.n, options.nearest, prior, options.seed)
    with progress(drawn.work, "measuring") as advance:
        rows = sounds.measure(prior, drawn, vectors, sampling, labelled=options.labelled, advance=advance)
    found: list[gaps.GapRow] = []
    if options.gaps_ms:
        root = options.gap_data.root or options.data.root
        longest_s = max(options.gaps_ms) / 1000
        library = sounds.Library.read(root, max(2.5, longest_s + 2.0))
        places = library.draw(options.gap_clips, options.seed + 1)
        n_samples = round(library.seconds * prior.sample_rate)
        clips = sounds.cut(places, n_samples, prior.sample_rate, prior.codec.channels)
        how = Sampling(None, options.seed, options.steps)
        with progress(len(clips) * len(options.gaps_ms), "filling gaps") as advance:
            found = gaps.evaluate(
                gaps.fillers(prior, how),
                clips,
                prior.sample_rate,
                [gap_ms / 1000 for gap_ms in options.gaps_ms],
                lambda: advance(1),
                lambda clip: latents.decode(prior.codec, latents.encode(prior.codec, clip), len(clip)),
                [str(place.info.path) for place in places],
            )
    title = f"{printable(options.data.root)} · {options.n} sounds of {seconds:.2f} s · {vectors.name}"
    results.report(rows, found, output, title=title)


if __name__ == "__main__":
    main()
