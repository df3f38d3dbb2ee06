"""Results that are there when others come: kept under another name, unless the new ones hold them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluate import former
from evaluate import table as tables
from evaluate.records import Row

FILES = ("results.json", "results.csv")


def row(clip: str, *, level: int = 0, snr_db: float = 9.0, rtf: float = 40.0) -> Row:
    return Row(
        "net", level, "music", clip, 1.0, 6.0, 5.5, snr_db, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4e3,
        encode_rtf=rtf, decode_rtf=rtf,
    )  # fmt: skip


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_results_of_other_options_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables.report([row("a"), row("b")], tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in FILES}
    capsys.readouterr()
    tables.report([row("a")], tmp_path)
    assert f"{tmp_path / 'results.json'}: what was there is kept as results-1.json" in capsys.readouterr().err
    assert {name: (tmp_path / name.replace(".", "-1.")).read_bytes() for name in FILES} == first
    assert [one["clip"] for one in json.loads((tmp_path / "results.json").read_text())] == ["a"]
    tables.report([row("a", level=3)], tmp_path)
    assert names(tmp_path) == sorted([*FILES, *(name.replace(".", f"-{n}.") for n in (1, 2) for name in FILES)])


@pytest.mark.parametrize("after", [[row("a", rtf=90.0)], [row("b"), row("a")]])
def test_the_same_results_and_more_take_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after: list[Row]
) -> None:
    tables.report([row("a")], tmp_path)
    tables.report(after, tmp_path)
    assert names(tmp_path) == sorted(FILES)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("text", ["half a li", "3", '{"trials": [{"accuracy": 0.5}]}', '["x"]'])
def test_a_file_of_another_kind_is_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    tables.report([row("a")], tmp_path)
    assert (tmp_path / "results-1.json").read_text() == text


def test_other_files_of_the_names_are_kept_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "results.csv").write_text("a table of somebody's own")
    tables.report([row("a")], tmp_path)
    assert f"{tmp_path / 'results.csv'}: what was there is kept as results-1.csv" in capsys.readouterr().err
    assert (tmp_path / "results-1.csv").read_text() == "a table of somebody's own"


def test_results_in_an_object_are_those_of_its_lists(tmp_path: Path) -> None:
    content = {"title": "x", "trials": [{"accuracy": 0.5, "confusion": (1, 2)}], "gaps": []}
    (tmp_path / "probe.json").write_text(json.dumps(content))
    former.keep(tmp_path, content, ("probe.json", "confusion.svg"))
    assert names(tmp_path) == ["probe.json"]
    (tmp_path / "confusion.svg").write_text("picture")
    former.keep(tmp_path, {"trials": []}, ("probe.json", "confusion.svg"))
    assert names(tmp_path) == ["confusion-1.svg", "probe-1.json"]
