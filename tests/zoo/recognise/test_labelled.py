"""Labelled folders: classes, folds, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import noise, write
from zoo.errors import ZooError
from zoo.recognise import labelled
from zoo.recognise.labelled import Labelled


def of_names(*names: str) -> Labelled:
    return Labelled(tuple(Path(name) for name in names), tuple(name.split("/")[0] for name in names))


def test_a_class_that_no_other_fold_knows_is_told(capsys):
    labelled.folds(of_names("a/1-x", "a/1-y", "b/1-x", "b/2-x", "c/2-x"))
    assert "warning: all clips of a, c are in one fold" in capsys.readouterr().err
    labelled.folds(of_names("a/1-x", "a/2-x", "b/1-x", "b/2-x"))
    assert capsys.readouterr().err == ""


def test_numbers_that_all_names_begin_with_are_folds():
    data = of_names(*(f"{label}/{fold}-{i}-A.ogg" for label in "ab" for fold in (1, 2, 5) for i in range(2)))
    np.testing.assert_array_equal(labelled.folds(data), [0, 0, 1, 1, 2, 2] * 2)


def test_many_numbers_are_dealt_out_and_clips_of_one_stay_together():
    data = of_names(*(f"{label}/{recording}_x.wav" for label in "ab" for recording in range(7)))
    found = labelled.folds(data)
    assert sorted(set(found)) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(found[:7], found[7:])


@pytest.mark.parametrize("odd", ["b/x.wav", "b/12.5.wav"])
def test_else_classes_are_dealt_out_alike_and_always_in_the_same_way(odd):
    names = [f"{label}/{i}" for label in "ab" for i in (("clip", "x") if odd == "b/x.wav" else ("7-1", "7-2"))]
    data = of_names(*names, *(f"{label}/7-{i}-{label}.wav" for label in "ab" for i in range(10)), odd)
    found = labelled.folds(data)
    if odd == "b/x.wav":
        for label in "ab":
            counts = np.bincount(found[np.array(data.labels) == label], minlength=5)
            assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(found, labelled.folds(data))


def test_single_clips_do_not_all_fall_into_one_fold():
    assert len(set(labelled.folds(of_names("a/x", "b/x", "c/x", "d/x", "e/x")).tolist())) == 5


def test_folders_that_cannot_be_used_are_refused_in_a_line(tmp_path, capsys):
    with pytest.raises(ZooError, match="no such folder"):
        labelled.read(tmp_path / "none")
    with pytest.raises(ZooError, match="holds no audio"):
        labelled.read(tmp_path)
    write(tmp_path / "loose.wav", noise(100))
    with pytest.raises(ZooError, match="has no sub-folders"):
        labelled.read(tmp_path)
    write(tmp_path / "a" / "x.wav", noise(100))
    with pytest.raises(ZooError, match="two classes or more, there is a"):
        labelled.read(tmp_path)
    write(tmp_path / "b" / "deep" / "x.wav", noise(100))
    assert labelled.read(tmp_path).labels == ("a", "b")
    assert "left out 1 file of" in capsys.readouterr().err
