"""`python -m zoo generate`: new sounds, variations, continuations and filled gaps, as files of a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import audio, families, generating
from zoo.audio import check_output
from zoo.audio.output import check_folder
from zoo.commands.clipping import Peak
from zoo.commands.options import Generate
from zoo.commands.sources import check_input, the_only
from zoo.console.command import progress
from zoo.console.terminal import report
from zoo.errors import CheckpointError, ZooError
from zoo.generating import ReadyPrior, Sampling, steering
from zoo.generating.gaps import emptied, find_gap
from zoo.saved import checkpoint, runs

NEW_S, MORE_S = 10.0, 5.0
"""seconds of a new sound, and of a continuation, where nobody asks for others"""

Make = Callable[[Any, Sampling, int], tuple[np.ndarray, int]]
"""of a prior (None where none is needed), the way to sample, and a number: that sound (T, C), and its rate"""


MOST_SOUNDS = 1_000_000
"""in a folder: all its names are looked at first"""


@dataclass(frozen=True)
class _Plan:
    """What is made, as files are named, of which recording, how, and of which subtype its files are."""

    kind: str
    source: str | None
    make: Make
    subtype: str = "PCM_16"
    needs_prior: bool = True


def generate(options: Generate) -> None:
    """Writes the sounds; raises ZooError for input that cannot be used, before anything is made."""
    if options.n < 1:
        raise ZooError(f"--n must be at least 1, got {options.n}")
    if options.n > MOST_SOUNDS:
        raise ZooError(f"--n must be at most {MOST_SOUNDS}, got {options.n}")
    if not options.output:
        raise ZooError("the name of an output is empty")
    kind, source = _kind(options)
    folder = Path(options.output)
    files = [folder / f"{kind}_{i:03d}.wav" for i in range(options.n)]
    _check_folder(folder, files, force=options.force)
    plan = _plan(options, kind, source)
    sampling = Sampling(options.label, options.seed, options.steps, options.guidance)
    prior = _prior(options) if plan.needs_prior or options.ckpt is not None else None
    peak = Peak()
    with _created(folder), progress(options.n, "generating") as advance:
        for i, file in enumerate(files):
            samples, rate = plan.make(prior, sampling, i)
            audio.write(file, peak.of(samples), rate, subtype=plan.subtype)
            advance(1)
    made = str(files[0]) if len(files) == 1 else f"{len(files)} files in {folder}"
    peak.warn(made, plan.subtype)
    report(f"{source or ('' if prior is None else prior.metadata['path'])} → {made}")


def _kind(options: Generate) -> tuple[str, str | None]:
    """What is made, and of which recording; raises ZooError where options do not go together."""
    sources = {"variation": options.vary, "continued": options.extend, "filled": options.fill}
    chosen = {kind: path for kind, path in sources.items() if path is not None}
    if len(chosen) > 1:
        raise ZooError("choose one of --from, --continue and --fill")
    if options.start is not None and options.fill is None:
        raise ZooError("--start is where the gap of --fill begins")
    if options.seconds is not None and options.vary is not None:
        raise ZooError("--seconds: a variation is as long as the sound it is made from")
    if options.fill is not None and (options.start is None or options.seconds is None):
        raise ZooError("--fill needs --start and --seconds of the gap")
    if not 0 <= options.strength <= 1:
        raise ZooError(f"--strength {options.strength:g} is not between 0 (as it was) and 1 (a new sound)")
    return next(iter(chosen.items()), ("sound", None))


def _plan(options: Generate, kind: str, source: str | None) -> _Plan:
    """The recording is read, and its gap looked for, before a prior is loaded."""
    if source is None:
        seconds = NEW_S if options.seconds is None else options.seconds
        return _Plan(
            kind,
            source,
            lambda prior, how, i: (
                generating.generate(prior, seconds=seconds, first=i, sampling=how)[0],
                prior.sample_rate,
            ),
        )
    if source == "-":
        raise ZooError("a recording that sounds are made from is a file, not standard input")
    check_input(source)
    clip = audio.read(source)
    samples, rate = clip.samples, clip.sample_rate
    start_s, gap_s = options.start or 0.0, options.seconds or 0.0
    gap = find_gap(len(samples), rate, start_s, gap_s, source) if kind == "filled" else None
    samples = samples if gap is None else emptied(samples, gap)
    audio.validate(samples, name=source)
    if kind == "variation":
        strength = options.strength
        return _Plan(
            kind,
            source,
            lambda prior, how, i: (
                generating.vary(prior, samples, rate, strength=strength, first=i, sampling=how)[0],
                prior.sample_rate,
            ),
        )
    if gap is None:
        more = MORE_S if options.seconds is None else options.seconds
        return _Plan(
            kind,
            source,
            lambda prior, how, i: (
                generating.extend(prior, samples, rate, seconds=more, first=i, sampling=how)[0],
                rate,
            ),
            exact_subtype(samples),
        )
    return _Plan(
        kind,
        source,
        lambda prior, how, i: (
            generating.fill(prior, samples, rate, start_s=start_s, seconds=gap_s, first=i, sampling=how)[0],
            rate,
        ),
        exact_subtype(samples),
        needs_prior=steering.needs_generated(gap, rate),
    )


def exact_subtype(samples: np.ndarray) -> str:
    """The smallest of 16 bits, 24 bits and float in which samples (T, C) of a file stay as they are."""
    for bits, name in ((16, "PCM_16"), (24, "PCM_24")):
        steps = np.float64(2 ** (bits - 1)) * samples
        if np.array_equal(steps, np.round(steps)) and samples.max() < 1.0 and samples.min() >= -1.0:
            return name
    return "FLOAT"


def _prior(options: Generate) -> ReadyPrior:
    prior = generating.load(options.ckpt or _only_prior(), options.codec)
    prior.label_number(options.label)
    return prior


def _check_folder(folder: Path, files: list[Path], *, force: bool) -> None:
    check_folder(folder)
    if not folder.exists() and not folder.absolute().parent.is_dir():
        raise ZooError(f"{folder}: no folder {folder.parent}")
    if folder.exists():
        for file in files:
            check_output(file, force=force)


@contextlib.contextmanager
def _created(folder: Path) -> Iterator[None]:
    """The folder is there; one that was made for nothing is gone again."""
    made = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        yield
    except OSError as error:
        raise ZooError(f"{folder}: cannot be written to ({error.strerror})") from None
    finally:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # fails where there is anything in it


def _only_prior() -> str:
    """The only run of a prior below runs/; raises ZooError where there is none, or more."""
    found = []
    root = Path("runs")
    for run in sorted(root.iterdir()) if root.is_dir() else []:
        for step in runs.steps(run)[-1:]:
            with contextlib.suppress(CheckpointError):
                if checkpoint.read_metadata(run / "checkpoints" / str(step))["family"] in families.PRIORS:
                    found.append(str(run))
    return the_only(found, "prior")
