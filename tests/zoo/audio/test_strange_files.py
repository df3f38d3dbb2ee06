"""Valid files that are rarely seen, and damaged ones that are often: read right, or told of in a line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.audio.format_files import RATE, by_ffmpeg, by_soundfile, edited_ogg, music, ogg_pages, without_tag
from zoo import audio
from zoo.audio import open_reader
from zoo.audio.decoders import mpeg
from zoo.errors import ZooError


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def told(path: Path) -> list[str | None]:
    """The lines that all ways of reading give."""
    with open_reader(path) as reader:
        while len(reader.read(1 << 16)):
            pass
        return [audio.probe(path).warning, audio.read(path).warning, reader.warning]


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("AIFF", "PCM_16"), ("AIFF", "ULAW"), ("AU", "PCM_16"), ("CAF", "PCM_24"), ("W64", "PCM_16"), ("VOC", "PCM_16"),
     ("NIST", "PCM_16"), ("WAV", "ALAW"), ("WAV", "IMA_ADPCM"), ("WAV", "PCM_16"), ("FLAC", "PCM_16")],
)  # fmt: skip
def test_a_cut_file_is_told_of_with_both_lengths(tmp_path, kind, subtype):
    data = by_soundfile(music(2, RATE), RATE, kind, subtype)
    whole = audio.probe(written(tmp_path / "whole", data))
    assert whole.warning is None
    assert whole.n_samples is not None
    path = written(tmp_path / "cut", data[: len(data) * 6 // 10])
    info = audio.probe(path)
    assert info.n_samples is not None
    assert 0.4 * whole.n_samples < info.n_samples < 0.65 * whole.n_samples
    assert info.header_samples == pytest.approx(whole.n_samples, rel=1e-3)
    for line in told(path):
        assert f"holds {info.n_samples} samples" in str(line) or f"ends after {info.n_samples} samples" in str(line)
        assert "its header promises" in str(line)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "flac"), ("tta", "tta")])
def test_a_cut_container_is_told_of_by_every_reader(tmp_path, container, codec):
    data = by_ffmpeg(music(4, RATE, 2), RATE, codec, container, sample_format="s16")
    path = written(tmp_path / "cut", data[: len(data) * 6 // 10])
    n = audio.probe(path).n_samples
    for line in told(path):
        assert f"holds {n} samples" in str(line)
        assert "its header promises" in str(line)


@pytest.mark.parametrize("change", [1, -1, 100, -50])
def test_a_tag_with_a_wrong_number_of_frames_is_not_believed(tmp_path, change):
    samples = music(2, RATE, 2)
    data = bytearray(
        by_soundfile(samples, RATE, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.3)
    )
    start = mpeg.first_frame(bytes(data))
    assert start is not None
    frame = mpeg.parse(bytes(data), start)
    assert frame is not None
    tag = mpeg.parse_tag(bytes(data), start, frame)
    assert tag is not None
    assert tag.is_intact
    assert tag.n_frames is not None
    at = data.index(b"Xing") + 8
    data[at : at + 4] = (tag.n_frames + change).to_bytes(4)
    path = written(tmp_path / "a.mp3", bytes(data))
    info = audio.probe(path)
    assert info.n_samples == len(audio.read(path).samples) == len(samples)
    assert f"holds {len(samples)} samples" in str(info.warning)


def test_the_checksum_of_ffmpegs_tag_is_known(tmp_path):
    for channels in (1, 2):
        data = by_ffmpeg(music(1, RATE, channels), RATE, "libmp3lame", "mp3", kbps=128)
        start = mpeg.first_frame(data)
        assert start is not None
        frame = mpeg.parse(data, start)
        assert frame is not None
        tag = mpeg.parse_tag(data, start, frame)
        assert tag is not None
        assert tag.is_intact


def test_clips_of_two_frames_joined_in_turn_are_all_read(tmp_path):
    pieces = []
    for channels in (1, 2) * 10:
        mp3 = by_soundfile(music(0.5, RATE, channels), RATE, "MP3", "MPEG_LAYER_III", bitrate_mode="CONSTANT",
                           compression_level=0.6)  # fmt: skip
        data = without_tag(mp3)
        end = 0
        for _ in range(2):
            frame = mpeg.parse(data, end)
            assert frame is not None
            end += frame.size
        pieces.append(data[:end])
    path = written(tmp_path / "clips.mp3", b"".join(pieces))
    info = audio.probe(path)
    assert info.n_samples == len(audio.read(path).samples) == 20 * 2 * 1152
    assert "20 streams joined" in str(info.warning)


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "mp2"), ("mpeg", "mp2"), ("avi", "libmp3lame")])
def test_containers_that_are_called_mp3_are_what_they_are(tmp_path, container, codec):
    samples = music(3, 48000, 2)
    kind = "s16" if codec == "mp2" else "fltp"
    data = by_ffmpeg(samples, 48000, codec, container, sample_format=kind, kbps=192)
    expected = audio.read(written(tmp_path / f"a.{container}", data)).samples
    assert np.abs(expected).max() < 1
    np.testing.assert_array_equal(audio.read(written(tmp_path / "a.mp3", data)).samples, expected)


def test_any_name_is_a_files_and_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    samples = music(0.5, RATE)
    data = by_ffmpeg(samples, RATE, "alac", "ipod", sample_format="s16p")
    for name in ("Suite:1.m4a", "http:x.m4a", "concat:a|b.m4a"):
        np.testing.assert_allclose(audio.read(written(Path(name), data)).samples, samples, atol=4e-5)


def test_a_playlist_opens_no_other_file(tmp_path):
    audio.write(tmp_path / "other.wav", music(0.5, RATE), RATE)
    path = written(tmp_path / "list.wma", b"ffconcat version 1.0\nfile other.wav\n")
    with pytest.raises(ZooError, match=r"list\.wma: cannot be read as audio"):
        audio.probe(path)


def test_sound_that_nothing_decodes_is_named(tmp_path):
    data = by_ffmpeg(music(0.5, RATE), RATE, "aac", "matroska", kbps=64)
    path = written(tmp_path / "a.mka", data.replace(b"A_AAC", b"A_FOO"))
    with pytest.raises(ZooError, match=r"a\.mka: FFmpeg has no decoder for its sound"):
        audio.probe(path)


@pytest.mark.parametrize(
    "said", ["nonsense here and there", " 00000000 00000400 00000100 zzzz 0", " 0 0 0 00000000000F0000"]
)
def test_a_gapless_tag_that_makes_no_sense_is_left_alone(tmp_path, said):
    samples = music(1, RATE)
    data = by_ffmpeg(samples, RATE, "aac", "ipod", kbps=64, metadata={"iTunSMPB": said})
    assert audio.probe(written(tmp_path / "a.m4a", data)).n_samples == len(samples)


@pytest.mark.parametrize(("subtype", "rate"), [("OPUS", 48000), ("VORBIS", 44100)])
def test_a_lost_page_is_told_of_and_the_rest_read(tmp_path, subtype, rate):
    pages = ogg_pages(by_soundfile(music(6, rate, 2), rate, "OGG", subtype))
    path = written(tmp_path / "gap.ogg", b"".join(bytes(page) for i, page in enumerate(pages) if i != len(pages) // 2))
    info = audio.probe(path)
    assert "1 of its pages are missing" in str(info.warning)
    assert len(audio.read(path).samples) == info.n_samples
    assert 3 * rate < info.n_samples < 6 * rate


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", [3, 5, 6, 7, 8])
def test_surround_in_ogg_comes_in_the_order_of_wav(tmp_path, subtype, channels):
    n = 48000
    t = np.arange(n) / 48000
    # each channel has a loudness of its own, by which it is known
    levels = 0.6 ** np.arange(channels)
    samples = (0.5 * levels * np.sin(2 * np.pi * 80 * t)[:, None]).astype(np.float32)
    data = by_soundfile(samples, 48000, "OGG", subtype)
    if subtype == "OPUS" and ogg_pages(data)[0][28 + 18] != 1:
        pytest.skip("written without a layout of loudspeakers")
    decoded = audio.read(written(tmp_path / "a.ogg", data)).samples
    found = np.sqrt(np.mean(decoded[5000:-5000] ** 2, axis=0))
    # libsndfile takes channels in Vorbis' order for what it writes
    vorbis_in_wav = {3: (0, 2, 1), 5: (0, 2, 1, 3, 4), 6: (0, 2, 1, 5, 3, 4), 7: (0, 2, 1, 6, 5, 3, 4),
                     8: (0, 2, 1, 7, 5, 6, 3, 4)}[channels]  # fmt: skip
    expected = 0.5 * levels[list(vorbis_in_wav)] / np.sqrt(2)
    np.testing.assert_allclose(found, expected, rtol=0.25, atol=0.01)


def test_vorbis_trimmed_at_its_beginning_is_cropped_exactly(tmp_path):
    data = by_soundfile(music(4, RATE, 2), RATE, "OGG", "VORBIS")

    def earlier(i: int, page: bytearray, _: bool) -> None:
        granule = struct.unpack_from("<q", page, 6)[0]
        if granule > 0:
            struct.pack_into("<q", page, 6, granule - 500)

    path = written(tmp_path / "a.ogg", edited_ogg(data, earlier))
    info, whole = audio.probe(path), audio.read(path).samples
    for start in range(0, len(whole) - 1000, 17_001):
        crop = audio.read_crop(info, start, 1000, sample_rate=RATE)
        np.testing.assert_allclose(crop, whole[start : start + 1000], rtol=0, atol=1e-6)


def test_a_crop_by_what_a_reader_knows_is_no_silence(tmp_path):
    path = written(tmp_path / "a.m4a", by_ffmpeg(music(1, RATE), RATE, "aac", "ipod", kbps=64))
    with open_reader(path) as reader:
        info = reader.info
    assert info is not None
    assert info.n_samples is None
    assert np.abs(audio.read_crop(info, 1000, 1000, sample_rate=RATE)).max() > 0.01


def test_a_container_that_was_replaced_is_noticed(tmp_path):
    path = written(tmp_path / "a.m4a", by_ffmpeg(music(1, RATE, 2), RATE, "aac", "ipod", kbps=64))
    info = audio.probe(path)
    written(path, by_ffmpeg(music(1, 16000), 16000, "aac", "ipod", kbps=64))
    with pytest.raises(ZooError, match=r"a\.m4a: has changed since it was examined"):
        audio.read_crop(info, 0, 100, sample_rate=RATE)
