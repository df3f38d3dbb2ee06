"""How well classifiers recognise sounds that they have not been trained on, by the features that they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.recognise import fitting

WILSON_Z = 1.959963984540054
"""of the normal distribution, for an interval of 95 %"""


@dataclass(frozen=True, eq=False)
class Trial:
    """One classifier with one set of features: over all folds, every clip was guessed once, unseen."""

    features: str
    classifier: str
    n_features: int
    accuracy: float
    low: float
    """ends of the 95 % interval of the accuracy (Wilson's, over clips)"""
    high: float
    macro_f1: float
    """mean over the classes"""
    confusion: np.ndarray
    """(C, C) counts: row = what a clip is, column = what it was taken for"""


def run(
    features: str,
    classifier: str,
    vectors: np.ndarray,
    labels: Sequence[str],
    classes: Sequence[str],
    folds: np.ndarray,
    seed: int = 0,
) -> Trial:
    """Trains on all folds but one and guesses that one, for each; standardisation and all choices see training clips.

    A class that has no clip in the training folds cannot be guessed, and counts as missed.
    """
    truth = np.searchsorted(np.array(classes), np.asarray(labels))
    guesses = np.empty(len(truth), int)
    for fold in sorted(set(folds.tolist())):
        train, test = folds != fold, folds == fold
        fitted = fitting.fit(classifier, vectors[train], np.asarray(labels)[train], folds[train], seed)
        places = np.searchsorted(np.array(classes), np.array(fitted.classes))
        guesses[test] = places[np.argmax(fitted.scores(vectors[test]), axis=1)]
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, guesses), 1)
    low, high = wilson(int(np.trace(confusion)), len(truth))
    accuracy = float(np.trace(confusion) / len(truth))
    return Trial(features, classifier, vectors.shape[1], accuracy, low, high, macro_f1(confusion), confusion)


def combined(sets: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """Vectors of several sets one behind the other, (N, ΣV)."""
    return np.concatenate([sets[name] for name in names], axis=1)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score, https://doi.org/10.1080/01621459.1927.10502953."""
    share, z2 = hits / n, WILSON_Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = WILSON_Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def macro_f1(confusion: np.ndarray) -> float:
    """The mean over classes of 2·TP / (2·TP + FP + FN), 0 for a class that is never right."""
    right = np.diag(confusion)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * right / np.maximum(total, 1)))
