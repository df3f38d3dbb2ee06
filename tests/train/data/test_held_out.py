"""Files that are measured and never trained on: which they are, that no crop is theirs, and the clips made of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.base import Data
from tests.train.run.initialised import TINY
from tests.train.test_prepare import prepared
from train import data
from train.data import FileCrops, held_out, inventory, shards
from train.data.source import CropSource
from train.watch.observe import HeldOut
from zoo.errors import ZooError

RATE = 8000
SHAPE = {"segment_samples": 80, "sample_rate": RATE, "channels": 1, "gain_db": 0.0}


def level_of(n: int) -> float:
    return (n + 1) / 64


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """Forty files of a constant each, by which a crop tells where it is from; a faint tone lest it be silence."""
    root = tmp_path_factory.mktemp("library")
    for n in range(40):
        path = root / ("music" if n % 4 else "speech") / f"{n:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        tone = 2e-4 * (-1.0) ** np.arange(4000 + 1000 * n)[:, None]
        soundfile.write(path, level_of(n) + tone, RATE)
    return root


@pytest.fixture(scope="module")
def sources(library, tmp_path_factory) -> list[CropSource]:
    index = shards.read_index(prepared(library, tmp_path_factory.mktemp("prepared") / "shards").root)
    assert index is not None
    return [FileCrops(library, **SHAPE, held_out=0.2), data.ShardCrops(index, **SHAPE, held_out=0.2)]


def numbers(source: CropSource) -> set[int]:
    return {int(Path(file.name).stem) for file in source.held_out}


def heard(samples: np.ndarray) -> int:
    """Which file this stretch of one is of."""
    return round(float(np.median(samples)) * 64) - 1


@given(st.sets(st.text(min_size=1), max_size=200), st.floats(0, 0.5), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_choice_is_of_names_whatever_their_order(names, share, random):
    ordered, shuffled = sorted(names), sorted(names)
    random.shuffle(shuffled)
    out = held_out.chosen(ordered, share)
    assert out.sum() == round(share * len(names))
    again = held_out.chosen(shuffled, share)
    assert {n for n, o in zip(ordered, out) if o} == {n for n, o in zip(shuffled, again) if o}
    # more files: of those that were held out, none becomes one that is trained on by a larger share
    more = held_out.chosen(ordered, min(0.5, share + 0.1))
    assert not (out & ~more).any()


@pytest.mark.parametrize("share", [-0.01, 0.51, float("nan")])
def test_a_share_that_is_none_is_named(library, share):
    with pytest.raises(ZooError, match=r"data\.held_out must lie in \[0, 0\.5\]"):
        FileCrops(library, **SHAPE, held_out=share)


def test_files_and_shards_hold_the_same_out_and_draw_no_crop_of_it(sources):
    files, prepared_ones = sources
    assert len(files.held_out) == 8
    assert [dataclasses.astuple(f) for f in files.held_out] == [dataclasses.astuple(f) for f in prepared_ones.held_out]
    for source in sources:
        drawn = {heard(source[k]["audio"]) for k in range(600)}
        assert not drawn & numbers(source)
        assert len(drawn) > 25
        assert len(source.inventory()) == 40  # they belong to what a run is begun on
        assert inventory.of(source).seconds == pytest.approx(sum(4000 + 1000 * n for n in range(40)) / RATE)


def test_folders_are_held_out_whole() -> None:
    names = [f"{artist}/{album}/{i}.wav" for artist in "abcde" for album in "xyz" for i in range(1 + ord(album) % 3)]
    out = held_out.chosen(names, 0.2, "folder")
    folders = {name.rpartition("/")[0] for name, held in zip(names, out) if held}
    assert folders
    assert 4 <= out.sum() <= round(0.2 * len(names))
    assert [name.rpartition("/")[0] in folders for name in names] == out.tolist()
    order = np.random.default_rng(0).permutation(len(names))
    again = held_out.chosen([names[i] for i in order], 0.2, "folder")
    np.testing.assert_array_equal(again, out[order])


def test_folders_that_are_all_too_large_are_refused() -> None:
    names = [f"{speaker}/{i}.wav" for speaker in "ab" for i in range(20 + ord(speaker))]
    assert not held_out.chosen(names, 0.0, "folder").any()
    with pytest.raises(ZooError, match=r"data\.held_out 0\.1 is 24 of 235 files, .* 2 folders has more, 117 at least"):
        held_out.chosen(names, 0.1, "folder")


def test_a_library_and_its_shards_hold_out_the_same_folders(sources, library):
    chosen = Data(held_out=0.4, held_out_by="folder", segment_s=0.1)
    for root in (library, sources[1].root):
        source = data.make_source(
            dataclasses.replace(chosen, root=str(root)), sample_rate=RATE, channels=1, hop_length=1, seed=0
        )
        assert numbers(source) == {n for n in range(40) if n % 4 == 0}


def test_clips_are_of_the_held_out_files_their_groups_in_turn(sources):
    for source in sources:
        clips = data.held_out_clips(source, n_clips=6, clip_s=0.5)
        assert len(clips) == 6
        assert [clip.domain for clip in clips[:4]] == ["music", "speech"] * 2
        assert {heard(clip.samples) for clip in clips} <= numbers(source)
        assert {clip.name for clip in clips} <= {file.name for file in source.held_out}
        assert all(clip.samples.shape == (4000, 1) and clip.samples.dtype == np.float32 for clip in clips)
        assert all(np.ptp(clip.samples) < 1e-3 for clip in clips)  # nothing but the file


def test_long_files_give_several_clips_and_short_ones_themselves(sources):
    for source in sources:
        clips = data.held_out_clips(source, n_clips=1000, clip_s=1.0)
        lengths = {Path(f.name).stem: round(f.seconds * RATE) for f in source.held_out}
        for stem, length in lengths.items():
            own = [clip for clip in clips if Path(clip.name.split("@")[0]).stem == stem]
            assert len(own) == max(1, length // RATE)
            assert {len(clip.samples) for clip in own} == {min(length, RATE)}
            assert len({clip.name for clip in own}) == len(own)


def test_stretches_of_one_file_do_not_overlap(tmp_path):
    ramp = np.linspace(-0.5, 0.5, 21 * RATE)[:, None]
    soundfile.write(tmp_path / "a.wav", ramp, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", ramp, RATE, subtype="FLOAT")
    source = FileCrops(tmp_path, **SHAPE, held_out=0.5)
    assert len(source.held_out) == 1
    clips = data.held_out_clips(source, n_clips=5, clip_s=4.0)
    assert len(clips) == 5
    starts = sorted(float(clip.samples[0, 0]) for clip in clips)
    assert np.all(np.diff(starts) > 4 / 21)


def test_too_few_files_leave_the_generators_clips(library, tmp_path):
    soundfile.write(tmp_path / "one.wav", np.full((9000, 1), 0.1), RATE)
    for root, own in ((None, False), (str(tmp_path), False), (str(library), True)):
        chosen = Data(root=root, held_out=0.05)
        config = dataclasses.replace(TINY, data=chosen)
        source = data.make_source(chosen, sample_rate=RATE, channels=1, hop_length=40, seed=0)
        measured = HeldOut(config, source)
        assert ("held-out files of" in str(measured)) == own
        assert len(measured.clips) >= 1
        assert {clip.domain for clip in measured.clips} <= ({"music", "speech"} if own else {"music", "sound", "voice"})


def test_a_held_out_file_that_cannot_be_read_is_named_and_left_out(tmp_path):
    for n in range(4):
        soundfile.write(tmp_path / f"{n}.wav", np.linspace(0, 0.1 * (n + 1), 2 * RATE)[:, None], RATE, subtype="FLOAT")
    said = []
    source = FileCrops(tmp_path, **SHAPE, held_out=0.5, on_skip=lambda path, reason: said.append(path.name))
    bad = source.held_out[0].name
    (tmp_path / bad).write_bytes(b"")
    clips = data.held_out_clips(source, n_clips=2, clip_s=0.5)
    assert [clip.name for clip in clips] == [source.held_out[1].name]
    assert said == [bad]


def test_silent_stretches_are_not_measured(tmp_path):
    loud, silence = np.linspace(0, 0.1, RATE)[:, None], np.zeros((RATE, 1))
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.concatenate([loud, silence, loud]), RATE, subtype="FLOAT")
    source = FileCrops(tmp_path, **SHAPE, held_out=0.5)
    clips = data.held_out_clips(source, n_clips=3, clip_s=1.0)
    assert [clip.name.split("@")[1] for clip in clips] == ["0.0s", "2.0s"]
