"""`python -m evaluate --task generate`, on a prior with random weights; and gaps that are filled in known ways."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from evaluate import __main__ as evaluate_main
from evaluate.generate import gaps, plain
from evaluate.generate.pieces import Library
from tests.complaint import complaint
from tests.zoo.conftest import place, sound  # noqa: F401
from tests.zoo.generating.conftest import prior, runs  # noqa: F401
from zoo.generating import Sampling

pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for i in range(6):
        name = folder / ("music" if i % 2 else "other") / f"{i}.wav"
        name.parent.mkdir(exist_ok=True)
        soundfile.write(name, sound(24_000 + 800 * i, seed=i), 8000)
    return folder


def test_all_that_is_measured_is_written(runs, recordings, tmp_path, capsys):  # noqa: F811
    evaluate_main.main(
        ["--task", "generate", "--ckpt", str(runs / "flow"), "--data.root", str(recordings), "--n", "9", "--nearest",
         "10", "--gap_clips", "2", "--gaps_ms", "20", "--steps", "2", "--output", str(tmp_path / "out")]
    )  # fmt: skip
    content = json.loads((tmp_path / "out" / "generate.json").read_text())
    rows = {row["system"]: row for row in content["sounds"]}
    assert set(rows) == {"the other half of the real sounds", "flow", plain.NORMAL, plain.STANDARD, plain.NOISE,
                         "copies, 0.1 s late"}  # fmt: skip
    assert rows["the other half of the real sounds"]["share_kernel"] == 1
    assert rows["copies, 0.1 s late"]["nearest"] < rows["flow"]["nearest"]
    assert {row["system"] for row in content["gaps"]} == {"fill", "Burg", "linear", "codec"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "generate.json", "generate.csv", "gaps.csv", "generate.md"
    }  # fmt: skip
    assert "Fréchet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data.root needs a folder of real sounds"),
        (["--data.root", "{root}", "--n", "2"], "--n and --nearest must be at least 8"),
        (["--data.root", "{root}", "--gaps_ms", "0"], "gaps are of 1 to 5000 ms"),
        (["--data.root", "{root}", "--seconds", "30"], "has 0 files of 30.10 s or more"),
        (["--data.root", "{root}", "--features", "{runs}/tiny"], "is the prior's own codec"),
        (["--data.root", "{root}", "--features", "{runs}/flow"], "'latent_flow' is no codec"),
    ],
)
def test_what_cannot_be_is_refused(runs, recordings, capsys, arguments, words):  # noqa: F811
    words_given = [word.format(root=recordings, runs=runs) for word in arguments]
    assert words in complaint(
        capsys, evaluate_main.main, ["--task", "generate", "--ckpt", str(runs / "flow"), *words_given]
    )


def test_halves_share_no_file_and_pieces_are_in_proportion(recordings):
    library = Library.read(recordings, 0.5)
    first, second = library.halves()
    assert {info.path for info in first.files} & {info.path for info in second.files} == set()
    assert len(first.files) + len(second.files) == 6
    drawn = first.draw(20, 0, {"music": 3.0, "other": 1.0})
    assert [sum(one.label == name for one in drawn) for name in ("music", "other")] == [15, 5]
    assert all(one.start + 4000 <= one.info.n_samples for one in drawn)


def test_noise_has_the_spectrum_of_the_pieces():
    pieces = [np.cumsum(np.random.default_rng(i).standard_normal((4000, 1)), axis=0) / 1000 for i in range(8)]
    made = plain.coloured_noise(pieces, 30, 0)
    theirs, ours = (np.mean([np.abs(np.fft.rfft(x[:, 0])) ** 2 for x in some], axis=0) for some in (pieces, made))
    np.testing.assert_allclose(ours[1:400].mean(), theirs[1:400].mean(), rtol=0.2)


def test_extrapolation_closes_a_gap_in_a_tone_better_than_a_line():
    t = np.arange(16_000) / 8000
    clip = (0.3 * np.sin(2 * np.pi * 440 * t) + 1e-3 * np.random.default_rng(0).standard_normal(len(t)))[:, None]
    ways = {gaps.BURG: gaps.by_extrapolation, gaps.LINEAR: gaps.by_line}
    rows = gaps.evaluate(ways, [clip.astype(np.float32)], 8000, [0.05])
    found = {row.system: row.mel for row in rows}
    assert found[gaps.BURG] < 0.5 * found[gaps.LINEAR]


def test_noise_in_a_gap_is_nearer_than_its_extrapolation(prior):  # noqa: F811
    clip = 0.1 * np.random.default_rng(0).standard_normal((8000, 1)).astype(np.float32)
    rows = gaps.evaluate(gaps.fillers(prior, Sampling()), [clip], 8000, [0.05, 0.15])
    found = {(row.system, row.gap_ms): row.mel for row in rows}
    for gap_ms in (50.0, 150.0):
        assert found[gaps.FILL, gap_ms] < 0.8 * found[gaps.BURG, gap_ms]


def test_clips_of_one_recording_count_as_one_in_the_standard_error():
    rng = np.random.default_rng(0)
    clips = [scale * rng.standard_normal((4000, 1)).astype(np.float32) for scale in (0.1, 0.3)]
    ways = {gaps.LINEAR: gaps.by_line}
    (apart,) = gaps.evaluate(ways, clips, 8000, [0.05])
    often, names = [*clips, *clips, *clips], ["a.wav", "b.wav"] * 3
    (repeated,) = gaps.evaluate(ways, often, 8000, [0.05], recordings=names)
    assert (repeated.n_clips, repeated.n_recordings, apart.n_recordings) == (6, 2, 2)
    assert repeated.standard_error > 0
    assert repeated.standard_error == pytest.approx(apart.standard_error)
    (single,) = gaps.evaluate(ways, clips, 8000, [0.05], recordings=["a.wav", "a.wav"])
    assert np.isnan(single.standard_error)
