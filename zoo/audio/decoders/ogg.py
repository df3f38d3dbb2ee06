"""Ogg (RFC 3533): the links of a chain, and what libsndfile does not see in a stream of Opus (RFC 7845).

libsndfile 1.2.2 decodes the first link of a chain only, refuses Opus without an end-of-stream mark, and decodes Opus
at the rate that the header names for the encoder's input (8 kHz where it names none). Each link is shown to it as a
file of its own, with these two things put right; FLAC and Speex in Ogg, which it does not open, are FFmpeg's.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from zoo.audio.decoders import container
from zoo.audio.decoders.container import ContainerPart
from zoo.audio.decoders.crc import crc
from zoo.audio.decoders.formats import VORBIS_PLACES
from zoo.audio.decoders.library import LibraryPart, opened, seeks_exactly
from zoo.audio.decoders.view import Piece
from zoo.errors import ZooError

_BEGIN, _END = 2, 4  # flags of a page
_OPUS_HZ = 48000
# In Opus' music mode, CELT, what earlier packets leave is then below 1e-6: band energies are predicted from the frame
# before by at most 0.9 (of 400 frames; 0.5 of 50), and its comb filter feeds back at most 0.75 every 21 ms.
_OPUS_PREROLL = _OPUS_HZ
_VORBIS_PREROLL = 1 << 13  # the longest block: after a short seek forward, libsndfile misses the half that overlaps
_TRIED_AT = 3000  # samples
_MAGIC = {b"OpusHead": "Opus", b"\x01vorbis": "Vorbis", b"\x7fFLAC": "FLAC", b"Speex   ": "Speex"}


@dataclass(frozen=True)
class Page:
    """A page: its place and size, flags, granule position, stream, and the lengths of its segments."""

    offset: int
    size: int
    flags: int
    granule: int
    serial: int
    number: int
    lacing: bytes

    @property
    def body(self) -> int:
        """The offset of its first packet."""
        return self.offset + 27 + len(self.lacing)


@dataclass(frozen=True)
class Ogg:
    """What an Ogg file holds: a part for each link of its chain; codec None: of several streams, or no known ones."""

    parts: tuple[LibraryPart | ContainerPart, ...]
    codec: str | None
    warning: str | None = None


def inspect(path: Path) -> Ogg:
    """Finds the links and their exact lengths by walking over all pages; raises ZooError where there is no audio."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        links = list(_links(data))
        if not links:
            raise ZooError(f"{path}: holds no whole Ogg page")
        codecs = [_codec(data, link) for link in links]
        if not all(codecs):
            return Ogg((), None)
        rest = links[-1][-1].offset + links[-1][-1].size
        warning = f"{path}: its last {len(data) - rest} bytes are no Ogg page" if rest < len(data) else None
        if n_lost := sum(_lost(link) for link in links):
            warning = f"{path}: {n_lost} of its pages are missing, and the sound in them"
        orders = [_order(data, link, codec) for link, codec in zip(links, codecs)]
        shown = [_shown(data, link, codec, alone=len(links) == 1) for link, codec in zip(links, codecs)]
    parts = [_part(path, link, codec, order, *how) for link, codec, order, how in zip(links, codecs, orders, shown)]
    name = codecs[0] if len(set(codecs)) == 1 else "several codecs"
    return Ogg(tuple(part for part in parts if part.n_samples), name, warning)


def _part(
    path: Path,
    link: list[Page],
    codec: str | None,
    order: tuple[int, ...],
    pieces: tuple[Piece, ...],
    is_exact: bool,
    celt_only: bool,
) -> LibraryPart | ContainerPart:
    if not is_exact or _lost(link):
        return container.inspect(path, pieces=pieces).part
    with opened(path, pieces) as file:
        part = LibraryPart(file.samplerate, file.channels, file.frames, pieces=pieces, order=order)
    if codec == "Opus":
        return replace(part, preroll=_OPUS_PREROLL if celt_only else None)
    # of Vorbis, what libsndfile seeks in the last page lies beside its mark
    granules = [0, *(page.granule for page in link if page.granule > 0)]
    limit = max(granules[-2] - (granules[-1] - part.n_samples) - 1, 0)
    part = replace(part, preroll=_VORBIS_PREROLL, seek_limit=limit)
    # of a stream trimmed at its beginning, it misplaces all that it seeks
    near = min(_TRIED_AT + _VORBIS_PREROLL, limit)
    return part if not near or seeks_exactly(path, part, near) else replace(part, preroll=None)


def _lost(link: list[Page]) -> int:
    """How many pages are missing between those of a link."""
    return sum(max(later.number - page.number - 1, 0) for page, later in itertools.pairwise(link))


