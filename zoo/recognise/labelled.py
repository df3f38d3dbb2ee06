"""Folders of labelled sounds: a folder for each class, and the folds in which they are tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo import arguments, audio
from zoo.arguments import as_path
from zoo.console.terminal import printable, report
from zoo.errors import ZooError
from zoo.wording import counted, some

N_FOLDS = 5


@dataclass(frozen=True)
class Labelled:
    """Sound files with their classes, sorted by both."""

    files: tuple[Path, ...]
    labels: tuple[str, ...]
    """the class of each file"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of all classes, in order."""
        return tuple(sorted(set(self.labels)))

    def numbers(self) -> np.ndarray:
        """The class of each file as its place in `classes`."""
        return np.searchsorted(np.array(self.classes), np.array(self.labels))

    def only(self, kept: Sequence[Path]) -> Labelled:
        """What is left where some files could not be read; raises ZooError if that is less than two classes."""
        known = dict(zip(self.files, self.labels))
        return _checked(Labelled(tuple(kept), tuple(known[path] for path in kept)), "of what can be read")


def read(root: str | Path) -> Labelled:
    """The audio files below the sub-folders of `root`, whose names are the classes.

    Files in no sub-folder are left out, which is said in a line. Raises ZooError for a folder that is missing, has no
    audio, no sub-folders, or only one class.
    """
    place = Path(as_path(root))
    found = [(path, path.relative_to(place).parts) for path in audio.find_files(place)]
    inside = [(path, printable(parts[0])) for path, parts in found if len(parts) > 1]
    if not inside:
        raise ZooError(f"{root}: has no sub-folders with audio: a labelled folder has one for each class")
    if len(inside) < len(found):
        report(f"left out {counted(len(found) - len(inside), 'file')} of {root} in no class's folder")
    return _checked(Labelled(tuple(path for path, _ in inside), tuple(name for _, name in inside)), str(root))


def _checked(labelled: Labelled, name: str) -> Labelled:
    if len(labelled.classes) < 2:
        only = ", ".join(labelled.classes) or "none"
        raise ZooError(f"{name}: recognition takes two classes or more, there is {only}")
    return labelled


def folds(labelled: Labelled, seed: int = 0) -> np.ndarray:
    """The fold of each file, (N,) int.

    Where the names of all files begin with a number (1-137-A.ogg), that is the fold: clips of one recording share it,
    and must not be on both sides. More than five numbers are dealt out to five folds. Otherwise each class is shuffled
    and dealt out, so that the folds are alike. Classes of which all is in one fold are told in a line: nothing is known
    of them when they are tried.
    """
    labelled = arguments.instance(labelled, Labelled, "labelled", "zoo.recognise.read_labelled(…)")
    dealt = _dealt(labelled, seed)
    numbers = labelled.numbers()
    whole = [name for i, name in enumerate(labelled.classes) if len(set(dealt[numbers == i].tolist())) == 1]
    if whole:
        report(
            f"warning: all clips of {some(whole)} are in one fold (one clip, or one number before their "
            f"names): where a class is tried it is not trained on, and never guessed"
        )
    return dealt


def _dealt(labelled: Labelled, seed: int) -> np.ndarray:
    numbers = [re.match(r"(\d+)\D", path.name) for path in labelled.files]
    if all(numbers) and len({found[1] for found in numbers if found}) > 1:
        leading = [int(found[1]) for found in numbers if found]
        places = {number: i for i, number in enumerate(sorted(set(leading)))}
        return np.array([places[number] % N_FOLDS for number in leading])
    return stratified(labelled.numbers(), N_FOLDS, seed)


def stratified(labels: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Deals the members of each class out to folds in turn, one class where the one before ended."""
    dealt = np.empty(len(labels), int)
    order = np.concatenate(
        [
            np.random.default_rng((seed, int(label))).permutation(np.flatnonzero(labels == label))
            for label in set(labels.tolist())
        ]
    )
    dealt[order] = np.arange(len(labels)) % n_folds
    return dealt
