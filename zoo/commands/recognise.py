"""`python -m zoo train-probe` and `classify`: what sounds are, by a frozen codec."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from zoo import audio, loading
from zoo.audio import check_output
from zoo.commands.recognise_options import Classify, TrainProbe
from zoo.commands.sources import find_codec
from zoo.console import extras
from zoo.console.command import progress
from zoo.console.terminal import printable, report
from zoo.errors import CheckpointError, ZooError
from zoo.ready import ReadyCodec
from zoo.recognise import clips, embedding, fitting, labelled
from zoo.recognise import probe as probes
from zoo.recognise.probe import Probe
from zoo.wording import counted


def train_probe(options: TrainProbe) -> None:
    """Trains a classifier and writes it; raises ZooError for input that cannot be used."""
    extras.require("recognise")
    check_output(options.output, force=options.force)
    if options.output == "-":
        raise ZooError("a probe is written to a file, not to standard output")
    probes.check_sets(options.features)
    if not any(name in embedding.SETS for name in options.features):
        raise ZooError(
            f"--features {' '.join(options.features)}: a probe takes something of the codec: latent or layers"
        )
    data = labelled.read(options.data)
    codec = find_codec(options.ckpt)
    embedder = embedding.embedder(codec, [s for s in options.features if s in embedding.SETS])
    if missing := [s for s in options.features if s in embedding.SETS and s not in embedder.calibrations]:
        raise ZooError(f"--features {missing[0]}: this codec's encoder has none")
    rows: dict[Path, np.ndarray] = {}
    made = probes.extractors(embedder, options.features)
    with progress(len(data.files), "embedding") as advance:
        for path, found in clips.of_files(made, data.files, lambda path, error: report(f"skipped {error}")):
            rows[path] = probes.joined(found, options.features)
            advance(1)
    if left := len(data.files) - len(rows):
        report(f"left out {counted(left, 'file')} that could not be read")
    data = data.only(list(rows))
    fitted = fitting.fit(options.classifier, np.stack(list(rows.values())), data.labels, labelled.folds(data))
    probes.save(probes.make(fitted, embedder, options.features), options.output)
    print(f"{options.data} → {options.output}: {len(rows)} clips of {len(data.classes)} classes")


def classify(options: Classify) -> None:
    """Prints the likeliest classes of every file; raises ZooError for the first that cannot be used, after the others.

    Files of a folder that cannot be read are skipped with a line, unless it has no others.
    """
    if options.top < 1:
        raise ZooError(f"--top must be at least 1, got {options.top}")
    if not options.input:
        raise ZooError("name a file")
    probe = probes.load(options.probe)
    folders = [Path(path) for path in options.input if Path(path).is_dir()]
    inside = [file for folder in folders for file in audio.find_files(folder)]
    named = [Path(path) for path in options.input if not Path(path).is_dir()]
    made = probe.extractors(_codec(probe, options))
    failed: list[ZooError] = []
    skipped: list[Path] = []

    def unreadable(path: Path, error: ZooError) -> None:
        if path in named:
            failed.append(error)
        else:
            skipped.append(path)
            report(f"skipped {error}")

    results = []
    for path, found in clips.of_files(made, [*named, *inside], unreadable):
        guesses = probe.classify(found, options.top)
        if options.json:
            classes = [{"class": guess.name, "probability": round(guess.probability, 6)} for guess in guesses]
            results.append({"file": printable(str(path)), "classes": classes})
        else:
            told = ", ".join(f"{guess.name} {100 * guess.probability:.1f} %" for guess in guesses)
            print(f"{printable(str(path))}: {told}", flush=True)
    if options.json:
        print(json.dumps(results, indent=1))
    if inside and len(skipped) == len(inside):
        raise ZooError(f"{folders[0]}: none of the {len(inside)} files of folders could be read")
    for other in failed[1:]:
        report(f"error: {other}")
    if failed:
        raise failed[0]


def _codec(probe: Probe, options: Classify) -> ReadyCodec:
    """The codec named, else that where the probe's was, else the run that has its weights."""
    if options.ckpt is not None:
        return loading.load(options.ckpt)
    for codec in _candidates(probe):
        if codec.digest.hex() == probe.digest:
            return codec
    raise ZooError(
        f"{options.probe}: its codec is neither at {probe.codec_path or 'a known place'} nor below runs/: "
        f"name it with --ckpt (weights {probe.digest})"
    )


def _candidates(probe: Probe) -> Iterator[ReadyCodec]:
    recorded = Path(probe.codec_path)
    if probe.codec_path:
        with contextlib.suppress(ZooError):
            yield loading.load(probe.codec_path)
    roots: Sequence[Path] = (recorded.parent.parent.parent, Path("runs")) if recorded.is_absolute() else (Path("runs"),)
    for root in roots:
        with contextlib.suppress(CheckpointError):
            yield loading.find_by_hash(bytes.fromhex(probe.digest), root)
