"""`python -m evaluate.gallery`: what recorded runs do to recordings, on one page to look at and to listen to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from evaluate import cli
from zoo.console import host_memory
from zoo.console.command import command, progress
from zoo.console.terminal import printable
from zoo.errors import ZooError

if TYPE_CHECKING:
    from evaluate.gallery.edited import Editing
    from evaluate.gallery.sections import Section
    from evaluate.gallery.sources import Source
    from zoo.generating import ReadyPrior
    from zoo.ready import ReadyCodec


@dataclass(frozen=True)
class Options:
    """Makes a gallery: a page with players and spectrograms of what recorded runs do; it needs no network.

    Examples:
      python -m evaluate.gallery --denoiser runs/denoiser --prior runs/latent_flow --codec runs/vae --data.root DIR
      python -m evaluate.gallery --codec runs/vae                            clips of the embedded generator

    A denoiser is shown denoising, a prior generating, continuing and filling gaps, a codec (or else that of the prior)
    morphing, and mixing, stretching and shifting latents beside waveforms. At least one of them is needed.
    """

    denoiser: str | None = None
    """a run of `python -m train --task denoise`, or a checkpoint of one"""
    prior: str | None = None
    """a run of `python -m train --model latent_flow`, or a checkpoint of one"""
    codec: str | None = None
    """a run of a codec, one of its checkpoints or a published model; None = the codec that the prior's run has kept"""
    data: cli.Folder = field(default_factory=cli.Folder)
    """recordings, the first-level sub-folders of which are taken in turn; None = clips of the embedded generator"""
    output: str = "gallery.html"
    """the page"""
    seed: int = 0
    """of the noises and of what is generated"""
    force: bool = False
    """overwrite what exists"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate.gallery", run, arguments)


def run(options: Options) -> None:
    """Makes the page and prints where it is; raises ZooError for input that cannot be used, before anything is made."""
    if not (options.denoiser or options.prior or options.codec):
        raise ZooError("nothing to show: name a run with --denoiser, --prior or --codec")
    cli.check_seed(options.seed)
    from evaluate.gallery import page, runs, sources
    from zoo import generating
    from zoo.audio import check_output
    from zoo.audio.output import open_output

    check_output(options.output, force=options.force)
    denoiser = runs.denoiser(options.denoiser) if options.denoiser else None
    prior = generating.load(options.prior) if options.prior else None
    through = runs.codec(options.codec, prior)
    found = sources.find(options.data.root)
    source = f"recordings of {options.data.root}" if options.data.root else "held-out clips of the embedded generator"
    named = {"denoiser": options.denoiser, "prior": options.prior, "codec": through.run if through else None}
    facts = [f"{kind} {path}" for kind, path in named.items() if path] + [f"seed {options.seed}"]
    makers = _makers(options, denoiser, prior, through, found)
    n_bytes = 0
    with open_output(options.output, force=options.force) as stream, progress(len(makers), "making") as advance:

        def sections() -> Iterator[Section]:
            for make in makers:
                yield make()
                advance(1)

        for part in page.parts(sections(), source=printable(source), facts=list(map(printable, facts))):
            n_bytes += stream.write(part.encode())
    if options.output != "-":
        print(f"look at {printable(options.output)} ({n_bytes / 1e6:.1f} MB)")


def _makers(
    options: Options,
    denoiser: ReadyCodec | None,
    prior: ReadyPrior | None,
    through: Editing | None,
    sources: Sequence[Source],
) -> list[Callable[[], Section]]:
    """What makes each of the sections that can be shown."""
    from evaluate.gallery import edited, restored

    seed, makers = options.seed, list[Callable[[], "Section"]]()
    if denoiser and options.denoiser:
        makers.append(partial(restored.denoised, denoiser, printable(options.denoiser), sources, seed))
    if prior and options.prior:
        run = printable(options.prior)
        makers.append(partial(restored.generated, prior, run, seed))
        makers += [partial(make, prior, run, sources, seed) for make in (restored.continued, restored.filled)]
    if pair := edited.pair(sources):
        makers.append(partial(edited.mixed, through, *pair))
        if through:
            makers.append(partial(edited.morphed, through, *pair))
    makers += [partial(make, through, sources) for make in (edited.stretched, edited.shifted)]
    return makers


if __name__ == "__main__":
    host_memory.use_huge_pages()
    main()
