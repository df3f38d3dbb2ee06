"""Bounds on means, and what is said of those that are missed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from evaluate.records import VALUES, Row
from evaluate.require import Requirement, check, parse
from zoo.errors import ZooError


def make_row(system: str = "vae", level: int | None = 0, clip: str = "c0", **values: Any) -> Row:
    fixed = {"system": system, "level": level, "clip": clip, "domain": "music"}
    return Row(**dict.fromkeys((*VALUES, "seconds"), 1.0) | fixed | values)


def test_a_list_is_read() -> None:
    assert parse("mel<1.2, snr_db >= -8,payload_kbps <=6e0,encode_rtf>50") == [
        Requirement("mel", "<", 1.2),
        Requirement("snr_db", ">=", -8.0),
        Requirement("payload_kbps", "<=", 6.0),
        Requirement("encode_rtf", ">", 50.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loudness<3", "unknown metric 'loudness'; there are kbps, payload_kbps, snr_db, "),
        ("mel=3", "'mel=3' is not of the form"),
        ("mel<1.2,", "'' is not of the form"),
        ("", "'' is not of the form"),
        ("1<mel<2", "is not of the form"),
        ("mel<low", "'low' in 'mel<low' is not a number"),
        ("mel<nan", "'nan' in 'mel<nan' is not a number"),
        ("mel<inf", "is not a number"),
    ],
)
def test_anything_else_is_named(text: str, message: str) -> None:
    with pytest.raises(ZooError, match=message) as error:
        parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("sign", "kept"), [("<", [True, False, False]), ("<=", [True, True, False]), (">", [False, False, True])]
)
def test_signs_at_the_bound(sign: str, kept: list[bool]) -> None:
    assert [not check([make_row(mel=value)], parse(f"mel{sign}2")) for value in (1.0, 2.0, 3.0)] == kept


def test_means_are_judged_for_each_system_and_level() -> None:
    rows = [make_row(level=level, clip=f"c{i}", mel=level + i) for level in (0, 1) for i in range(2)]
    rows += [make_row("gan", None, mel=1.0)]
    assert check(rows, parse("mel<1.6")) == []
    failures = check(rows, parse("mel<1.5,mel>0.5"))
    assert [str(failure) for failure in failures] == [
        "vae level 0: mel is 0.5, required mel>0.5",
        "vae level 1: mel is 1.5, required mel<1.5",
    ]


def test_rates_are_all_bits_over_all_seconds() -> None:
    rows = [make_row(clip="short", seconds=1.0, kbps=20.0), make_row(clip="long", seconds=9.0, kbps=10.0)]
    assert check(rows, parse("kbps<11.01,kbps>10.99")) == []


@pytest.mark.parametrize("requirement", ["mel<1e9", "mel>-1e9"])
def test_a_nan_keeps_no_bound(requirement: str) -> None:
    (failure,) = check([make_row(), make_row(clip="broken", mel=math.nan)], parse(requirement))
    assert math.isnan(failure.value)


def test_nothing_to_check_is_no_success() -> None:
    with pytest.raises(ZooError, match="no results"):
        check([], parse("mel<1"))