def _order(data: mmap.mmap, link: list[Page], codec: str | None) -> tuple[int, ...]:
    """Maps the channels of a WAV file to those of this one."""
    head = link[0].body
    if codec == "Opus" and data[head + 18] != 1:  # the mapping family of loudspeakers
        return ()
    channels = data[head + (9 if codec == "Opus" else 11)]
    return VORBIS_PLACES.get(channels, ())


def _pages(data: mmap.mmap) -> Iterator[Page]:
    position = data.find(b"OggS")
    while 0 <= position <= len(data) - 27:
        n_segments = data[position + 26]
        lacing = data[position + 27 : position + 27 + n_segments]
        size = 27 + n_segments + sum(lacing)
        if len(lacing) < n_segments or position + size > len(data):
            return  # cut off
        granule, serial, number = struct.unpack_from("<qII", data, position + 6)
        yield Page(
            position, size, flags=data[position + 5], granule=granule, serial=serial, number=number, lacing=lacing
        )
        position += size
        if data[position : position + 4] != b"OggS" and position < len(data):
            position = data.find(b"OggS", position)  # what is between is lost, as it is to every reader


def _links(data: mmap.mmap) -> Iterator[list[Page]]:
    """The pages of each link: a new one begins where streams begin and those before have brought data."""
    link: list[Page] = []
    has_data = False
    for page in _pages(data):
        if page.flags & _BEGIN and has_data:
            yield link
            link, has_data = [], False
        has_data |= not page.flags & _BEGIN
        link.append(page)
    if link:
        yield link


def _codec(data: mmap.mmap, link: list[Page]) -> str | None:
    """What the only stream of a link is coded by; None where it has several, or is unknown."""
    if len({page.serial for page in link}) != 1:
        return None
    first = data[link[0].body : link[0].body + 8]
    return next((name for magic, name in _MAGIC.items() if first.startswith(magic)), None)


def _shown(
    data: mmap.mmap, link: list[Page], codec: str | None, *, alone: bool
) -> tuple[tuple[Piece, ...], bool, bool]:
    """How a link is shown to a decoder, none: as the file stands; whether libsndfile decodes it exactly, and whether
    Opus is in its music mode throughout."""
    start, last = link[0].offset, link[-1]
    end = last.offset + last.size
    whole: tuple[Piece, ...] = () if alone and start == 0 and end == len(data) else ((start, end - start),)
    if codec != "Opus":
        return whole, codec == "Vorbis", False
    durations, celt_only = _opus(data, link)
    head = bytearray(data[start : start + link[0].size])
    at = link[0].body - start + 12
    has_rate = struct.unpack_from("<I", head, at)[0] == _OPUS_HZ
    # of a stream that begins late (cut from a live one), libsndfile would give what was to be skipped, and of one that
    # ends later than its packets do, it would promise more
    first = next(((page.granule, n) for page, n in zip(link, durations) if n), (0, 0))
    if first[0] > first[1] or last.granule > sum(durations):
        return whole, False, celt_only
    if has_rate and last.flags & _END:
        return whole, True, celt_only
    struct.pack_into("<I", head, at, _OPUS_HZ)
    tail = bytearray(data[last.offset : end])
    if not last.flags & _END:
        tail[5] |= _END
        # Without the mark nothing is trimmed: the page ends where its packets do.
        earlier = [page.granule for page in link[:-1] if page.granule > 0]
        if earlier:
            struct.pack_into("<q", tail, 6, earlier[-1] + durations[-1])
    middle = (start + len(head), last.offset - start - len(head))
    return (_sealed(head), middle, _sealed(tail)), True, celt_only


def _opus(data: mmap.mmap, link: list[Page]) -> tuple[list[int], bool]:
    """Samples in the packets that end on each page behind the two headers; whether all are of CELT (RFC 6716, 3.1)."""
    durations, celt_only = [], True
    begun, n_headers = None, 0
    for page in link:
        position, total = page.body, 0
        for length in page.lacing:
            begun = position if begun is None else begun
            position += length
            if length < 255:
                if n_headers >= 2 and position > begun:
                    toc = data[begun]
                    total += _packet_samples(toc, data[begun + 1] if toc & 3 == 3 else 0)
                    celt_only &= toc >= 128
                n_headers += 1
                begun = None
        durations.append(total)
    return durations, celt_only


def _packet_samples(toc: int, count: int) -> int:
    config = toc >> 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    return frame * (count & 63 if toc & 3 == 3 else 1 if toc & 3 == 0 else 2)


def _sealed(page: bytearray) -> bytes:
    """The page with its checksum."""
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", crc(page, 32, 0x04C11DB7))
    return bytes(page)
