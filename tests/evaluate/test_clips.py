"""Clips to be measured: the held-out ones of the embedded generator, and those of a folder."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluate import cli
from evaluate.cli import ReadableClips
from evaluate.clips import Clip, clips_from_folder, held_out_clips, pieces
from tests.audio_files import RATE, noise, write, write_tree
from zoo import audio
from zoo.errors import ZooError


@pytest.fixture
def tree(tmp_path) -> Path:
    """Mixed rates, channels and formats."""
    return write_tree(tmp_path)


def test_held_out_clips_are_the_same_again_and_not_the_training_split():
    clips = held_out_clips(n_clips=4, clip_s=0.25, sample_rate=RATE, channels=2)
    again = held_out_clips(n_clips=2, clip_s=0.25, sample_rate=RATE, channels=2)
    assert len({c.name for c in clips}) == 4
    assert len({c.domain for c in clips}) > 1
    for a, b in zip(clips, again):
        assert (a.name, a.domain, a.sample_rate) == (b.name, b.domain, RATE)
        np.testing.assert_array_equal(a.samples, b.samples)
        assert a.samples.shape == (2000, 2)
    from zoo import synth

    training = synth.clip(0, 0.25, RATE, channels=2, domain=clips[0].domain)
    assert np.abs(training - clips[0].samples).max() > 1e-3


def test_clips_from_a_folder_keep_rate_and_channels_and_are_read_when_asked_for(tree, monkeypatch):
    reads = []
    original = audio.read
    monkeypatch.setattr(audio, "read", lambda path, **kw: reads.append(path.name) or original(path, **kw))
    clips = clips_from_folder(tree)
    assert len(clips) == 4
    assert not reads
    clip = clips[2]
    assert isinstance(clip, Clip)
    assert reads == [clips.files[2].name] == [Path(clip.name).name]
    described = {c.name: (c.domain, c.sample_rate, c.samples.shape) for c in clips}
    assert described == {
        "music/a.flac": ("music", 44100, (44100, 2)),
        "music/deep/b.ogg": ("music", 22050, (20000, 1)),
        "speech/c.wav": ("speech", 8000, (9000, 1)),
        "d.wav": (tree.name, 48000, (30000, 2)),
    }
    converted = clips_from_folder(tree, sample_rate=16000, channels=1)[0:1][0]
    assert converted.sample_rate == 16000
    np.testing.assert_array_equal(converted.samples, original(clips.files[0], sample_rate=16000, channels=1).samples)
    limited = clips_from_folder(tree, limit=2)
    assert len({c.name for c in limited}) == 2


def test_unreadable_clips_are_left_out_of_iteration_and_named_once(tmp_path, capsys):
    write(tmp_path / "a.wav", noise(100))
    (tmp_path / "b.wav").write_text("no audio")
    nan = noise(100)
    nan[7] = np.nan
    write(tmp_path / "c.wav", nan, subtype="FLOAT")
    clips = clips_from_folder(tmp_path)
    for _ in range(2):
        assert [c.name for c in clips] == ["a.wav"]
    assert {p.name for p in clips.skipped} == {"b.wav", "c.wav"}
    err = capsys.readouterr().err
    assert err.count("b.wav: cannot be read") == 1
    assert err.count("c.wav: NaN at sample 7") == 1
    with pytest.raises(ZooError, match=r"b\.wav"):
        clips[1]
    with pytest.raises(ZooError, match="limit"):
        clips_from_folder(tmp_path, limit=0)


LONG = {
    "a.wav": {},
    "b.wav": {"subtype": "FLOAT"},
    "c.flac": {"subtype": "PCM_24"},
    "d.ogg": {},
    "e.opus": {"format": "OGG", "subtype": "OPUS"},
    "f.mp3": {},
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.3])
def test_a_long_file_is_read_in_the_pieces_of_the_whole(name, seconds, tmp_path, monkeypatch):
    write(tmp_path / "voice" / name, noise(round(seconds * 16_000), 2), 16_000, **LONG[name])
    monkeypatch.setattr("evaluate.clips.PIECE_S", 1.0)
    monkeypatch.setattr("evaluate.clips.BLOCK_SAMPLES", 5000)
    clips = clips_from_folder(tmp_path)
    found, expected = list(clips.pieces(0)), list(pieces(clips[0], 1.0))
    assert len(found) == (4 if seconds > 3 else 1 if len(clips[0].samples) <= clips[0].sample_rate else 2)
    for a, b in zip(found, expected, strict=True):
        assert (a.name, a.domain, a.sample_rate) == (b.name, b.domain, b.sample_rate)
        np.testing.assert_array_equal(a.samples, b.samples)
    assert [clip.name for clip in ReadableClips(clips)] == [clip.name for clip in found]


def test_a_long_file_is_never_held_whole(tmp_path):
    write(tmp_path / "a.flac", noise(240 * RATE), RATE)
    clips = clips_from_folder(tmp_path)
    n_pieces = sum(len(piece.samples) == 30 * RATE for piece in clips.pieces(0))  # whatever is imported is
    assert n_pieces == 8
    tracemalloc.start()
    for piece in clips.pieces(0):
        assert piece.samples.nbytes == 30 * RATE * 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 30 * RATE * 4 < 240 * RATE * 4 / 2


def test_a_long_file_with_a_fault_gives_no_piece(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("evaluate.clips.PIECE_S", 1.0)
    write(tmp_path / "a.flac", noise(5 * RATE), RATE)
    content = (tmp_path / "a.flac").read_bytes()
    third = len(content) // 3
    (tmp_path / "a.flac").write_bytes(content[:third] + bytes(third) + content[2 * third :])
    write(tmp_path / "b.wav", noise(5 * RATE), RATE)
    clips = ReadableClips(clips_from_folder(tmp_path))
    assert {clip.name.split("@")[0] for clip in clips} == {"b.wav"}
    assert {path.name for path in clips.skipped} == {"a.flac"}
    assert "a.flac" in capsys.readouterr().err
    broken = noise(5 * RATE)
    broken[4 * RATE] = np.nan
    write(tmp_path / "b.wav", broken, RATE, subtype="FLOAT")
    given = []
    with pytest.raises(ZooError, match=r"b\.wav: NaN at 4\.0"):
        given += list(ReadableClips(clips_from_folder(tmp_path)))
    assert not given


def test_says_of_how_many_files_channels_were_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (800, 6)).astype(np.float32)
    for channels in (1, 2, 6):
        soundfile.write(tmp_path / f"{channels}.wav", noise[:, :channels], 8000)
    (tmp_path / "text.wav").write_text("no audio")
    clips = cli.load_clips(cli.Measured(str(tmp_path)), None)
    assert isinstance(clips, ReadableClips)
    for _ in range(2):  # a second pass counts no file twice
        assert len(list(clips)) == 3
    capsys.readouterr()
    for channels, wide in ((1, 2), (2, 1), (6, 0)):
        clips.say_what_was_taken(channels)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "left out 1 file that could not be read"
        assert [line.split()[0] for line in lines[1:]] == [str(wide)] * (wide > 0)
        assert all("were mixed" in line for line in lines[1:])
    first = cli.load_clips(cli.Measured(str(tmp_path), downmix="first"), None)
    assert isinstance(first, ReadableClips)
    list(first)
    first.say_what_was_taken(1)
    assert capsys.readouterr().err.splitlines()[-1] == "2 of the files have more than one channel: the first were taken"
