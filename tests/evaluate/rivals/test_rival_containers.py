"""Coded bytes of files built by hand, and of real ones against what other readers of theirs count."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from evaluate import rivals
from evaluate.rivals.containers import mp3_frames
from zoo.errors import ZooError


def page(packets_lacing: list[int], body: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(packets_lacing), *packets_lacing]) + body


def test_ogg_counts_packets_across_pages_without_headers() -> None:
    # OpusHead of 19 bytes; OpusTags of 300 over two pages; audio of 10, 255 + 0, and 510 + 5 over two pages
    stream = page([19], bytes(19)) + page([255], bytes(255)) + page([45], bytes(45))
    stream += page([10, 255, 0, 255], bytes(520)) + page([255, 5], bytes(260))
    assert rivals.ogg_payload_bytes(stream, header_packets=2) == 10 + 255 + 515
    assert rivals.ogg_payload_bytes(stream, header_packets=3) == 255 + 515
    for broken in (b"RIFF" + stream, stream + b"Og"):
        with pytest.raises(ZooError, match="not an Ogg page"):
            rivals.ogg_payload_bytes(broken, header_packets=2)


def mp3_frame(header: int, size: int, body: bytes = b"") -> bytes:
    return (struct.pack(">I", header) + body).ljust(size, b"\0")


def test_mp3_counts_frames_without_tags() -> None:
    # MPEG-1, 128 kbps, 44.1 kHz, stereo: 144 * 128000 / 44100 = 417.96 bytes, with or without padding
    tag = mp3_frame(0xFFFB9000, 417, bytes(32) + b"Info")
    audio = mp3_frame(0xFFFB9000, 417) + mp3_frame(0xFFFB9200, 418)
    # ID3v2: the size in its header is of seven bits a byte and leaves the header out
    id3 = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + bytes(130)
    assert rivals.mp3_payload_bytes(audio) == 835
    assert rivals.mp3_payload_bytes(id3 + tag + audio + b"TAG" + bytes(125)) == 835
    # only the first frame can be a tag
    assert rivals.mp3_payload_bytes(audio + tag) == 835 + 417
    frames = list(mp3_frames(id3 + tag + audio))
    assert [(f.offset, f.size, f.kbps, f.sample_rate, f.is_tag) for f in frames] == [
        (140, 417, 128, 44_100, True),
        (557, 417, 128, 44_100, False),
        (974, 418, 128, 44_100, False),
    ]
    # MPEG-2, 64 kbps, 24 kHz, mono: 72 * 64000 / 24000; MPEG-2.5, 8 kbps, 8 kHz, stereo: 72 bytes
    low = mp3_frame(0xFFF384C0, 192, bytes(9) + b"Xing") + mp3_frame(0xFFF384C0, 192)
    assert rivals.mp3_payload_bytes(low) == 192
    assert rivals.mp3_payload_bytes(mp3_frame(0xFFE31800, 72)) == 72


@pytest.mark.parametrize(
    "junk", [b"RIFF....", b"\xff\xfb", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00", b"\xff\xfd\x90\x00"]
)
def test_what_is_no_mp3_frame_is_told(junk: bytes) -> None:
    good = mp3_frame(0xFFFB9000, 417)
    with pytest.raises(ZooError, match="Layer III at byte 417"):
        rivals.mp3_payload_bytes(good + junk)


def box(name: str, content: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, name.encode(), 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), name.encode()) + content


def mp4(*tables: bytes) -> bytes:
    tracks = b"".join(
        box("trak", box("tkhd", bytes(84)) + box("mdia", box("minf", box("stbl", box("stsd", b"stsz") + table))))
        for table in tables
    )
    return (
        box("ftyp", b"M4A stsz") + box("mdat", bytes(1000), long=True) + box("moov", box("mvhd", bytes(100)) + tracks)
    )


def test_mp4_sums_its_tables_of_sizes() -> None:
    listed = box("stsz", struct.pack(">IIIIII", 0, 0, 3, 100, 20, 3))
    constant = box("stsz", struct.pack(">III", 0, 40, 7))
    assert rivals.mp4_payload_bytes(mp4(listed)) == 123
    assert rivals.mp4_payload_bytes(mp4(listed, constant)) == 123 + 280
    for broken, message in (
        (mp4(listed)[:-1], "cut off"),
        (mp4(box("stsz", struct.pack(">IIII", 0, 0, 3, 100))), "table of sample sizes .* is cut off"),
        (mp4(), "no table"),
        (b"", "no table"),
        (b"\0\0\0\4moov", "cut off"),
    ):
        with pytest.raises(ZooError, match=message):
            rivals.mp4_payload_bytes(broken)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
@pytest.mark.parametrize("spec", ["opus:32", "opus-cbr:32", "vorbis:q2", "mp3:32", "mp3:64", "mp3:160", "aac:64"])
def test_bytes_are_those_that_ffmpeg_finds(spec: str, sample_rate: int, channels: int) -> None:
    av = pytest.importorskip("av")
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal((sample_rate, channels))).astype(np.float32)
    rival = rivals.create(spec, sample_rate=sample_rate, channels=channels)
    stream = rival.encode(samples)
    with av.open(io.BytesIO(stream)) as file:
        expected = sum(packet.size for packet in file.demux(audio=0))
    assert rival.payload_bytes(stream) == expected
    # MP3's frames of 32 kbps are too small for a tag: there is nothing else in the file
    assert (expected == len(stream)) is (spec == "mp3:32")
