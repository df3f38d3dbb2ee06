"""`python -m evaluate --task probe`: scores by hand, and sounds that can be told apart, or cannot."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import binomtest

from evaluate.__main__ import main
from evaluate.probe import picture, trial
from tests.audio_files import write
from tests.complaint import complaint
from tests.zoo.conftest import here, place  # noqa: F401
from tests.zoo.recognise.conftest import little, sine, write_classes  # noqa: F401


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (341, 400), (1, 3)])
def test_intervals_are_wilsons(hits, n):
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert trial.wilson(hits, n) == pytest.approx((expected.low, expected.high))


def test_macro_f1_is_that_of_scikit_learn():
    from sklearn.metrics import confusion_matrix, f1_score

    rng = np.random.default_rng(0)
    truth, guesses = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
    expected = f1_score(truth, guesses, average="macro", zero_division=0)
    assert trial.macro_f1(confusion_matrix(truth, guesses)) == pytest.approx(expected)


def test_nothing_of_the_tested_fold_is_seen():
    """Labels at random are not recognised, however many features there are."""
    rng = np.random.default_rng(0)
    labels = [f"{i}" for i in rng.integers(0, 2, 60)]
    found = trial.run("x", "logistic", rng.standard_normal((60, 300)), labels, ("0", "1"), folds=np.arange(60) % 5)
    assert 0.25 < found.accuracy < 0.75
    assert found.confusion.sum() == 60


def test_a_class_of_one_fold_is_missed():
    vectors = np.repeat(np.eye(3), 4, axis=0)
    labels = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    folds = np.array([0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 1, 1])
    found = trial.run("x", "svm", vectors, labels, ("a", "b", "c"), folds=folds)
    np.testing.assert_array_equal(np.diag(found.confusion), [4, 4, 0])


@pytest.mark.usefixtures("quick")
def test_the_table_of_a_folder(here, capfd):  # noqa: F811
    root = write_classes(here / "sounds", 5)
    write(root / "alone" / "0.wav", sine(8, 5))
    (root / "sine" / "broken.wav").write_bytes(b"nothing")
    words = ["--task", "probe", "--ckpt", "runs/tiny", "--data.root", "sounds", "--output", "out"]
    main([*words, "--classifiers", "logistic", "svm"])
    said = capfd.readouterr()
    assert "11 clips of 3 classes · 5 folds" in said.out
    assert "all clips of alone are in one fold" in said.err
    assert "skipped sounds/sine/broken.wav" in said.err
    content = json.loads(Path("out/probe.json").read_text())
    rows = {(one["features"], one["classifier"]): one for one in content["trials"]}
    expected = {"mfcc", "log_mel", "tiny latent", "tiny layers", "tiny latent + mfcc", "tiny layers + mfcc"}
    assert {name for name, _ in rows} == expected
    for one in rows.values():
        assert one["accuracy"] == pytest.approx(np.trace(one["confusion"]) / 11)
        assert one["low"] < one["accuracy"] < one["high"]
    assert rows["tiny layers + mfcc", "logistic"]["accuracy"] > 0.7
    assert len(list(csv.DictReader(Path("out/probe.csv").read_text().splitlines()))) == len(rows)
    ElementTree.parse("out/confusion.svg")
    assert "choose from logistic" in complaint(capfd, main, [*words, "--classifiers", "forest"])
    assert "sub-folders" in complaint(capfd, main, [*words[:-4], "--data.root", "sounds/sine"])
    assert "--data.root needs" in complaint(capfd, main, words[:4])


def test_names_are_escaped_in_the_picture():
    svg = picture.confusion_svg(np.array([[1, 0], [2, 3]]), ("<a>", "b & c"), "a < b")
    texts = [node.text for node in ElementTree.fromstring(svg).iter() if node.text and node.text.strip()]
    assert texts.count("<a>") == texts.count("b & c") == 2
    assert {"1", "2", "3", "a < b"} <= set(texts)
