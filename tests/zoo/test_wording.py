"""Quantities in messages."""

from __future__ import annotations

import pytest

from zoo import wording


@pytest.mark.parametrize(("n", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1200, "1,200 files")])
def test_things_are_counted_in_words(n: int, said: str) -> None:
    assert wording.counted(n, "file") == said


@pytest.mark.parametrize(
    ("audio_s", "wall_s", "said"),
    [(9, 30, "0.3"), (1, 400, "0.0025"), (7.0, 4, "1.8"), (99.6, 10, "10"), (620, 10, "62")],
)
def test_what_is_slower_than_the_sound_has_a_speed_other_than_0(audio_s: float, wall_s: float, said: str) -> None:
    assert wording.speed(audio_s, wall_s) == f"{said}× real time"


@pytest.mark.parametrize(
    ("names", "said"),
    [("", ""), ("a", "a"), ("abc", "a; b; c"), ("abcd", "a; b; c and 1 more"), ("abcdef", "a; b; c and 3 more")],
)
def test_of_many_names_three_are_said(names: str, said: str) -> None:
    assert wording.some(iter(names), "; ") == said
