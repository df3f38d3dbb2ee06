"""The report: sound and pictures that are true, a page that holds all of it, and a browser that plays it."""

from __future__ import annotations

import base64
import dataclasses
import gc
import io
import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.records import Row, means
from evaluate.report import Example, content, label, sound, spectrogram, write
from zoo.audio.loudness import loudness_lufs
from zoo.errors import ZooError

RATE = 24_000
SYSTEMS = (("vae", 0), ("vae", 1), ("opus:12", None), ("opus:24", None))


def noise(seed: int, n: int = 4 * RATE, channels: int = 1, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal((n, channels))).astype(np.float32)


def tone(hz: float, sample_rate: int = RATE, seconds: float = 2.0, level: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * hz * t)).astype(np.float32)[:, None]


def row(system: str, level: int | None, clip: str, domain: str, k: float) -> Row:
    return Row(
        system=system, level=level, domain=domain, clip=clip, seconds=4.0, kbps=4 * k + 1, payload_kbps=4 * k,
        snr_db=3 * k, si_sdr_db=3 * k - 1, segmental_snr_db=2 * k, stft=4 / k, mel=2 / k, stft_dac=5 / k, mel_dac=3 / k,
        lsd_db=10 / k, bandwidth_hz=2000 * k, encode_rtf=20.0, decode_rtf=40.0,
    )  # fmt: skip


def rows(clips: tuple[str, ...] = ("a", "b", "c", "d")) -> list[Row]:
    return [
        row(system, level, clip, "speech" if i % 2 else "music", 1 + s + 0.1 * i)
        for s, (system, level) in enumerate(SYSTEMS)
        for i, clip in enumerate(clips)
    ]


def example(clip: str = "a", channels: int = 1, n: int = 4 * RATE) -> Example:
    # sounds that have nothing in common, so that a test hears which of them plays, at different levels
    versions = {label(*system): noise(s + 2, n, channels, 0.05 * (s + 1)) for s, system in enumerate(SYSTEMS)}
    return Example(clip, "music", RATE, noise(1, n, channels), versions)


class Page(HTMLParser):
    """What a browser would see of scripts and of addresses."""

    def __init__(self, path: Path):
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    def data(self, name: str) -> Any:
        return json.loads(next(text for attributes, text in self.scripts if attributes.get("id") == name))

    @property
    def clips(self) -> list[dict[str, Any]]:
        return [json.loads(text) for attributes, text in self.scripts if attributes.get("class") == "clip"]


@pytest.mark.parametrize("sample_rate", [16_000, 44_100, 48_000, 96_000])
def test_loudness_of_the_standards_reference_tone(sample_rate: int) -> None:
    # BS.1770-4: a full-scale sine of 997 Hz in one channel has -3.01 LKFS, in two channels 3.01 LU more
    sine = tone(997, sample_rate)
    assert loudness_lufs(sine, sample_rate) == pytest.approx(-3.01, abs=0.02)
    assert loudness_lufs(np.repeat(sine, 2, axis=1), sample_rate) == pytest.approx(0.0, abs=0.02)


def test_loudness_is_gated_and_hears_bass_less() -> None:
    loud = tone(997, seconds=4.0)
    half_silent = np.concatenate([loud, np.zeros_like(loud)])
    # only the blocks that straddle the end lower it
    assert loudness_lufs(half_silent, RATE) == pytest.approx(-3.01, abs=0.3)
    assert loudness_lufs(tone(40), RATE) < sound.loudness_lufs(loud, RATE) - 4
    assert loudness_lufs(np.zeros((RATE, 1)), RATE) == -np.inf
    assert np.isfinite(loudness_lufs(noise(0, n=100), RATE))


@given(gain_db=st.floats(-19, 19))
@settings(max_examples=10, deadline=None)
def test_matching_gain_undoes_a_gain(gain_db: float) -> None:
    x = noise(0, n=RATE, level=0.05)
    assert sound.matching_gain_db(x, x * np.float32(10 ** (gain_db / 20)), RATE) == pytest.approx(-gain_db, abs=0.05)


