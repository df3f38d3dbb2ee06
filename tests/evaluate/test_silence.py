"""Clips in which nothing is heard move no mean, and systems that give NaN are not spared it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluate import __main__ as command
from evaluate import metrics, run, statistics, table
from evaluate.cache import Cache
from evaluate.clips import Clip
from evaluate.compare import compare, read
from evaluate.records import NOT_FINITE, SILENT, VALUES, Row, means
from evaluate.remarks import remarks
from evaluate.report import write
from evaluate.require import check, parse
from evaluate.silence import STEP
from evaluate.systems import Coded
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

RATE = 8000
NEEDS_SIGNAL = [name for name, metric in metrics.METRICS.items() if metric.needs_signal]
DEFINED = [name for name in metrics.METRICS if name not in NEEDS_SIGNAL]


@dataclasses.dataclass
class Noisy:
    """Adds noise at a level; gives NaN for a clip of `fails_at` samples."""

    name: str = "noisy"
    level: int | None = 0
    sample_rate: int = RATE
    channels: int = 1
    max_delay_s: float = 0.0
    noise: float = 1e-3
    n_bytes: int = 500
    fails_at: int = 0
    coder: str = ""

    @property
    def identity(self) -> str:
        return repr(self)

    def process(self, samples: np.ndarray) -> Coded:
        rng = np.random.default_rng(len(samples))
        out = samples + self.noise * rng.standard_normal(samples.shape).astype(np.float32)
        if len(samples) == self.fails_at:
            out[7] = np.nan
        return Coded(out, self.n_bytes, self.n_bytes // 2, 0.5, 0.25)


def tone(n: int = 4000, channels: int = 1, level: float = 0.3, rate: int = RATE, hz: float = 440.0) -> np.ndarray:
    x = level * np.sin(2 * np.pi * hz * np.arange(n) / rate)
    return np.repeat(x[:, None], channels, axis=1).astype(np.float32)


def opposite(n: int = 4000) -> np.ndarray:
    """Stereo in opposite phase as a 16-bit file holds it: each channel rounded by itself."""
    rng = np.random.default_rng(0)
    both = [np.round(sign * tone(n)[:, 0] * 32768 + rng.uniform(-0.5, 0.5, n)) / 32768 for sign in (1, -1)]
    return np.stack(both, axis=1).astype(np.float32)


def dithered(n: int = 4000) -> np.ndarray:
    return (np.random.default_rng(1).integers(-1, 2, (n, 1)) / 32768).astype(np.float32)


SILENT_CLIPS = {
    "digital": (np.zeros((4000, 1), np.float32), RATE),
    "opposite": (opposite(), RATE),
    "constant": (np.full((4000, 2), 0.3, np.float32), RATE),
    "constant at another rate": (np.full((22050, 1), -0.3, np.float32), 44_100),
    "dithered": (dithered(), RATE),
    "beyond half the rate": (tone(24_000, rate=48_000, hz=20_000.0) * np.hanning(24_000)[:, None].astype("f4"), 48_000),
}


def evaluate(systems: Noisy | list[Noisy], clips: list[Clip], cache: Cache | None = None) -> list[Row]:
    """One by one, so that one shape is compiled."""
    return run.evaluate(systems, clips, batch_size=1, cache=cache)


def audible_clips(n: int = 6) -> list[Clip]:
    return [Clip(f"c{i}", "music", tone(4000 + i, hz=300.0 + 40 * i), RATE) for i in range(n)]


def silent_clips() -> list[Clip]:
    return [Clip(name, "music", samples, rate) for name, (samples, rate) in SILENT_CLIPS.items()]


@pytest.mark.parametrize("name", SILENT_CLIPS)
@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3])
def test_a_silent_clip_has_what_is_defined_and_no_more(name: str, noise: float) -> None:
    samples, rate = SILENT_CLIPS[name]
    (row,) = evaluate(Noisy(noise=noise), [Clip(name, "music", samples, rate)])
    assert row.remark == SILENT
    assert [getattr(row, metric) for metric in NEEDS_SIGNAL] == [None] * len(NEEDS_SIGNAL)
    assert all(math.isfinite(getattr(row, metric)) for metric in (*DEFINED, "kbps", "payload_kbps", "encode_rtf"))


@pytest.mark.parametrize(
    "samples",
    [tone(level=3 * STEP), opposite()[:, :1], np.eye(4000, 1, dtype=np.float32), np.full((1, 1), 0.1, np.float32)],
    ids=["soft", "one channel of two", "click", "one sample"],
)
def test_what_is_heard_is_no_silence(samples: np.ndarray) -> None:
    (row,) = evaluate(Noisy(), [Clip("clip", "music", samples, RATE)])
    assert row.remark == ""
    assert all(math.isfinite(getattr(row, metric)) for metric in metrics.METRICS)


def test_opposite_phase_is_silent_in_mono_alone() -> None:
    clip = Clip("clip", "music", opposite(), RATE)
    assert run.run(Noisy(), clip).remark == SILENT
    (row,) = evaluate(Noisy(channels=2), [clip])
    assert row.remark == ""
    assert row.snr_db == pytest.approx(10 * math.log10(0.045 / 1e-6), abs=0.2)


def test_a_silent_channel_is_left_out_of_what_needs_a_signal() -> None:
    n = 4096  # as padded elsewhere: one compilation for all
    x, y = tone(n), tone(n) + dithered(n) * 30
    for beside in (np.zeros_like(x), dithered(n), np.full_like(x, 0.2)):
        noisy = beside + 1e-3 * tone(n, hz=777.0)
        found = [
            metrics.compute(a[None], b[None], [len(a)], RATE)
            for a, b in ((x, y), (np.concatenate([x, beside], axis=1), np.concatenate([y, noisy], axis=1)))
        ]
        for name in ("segmental_snr_db", "lsd_db", "bandwidth_hz"):
            np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-6, err_msg=name)


def systems() -> list[Noisy]:
    return [
        Noisy(system, level, noise=noise / 2**level, n_bytes=200 * 2**level)
        for system, noise in (("a", 0.01), ("b", 0.02))
        for level in range(3)
    ]


def test_silent_clips_move_nothing() -> None:
    plain = evaluate(systems(), audible_clips())
    mixed = evaluate(systems(), silent_clips()[:3] + audible_clips() + silent_clips()[3:])
    assert sum(row.remark == SILENT for row in mixed) == 6 * len(SILENT_CLIPS)
    assert means(mixed) == means(plain)
    for name in VALUES[:-4]:
        assert statistics.estimate(mixed[:12], name) == statistics.estimate(plain[:6], name)
        assert statistics.curves(mixed, name) == statistics.curves(plain, name)
    assert statistics.bd_rates(mixed, "mel", n_resamples=20) == statistics.bd_rates(plain, "mel", n_resamples=20)
    for metric in ("snr_db", "kbps"):
        bound = f"{metric}>{statistics.totals(plain[:6], metric).mean - 1e-9}"
        assert check([row for row in mixed if (row.system, row.level) == ("a", 0)], parse(bound)) == []
    found, expected = (
        compare(*([dataclasses.asdict(row) for row in rows if row.system == name] for name in "ab"))
        for rows in (mixed, plain)
    )
    assert found.differences == expected.differences
    assert set(found.notes) - set(expected.notes) == {
        f"a → b level {level}: silent clips are left out, 6 of 12" for level in range(3)
    }


def strictly(path: Path) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_files_and_table_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Clip("quiet/hush.wav", "quiet", *SILENT_CLIPS["digital"])
    rows = evaluate(Noisy(coder="libnoise 1.0"), [*audible_clips(), quiet])
    table.report(rows, tmp_path)
    records = strictly(tmp_path / "results.json")
    assert [record["remark"] for record in records] == [""] * 6 + [SILENT]
    assert [records[-1][name] for name in NEEDS_SIGNAL] == [None] * len(NEEDS_SIGNAL)
    assert records[-1]["mel"] is not None
    assert {record["coder"] for record in records} == {"libnoise 1.0"}
    out = capsys.readouterr().out
    assert "1 clip, silent as compared, has no SNR and is in no mean: quiet/hush.wav" in out.splitlines()
    assert "noisy: libnoise 1.0" in out.splitlines()
    (line,) = (line for line in out.splitlines() if line.split()[:2] == ["noisy", "quiet"])
    assert line.split()[2:] == ["0"] + ["–"] * 13
    assert "nan" not in out
    # a page of them, and a comparison with a file of an earlier version, which has neither remark nor coder
    page = write(tmp_path / "page", rows, [])
    assert "silent as compared" in page.read_text(encoding="utf-8")
    before = [{k: v for k, v in record.items() if k not in ("remark", "coder")} for record in records]
    before[-1] |= dict.fromkeys(NEEDS_SIGNAL, -100.0)
    (tmp_path / "before.json").write_text(json.dumps(before), encoding="utf-8")
    found = compare(read(str(tmp_path / "before.json")), read(str(tmp_path / "results.json")))
    assert {x.n_clips for x in found.differences} == {6}
    assert {x.difference for x in found.differences} == {0.0}


def test_other_libraries_are_noted_in_a_comparison() -> None:
    sides = [
        [dataclasses.asdict(row) for row in evaluate(Noisy(coder=coder), audible_clips())] for coder in ("x 1", "x 2")
    ]
    assert "noisy level 0: A is coded by x 1, B by x 2" in compare(*sides).notes
    assert not [note for note in compare(sides[0], sides[0]).notes if "coded" in note]


def test_remarks_name_three_clips_at_most() -> None:
    assert remarks(evaluate(Noisy(), audible_clips(1))) == []
    assert remarks(evaluate([Noisy(), Noisy("b")], silent_clips())) == [
        "6 clips, silent as compared, have no SNR and are in no mean: digital, opposite, constant and 3 more"
    ]


def test_an_evaluation_of_silence_alone_is_one_line_and_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = SimpleNamespace(check_coded=lambda instead: None)
    codec = SimpleNamespace(sample_rate=RATE, channels=1, default_level=0, denoises=False, engine=engine)
    monkeypatch.setattr("evaluate.cli.load_codecs", lambda paths: {"noisy": codec})
    monkeypatch.setattr("evaluate.systems.codec_systems", lambda *_, **__: [Noisy()])
    monkeypatch.chdir(tmp_path)
    Path("audio").mkdir()
    Path("out").mkdir()
    Path("out/results.json").write_text("[]")
    for name, (samples, rate) in list(SILENT_CLIPS.items())[:2]:
        soundfile.write(f"audio/{name}.wav", samples, rate)
    with pytest.raises(SystemExit) as stopped:
        command.main(["--ckpt", "runs/tiny", "--data.root", "audio", "--output", "out", "--batch_size", "1"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: audio: all 2 clips are silent: nothing to compare\n"
    assert Path("out/results.json").read_text() == "[]"


def test_a_bound_on_what_has_no_value_is_not_kept() -> None:
    rows = evaluate(Noisy(), silent_clips())
    with pytest.raises(ZooError, match="no row has a value of snr_db"):
        check(rows, parse("snr_db>-1000"))


def test_nan_from_a_system_is_its_own_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache(tmp_path / "cache.jsonl")
    rows = evaluate([Noisy(fails_at=4002), Noisy("sound")], audible_clips(), cache)
    broken = rows[2]
    assert (broken.remark, {row.remark for row in rows if row is not broken}) == (NOT_FINITE, {""})
    assert all(math.isnan(getattr(broken, name)) for name in metrics.METRICS)
    by_system = {mean.system: mean.values for mean in means(rows)}
    assert math.isnan(by_system["noisy"]["mel"] or 0.0)
    assert math.isfinite(by_system["sound"]["mel"] or math.nan)
    assert [len(check(rows[start : start + 6], parse("mel<1e9"))) for start in (0, 6)] == [1, 0]
    table.report(rows, tmp_path)
    line = "noisy level 0 gave NaN or infinity, so its means are NaN: c2"
    assert line in capsys.readouterr().out.splitlines()
    assert strictly(tmp_path / "results.json")[2]["mel"] is None
    # a codec that is mended is measured anew, and what is kept is JSON
    for text in (tmp_path / "cache.jsonl").read_text(encoding="utf-8").splitlines():
        assert "NaN" not in text
    assert len((tmp_path / "cache.jsonl").read_text(encoding="utf-8").splitlines()) == len(rows) - 1
    files = [read(str(tmp_path / "results.json"))[start : start + 6] for start in (6, 0)]
    assert "sound → noisy level 0: B gave NaN or infinity for 1 of 6 clips" in compare(*files).notes


def test_the_page_of_a_system_that_gives_nan_is_made_and_says_so(tmp_path: Path) -> None:
    systems = [Noisy(fails_at=4002), Noisy("sound")]
    clips = [*audible_clips(3), *silent_clips()[:1]]
    rows = evaluate(systems, clips)
    command.write_report(str(tmp_path), rows, systems, clips, "title")
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert text.count(f'"remark":"{NOT_FINITE}"') == 1
    assert text.count(f'"remark":"{SILENT}"') == 2


def test_a_row_without_remark_counts() -> None:
    assert statistics.is_counted({"mel": 1.0}, "mel")
    assert not statistics.is_counted({"mel": 1.0, "remark": SILENT}, "mel")
    row = Row(**{"system": "a", "level": None, "domain": "d", "clip": "c"}, **dict.fromkeys(("seconds", *VALUES), 1.0))  # type: ignore[arg-type]
    assert statistics.is_counted(row, "mel")
