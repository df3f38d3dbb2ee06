"""How many bytes of a file are coded audio, and how many its container's: Ogg pages, MP3 frames, MP4 boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zoo.audio.decoders import mpeg
from zoo.errors import ZooError


@dataclass(frozen=True)
class Mp3Frame:
    """A frame of Layer III: its place and size in bytes; a tag holds no audio but what the encoder has to say."""

    offset: int
    size: int
    kbps: int
    sample_rate: int
    is_tag: bool


def ogg_payload_bytes(stream: bytes, *, header_packets: int) -> int:
    """Bytes of the packets in an Ogg stream (RFC 3533) after the first `header_packets`: no pages' headers.

    Raises ZooError if the stream is not one of Ogg pages.
    """
    position, finished, total = 0, 0, 0
    while position < len(stream):
        if stream[position : position + 4] != b"OggS" or position + 27 > len(stream):
            raise ZooError(f"not an Ogg page at byte {position}")
        n_segments = stream[position + 26]
        lacing = stream[position + 27 : position + 27 + n_segments]
        for size in lacing:
            if finished >= header_packets:
                total += size
            # a packet goes on for as long as its segments are full
            finished += size < 255
        position += 27 + n_segments + sum(lacing)
    return total


def mp3_payload_bytes(stream: bytes) -> int:
    """Bytes of the frames of audio in an MP3 file: no ID3 tags, no frame of Xing's or LAME's.

    Raises ZooError if the stream is not one of Layer III frames.
    """
    return sum(frame.size for frame in mp3_frames(stream) if not frame.is_tag)


def mp3_frames(stream: bytes) -> Iterator[Mp3Frame]:
    """The frames of an MP3 file in order (ISO/IEC 11172-3 and 13818-3).

    Raises ZooError if the stream is not one of Layer III frames.
    """
    position, end, first = mpeg.behind_id3(stream, 0), mpeg.audio_end(stream), True
    while position < end:
        frame = mpeg.parse(stream, position)
        if frame is None or frame.layer != 3:
            raise ZooError(f"not a frame of MPEG Layer III at byte {position}")
        is_tag = first and mpeg.parse_tag(stream, position, frame) is not None
        yield Mp3Frame(position, frame.size, frame.kbps, frame.sample_rate, is_tag)
        position, first = position + frame.size, False


def mp4_payload_bytes(stream: bytes) -> int:
    """Bytes of all samples of all tracks in an MP4 file, as its tables (`stsz`, ISO/IEC 14496-12) list them.

    Raises ZooError if a box is cut off or if there is no such table.
    """
    tables = list(_boxes(stream, 0, len(stream), ("moov", "trak", "mdia", "minf", "stbl", "stsz")))
    if not tables:
        raise ZooError("not an MP4 file: it has no table of sample sizes")
    total = 0
    for start, end in tables:
        # version and flags, then one size for all or 0, the number of samples, and their sizes
        common = int.from_bytes(stream[start + 4 : start + 8])
        n = int.from_bytes(stream[start + 8 : start + 12])
        if end - start < 12 + (0 if common else 4 * n):
            raise ZooError(f"MP4: the table of sample sizes at byte {start} is cut off")
        sizes = (int.from_bytes(stream[start + 12 + 4 * i : start + 16 + 4 * i]) for i in range(n))
        total += common * n if common else sum(sizes)
    return total


def _boxes(stream: bytes, start: int, end: int, path: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Finds the contents of the boxes at `path`, as first and last offsets."""
    while start < end:
        size, header = int.from_bytes(stream[start : start + 4]), 8
        if size == 1:
            size, header = int.from_bytes(stream[start + 8 : start + 16]), 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            raise ZooError(f"MP4: the box at byte {start} is cut off")
        if stream[start + 4 : start + 8] == path[0].encode():
            if len(path) == 1:
                yield start + header, start + size
            else:
                yield from _boxes(stream, start + header, start + size, path[1:])
        start += size
