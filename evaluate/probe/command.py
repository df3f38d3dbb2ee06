"""`python -m evaluate --task probe`: which sounds can be told apart by what frozen codecs make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluate import cli
from zoo.console import extras
from zoo.console.command import command, progress
from zoo.console.terminal import printable, report
from zoo.errors import ZooError
from zoo.wording import counted


@dataclass(frozen=True)
class Options:
    """Trains classifiers on what frozen codecs make of labelled sounds, beside those of cepstra and mel spectra.

    Examples:
      python -m evaluate --task probe --ckpt runs/vae runs/gan_vocoder --data.root DIR

    DIR has a folder for each class. Five folds: the number that file names begin with where all do (1-137-A.ogg),
    else each class is dealt out. Logistic regression, a linear support vector machine and a dense net of 256 and 256
    get the same vectors, standardised by the training folds. Takes the extra "recognise".
    """

    ckpt: tuple[str, ...]
    """run directories, single checkpoints inside them, or published models (hub ids, folders, files)"""
    data: cli.Folder = field(default_factory=cli.Folder)
    classifiers: tuple[str, ...] = ("logistic", "svm", "dense")
    """which of them"""
    output: str | None = None
    """folder for probe.json, probe.csv and confusion.svg; None = evaluation/ in the first run directory"""
    seed: int = 0
    """of folds that are dealt out, and of the dense net"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; exits with status 2 and one line on standard error for input that cannot be used."""
    command(Options, "python -m evaluate --task probe", run, arguments)


def run(options: Options) -> None:
    """Embeds every clip, tries all classifiers, prints the table and writes the files; raises ZooError."""
    extras.require("recognise")
    import numpy as np

    from evaluate.probe import results, trial
    from zoo.recognise import clips, labelled
    from zoo.recognise.cepstra import SETS, Cepstra
    from zoo.recognise.classifier import KINDS
    from zoo.recognise.clips import Extractor
    from zoo.recognise.embedding import embedder

    if not options.classifiers or not set(options.classifiers) <= set(KINDS):
        raise ZooError(f"--classifiers {' '.join(options.classifiers)}: choose from {', '.join(KINDS)}")
    cli.check_seed(options.seed)
    if options.data.root is None:
        raise ZooError("--data.root needs a folder with a sub-folder for each class")
    data = labelled.read(options.data.root)
    codecs = cli.load_codecs(options.ckpt)
    output = cli.results_folder(options.output, next(iter(codecs.values())))
    extractors: dict[str, Extractor] = {"": Cepstra()} | {name: embedder(codec) for name, codec in codecs.items()}
    rows: dict[str, list[np.ndarray]] = {}
    kept = []
    with progress(len(data.files), "embedding") as advance:
        for path, found in clips.of_files(extractors, data.files, lambda path, error: report(f"skipped {error}")):
            kept.append(path)
            for name, parts in found.items():
                for part, vector in parts.items():
                    rows.setdefault(f"{name} {part}".strip(), []).append(vector)
            advance(1)
    if left := len(data.files) - len(kept):
        report(f"left out {counted(left, 'file')} that could not be read")
    data = data.only(kept)
    folds = labelled.folds(data, options.seed)
    for fold in sorted(set(folds.tolist())):
        if alone := set(data.classes) - {label for label, one in zip(data.labels, folds) if one != fold}:
            report(f"all clips of {', '.join(sorted(alone))} are in one fold: they cannot be recognised")
    vectors = {name: np.stack(parts) for name, parts in rows.items()}
    of_codecs = [name for name in vectors if name not in SETS]
    tried = {**vectors, **{f"{name} + mfcc": trial.combined(vectors, (name, "mfcc")) for name in of_codecs}}
    trials = []
    with progress(len(tried) * len(options.classifiers), "classifying") as advance:
        for name, found_vectors in tried.items():
            for kind in options.classifiers:
                trials.append(
                    trial.run(name, kind, found_vectors, data.labels, data.classes, folds=folds, seed=options.seed)
                )
                advance(1)
    n_folds = len(set(folds.tolist()))
    source = printable(options.data.root)
    title = f"{source} · {len(kept)} clips of {len(data.classes)} classes · {n_folds} folds"
    results.print_table(trials, title)
    results.write(trials, data.classes, output, title, n_folds)


if __name__ == "__main__":
    main()
