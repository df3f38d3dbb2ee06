"""Means that agree with the tables, intervals that cover, curves and rates saved between systems."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from evaluate import statistics
from evaluate.records import VALUES, Row, means
from evaluate.statistics import bd_rate, bd_rates, curves, estimate, higher_is_better, totals
from zoo.errors import ZooError


def make_row(
    system: str = "a", level: int | None = None, clip: str = "c0", domain: str = "music", **values: Any
) -> Row:
    fixed = {"system": system, "level": level, "clip": clip, "domain": domain}
    return Row(**dict.fromkeys((*VALUES, "seconds"), 1.0) | fixed | values)


def random_values(rng: np.random.Generator) -> dict[str, Any]:
    return {name: float(rng.uniform(1, 9)) for name in VALUES}


def random_rows(n: int = 7, seed: int = 0) -> list[Row]:
    """Clips of all lengths, cut into up to three pieces, of two domains."""
    rng = np.random.default_rng(seed)
    return [
        make_row(
            clip=f"c{i}@{30 * piece}s",
            domain=("music", "voice")[i % 2],
            seconds=float(rng.uniform(1, 30)),
            **random_values(rng),
        )
        for i in range(n)
        for piece in range(1 + i % 3)
    ]


def ladder(system: str, scale: float, offsets: np.ndarray, *, levels: int = 4, noise: float = 0.0) -> list[Row]:
    """A codec whose mel distance falls with the logarithm of its rate."""
    rng = np.random.default_rng(9)
    rates = scale * 6.0 * 2.0 ** np.arange(levels)
    return [
        make_row(
            system,
            level,
            f"c{i}",
            payload_kbps=rate,
            mel=4 - level * 0.8 + offset + noise * float(rng.standard_normal()),
        )
        for level, rate in enumerate(rates)
        for i, offset in enumerate(offsets)
    ]


@pytest.mark.parametrize("name", VALUES)
def test_totals_give_the_means_of_the_tables(name: str) -> None:
    rows = random_rows()
    for mean in means(rows):
        chosen = [row for row in rows if mean.domain in (row.domain, "overall")]
        assert totals(chosen, name).mean == pytest.approx(mean.values[name], rel=1e-12)
    as_records = [dataclasses.asdict(row) for row in rows]
    assert totals(as_records, name).mean == totals(rows, name).mean


@pytest.mark.parametrize("place", ["@{0:d}s", "@{1:.1f}s", "@{1:.1f}s@{0:d}s"])
def test_pieces_of_a_clip_are_drawn_together(place: str) -> None:
    """Those of long clips, those that a run takes of a file that it holds out, and pieces of these."""
    rows = [make_row(clip=f"c{i}" + place.format(30 * j, 4.3 * j), mel=float(i)) for i in range(6) for j in range(50)]
    whole = [make_row(clip=f"c{i}", mel=float(i)) for i in range(6)]
    assert dataclasses.asdict(estimate(rows, "mel")) == pytest.approx(dataclasses.asdict(estimate(whole, "mel")))
    assert estimate(rows, "mel").n_clips == 6


def test_the_order_of_rows_changes_no_bit() -> None:
    rows = random_rows()
    for name in ("mel", "kbps"):
        assert estimate(rows[::-1], name) == estimate(rows, name)


def test_an_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        values = rng.gamma(4.0, 1.0, 30)
        found = estimate(
            [make_row(clip=f"c{i}", mel=x) for i, x in enumerate(values)], "mel", seed=trial, n_resamples=400
        )
        covered += found.low <= 4.0 <= found.high
    # 95 % less what percentile intervals lack with 30 skewed values (some 2 %), give or take three standard deviations
    assert 0.89 <= covered / 300 <= 0.98


def test_an_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(4).normal(5.0, 2.0, 200)
    found = estimate([make_row(clip=f"c{i}", mel=x) for i, x in enumerate(values)], "mel")
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.08)
    # the same draws for a system that is worse by a constant
    shifted = estimate([make_row("b", clip=f"c{i}", mel=x + 1) for i, x in enumerate(values)], "mel")
    assert (shifted.low - found.low, shifted.high - found.high) == pytest.approx((1, 1))


def test_one_clip_says_nothing_of_others() -> None:
    found = estimate([make_row(mel=2.0)], "mel")
    assert (found.value, found.n_clips) == (2.0, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_nan_counts_and_what_was_not_measured_does_not() -> None:
    rows: list[Any] = [{"clip": "x", "pesq": 3.0}, {"clip": "y", "pesq": None}, {"clip": "z"}]
    assert estimate(rows, "pesq").value == 3.0
    broken = estimate([*rows, {"clip": "w", "pesq": math.nan}], "pesq")
    assert math.isnan(broken.value)
    assert math.isnan(broken.low)
    with pytest.raises(ZooError, match="no row has a value of pesq"):
        estimate(rows[1:], "pesq")


def test_a_curve_holds_the_levels_of_a_codec_and_the_rates_of_a_peer() -> None:
    offsets = np.array([0.0, 1.0])
    rows = ladder("vae", 1.0, offsets)[::-1]
    rows += [make_row(f"opus:{k}", clip=f"c{i}", payload_kbps=k + 0.1, mel=1.0) for k in (24, 6) for i in range(2)]
    rows += [make_row("opus:6", clip="speech", domain="voice", payload_kbps=3.1, mel=2.5)]
    found = curves(rows, "mel", domain="music", n_resamples=50)
    assert list(found) == ["vae", "opus"]
    assert [point.kbps for point in found["vae"]] == [6.0, 12.0, 24.0, 48.0]
    assert [point.level for point in found["vae"]] == [0, 1, 2, 3]
    assert [point.value for point in found["vae"]] == pytest.approx([4.5, 3.7, 2.9, 2.1])
    assert [(point.system, point.kbps, point.n_clips) for point in found["opus"]] == [
        ("opus:6", 6.1, 2),
        ("opus:24", 24.1, 2),
    ]
    overall = curves(rows, "mel", n_resamples=50)["opus"][0]
    assert (overall.kbps, overall.value) == pytest.approx((5.1, 1.5))
    assert curves(rows, "mel", rate="kbps", n_resamples=50)["vae"][0].kbps == 1.0


def test_a_rate_saved_has_an_interval_that_holds_it() -> None:
    offsets = np.random.default_rng(1).normal(0, 0.3, 16)
    rows = ladder("opus", 1.0, offsets, noise=0.05) + ladder("vae", 0.7, offsets, noise=0.05)[::-1]
    found = bd_rates(rows, "mel", n_resamples=100)
    assert set(found) == {("opus", "vae"), ("vae", "opus")}
    saved = found["opus", "vae"]
    assert saved.percent is not None
    assert saved.percent == pytest.approx(-30.0, abs=0.01)
    assert saved.low <= saved.percent <= saved.high
    back = found["vae", "opus"]
    assert back.percent == pytest.approx(100 * (1 / 0.7 - 1), abs=0.02)
    points = curves(rows, "mel", n_resamples=2)
    assert bd_rate(points["opus"], points["vae"], higher_is_better=False).percent == pytest.approx(saved.percent)
    # clips are resampled for both alike, so that how hard a clip is does not matter
    assert saved.high - saved.low < 0.1
    # read as a quality, the same numbers fall with the rate
    assert bd_rate(points["opus"], points["vae"], higher_is_better=True).percent is None


def test_an_interval_of_a_rate_saved_grows_with_what_differs_between_clips() -> None:
    rows = ladder("opus", 1.0, np.zeros(16)) + ladder("vae", 1.0, np.random.default_rng(1).normal(0, 0.3, 16))
    found = bd_rates(rows, "mel", n_resamples=200)["opus", "vae"]
    assert found.percent is not None
    # 0.8 of mel are one octave
    expected = 100 * math.log(2) / 0.8 * 2 * 1.96 * 0.3 / math.sqrt(16)
    assert found.high - found.low == pytest.approx(expected, rel=0.35)


def test_rates_saved_concern_the_clips_that_all_points_have() -> None:
    rows = ladder("a", 1.0, np.zeros(4)) + ladder("b", 0.5, np.zeros(4))
    hard = [make_row("a", 0, "hard", payload_kbps=99.0, mel=99.0), make_row("b", 1, "easy", payload_kbps=1.0, mel=0.0)]
    found = bd_rates(rows + hard, "mel", n_resamples=0)["a", "b"]
    assert found.percent == pytest.approx(-50.0)
    assert math.isnan(found.low)
    apart = [dataclasses.replace(row, clip=f"other {row.clip}") if row.system == "b" else row for row in rows]
    assert bd_rates(apart, "mel")["a", "b"].remark == "no clip is common to all points"


def test_every_value_of_a_row_has_a_direction() -> None:
    assert {name for name in VALUES if not higher_is_better(name)} == {
        *("kbps", "payload_kbps", "stft", "mel", "stft_dac", "mel_dac", "lsd_db")
    }
    assert set(VALUES) <= set(statistics.known_values())
    with pytest.raises(ZooError, match=r"unknown metric 'loudness'; there are kbps, .*snr_db"):
        curves([make_row()], "loudness")
