"""Denoisers whose gain is known, and what becomes of clips that cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from evaluate import require
from evaluate.clips import Clip
from evaluate.denoise import noises
from evaluate.denoise.denoisers import CodecDenoiser, Untouched
from evaluate.denoise.mixing import sources
from evaluate.denoise.records import all_means, bounded_values, check, means
from evaluate.denoise.run import Outcome, evaluate
from evaluate.denoise.table import remarks
from tests.audio_files import noise
from zoo.errors import ZooError

RATE = 8000
pytestmark = pytest.mark.usefixtures("quick_module")
SNRS_DB = [-5.0, 10.0]


@dataclass
class Oracle:
    """Knows the clean clips, which come in their order and too softly to be scaled, and leaves a share of the noise."""

    clips: list[Clip]
    left: float
    name: str = "oracle"
    coder: str = "oracle 1"
    calls: int = 0

    def process(self, noisy: np.ndarray, sample_rate: int) -> np.ndarray:
        place = max(0, self.calls - 1) // len(SNRS_DB)  # the first call warms up
        self.calls += 1
        clean = self.clips[place].samples.astype(np.float64)
        return (clean + self.left * (noisy - clean)).astype(np.float32)


def clips(n: int, channels: int = 1) -> list[Clip]:
    return [
        Clip(f"clip{i}", f"domain{i % 2}", noise(3000 + i % 3, channels, seed=i, level=0.01), RATE) for i in range(n)
    ]


def measured(*denoisers, n: int = 8, **options) -> Outcome:
    return evaluate([*denoisers], clips(n), sources(["hiss", "hum"]), snrs_db=SNRS_DB, sample_rate=RATE, **options)


def test_what_is_left_untouched_gains_nothing() -> None:
    outcome = measured(Untouched())
    assert outcome.left_out == []
    assert len(outcome.rows) == 16
    for row in outcome.rows:
        assert row.gain_db == 0
        assert row.mel_in == row.mel_out > 0
        assert row.snr_in_db == pytest.approx(row.input_snr_db, abs=0.05)
        assert row.rtf is None


@pytest.mark.parametrize(("left", "gain_db"), [(0.1, 20.0), (0.5, 6.02), (2.0, -6.02)])
def test_an_oracle_that_leaves_a_share_of_the_noise_gains_that_ratio(left: float, gain_db: float) -> None:
    for row in measured(Oracle(clips(8), left)).rows:
        assert row.snr_out_db - row.snr_in_db == pytest.approx(gain_db, abs=0.01)
        # what noise and clip happen to have in common counts as the clip
        assert row.gain_db == pytest.approx(gain_db, abs=1.0)


def test_a_perfect_oracle_gains_all_there_is() -> None:
    for row in measured(Oracle(clips(8), 0.0)).rows:
        assert row.si_sdr_out_db == 100
        assert row.gain_db == 100 - row.si_sdr_in_db
        assert row.mel_out == row.lsd_out_db == 0


def test_every_noise_occurs_at_every_ratio_and_a_clip_keeps_its_own() -> None:
    outcome = evaluate([Untouched()], clips(len(noises.KINDS)), sources(), snrs_db=SNRS_DB, sample_rate=RATE, seed=1)
    by_ratio = {snr_db: {r.clip: r.noise for r in outcome.rows if r.input_snr_db == snr_db} for snr_db in SNRS_DB}
    assert by_ratio[-5.0] == by_ratio[10.0]
    assert set(by_ratio[-5.0].values()) == set(noises.KINDS)


def test_the_same_seed_gives_the_same_rows_whatever_else_is_measured() -> None:
    alone = measured(Untouched(), seed=2).rows
    beside = measured(Oracle(clips(8), 0.5), Untouched(), seed=2).rows
    assert beside[len(alone) :] == alone
    assert measured(Untouched(), seed=3).rows != alone


def test_clips_that_cannot_be_measured_are_left_out_and_take_no_noise() -> None:
    silence = Clip("still", "a", np.full((4000, 1), 0.3, np.float32), RATE)
    short = Clip("blip", "a", noise(700), RATE)
    found = [silence, *clips(2), short, *clips(4)[2:]]
    outcome = evaluate([Untouched()], found, sources(["hum", "hiss"]), snrs_db=[0], sample_rate=RATE)
    assert [(x.clip, x.reason) for x in outcome.left_out] == [
        ("still", "is silent"),
        ("blip", "is shorter than 0.1 s"),
    ]
    expected = evaluate([Untouched()], clips(4), sources(["hum", "hiss"]), snrs_db=[0], sample_rate=RATE)
    assert outcome.rows == expected.rows
    assert remarks(outcome) == ["left out still: is silent", "left out blip: is shorter than 0.1 s"]
    with pytest.raises(ZooError, match=r"no clips to measure \(still: is silent\)"):
        evaluate([Untouched()], [silence], sources(), snrs_db=[0], sample_rate=RATE)


def test_a_denoiser_that_gives_nan_has_no_gain_and_one_of_another_shape_is_refused() -> None:
    class Broken(Untouched):
        def process(self, noisy, sample_rate):
            return noisy * np.nan

    class Longer(Untouched):
        def process(self, noisy, sample_rate):
            return np.pad(noisy, ((0, 1), (0, 0)))

    outcome = measured(Broken("broken"), n=2)
    assert all(np.isnan(row.gain_db) and row.remark == "not finite" for row in outcome.rows)
    assert all(row.si_sdr_in_db < 11 for row in outcome.rows)
    assert np.isnan(means(outcome.rows)[-1].values["gain_db"])
    assert remarks(outcome) == ["broken gave NaN or infinity, so its means are NaN: clip0, clip1"]
    with pytest.raises(ZooError, match="longer: gave"):
        measured(Longer("longer"), n=1)


def test_means_are_by_ratio_domain_and_noise_with_intervals_over_clips() -> None:
    rows = measured(Untouched(), Oracle(clips(8), 0.5)).rows
    found = means(rows)
    assert [(m.system, m.input_snr_db) for m in found] == [
        (system, snr_db) for system in ("noisy", "oracle") for snr_db in (-5.0, 10.0, None)
    ]
    overall = found[-1]
    assert overall.n_clips == 8  # however many ratios
    assert overall.gain_low_db < overall.values["gain_db"] < overall.gain_high_db
    assert overall.values["gain_db"] == pytest.approx(np.mean([r.gain_db for r in rows if r.system == "oracle"]))
    groups = all_means(rows)
    assert {(m.domain, m.noise) for m in groups} == {
        (None, None), ("domain0", None), ("domain1", None), (None, "hiss"), (None, "hum"),
    }  # fmt: skip
    by_noise = [m for m in groups if m.noise and m.system == "oracle" and m.input_snr_db is None]
    assert sum(m.n_clips for m in by_noise) == 8


def test_bounds_are_on_all_ratios_or_on_one() -> None:
    rows = measured(Oracle(clips(4), 0.5), n=4).rows
    known = bounded_values(SNRS_DB)

    def missed(text: str) -> list[str]:
        return [str(failure) for failure in check(rows, require.parse(text, known))]

    assert missed("gain_db>5,gain_db@-5>5,si_sdr_in_db@10>9") == []
    assert len(missed("gain_db@-5>7,gain_db@10<5,gain_db>5")) == 2
    assert missed("si_sdr_in_db@-5>0")[0].startswith("oracle: si_sdr_in_db@-5 is -5")
    with pytest.raises(ZooError, match="unknown metric 'gain_db@3'"):
        missed("gain_db@3>1")
    with pytest.raises(ZooError, match="no clip has a value of pesq_out"):
        missed("pesq_out>1")


def test_scores_are_of_noisy_and_denoised_audio_against_the_clean_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(reference, estimate, sample_rate, *, names):
        return {name: float(np.mean(np.square(estimate - reference))) for name in names}

    monkeypatch.setattr("evaluate.perceptual.compute", compute)
    for row in measured(Oracle(clips(2), 0.5), n=2, perceptual=["stoi"]).rows:
        assert row.stoi_out == pytest.approx(0.25 * row.stoi_in, rel=1e-3)
        assert row.pesq_in is row.pesq_out is None


@pytest.mark.parametrize("channels", [1, 2])
def test_a_codec_with_other_channels_is_measured(channels: int, build, quick) -> None:
    codec = CodecDenoiser(build("vae"), "tiny")
    outcome = evaluate(
        [codec], clips(1, 2), sources(["hiss"]), snrs_db=[0], sample_rate=codec.codec.sample_rate, channels=channels
    )
    (row,) = outcome.rows
    assert row.remark == ""
    assert row.rtf is not None
    assert row.gain_db < 0
