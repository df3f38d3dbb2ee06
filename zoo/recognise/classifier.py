"""Classifiers of vectors as arrays: what scikit-learn or a training loop found, used with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KINDS = ("logistic", "svm", "dense")
FURTHEST = 5.0
"""standard deviations from the mean beyond which a feature is cut off: one strange clip must not decide alone"""


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Standardises vectors (N, V), and rotates them to K principal components (N, K)."""

    mean: np.ndarray
    """(V,)"""
    scale: np.ndarray
    """(V,): 1 / standard deviation, 0 of what never changes"""
    centre: np.ndarray
    """(V,): means after standardising"""
    basis: np.ndarray
    """(V, K)"""

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        standard = np.clip((vectors - self.mean) * self.scale, -FURTHEST, FURTHEST)
        rotated: np.ndarray = (standard - self.centre) @ self.basis
        return rotated


@dataclass(frozen=True, eq=False)
class Classifier:
    """Vectors to classes: preprocessing, then affine layers with rectifiers in between; a linear one has one layer."""

    kind: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    """kernel (I, O) and bias (O,) of each"""

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """A score for each class (N, n_classes), the highest for the likeliest; vectors are (N, V)."""
        x = self.preprocessing(np.asarray(vectors, np.float32))
        for i, (kernel, bias) in enumerate(self.layers):
            x = (np.maximum(x, 0) if i else x) @ kernel + bias
        return x

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """What adds up to one over the classes (N, n_classes): of an SVM, whose margins are none, only their order."""
        scores = self.scores(vectors)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name; `restored` takes them."""
        found = {f"preprocessing.{name}": array for name, array in vars(self.preprocessing).items()}
        for i, (kernel, bias) in enumerate(self.layers):
            found |= {f"layers.{i}.kernel": kernel, f"layers.{i}.bias": bias}
        return {name: np.asarray(array, np.float32) for name, array in found.items()}


def restored(kind: str, classes: tuple[str, ...], arrays: Mapping[str, np.ndarray]) -> Classifier:
    """The classifier that had these `arrays`; raises KeyError or ValueError where they are not those of one."""
    names = ("mean", "scale", "centre", "basis")
    preprocessing = Preprocessing(*(arrays[f"preprocessing.{name}"] for name in names))
    n = sum(name.endswith(".kernel") for name in arrays)
    layers = tuple((arrays[f"layers.{i}.kernel"], arrays[f"layers.{i}.bias"]) for i in range(n))
    found = Classifier(kind, classes, preprocessing, layers)
    if not n or found.scores(preprocessing.mean[None]).shape != (1, len(classes)):
        raise ValueError("shapes that do not fit")
    return found
