"""Probes: a classifier of sounds together with all that its features take, in one file of arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo import arguments, given
from zoo.arguments import as_path
from zoo.errors import CheckpointError, ZooError
from zoo.published.files import weights
from zoo.ready import ReadyCodec
from zoo.recognise import cepstra, classifier, clips, embedding
from zoo.recognise.cepstra import Cepstra
from zoo.recognise.classifier import Classifier
from zoo.recognise.clips import Extractor
from zoo.recognise.embedding import Embedder

FORMAT = 1
SETS = (*embedding.SETS, *cepstra.SETS)
"""what a probe's vectors may be put together from"""


@dataclass(frozen=True)
class Guess:
    """A class, and how likely it is."""

    name: str
    probability: float
    """in [0, 1]; of an SVM only the order means something"""


@dataclass(frozen=True, eq=False)
class Probe:
    """A classifier, and the features that its vectors are put together from, in this order."""

    classifier: Classifier
    sets: tuple[str, ...]
    paths: tuple[str, ...]
    """the encoder's layers of the set "layers" """
    calibrations: dict[str, dict[str, np.ndarray]]
    """arrays by set of the codec's features"""
    digest: str
    """that of the codec, in hexadecimal"""
    codec_path: str
    """where the codec was when the probe was made"""

    def extractors(self, codec: ReadyCodec) -> dict[str, Extractor]:
        """What computes the features; raises ZooError for a codec that is not the probe's."""
        codec = given.codec(codec)
        if codec.digest.hex() != self.digest:
            raise ZooError(
                f"this probe was trained on another codec: its weights are {self.digest}, those of "
                f"{codec.metadata.get('path', 'this one')} {codec.digest.hex()}"
            )
        return extractors(embedding.restored(codec, self.paths, self.calibrations), self.sets)

    def classify(self, found: Mapping[str, Mapping[str, np.ndarray]], top: int = 3) -> tuple[Guess, ...]:
        """The `top` likeliest classes of a clip with these vectors by extractor and set, or all where there are fewer.

        Raises ZooError for a `top` below 1.
        """
        top = arguments.count(top, "top")
        chances = self.classifier.probabilities(joined(found, self.sets)[None])[0]
        order = np.argsort(-chances, kind="stable")[:top]
        return tuple(Guess(self.classifier.classes[i], float(chances[i])) for i in order)

    def classify_samples(
        self, codec: ReadyCodec, samples: np.ndarray, sample_rate: int, top: int = 3
    ) -> tuple[Guess, ...]:
        """`classify` of one clip (T,) or (T, C) at `sample_rate` Hz."""
        made = self.extractors(codec)
        return self.classify({name: clips.vectors(one, samples, sample_rate) for name, one in made.items()}, top)


def extractors(embedder: Embedder, sets: Sequence[str]) -> dict[str, Extractor]:
    """What computes these sets: the embedder, and cepstra where they are asked for."""
    found: dict[str, Extractor] = {}
    if any(name in embedding.SETS for name in sets):
        found["codec"] = embedder
    if classic := tuple(name for name in cepstra.SETS if name in sets):
        found["cepstra"] = Cepstra(classic)
    return found


def joined(found: Mapping[str, Mapping[str, np.ndarray]], sets: Sequence[str]) -> np.ndarray:
    """The vectors of sets, by extractor and set, one behind the other."""
    known = {name: vector for parts in found.values() for name, vector in parts.items()}
    return np.concatenate([known[name] for name in sets])


def check_sets(sets: Sequence[str]) -> None:
    """Raises ZooError for no sets of features, and for one that there is not or that is named twice."""
    if not sets or len(set(sets)) < len(sets) or not set(sets) <= set(SETS):
        raise ZooError(f"features {' '.join(sets)}: choose one or more of {', '.join(SETS)}")


def make(fitted: Classifier, embedder: Embedder, sets: Sequence[str]) -> Probe:
    """The probe of a classifier that was fitted to vectors of these sets by this embedder."""
    fitted = arguments.instance(fitted, Classifier, "fitted", "zoo.recognise.fit(…)")
    embedder = arguments.instance(embedder, Embedder, "embedder", "zoo.recognise.embedder(…)")
    calibrations = {name: one.arrays for name, one in embedder.calibrations.items() if name in sets}
    codec = embedder.codec
    path = str(codec.metadata.get("path", ""))
    return Probe(
        fitted,
        tuple(sets),
        embedder.paths if "layers" in sets else (),
        calibrations,
        codec.digest.hex(),
        # what is here is found from other folders too; else it is a name on the hub
        str(Path(path).absolute()) if path and Path(path).exists() else path,
    )


def save(probe: Probe, path: str | Path) -> None:
    """Writes a probe as `.safetensors`, whole or not at all; raises ZooError where it cannot be written."""
    probe, path = arguments.instance(probe, Probe, "probe", "zoo.recognise.load(…)"), as_path(path)
    tensors = {f"classifier.{name}": array for name, array in probe.classifier.arrays.items()}
    for name, arrays in probe.calibrations.items():
        tensors |= {f"calibration.{name}.{part}": np.asarray(array, np.float32) for part, array in arrays.items()}
    said = {
        "format": FORMAT,
        "kind": probe.classifier.kind,
        "classes": probe.classifier.classes,
        "sets": probe.sets,
        "paths": probe.paths,
        "digest": probe.digest,
        "codec_path": probe.codec_path,
    }
    text = json.dumps(said)
    try:
        weights.write_safetensors(path, tensors, {"codec_zoo_probe": text, "sha256": _checksum(text, tensors)})
    except OSError as error:
        raise ZooError(f"{path}: cannot be written ({error.strerror})") from None


def load(path: str | Path) -> Probe:
    """Reads a probe; raises CheckpointError, naming the file, for one that is none, damaged, or of a later version."""
    path = as_path(path)
    if Path(path).is_dir():
        raise CheckpointError(f"{path}: is a folder, not a probe")
    try:
        content = weights.read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; a probe is what python -m zoo train-probe writes") from None
    text = content.metadata.get("codec_zoo_probe")
    if not isinstance(text, str):
        raise CheckpointError(f"{path}: is no probe: python -m zoo train-probe writes them")
    if content.metadata.get("sha256") != _checksum(text, content.tensors):
        raise CheckpointError(f"{path}: this probe is damaged: its checksum does not fit")
    said: dict[str, Any] = json.loads(text)
    if said["format"] > FORMAT:
        raise CheckpointError(f"{path}: this probe has format {said['format']}; this version reads up to {FORMAT}")
    tensors = content.tensors
    fitted = classifier.restored(said["kind"], tuple(said["classes"]), _below("classifier.", tensors))
    calibrations = {name: _below(f"calibration.{name}.", tensors) for name in said["sets"] if name in embedding.SETS}
    return Probe(fitted, tuple(said["sets"]), tuple(said["paths"]), calibrations, said["digest"], said["codec_path"])


def _below(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _checksum(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    content = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        content.update(f"{name} {tensors[name].shape}".encode())
        content.update(np.ascontiguousarray(tensors[name]).tobytes())
    return content.hexdigest()