def test_matching_gain_leaves_silence_alone_and_has_limits() -> None:
    x, silence = noise(0), np.zeros((4 * RATE, 1), np.float32)
    assert sound.matching_gain_db(x, silence, RATE) == 0
    assert sound.matching_gain_db(silence, x, RATE) == 0
    assert sound.matching_gain_db(x, x * np.float32(0.01), RATE) == sound.GAIN_LIMIT_DB


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("n_versions", [13, 390, 600])
def test_what_is_planned_fits(n_versions: int, channels: int) -> None:
    n_bytes = 58e6
    plan = sound.plan(n_versions, channels, n_bytes)
    assert n_versions * (plan.seconds * plan.kbps * channels * 125 + sound.IMAGE_BYTES) * 4 / 3 <= n_bytes
    assert plan.kbps >= sound.LEAST_KBPS
    assert plan.seconds >= (7 if n_versions <= 390 else sound.SHORTEST_S)  # 30 clips of 12 systems
    if n_versions == 13:
        assert plan == sound.Plan(sound.EXCERPT_S, sound.BEST_KBPS)


def test_the_excerpt_is_the_loudest_stretch() -> None:
    x = noise(0, n=20 * RATE, level=0.001)
    x[7 * RATE : 10 * RATE] *= 100
    part = sound.excerpt(x, RATE, 3.0)
    assert part == slice(7 * RATE, 10 * RATE)
    assert sound.excerpt(x, RATE, 30.0) == slice(0, len(x))


