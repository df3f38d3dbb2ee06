"""MPEG audio (ISO/IEC 11172-3 and 13818-3, Layers I to III): finding its frames, and what its tags say of its length.

No header tells how long such a file is: streams have no tag, joined files several, a cut one more than there is. So
the frames are counted, and where another encoding begins a new part does.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

KBPS = {  # by MPEG-1 or not and layer: the rates of indices 1 to 14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
HZ = (44_100, 48_000, 32_000)
HZ_DIVISOR = {3: 1, 2: 2, 0: 4}  # by the header's version bits: MPEG-1, MPEG-2, "MPEG-2.5"
DECODER_DELAY = 529  # samples that a decoder of Layer III comes late: 528 and one (LAME's tag counts without them)
_SEARCH_BYTES = 1 << 20  # before the first frame: what is longer is no preamble
_TAIL_BYTES = 1 << 14


@dataclass(frozen=True)
class Frame:
    """What a header says: its kind (frames of another kind begin a new part), and the frame's size in bytes."""

    is_mpeg_1: bool
    layer: int
    sample_rate: int
    channels: int
    size: int
    kbps: int

    @property
    def kind(self) -> tuple[bool, int, int, int]:
        return self.is_mpeg_1, self.layer, self.sample_rate, self.channels

    @property
    def samples(self) -> int:
        return 384 if self.layer == 1 else 1152 if self.is_mpeg_1 or self.layer == 2 else 576


def parse(data: bytes | mmap.mmap, position: int) -> Frame | None:
    """The header at `position`; None where there is none (free format, in which frames have no stated size, too)."""
    header = int.from_bytes(data[position : position + 4])
    version, layer, rate_index, hz_index = header >> 19 & 3, 4 - (header >> 17 & 3), header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or rate_index in (0, 15) or hz_index == 3:
        return None
    is_mpeg_1 = version == 3
    sample_rate = HZ[hz_index] // HZ_DIVISOR[version]
    kbps = KBPS[is_mpeg_1, layer][rate_index - 1]
    size = int(_sizes(is_mpeg_1, layer, sample_rate, kbps, header >> 9 & 1))
    return Frame(
        is_mpeg_1, layer, sample_rate=sample_rate, channels=1 if header >> 6 & 3 == 3 else 2, size=size, kbps=kbps
    )


