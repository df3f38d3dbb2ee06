"""Measures of edits: closed forms, and signals whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest

from evaluate.clips import Clip
from evaluate.edit import mixes, records, seams, signals, table, times
from evaluate.edit.editors import Waveform
from evaluate.edit.records import EditRow
from evaluate.require import Requirement
from zoo import editing
from zoo.audio import resample
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 16_000


def noise(n: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal((n, 1))).astype(np.float32)


class Linear:
    """A codec whose latents are its frames of samples, and whose decoder is exact, or bends what it decodes."""

    sample_rate, channels, hop_length = 8000, 1, 100

    def __init__(self, power: float = 1.0) -> None:
        self.power = power
        self.module = type("Module", (), {"lead": 0})()

    def encode_latents(self, audio: np.ndarray) -> np.ndarray:
        padded = np.pad(audio[:, 0], (0, -len(audio) % 100)).reshape(1, -1, 100)
        return np.sign(padded) * np.abs(padded) ** self.power

    def decode_latents(self, latents: np.ndarray, length: int) -> np.ndarray:
        bent = np.sign(latents) * np.abs(latents) ** (1 / self.power)
        return bent.reshape(1, -1, 1)[:, :length].astype(np.float32)


def clips(n: int) -> list[Clip]:
    return [Clip(f"{i}", "noise", noise(9000 + 500 * i, seed=i), 8000) for i in range(n)]


def test_linear_latents_mix_without_an_error_and_bent_ones_with_one():
    pairs = list(mixes.pairs(clips(3), lambda name, reason: None))
    assert [(a.name, b.name) for a, b in pairs] == [("0", "1"), ("1", "2"), ("2", "0")]
    codecs = {"linear": Linear(), "bent": Linear(0.5)}
    rows = list(mixes.measure(codecs, pairs[:1], edits=["mix", "gain", "splice"], weights=[0.5, 0.8], fades_s=[0.0]))
    mixed = {(row.system, row.setting): row for row in rows if row.edit == "mix"}
    assert mixed["linear", 0.5].si_sdr_db > 90
    assert mixed["linear", 0.8].consistency_mel < 1e-3
    assert mixed["bent", 0.5].own_si_sdr_db > 60
    assert mixed["bent", 0.5].si_sdr_db < 20
    assert mixed["bent", 0.5].consistency_db == pytest.approx(mixed["bent", 0.5].si_sdr_db, abs=0.1)
    softer = {row.system: row for row in rows if row.edit == "gain"}
    assert softer["linear"].mel < 1e-3
    assert softer["bent"].mel > 0.1
    assert [row.system for row in rows if row.edit == "splice"] == ["linear", "bent", "waveform", "cut", "untouched"]


def test_what_cannot_be_mixed_is_left_out():
    left_out = []
    still = Clip("still", "noise", np.zeros((9000, 1), np.float32), 8000)
    short = Clip("short", "noise", noise(10), 8000)
    pairs = mixes.pairs([still, *clips(1), short], lambda name, reason: left_out.append((name, reason)))
    assert list(pairs) == []
    assert left_out == [("still", "is silent"), ("short", "is shorter than 0.5 s")]


def test_a_click_is_heard_at_a_join_and_a_fade_is_not():
    t = np.arange(2 * RATE)[:, None] / RATE
    low, other = (0.3 * np.sin(2 * np.pi * hz * t + phase).astype(np.float32) for hz, phase in ((200, 0), (210, 2)))
    at = RATE + 7
    cut = seams.seam_db(editing.splice(low, other, at, start=at), at, RATE)
    faded = seams.seam_db(editing.splice(low, other, at, start=at, fade=800), at, RATE, 0.05)
    assert abs(seams.seam_db(noise(2 * RATE), at, RATE)) < 3
    assert cut > faded + 6
    assert seams.seam_db(noise(10), 5, RATE) == 0


@pytest.mark.parametrize("cents", [0.0, 10.0, -35.0, 200.0])
def test_pitch_errors_are_measured(cents):
    for tone in signals.tones(RATE)[: 3 if abs(cents) > signals.SEARCH_CENTS else None]:
        played = resample(tone.samples, round(RATE * 64 * 2 ** (cents / 1200)), RATE * 64)
        found = signals.pitch_error_cents(played, RATE, tone.hz, tone.n_partials)
        assert found == pytest.approx(min(abs(cents), signals.SEARCH_CENTS), abs=0.3)


def test_durations_are_measured():
    tone = signals.tones(RATE)[1]
    assert signals.duration_s(tone.samples, RATE) == pytest.approx(signals.TONE_S, abs=0.01)
    longer = np.insert(tone.samples, RATE, tone.samples[RATE : RATE + 400], axis=0)
    difference = signals.duration_s(longer, RATE) - signals.duration_s(tone.samples, RATE)
    assert difference == pytest.approx(400 / RATE, abs=1e-3)
    assert signals.duration_s(np.zeros((1000, 1)), RATE) == 0


def test_onsets_are_found_where_they_are_and_nowhere_else():
    (drums,) = signals.drums(RATE, 1)
    assert signals.onset_f(drums.samples, RATE, drums.onsets_s) > 0.95
    assert signals.onset_f(drums.samples, RATE, drums.onsets_s + 0.1) < 0.5
    assert signals.onset_f(np.zeros((RATE, 1), np.float32), RATE, drums.onsets_s) == 0
    smeared = editing.mix([np.pad(drums.samples, ((lag, 0), (0, 0))) for lag in range(0, 800, 40)])
    sharp = signals.attack_s(drums.samples, RATE, drums.onsets_s)
    assert signals.attack_s(smeared, RATE, drums.onsets_s) > sharp + 0.005


def test_our_own_stretching_is_measured_and_is_good(monkeypatch):
    monkeypatch.setattr(times, "N_DRUMS", 1)
    rows = list(times.measure([Waveform()], sample_rate=RATE, factors=[1.25], semitones=[3.0]))
    assert {(row.system, row.edit) for row in rows} == {
        ("untouched", "stretch"), ("waveform", "stretch"), ("waveform", "pitch"),
    }  # fmt: skip
    values = records.averages([row for row in rows if row.system == "waveform"])
    assert values["pitch_error_cents"] < 0.5
    assert values["duration_error_ms"] < 10
    assert values["onset_f"] > 0.9
    assert values["attack_ms"] < 5


def test_means_are_by_edit_system_and_setting_then_over_all():
    rows = [EditRow("a", "mix", w, "d", c, consistency_db=v) for w, c, v in ((0.5, "x", 1.0), (0.7, "x", 3.0))]
    rows.append(EditRow("a", "splice", 0.02, "d", "x", seam_db=2.0))
    found = records.means(rows)
    assert [(m.edit, m.setting, m.values["consistency_db"]) for m in found] == [
        ("mix", 0.5, 1.0), ("mix", 0.7, 3.0), ("mix", None, 2.0), ("splice", 0.02, None),
    ]  # fmt: skip
    assert "| a | all | 1 | 2.00 |" in table.markdown(found[:3], "mix")
    assert records.check(rows, [Requirement("consistency_db", ">", 1.5)]) == []
    (failure,) = records.check(rows, [Requirement("consistency_db", ">", 2.5)])
    assert str(failure) == "a: consistency_db is 2, required consistency_db>2.5"
    with pytest.raises(ZooError, match="a has no value of onset_f"):
        records.check(rows, [Requirement("onset_f", ">", 0)])
