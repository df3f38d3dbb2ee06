"""Every format: all readers agree, nothing is shortened, shifted or scaled without a word, and any crop is exact."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zoo.audio import format_files
from tests.zoo.audio.format_files import Example, by_ffmpeg, by_soundfile, music, wav, without_tag
from zoo import audio
from zoo.audio import open_reader
from zoo.audio.decoders import ffmpeg
from zoo.errors import ZooError


@functools.cache
def examples() -> dict[str, Example]:
    return {example.name: example for example in format_files.examples()}


@pytest.fixture
def file(tmp_path, request) -> tuple[Path, Example]:
    example = examples()[request.param]
    path = tmp_path / example.name
    path.write_bytes(example.data)
    return path, example


def in_blocks(path: Path, size: int) -> tuple[np.ndarray, str | None]:
    blocks = []
    with open_reader(path) as reader:
        while len(block := reader.read(size)):
            blocks.append(block)
        return np.concatenate(blocks), reader.warning


NAMES = format_files.NAMES


@pytest.mark.parametrize("file", NAMES, indirect=True)
def test_all_of_it_comes_out_at_its_place_and_level(file):
    path, example = file
    info = audio.probe(path)
    whole = audio.read(path)
    content, warning = in_blocks(path, 4999)
    assert info.n_samples == len(whole.samples) == len(content)
    assert info.sample_rate == whole.sample_rate == example.sample_rate
    assert info.channels == whole.samples.shape[1] == example.samples.shape[1]
    np.testing.assert_array_equal(whole.samples, content)
    assert warning == info.warning
    assert bool(warning) == example.warns
    assert not warning or warning.startswith(f"{path}: ")
    behind = example.samples[max(-example.late, 0) :]
    found = whole.samples[max(example.late, 0) :]
    assert len(behind) <= len(found) <= len(behind) + example.more
    np.testing.assert_allclose(found[: len(behind)], behind, rtol=0, atol=example.tolerance)


@pytest.mark.parametrize("file", NAMES, indirect=True)
def test_a_crop_is_that_part_of_the_whole(file):
    path, _ = file
    info = audio.probe(path)
    whole = audio.read(path).samples
    rng = np.random.default_rng(len(path.name))
    n = 2000
    starts = [-700, 0, len(whole) - n // 2, *rng.integers(0, len(whole) - n, 3 if info.sequential else 9)]
    for start in starts:
        expected = np.pad(whole, ((1000, n), (0, 0)))[start + 1000 : start + 1000 + n]
        crop = audio.read_crop(info, int(start), n, sample_rate=info.sample_rate)
        np.testing.assert_allclose(crop, expected, rtol=0, atol=1e-6)
    # in one open file, forwards and backwards
    source = info.open()
    for start in sorted(starts[1:3], reverse=True):
        source.seek(max(start, 0))
        block = source.read(100)
        np.testing.assert_allclose(block, whole[max(start, 0) :][: len(block)], rtol=0, atol=1e-6)
    source.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [("cbr_no_tag.mp3", "no tag"), ("joined.mp3", "no tag"), ("layer2.mp2", "no tag"), ("aac.m4a", "container"),
     ("flac.mka", "container"), ("aac.aac", "container"), ("wma2.wma", "container"), ("flac.oga", "container"),
     ("late.opus", "container")],
)  # fmt: skip
def test_what_needs_missing_decoders_is_refused_by_name(tmp_path, monkeypatch, name, message):
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    path = tmp_path / name
    path.write_bytes(examples()[name].data)
    for read in (audio.probe, audio.read, open_reader):
        with pytest.raises(ZooError, match=rf"{name}: .*{message}.*\.\[formats\]"):
            read(path)


@pytest.mark.parametrize(
    "name", ["vbr.mp3", "tags.mp3", "music.opus", "chained.opus", "no_rate.opus", "unknown_length.flac"]
)
def test_what_needs_no_ffmpeg_is_the_same_without_it(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(examples()[name].data)
    expected = audio.read(path).samples
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    info = audio.probe(path)
    assert info.engine == "libsndfile"
    assert info.n_samples == len(expected)
    np.testing.assert_allclose(audio.read(path).samples, expected, rtol=0, atol=2e-6)
    crop = audio.read_crop(info, 50_000, 1000, sample_rate=info.sample_rate)
    np.testing.assert_allclose(crop, expected[50_000:51_000], rtol=0, atol=2e-6)


def test_files_whose_decoders_are_missing_are_counted_in_one_line(tmp_path, monkeypatch):
    for name in ("a.m4a", "b.m4a", "c.mkv", "d.wav"):
        (tmp_path / name).write_bytes(b"")
    said: list[str] = []
    assert len(audio.find_files(tmp_path, on_left_out=said.append)) == 4
    assert not said
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    assert [path.name for path in audio.find_files(tmp_path, on_left_out=said.append)] == ["d.wav"]
    assert len(said) == 1
    assert "FFmpeg's decoders are missing for 3 files (.m4a, .mkv)" in said[0]
    (tmp_path / "d.wav").unlink()
    with pytest.raises(ZooError, match=r"3 files.*\.\[formats\]"):
        audio.find_files(tmp_path)


def test_pipes_and_closed_folders_are_no_audio(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    audio.write(tmp_path / "a.wav", music(0.1, 8000), 8000)
    assert [path.name for path in audio.find_files(tmp_path)] == ["a.wav"]
    with pytest.raises(ZooError, match=r"pipe\.wav: is a pipe"):
        audio.probe(tmp_path / "pipe.wav")


@pytest.mark.parametrize("wraps", [1, 2])
def test_wav_beyond_4_gib_whose_size_wrapped(tmp_path, wraps):
    path, n_bytes = tmp_path / "night.wav", wraps * 2**32 + 48_000
    tail = b"LIST" + (4).to_bytes(4, "little") + b"abcd"
    head = wav(np.zeros((0, 2), np.float32), 48000, size=n_bytes % 2**32)
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(len(head) + n_bytes)
        stream.seek(len(head) + n_bytes)
        stream.write(tail)
    info = audio.probe(path)
    assert info.n_samples == n_bytes // 4
    assert f"holds {n_bytes // 4} samples, its header promises 12000" in str(info.warning)
    assert audio.read_crop(info, n_bytes // 4 - 10, 20, sample_rate=48000).shape == (20, 2)


def test_an_empty_wav_has_no_sound_whatever_follows(tmp_path):
    path = tmp_path / "empty.wav"
    path.write_bytes(
        wav(np.zeros((0, 1), np.float32), 8000, behind=b"LIST" + (26).to_bytes(4, "little") + b"INFO" + bytes(22))
    )
    for read in (audio.probe, audio.read, open_reader):
        with pytest.raises(ZooError, match=r"empty\.wav: holds no samples"):
            read(path)


def test_samples_of_integers_in_a_float_file_are_named(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(by_soundfile(music(0.1, 8000) * 32767, 8000, "WAV", "FLOAT"))
    with pytest.raises(ZooError, match=r"a\.wav: float samples reach .* divide by 32768"):
        in_blocks(path, 1000)
    with pytest.raises(ZooError, match="divide by 32768"):
        audio.validate(audio.read(path).samples, name=str(path))


def test_a_rate_at_which_nothing_is_recorded_is_named(tmp_path):
    path = tmp_path / "slow.wav"
    path.write_bytes(wav(np.zeros((100, 1), np.float32), 1))
    assert "its header says 1 Hz" in str(audio.probe(path).warning)


def test_audio_streams_of_a_film_can_be_chosen(tmp_path):
    import av

    path = tmp_path / "two.mka"
    tones = [music(1, 48000, seed=seed) for seed in (1, 2)]
    with av.open(str(path), "w", format="matroska") as out:
        tracks = [out.add_stream("flac", rate=48000) for _ in tones]
        for track in tracks:
            track.codec_context.layout, track.codec_context.format = "mono", "s16"
        for track, tone in zip(tracks, tones):
            frame = av.AudioFrame.from_ndarray(np.round(tone.T * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            for piece in (frame, None):
                for packet in track.encode(piece):
                    out.mux(packet)
    for number, tone in enumerate(tones):
        with open_reader(path, stream=number) as reader:
            np.testing.assert_allclose(reader.read(1 << 20)[:1000], tone[:1000], atol=4e-5)
    with pytest.raises(ZooError, match=r"two\.mka: holds 2 audio streams, no number 2"):
        open_reader(path, stream=2)
    (tmp_path / "one.wav").write_bytes(wav(tones[0], 48000))
    for each in (path, tmp_path / "one.wav"):
        with pytest.raises(ZooError, match=r": audio streams are numbered from 0, there is no number -1"):
            open_reader(each, stream=-1)


@pytest.mark.parametrize("seed", range(4))
def test_mp3s_joined_in_any_order_with_any_tags_between(tmp_path, seed):
    rng = np.random.default_rng(seed)
    parts, expected, rates = [], 0.0, []
    for k in range(4):
        rate = int(rng.choice([16000, 22050, 44100, 48000]))
        samples = music(1, rate, int(rng.integers(1, 3)), seed=seed * 10 + k)
        data = by_soundfile(samples, rate, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.4)
        parts += [bytes(rng.integers(0, 3) * 100), data, b"TAG" + bytes(125)][int(rng.integers(0, 2)) :]
        expected += len(samples) / rate
        rates.append(rate)
    path = tmp_path / "book.mp3"
    path.write_bytes(b"".join(parts))
    info = audio.probe(path)
    assert info.sample_rate == rates[0]
    assert abs(info.seconds - expected) < 1e-3
    assert len(audio.read(path).samples) == info.n_samples
    assert "4 streams joined" in str(info.warning)


def test_damage_within_an_mp3_is_silent_and_told(tmp_path):
    path = tmp_path / "a.mp3"
    data = bytearray(without_tag(examples()["cbr.mp3"].data))
    before = len(audio.read(_written(path, bytes(data))).samples)
    rng = np.random.default_rng(0)
    data[20_000:21_000] = bytes(rng.integers(0, 255, 1000, np.uint8))  # frames lose their headers
    with open_reader(_written(path, bytes(data))) as reader:
        n = 0
        while len(block := reader.read(10_000)):
            assert np.abs(block).max() < 1
            n += len(block)
    assert before - 4 * 1152 <= n <= before


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_decoders_write_nothing_to_the_terminal(tmp_path):
    for name in ("vbr.mp3", "cbr_no_tag.mp3", "joined.mp3", "aac.m4a", "cut.mp3", "zeros.mp3"):
        (tmp_path / name).write_bytes(examples()[name].data)
    code = (
        "import sys; from pathlib import Path; from zoo import audio\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    info = audio.probe(path)\n"
        "    for start in range(0, info.n_samples - 1000, 9000):\n"
        "        audio.read_crop(info, start, 1000, sample_rate=44100)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_long_tag_and_a_picture_before_the_sound(tmp_path):
    # pictures are JPEG files, full of what looks like frames
    rng = np.random.default_rng(0)
    picture = bytes(rng.integers(0, 256, 300_000, np.uint8))
    size = len(picture)
    head = b"ID3\x03\x00\x00" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    example = examples()["vbr.mp3"]
    path = _written(tmp_path / "a.mp3", head + picture + example.data)
    np.testing.assert_array_equal(
        audio.read(path).samples, audio.read(_written(tmp_path / "b.mp3", example.data)).samples
    )


def test_a_film_without_sound_is_named(tmp_path):
    path = tmp_path / "film.mp4"
    import av

    with av.open(str(path), "w") as out:
        track = out.add_stream("mpeg4", rate=10)
        track.width = track.height = 64
        for piece in (av.VideoFrame(64, 64, "yuv420p"), None):
            for packet in track.encode(piece):
                out.mux(packet)
    with pytest.raises(ZooError, match=r"film\.mp4: holds no sound"):
        audio.probe(path)


def test_itunes_says_where_the_sound_ends(tmp_path):
    samples = music(1, 44100)
    said = f" 00000000 00000400 00000100 {len(samples) - 500:016X} 00000000"
    data = by_ffmpeg(samples, 44100, "aac", "ipod", kbps=64, metadata={"iTunSMPB": said})
    assert audio.probe(_written(tmp_path / "a.m4a", data)).n_samples in (len(samples), len(samples) - 500)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20_000),
    channels=st.integers(1, 3),
    level=st.sampled_from([0.0, 1e-4, 0.3]),
    subtype=st.sampled_from(["PCM_S8", "PCM_16", "PCM_24"]),
    rate=st.sampled_from([8000, 12345, 44100, 96000]),
    cut=st.none() | st.integers(0, 30_000),
)
def test_flac_is_as_long_as_it_is(tmp_path_factory, n, channels, level, subtype, rate, cut):
    samples = (np.random.default_rng(n).standard_normal((n, channels)) * level).astype(np.float32)
    data = by_soundfile(samples, rate, "FLAC", subtype)
    path = _written(tmp_path_factory.getbasetemp() / "length.flac", data if cut is None else data[:cut])
    if cut is None or cut >= len(data):
        info = audio.probe(path)
        assert (info.n_samples, info.sample_rate, info.channels, info.warning) == (n, rate, channels, None)
        return
    try:
        info = audio.probe(path)
    except ZooError:  # not even one frame is whole
        return
    # all whole frames, of 4096 samples but for the last
    assert info.n_samples % 4096 == 0
    assert info.n_samples < n
    assert "its header promises" in str(info.warning)
    whole = audio.read(path).samples
    assert len(whole) == info.n_samples
    np.testing.assert_allclose(whole, np.clip(samples, -1, 1)[: len(whole)], atol=1e-2)