@pytest.mark.parametrize(("sample_rate", "channels"), [(24_000, 1), (44_100, 2), (48_000, 6)])
def test_sound_comes_back_at_its_place(sample_rate: int, channels: int) -> None:
    x = tone(440, sample_rate, level=0.4) + tone(1500, sample_rate, level=0.2)
    x = np.repeat(sound.faded(x, sample_rate), channels, axis=1)
    data = sound.encode(x, sample_rate, sound.BEST_KBPS)
    decoded, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert decoded.shape == (2 * rate, min(channels, 2))
    t = np.arange(len(decoded)) / rate
    expected = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 1500 * t)
    inner = slice(rate // 10, -rate // 10)
    error = decoded[inner, 0] - expected[inner]
    assert 10 * np.log10(np.mean(expected[inner] ** 2) / np.mean(error**2)) > 25


def test_fading_reaches_zero_at_both_ends_and_nothing_between() -> None:
    x = np.ones((RATE, 2), np.float32)
    y = sound.faded(x, RATE)
    n = round(sound.FADE_S * RATE)
    assert (y[0] == 0).all()
    assert (y[-1] == 0).all()
    assert (y[n:-n] == 1).all()
    assert (np.diff(y[:n, 0]) > 0).all()


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 44_100, 48_000])
def test_a_tone_lies_at_its_tick(sample_rate: int) -> None:
    for text, place in spectrogram.ticks(sample_rate):
        hz = float(text.split()[0]) * (1000 if "kHz" in text else 1)
        bands = spectrogram.bands_db(tone(hz, sample_rate), sample_rate)
        row_of_peak = int(np.argmax(bands[:, spectrogram.WIDTH // 2]))
        assert abs((row_of_peak + 0.5) / spectrogram.HEIGHT - place) <= 1.5 / spectrogram.HEIGHT


def test_columns_are_time() -> None:
    x = np.zeros((4 * RATE, 1), np.float32)
    x[RATE : RATE + RATE // 2] = noise(0, n=RATE // 2)
    bands = spectrogram.bands_db(x, RATE).max(axis=0)
    loud = np.flatnonzero(bands > bands.max() - 40)
    assert loud[0] == pytest.approx(spectrogram.WIDTH / 4, abs=3)
    assert loud[-1] == pytest.approx(spectrogram.WIDTH * 3 / 8, abs=3)


@given(height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_png_is_read_back_by_another_reader(height: int, width: int, seed: int) -> None:
    from matplotlib.image import imread

    rng = np.random.default_rng(seed)
    indices, colours = rng.integers(0, 7, (height, width)), rng.integers(0, 256, (7, 3)).astype(np.uint8)
    pixels = imread(io.BytesIO(spectrogram.png(indices, colours)), format="png")
    np.testing.assert_array_equal(np.rint(pixels[..., :3] * 255), colours[indices])


def test_a_picture_darkens_with_level_and_is_black_for_silence() -> None:
    from matplotlib.image import imread

    x = noise(0)
    peak_db = float(spectrogram.bands_db(x, RATE).max())
    light = [
        imread(io.BytesIO(spectrogram.picture(x * np.float32(gain), RATE, peak_db)), format="png")[..., :3].mean()
        for gain in (1.0, 0.1, 0.01, 0.0)
    ]
    assert light == sorted(light, reverse=True)
    assert light[-1] == pytest.approx(np.mean(spectrogram.ANCHORS[0]) / 255, abs=1e-3)


def test_the_page_holds_the_rows_numbers(tmp_path: Path) -> None:
    page = Page(write(tmp_path, rows(), [example()], title="held out"))
    data = page.data("data")
    assert json.loads((tmp_path / "results.json").read_text())[0]["mel"] == rows()[0].mel
    expected = {(content.label(m.system, m.level), m.domain): m.values for m in means(rows())}
    found = {(mean["label"], mean["domain"]): mean["values"] for mean in data["means"]}
    assert found.keys() == expected.keys()
    for key, values in found.items():
        assert values == pytest.approx({name: expected[key][name] for name in values}, rel=1e-5)
    for domain, curves in data["curves"]["mel"].items():
        assert list(curves) == ["vae", "opus"]
        for points in curves.values():
            for i, low, high in points:
                assert data["means"][i]["domain"] == domain
                assert low <= data["means"][i]["values"]["mel"] <= high
    pairs = {(entry["test"], entry["anchor"]): entry for entry in data["bd"]["mel"]}
    assert pairs.keys() == {("vae", "opus"), ("opus", "vae")}
    assert (data["clips"], data["seconds"]) == (4, 16.0)


def test_a_clip_holds_its_versions_in_sound_picture_and_number(tmp_path: Path) -> None:
    given = example()
    (clip,) = Page(write(tmp_path, rows(), [given])).clips
    assert [version["label"] for version in clip["versions"]] == ["original", *given.versions]
    assert clip["versions"][1]["values"]["mel"] == next(r.mel for r in rows() if (r.system, r.clip) == ("vae", "a"))
    assert clip["versions"][0]["values"] == {}
    original = None
    for version in clip["versions"]:
        assert base64.b64decode(version["picture"]).startswith(b"\x89PNG")
        samples, _ = soundfile.read(io.BytesIO(base64.b64decode(version["sound"])), always_2d=True)
        assert len(samples) == round(clip["seconds"] * RATE)
        played = samples * 10 ** (version["gain_db"] / 20)
        assert np.abs(played).max() <= 1.05  # neither clipped by the coder nor by what plays it
        loudness = loudness_lufs(played, RATE)
        original = loudness if original is None else original
        assert loudness == pytest.approx(original, abs=0.3)


def test_the_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    path = write(tmp_path, rows(), [example()])
    addresses = Page(path).addresses
    assert [x for x in addresses if not x.startswith(("#", "data:"))] == []
    text = re.sub(r"http://www\.w3\.org/2000/svg", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", text)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["index.html", "results.json"]


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    clip = 'a</script><script>alert(1)</script>"{{data}}é&amp;'
    given = Example(clip, "<b>", RATE, noise(0, n=RATE), {"vae level 0": noise(1, n=RATE)})
    page = Page(write(tmp_path, rows((clip, "b")), [given], title="</title><script>{{programs}}"))
    assert page.clips[0]["clip"] == clip
    assert page.clips[0]["versions"][1]["values"]
    assert page.data("data")["title"] == "</title><script>{{programs}}"
    attributes = next(a for a, _ in page.scripts if a.get("class") == "clip")
    assert (attributes["data-name"], attributes["data-domain"]) == (clip, "<b>")
    assert len(page.scripts) == 4  # data, programs, the clip, notes


def test_examples_are_held_one_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[Any]] = []
    most = 0

    def examples() -> Iterator[Example]:
        nonlocal most
        for i in range(4):
            given = Example("abcd"[i], "music", RATE, noise(i, n=RATE), {"opus:12": noise(9, n=RATE)})
            alive.append(weakref.ref(given.original))
            yield given
            del given
            gc.collect()
            most = max(most, sum(x() is not None for x in alive))

    assert len(Page(write(tmp_path, rows(), examples())).clips) == 4
    assert most <= 1


def test_a_page_is_not_larger_than_asked(tmp_path: Path) -> None:
    given = [example(clip) for clip in "abcd"]
    path = write(tmp_path, rows(), given, page_mb=1.0, n_examples=1)
    page = Page(path)
    assert path.stat().st_size < 1e6
    assert len(page.clips) + page.data("notes")["left_out"] == 4
    assert page.data("notes")["left_out"] >= 1
    assert len(page.clips) >= 1


@pytest.mark.parametrize("n", [1, 100, RATE // 10])
def test_short_silent_and_many_channelled_clips_are_shown(tmp_path: Path, n: int) -> None:
    silence = np.zeros((n, 3), np.float32)
    given = [
        Example("a", "music", 44_100, silence, {"vae level 0": noise(0, n, 3)}),
        Example("b", "music", 8_000, noise(0, n, 3), {"vae level 0": silence}),
    ]
    clips = Page(write(tmp_path, rows(), given)).clips
    assert [version["gain_db"] for clip in clips for version in clip["versions"]] == [0, 0, 0, 0]


def test_values_that_are_missing_leave_no_column(tmp_path: Path) -> None:
    bare = [dataclasses.replace(r, stft=float("nan")) for r in rows()]
    data = Page(write(tmp_path, bare, [])).data("data")
    assert "stft" not in data["metrics"]
    assert "mel" in data["metrics"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Example("x", "d", RATE, noise(0), {"vae": noise(0)[:-1]}), "x: vae has shape"),
        (Example("x", "d", RATE, noise(0)[:0], {}), r"x: the report needs samples \(T, C\)"),
        (Example("x", "d", RATE, noise(0), {"vae": noise(0) * np.float32("nan")}), "x: vae has samples that are not"),
    ],
)
def test_bad_examples_are_named_and_leave_no_half_page(tmp_path: Path, given: Example, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        write(tmp_path, rows(), [given])
    assert [x.name for x in tmp_path.iterdir()] == ["results.json"]


def test_another_report_is_kept(tmp_path: Path) -> None:
    first = write(tmp_path, rows(("a", "b")), []).read_text()
    write(tmp_path, rows(), [])  # all of that and more
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "results.json"}
    whole = (tmp_path / "index.html").read_text()
    assert whole != first
    write(tmp_path, rows(("c",)), [])
    assert (tmp_path / "index-1.html").read_text() == whole
    assert (tmp_path / "results-1.json").is_file()


def test_a_report_needs_rows_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no results"):
        write(tmp_path, [], [])
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="file"):
        write(tmp_path / "file", rows(), [])


def test_a_browser_plays_switches_and_counts(tmp_path: Path) -> None:
    check = Path(__file__).with_name("browser_check.py")
    silent = [
        dataclasses.replace(r, clip="hush", snr_db=None, lsd_db=None, remark="silent") for r in rows() if r.clip == "a"
    ]
    page = write(tmp_path, [*rows(), *silent], [example("a", channels=2), example("b")], title="held out")
    assert len(Page(page).data("data")["remarks"]) == 1
    done = subprocess.run([sys.executable, str(check), str(page)], capture_output=True, text=True, timeout=240)
    if done.returncode == 3:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