def _sizes(is_mpeg_1: bool, layer: int, sample_rate: int, kbps: Any, padding: Any) -> Any:
    """Bytes of frames of one kind by their rates and padding bits, numbers or arrays."""
    if layer == 1:
        return (12 * kbps * 1000 // sample_rate + padding) * 4
    return (144 if is_mpeg_1 or layer == 2 else 72) * kbps * 1000 // sample_rate + padding


@dataclass(frozen=True)
class Tag:
    """What the first frame of a file says of the others: how many, in how many bytes, and the encoder's delay."""

    n_frames: int | None
    n_bytes: int | None
    delay: int | None
    """samples at the beginning and at the end that were not in the input; None: not said"""
    padding: int
    is_intact: bool = False
    """whether a checksum says that it is as the encoder wrote it"""


def parse_tag(data: bytes | mmap.mmap, position: int, frame: Frame) -> Tag | None:
    """The tag in a frame of Layer III (Xing's or LAME's, or Fraunhofer's VBRI); None if it holds sound."""
    if frame.layer != 3:
        return None
    if data[position + 36 : position + 40] == b"VBRI":
        n_bytes, n_frames = (int.from_bytes(data[position + 46 + 4 * i : position + 50 + 4 * i]) for i in range(2))
        return Tag(n_frames, n_bytes, None, 0)
    at = position + 4 + ((17 if frame.channels == 1 else 32) if frame.is_mpeg_1 else (9 if frame.channels == 1 else 17))
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(data[at + 4 : at + 8])
    at += 8
    fields = []
    for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        fields.append(int.from_bytes(data[at : at + 4]) if flags & bit else None)
        at += size if flags & bit else 0
    if data[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return Tag(fields[0], fields[1], None, 0)
    both = int.from_bytes(data[at + 21 : at + 24])
    stated = int.from_bytes(data[at + 34 : at + 36])
    before, field = bytes(data[position : at + 34]), at + 34 - position
    # LAME takes all that is before, FFmpeg 190 bytes wherever the checksum lies (it is zero while it is computed)
    first_190 = (before + bytes(2) + data[position + field + 2 : position + 190])[:190]
    is_intact = stated in (_reflected_crc(before), _reflected_crc(first_190))
    return Tag(fields[0], fields[1], both >> 12, both & 0xFFF, is_intact)


def _reflected_crc(data: bytes) -> int:
    """CRC-16 with the polynomial 0x8005, least significant bit first."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


@dataclass(frozen=True, eq=False)
class Run:
    """Frames of one kind, one behind the other: the places (n,) of their first bytes, without that of a tag."""

    frame: Frame
    start: int
    """place of the first frame, a tag or not"""
    offsets: np.ndarray
    end: int
    """place behind the last one"""
    tag: Tag | None
    n_junk: int
    """bytes between frames that are none"""

    @property
    def skip(self) -> int:
        """Samples at the beginning that the input did not have."""
        return 0 if self.tag is None or self.tag.delay is None else self.tag.delay + DECODER_DELAY

    @property
    def n_samples(self) -> int:
        """Samples of the input, where the tag says how many were added to it; else all that come out."""
        return n_samples(self.frame, len(self.offsets), self.tag)


def n_samples(frame: Frame, n_frames: int, tag: Tag | None) -> int:
    """How many samples so many frames give, without those that the encoder added."""
    total = n_frames * frame.samples
    if tag is None or tag.delay is None:
        return total
    return max(total - tag.delay - DECODER_DELAY - max(tag.padding - DECODER_DELAY, 0), 0)


def first_frame(data: bytes | mmap.mmap, *, anywhere: bool = False) -> int | None:
    """Finds the first frame, behind tags and a little else, or `anywhere`; None if this is not MPEG audio."""
    start = _behind_tags(data, 0, len(data))
    return _find(data, start, len(data) if anywhere else min(len(data), start + _SEARCH_BYTES))


def runs(data: mmap.mmap, position: int | None, end: int) -> Iterator[Run]:
    """All runs of frames from the first frame, at `position`, to `end`."""
    offsets: list[np.ndarray] = []
    frame: Frame | None = None
    tag: Tag | None = None
    start = junk = last_end = 0
    while position is not None:
        here = parse(data, position)
        assert here is not None
        here_tag = parse_tag(data, position, here)
        if frame is not None and (here_tag is not None or here.kind != frame.kind):
            yield Run(frame, start, offsets=np.concatenate(offsets), end=last_end, tag=tag, n_junk=junk)
            offsets, frame, junk = [], None, 0
        elif frame is not None:
            junk += position - last_end
        if frame is None:
            frame, start, tag = here, position, here_tag
        chain, after = _chain(data, position, end, here)
        if here_tag is not None:
            chain = chain[1:]
        if (cut := _tag_inside(data, chain, here)) is not None:
            chain, after = chain[:cut], int(chain[cut])
        offsets.append(chain)
        last_end = after
        position = after if cut is not None else _find(data, _behind_tags(data, after, end), end)
    if frame is not None:
        yield Run(frame, start, offsets=np.concatenate(offsets), end=last_end, tag=tag, n_junk=junk)


def corroborated(data: mmap.mmap, position: int, end: int) -> tuple[Frame, Tag] | None:
    """Frame and tag of a file whose tag is right by its size: then nothing but its two ends needs to be looked at."""
    frame = parse(data, position)
    tag = parse_tag(data, position, frame) if frame else None
    if frame is None or tag is None or not tag.n_frames or tag.n_bytes != end - position or not tag.is_intact:
        return None
    # the last frame ends where the file does
    for start in range(end - 24, max(end - _TAIL_BYTES, position), -1):
        if (
            data[start] == 0xFF
            and (last := parse(data, start))
            and last.kind == frame.kind
            and start + last.size == end
        ):
            return frame, tag
    return None


def behind_id3(data: bytes | mmap.mmap, position: int) -> int:
    """The place behind any ID3v2 tags at `position`."""
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        high, *low = data[position + 6 : position + 10]
        for seven_bits in low:
            high = high << 7 | seven_bits
        position += 10 + high + (10 if data[position + 5] & 0x10 else 0)
    return position


def audio_end(data: bytes | mmap.mmap) -> int:
    """The place before an ID3v1 and an APE tag (of which some have no header) at the end."""
    end = len(data)
    if data[max(end - 128, 0) : max(end - 125, 0)] == b"TAG":
        end -= 128
    if end >= 15 and data[end - 9 : end] == b"LYRICS200" and data[end - 15 : end - 9].isdigit():
        end = max(end - 15 - int(data[end - 15 : end - 9]), 0)
    if end >= 32 and data[end - 32 : end - 24] == b"APETAGEX":
        size, flags = _ape(data, end - 32)
        end = max(end - size - (32 if flags & 0x80000000 else 0), 0)
    return end


def _behind_tags(data: bytes | mmap.mmap, position: int, end: int) -> int:
    """Skips the tags that joined files bring along."""
    while position < end:
        if data[position : position + 3] == b"ID3":
            after = behind_id3(data, position)
        elif data[position : position + 3] == b"TAG":
            after = position + 128
        elif data[position : position + 8] == b"APETAGEX":
            size, flags = _ape(data, position)
            after = position + size + 32 if flags & 0x20000000 else position + 32
        else:
            return position
        position = after
    return end


def _ape(data: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """Size (without a header) and flags of an APE tag, from its header or footer."""
    size, _, flags = (int.from_bytes(data[position + 12 + 4 * i : position + 16 + 4 * i], "little") for i in range(3))
    return size, flags


def _find(data: bytes | mmap.mmap, position: int, end: int) -> int | None:
    """The next frame that is followed by two others, or by as many as fit before the end."""
    while 0 <= (position := data.find(b"\xff", position, end)) <= end - 4:
        at, n = position, 0
        while (frame := parse(data, at)) and at + frame.size <= end:
            at += frame.size
            n += 1
            if n == 3 or at == end:
                return position
        position += 1
    return None


def _chain(data: mmap.mmap, start: int, end: int, frame: Frame) -> tuple[np.ndarray, int]:
    """Places of the frames of this kind that follow one another without a gap, whole ones only, and what is behind."""
    found: list[int] = []
    position = start
    while position < end:  # in stretches, so that long files take little memory
        stretch = min(position + (1 << 24), end)
        places, sizes = _candidates(data, position, stretch, end, frame)
        table = dict(zip(places.tolist(), sizes.tolist()))
        before = len(found)
        while (size := table.get(position)) is not None and position + size <= end:
            found.append(position)
            position += size
        if len(found) == before or position < stretch - 4:
            break
    return np.asarray(found, np.int64), position


def _candidates(data: mmap.mmap, start: int, stop: int, end: int, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Everything that looks like a header of this kind in [start, stop), and the frame's size by it."""
    content = np.frombuffer(data, np.uint8, min(stop + 3, end) - start, start)
    first = data[start + 1] & 0xFE
    hz_bits = data[start + 2] & 0x0C
    places = np.flatnonzero(content[:-3] == 0xFF)
    second, third, fourth = content[places + 1], content[places + 2], content[places + 3]
    right = ((second & 0xFE) == first) & ((third & 0x0C) == hz_bits) & ((fourth >> 6 == 3) == (frame.channels == 1))
    rate_index = third >> 4
    right &= (rate_index > 0) & (rate_index < 15)
    places, rate_index, padding = places[right], rate_index[right], (third[right] >> 1 & 1).astype(np.int64)
    kbps = np.asarray((0, *KBPS[frame.is_mpeg_1, frame.layer]), np.int64)[rate_index]
    return places + start, _sizes(frame.is_mpeg_1, frame.layer, frame.sample_rate, kbps, padding)


def _tag_inside(data: mmap.mmap, chain: np.ndarray, frame: Frame) -> int | None:
    """The number of the first frame of a chain, behind its first, that is a tag: there another file was joined on."""
    if frame.layer != 3 or len(chain) < 2:
        return None
    found = []
    for word in (b"Xing", b"Info", b"VBRI"):
        at = int(chain[1])
        while (at := data.find(word, at, int(chain[-1]) + 64)) >= 0:
            number = int(np.searchsorted(chain, at, side="right")) - 1
            if number > 0 and parse_tag(data, int(chain[number]), frame) is not None:
                found.append(number)
                break
            at += 4
    return min(found, default=None)
