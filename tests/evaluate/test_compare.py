"""Significance against scipy and simulation, pairing, and one line for each way of getting the files wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from evaluate import compare as module
from evaluate.compare import compare, holm, main, pair, sign_flip_p
from tests.complaint import complaint
from zoo.errors import ZooError


def records(values: Any, system: str = "vae", level: Any = 0, **fixed: Any) -> list[dict[str, Any]]:
    return [
        {"system": system, "level": level, "domain": "music", "clip": f"c{i}", "seconds": 4.0, "mel": float(x)} | fixed
        for i, x in enumerate(values)
    ]


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("n", [1, 2, 5, 11])
def test_p_is_that_of_scipy_for_few_clips(n: int) -> None:
    x = np.random.default_rng(n).normal(0.5, 1.0, n)
    if n == 1:
        assert sign_flip_p(x) == 1.0
        return
    exact = scipy.stats.permutation_test(
        (x, np.zeros(n)), lambda a, b, axis: np.mean(a - b, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(x) == pytest.approx(exact.pvalue)


def test_p_of_many_clips_is_near_that_of_the_t_test() -> None:
    x = np.random.default_rng(0).normal(0.25, 1.0, 80)
    assert sign_flip_p(x) == pytest.approx(scipy.stats.ttest_1samp(x, 0.0).pvalue, abs=0.006)
    assert sign_flip_p(x, n_flips=999) >= 1 / 1000
    assert sign_flip_p(x, seed=1) == sign_flip_p(x, seed=1)


@pytest.mark.parametrize("n", [8, 40])
def test_equal_results_have_p_one(n: int) -> None:
    assert sign_flip_p(np.zeros(n)) == 1.0
    # equal up to rounding: 0.1 + 0.2 - 0.3
    assert sign_flip_p(np.resize([0.3, -0.1, -0.2, 0.0], n)) == 1.0


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_equal_systems_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(100):
        hard = rng.normal(0, 3, 10)
        sides = [
            [
                row | {"snr_db": float(rng.normal()), "lsd_db": float(rng.normal())}
                for row in records(hard + rng.normal(0, 1, 10))
            ]
            for _ in range(2)
        ]
        wrong += any(x.verdict for x in compare(sides[0], sides[1]).differences)
    assert wrong <= 11  # of 100 with 5 % each: 99.6 % of all draws


def test_a_small_difference_is_found_beneath_large_ones_between_clips() -> None:
    rng = np.random.default_rng(6)
    hard = rng.normal(5, 3, 24)
    found = compare(
        [row | {"kbps": 6.0} for row in records(hard)],
        [row | {"kbps": 5.0} for row in records(hard - 0.2 + rng.normal(0, 0.1, 24))],
    )
    by_name = {x.metric: x for x in found.differences}
    assert list(by_name) == ["kbps", "mel"]
    mel = by_name["mel"]
    assert mel.verdict == by_name["kbps"].verdict == "better"
    assert mel.difference == pytest.approx(mel.b - mel.a)
    assert mel.low < -0.2 + 0.05
    assert mel.low < mel.difference < mel.high < 0
    assert mel.p_holm == pytest.approx(2 * mel.p)
    back = compare(records(hard - 0.2), records(hard)).differences[0]
    assert (back.verdict, back.difference) == ("worse", pytest.approx(0.2))


def test_higher_is_better_where_it_is() -> None:
    rows = [records(np.zeros(12), snr_db=value) for value in (3.0, 4.0)]
    (found,) = compare(rows[0], rows[1], ["snr_db"]).differences
    assert (found.difference, found.verdict) == (1.0, "better")


def test_systems_are_paired() -> None:
    assert pair([("a", 0), ("a", 1), ("opus:6", None)], [("opus:6", None), ("a", 1)]) == [
        (("a", 1), ("a", 1)),
        (("opus:6", None), ("opus:6", None)),
    ]
    assert pair([("a", 0), ("a", 2), ("o", None)], [("b", 0), ("b", 2), ("b", 3), ("o", None)]) == [
        (("o", None), ("o", None)),
        (("a", 0), ("b", 0)),
        (("a", 2), ("b", 2)),
    ]
    assert pair([("a", 0)], [("b", None)]) == [(("a", 0), ("b", None))]
    with pytest.raises(ZooError, match=r"no system of A \(a level 0, b\) is one of B \(c\)"):
        pair([("a", 0), ("b", None)], [("c", None)])


def test_what_is_left_out_is_said() -> None:
    a = records(range(12)) + records(range(12), "opus:6", None)
    b = [row | {"mel": row["mel"] + 1} for row in records(range(14))[1:]]
    b[0]["mel"] = None
    found = compare(a, b)
    assert found.notes == [
        "only in A: opus:6",
        "vae level 0: 3 clips that only one of them has are left out",
        "vae level 0: mel has no value in 1 of 11 clips",
    ]
    assert (found.differences[0].n_clips, found.differences[0].difference) == (10, pytest.approx(1.0))


def test_too_few_clips_are_said_to_be_too_few() -> None:
    found = compare(records(range(5)), records(np.arange(5) + 1.0))
    assert found.differences[0].verdict == ""
    assert "nothing can be significant with 5 clips and 1 test (p at least 0.062)" in found.notes[0]
    assert compare(records(range(6)), records(np.arange(6) + 1.0)).differences[0].verdict == "worse"
    single = compare(records([1.0]), records([2.0])).differences[0]
    assert (single.p, single.verdict) == (1.0, "")
    assert np.isnan(single.low)


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a.json", records(np.arange(20.0)))
    b = write(tmp_path / "b.json", records(np.arange(20.0) - 0.5, "new [x]"))
    main([a, b, "--output", str(tmp_path / "d.json")])
    out = capsys.readouterr().out
    assert "better" in next(line for line in out.splitlines() if "mel" in line)
    (written,) = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert (written["system"], written["verdict"], written["difference"]) == ("vae → new [x]", "better", -0.5)
    assert max(map(len, out.splitlines())) <= 120 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "b.json: not a JSON file"),
        ("{}", "b.json: not a list of results"),
        ([], "b.json: not a list of results"),
        ([3], "b.json: entry 0 is not an object"),
        ([{"system": "vae", "seconds": 1.0}], "b.json: entry 0 has no valid 'clip'"),
        (records([1.0], seconds=0.0), "b.json: entry 0 has no valid 'seconds'"),
        (records([1.0], level="high"), "b.json: entry 0 has no valid 'level'"),
        (records([1.0], mel="low"), "b.json: entry 0: mel is 'low', not a number"),
        (records([1.0], seconds=5.0), "c0 lasts 4 s in A and 5 s in B: not the same audio"),
        (records([1.0, 2.0], clip="x"), "vae level 0: clip x occurs twice"),
        (records([1.0], clip="x"), "vae level 0: A and B have no clip in common"),
        (records([1.0]) + records([1.0], "gan"), None),
        (
            [{"system": "vae", "level": 0, "clip": "c0", "seconds": 4.0, "pesq": 2.0}],
            "A and B have no values of any metric for the same clip",
        ),
    ],
)
def test_bad_files_end_in_one_line(
    content: Any, message: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [write(tmp_path / "a.json", records([1.0, 2.0])), write(tmp_path / "b.json", content)]
    if message is None:
        main(files)
        return
    assert message in complaint(capsys, main, files)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("loudness", "unknown metric 'loudness'; there are kbps"),
        ("encode_rtf", "encode_rtf is the machine's"),
        ("pesq", "have no values of pesq for the same clip"),
    ],
)
def test_bad_metrics_end_in_one_line(
    metric: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "a.json", records([1.0, 2.0]))
    with pytest.raises(SystemExit):
        main([file, file, "--metric", metric])
    assert message in capsys.readouterr().err
    with pytest.raises(ZooError, match=r"gone\.json: cannot be read"):
        module.read(str(tmp_path / "gone.json"))
