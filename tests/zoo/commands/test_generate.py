"""`python -m zoo generate`: what it writes, and what it refuses before it writes anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.zoo.conftest import complaint, music
from tests.zoo.generating.conftest import prior, runs  # noqa: F401
from zoo.__main__ import main

FEW = ("--ckpt", "runs/flow", "--steps", "2")
pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture
def there(here, runs) -> Path:  # noqa: F811
    (here / "runs").unlink()
    (here / "runs").symlink_to(runs)
    soundfile.write("loud.flac", music(8000), 11_025, subtype="PCM_24")
    return here


def test_new_sounds_are_written_and_not_written_over(there, capfd):
    main(["generate", "out", *FEW, "--seconds", "0.2", "--n", "2", "--label", "music"])
    assert sorted(path.name for path in (there / "out").iterdir()) == ["sound_000.wav", "sound_001.wav"]
    first = (there / "out" / "sound_001.wav").read_bytes()
    assert soundfile.info("out/sound_001.wav").frames == 1600
    assert "out/sound_000.wav: exists already" in complaint(capfd, "generate", "out", *FEW, "--seconds", "0.2")
    main(["generate", "out", *FEW, "--seconds", "0.2", "--n", "2", "--label", "music", "--force"])
    assert (there / "out" / "sound_001.wav").read_bytes() == first


def test_a_short_gap_needs_no_prior(here, capfd):
    gap = ("--fill", "song.wav", "--start", "1")
    assert "no prior" in complaint(capfd, "generate", "out", *gap, "--seconds", "0.5")
    assert not (here / "out").exists()
    assert "labels" in complaint(capfd, "generate", "out", *gap, "--seconds", "0.1", "--label", "music")
    main(["generate", "out", *gap, "--seconds", "0.1"])
    before, after = (soundfile.read(path)[0] for path in ("song.wav", "out/filled_000.wav"))
    assert 0.2 < np.std(after[11_025:12_127]) / np.std(before[11_025:12_127]) < 2


def test_a_gap_may_hold_what_is_no_number_and_nothing_else_may(here, capfd):
    broken = music(11_025, 1)
    broken[5_000:5_100] = np.nan
    soundfile.write("broken.wav", broken, 11_025, subtype="FLOAT")
    gap = ("--fill", "broken.wav", "--seconds", "0.02", "--start")
    assert "broken.wav: NaN at sample 5000" in complaint(capfd, "generate", "out", *gap, "0.1")
    main(["generate", "out", *gap, "0.45"])
    after = soundfile.read("out/filled_000.wav", always_2d=True)[0]
    np.testing.assert_allclose(after, music(11_025, 1), atol=0.02)


@pytest.mark.parametrize("source", ["song.wav", "loud.flac"])
def test_a_filled_file_is_what_it_was_outside_the_gap(there, source):
    main(["generate", "out", *FEW, "--fill", source, "--start", "0.3", "--seconds", "0.1"])
    before, rate = soundfile.read(source, dtype="int32")
    after, after_rate = soundfile.read("out/filled_000.wav", dtype="int32")
    start, stop = round(0.3 * rate), round(0.4 * rate)
    assert rate == after_rate
    np.testing.assert_array_equal(after[:start], before[:start])
    np.testing.assert_array_equal(after[stop:], before[stop:])
    assert np.abs(after[start:stop] - before[start:stop]).max() > 0


def test_a_file_goes_on_and_is_varied(there):
    main(["generate", "out", *FEW, "--continue", "song.wav", "--seconds", "0.2"])
    main(["generate", "out", *FEW, "--from", "song.wav", "--strength", "0.4"])
    before, after = (soundfile.read(path, dtype="int16")[0] for path in ("song.wav", "out/continued_000.wav"))
    np.testing.assert_array_equal(after[: len(before)], before)
    assert len(after) == len(before) + 2205
    assert soundfile.info("out/variation_000.wav").samplerate == 8000


def test_what_is_clipped_is_told(there, capfd):
    soundfile.write("hot.wav", 20 * music(4000), 8000, subtype="FLOAT")
    main(["generate", "out", *FEW, "--from", "hot.wav", "--strength", "0"])
    assert "warning: out/variation_000.wav: peaks are" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--label", "drums"], "label 'drums'; it knows music, speech"),
        (["--from", "song.wav", "--strength", "1.5"], "--strength 1.5 is not between 0"),
        (["--fill", "song.wav", "--start", "1", "--seconds", "9"], "song.wav: a gap of 9 s is longer"),
        (["--fill", "song.wav", "--start", "3", "--seconds", "0.31"], "song.wav: a gap from 3 to 3.31 s lies at the"),
        (["--fill", "song.wav", "--start", "3"], "--fill needs --start and --seconds"),
        (["--fill", "song.wav", "--from", "song.wav"], "choose one of --from, --continue and --fill"),
        (["--start", "3"], "--start is where the gap of --fill begins"),
        (["--continue", "nothing.wav"], "nothing.wav: no such file"),
        (["--codec", "runs/flow"], "'latent_flow' is no codec"),
        (["--ckpt", "runs/tiny"], "'vae' is no model of latents"),
        (["--n", "0"], "--n must be at least 1"),
        (["--n", "1000000000000"], "--n must be at most 1000000, got"),
        (["--seconds", "-1"], "seconds must be positive"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_left(there, capfd, arguments, words):
    before = (there / "song.wav").read_bytes()
    ckpt = () if "--ckpt" in arguments else ("--ckpt", "runs/flow")
    assert words in complaint(capfd, "generate", "out", *ckpt, *arguments)
    assert not (there / "out").exists()
    assert (there / "song.wav").read_bytes() == before


def test_the_only_prior_is_found(there, capfd):
    main(["generate", "out", "--steps", "1", "--seconds", "0.1"])
    assert (there / "out" / "sound_000.wav").exists()
    assert "file, not a folder" in complaint(capfd, "generate", "song.wav")
    assert "no folder" in complaint(capfd, "generate", "a/b/c")


def test_a_folder_without_a_name_is_not_the_one_where_the_command_runs(there, capfd):
    before = sorted(there.iterdir())
    said = complaint(capfd, "generate", "", "--fill", "song.wav", "--start", "1", "--seconds", "0.02")
    assert said == "error: the name of an output is empty\n"
    assert sorted(there.iterdir()) == before
