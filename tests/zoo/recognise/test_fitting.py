"""Classifiers: they are those of scikit-learn, they recognise what can be told apart, and see training clips alone."""

from __future__ import annotations

import numpy as np
import pytest

from tests.zoo.console.test_extras import run_without
from zoo.errors import ZooError
from zoo.recognise import classifier, fitting
from zoo.recognise.classifier import KINDS


def blobs(n_classes: int, n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = 3 * np.random.default_rng(7).standard_normal((n_classes, 12))
    return centres[labels] + rng.standard_normal((n, 12)), np.array([f"class {i}" for i in labels])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_what_can_be_told_apart_is_recognised(kind, n_classes):
    fitted = fitting.fit(kind, *blobs(n_classes))
    vectors, labels = blobs(n_classes, seed=1)
    chances = fitted.probabilities(vectors)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert (np.array(fitted.classes)[chances.argmax(axis=1)] == labels).mean() > 0.95
    again = classifier.restored(kind, fitted.classes, fitted.arrays)
    np.testing.assert_array_equal(again.scores(vectors), fitted.scores(vectors))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_probabilities_are_those_of_logistic_regression(n_classes):
    from sklearn.linear_model import LogisticRegression

    x, labels = blobs(n_classes)
    numbers = np.unique(labels, return_inverse=True)[1]
    layers = fitting._layers("logistic", x, numbers, strength=0.03, seed=0)
    expected = LogisticRegression(C=0.03, max_iter=500).fit(x, numbers).predict_proba(x)
    scores = x @ layers[0][0] + layers[0][1]
    found = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_all_components_keep_all_distances_and_constant_features_count_nothing():
    x = np.random.default_rng(0).standard_normal((20, 50)) * np.geomspace(1e-3, 1e3, 50)
    x[:, 3] = 7.0
    preprocessing = fitting.preprocess(x)
    rotated = preprocessing(x)
    assert rotated.shape == (20, 19)
    standard = np.delete((x - x.mean(0)) / np.maximum(x.std(0), 1e-9), 3, axis=1)
    expected = np.linalg.norm(standard[0] - standard[1]) / np.linalg.norm(standard[2] - standard[3])
    found = np.linalg.norm(rotated[0] - rotated[1]) / np.linalg.norm(rotated[2] - rotated[3])
    assert np.isclose(found, expected, rtol=1e-4)
    assert np.isclose(np.square(rotated).sum(axis=1).mean(), fitting.ENERGY, rtol=1e-4)
    strange = x[:1].copy()
    strange[0, 3] = 1e9
    np.testing.assert_allclose(preprocessing(strange), preprocessing(x[:1]), rtol=1e-5)


@pytest.mark.parametrize("labels", [["a", "b", "b", "b"], ["a", "b", "c", "d"], ["a", "a", "a", "a"]])
@pytest.mark.parametrize("kind", KINDS)
def test_few_clips_of_a_class_are_enough(labels, kind):
    vectors = np.eye(4)
    fitted = fitting.fit(kind, vectors, labels)
    assert fitted.classes == tuple(sorted(set(labels)))
    assert np.isfinite(fitted.probabilities(vectors)).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ZooError, match="unknown classifier 'forest'"):
        fitting.fit("forest", np.eye(2), ["a", "b"])
    with pytest.raises(ZooError, match="not finite"):
        fitting.fit("svm", np.full((2, 2), np.nan), ["a", "b"])


def test_the_missing_package_is_named_with_its_install_line(tmp_path):
    done = run_without({"sklearn"}, "zoo", "train-probe", str(tmp_path), "--output", str(tmp_path / "x.safetensors"))
    assert done.returncode == 2
    assert done.stderr == "error: scikit-learn is missing: pip install -e '.[recognise]'\n"
