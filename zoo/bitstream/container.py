"""Coded audio as a `.zac` file or pipe: a header, a packet for each second or so, a trailer (FORMAT.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from zoo.bitstream import layout
from zoo.bitstream.layout import GROUP, MAX_HEAD, MAX_PACKETS, MAX_PAYLOAD, Header, Packet, Trailer
from zoo.bitstream.packets import PacketParser
from zoo.bitstream.recovery import Scanner, Source
from zoo.errors import BitstreamError, DamageError

__all__ = ["ContainerReader", "ContainerWriter", "Header", "Packet"]

_BLOCK = 1 << 14
"""bytes of a seekable stream to a read: packets are small, and those after the one that is wanted mostly are too"""


class ContainerWriter:
    """Writes a container, front to back: each packet leaves at once, so that a pipe's other end can decode it.

    Raises BitstreamError for what the format cannot hold.
    """

    def __init__(self, stream: BinaryIO, header: Header) -> None:
        self._stream = stream
        self._packet_frames = header.packet_frames
        self._groups: list[int] = []
        self._final = False
        data = layout.pack_header(header)
        self._seed = layout.seed(data)
        self.n_packets = 0
        self.n_bytes = 0
        """bytes written so far"""
        self._put(data)

    def write(self, level: int, payload: bytes, n_frames: int | None = None) -> None:
        """Appends a packet of packet_frames frames, or, as the last one, of `n_frames`, 1 to packet_frames."""
        if self._final:
            raise BitstreamError("no packet can follow the final one")
        if not 0 <= level <= 255:
            raise BitstreamError(f"level {level}: a .zac file holds levels 0 to 255")
        if len(payload) > MAX_PAYLOAD:
            raise BitstreamError(f"packet {self.n_packets} takes {len(payload)} bytes; it may take {MAX_PAYLOAD}")
        if n_frames is not None and not 1 <= n_frames <= self._packet_frames:
            raise BitstreamError(f"the final packet has {n_frames} frames; it may have 1 to {self._packet_frames}")
        if self.n_packets == MAX_PACKETS:
            raise BitstreamError("the recording is too long for one .zac file")
        self._final = n_frames is not None
        data = layout.pack_packet(self._seed, self.n_packets, level, payload, n_frames)
        if self.n_packets % GROUP == 0:
            self._groups.append(0)
        self._groups[-1] += len(data)
        self.n_packets += 1
        self._put(data)

    def finish(self, n_samples: int) -> None:
        """Appends the trailer: `n_samples` (of each channel) at the source's rate; closes nothing."""
        if not 0 <= n_samples < 1 << 64:
            raise BitstreamError(f"{n_samples} samples: a .zac file holds 0 to 2**64 - 1")
        self._final = True
        self._put(layout.pack_trailer(self._seed, n_samples, self.n_packets, self._groups))

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()
        self.n_bytes += len(data)


class ContainerReader:
    """Reads a container from a file, from a pipe, or from bytes in a BytesIO.

    Raises BitstreamError, one line that says where, for anything that is not as it was written. If `lenient`, packets
    that are damaged or missing are yielded as such instead, all others are exact, and a file that was cut off ends
    where it ends; only a damaged header is still an error.
    """

    def __init__(self, stream: BinaryIO, *, lenient: bool = False) -> None:
        self._stream = stream
        self._lenient = lenient
        # a container may begin anywhere in a seekable stream, and ends where the stream does
        self._base = stream.tell() if stream.seekable() else None
        self._parser = PacketParser()
        source = Source(stream, 0, self._base)
        while (header := self._parser.header) is None:
            if piece := source.take(self._parser.wanted):
                self._parser.push(piece)
            else:
                self._parser.finish()
        self.header: Header = header
        self._begin = self._parser.header_length
        self._trailer: Trailer | None = None
        self._is_read = False
        self.truncated = False
        """after a lenient reading: whether there was no intact trailer, so that packets may be missing at the end"""
        self.surplus = 0
        """after a lenient reading: bytes between and behind the intact packets that belong to none, damaged ones too"""
        if self.seekable:
            self._trailer = self._seek_trailer()

    @property
    def seekable(self) -> bool:
        """Whether this is no pipe: then the trailer is known at once, and packets can be read in any order."""
        return self._base is not None

    @property
    def n_samples(self) -> int | None:
        """Samples of each channel at the source's rate; None if that is not known, as in a pipe until its end."""
        return self._trailer.n_samples if self._trailer else None

    @property
    def n_packets(self) -> int | None:
        """Number of packets; None where n_samples is."""
        return self._trailer.n_packets if self._trailer else None

    def expect(
        self,
        *,
        n_levels: int | None = None,
        packet_s: float | None = None,
        n_frames: Callable[[int], int] | None = None,
    ) -> None:
        """Says what only the model knows, so that it is checked too; before the first packet is read.

        A level must be below `n_levels`, and all frames together must be n_frames(n_samples), where n_samples is at
        the source's rate; `packet_s`, a full packet's duration in seconds, puts times into messages.
        """
        self._parser.expect(n_levels=n_levels, packet_s=packet_s, n_frames=n_frames)
        if self._trailer and (complaint := self._mismatch(self._trailer)):
            if not self._lenient:
                raise DamageError(complaint)
            self._trailer = None

    def __iter__(self) -> Iterator[Packet]:
        return self.packets()

    def packets(self, first: int = 0) -> Iterator[Packet]:
        """The packets in order from number `first` on, which needs a stream that is seekable if it is not 0."""
        if self.seekable:
            if self.n_packets is not None and not 0 <= first <= self.n_packets:
                raise BitstreamError(f"there is no packet {first}: the file has {self.n_packets}")
        elif first or self._is_read:
            raise BitstreamError("a pipe can only be read once, from its beginning")
        self._is_read = True
        return self._recovered(first) if self._lenient else self._strict(first)

    def packet(self, index: int) -> Packet:
        """Packet number `index` of a seekable stream."""
        for packet in self.packets(index):
            return packet
        raise BitstreamError(f"there is no packet {index}: the file has {self.n_packets or 'fewer'}")

    def _strict(self, first: int) -> Iterator[Packet]:
        if self._trailer:
            parser = self._parser.at(self._trailer, first, self._find(first))
            yield from self._pull(parser)
        else:
            parser = self._parser
            yield from self._pull(parser)
            parser.push(Source(self._stream, parser.offset, self._base).take(1))  # refuses anything after the trailer
        self._trailer = parser.finish()

    def _pull(self, parser: PacketParser) -> Iterator[Packet]:
        """The packets that are left for a parser, up to the last one's end, the trailer's end, or that of the stream.

        Of a seekable stream it reads blocks, of a pipe not one byte before it is needed.
        """
        source = Source(self._stream, parser.offset, self._base)
        end = self._begin + self._trailer.group_starts[-1] if self._trailer else None
        while wanted := parser.wanted:
            piece = source.take(wanted if end is None else min(max(wanted, _BLOCK), end - source.offset))
            if not piece:
                break
            parser.feed(piece)
            while (packet := parser.next()) is not None:
                yield packet

    def _recovered(self, first: int) -> Iterator[Packet]:
        # where bytes are missing or too many, only a search from the beginning finds it
        index, offset = (first, self._find(first)) if first and self._is_intact(first) else (0, self._begin)
        source = Source(self._stream, offset, self._base)
        scanner = Scanner(source, self._parser.seed, self._begin, self.header.packet_frames, self.n_packets)
        while self.n_packets is None or index < self.n_packets:
            packet = scanner.next(index)
            if packet is None:
                break
            yield from map(self._lost, range(max(index, first), packet.index))
            index = packet.index + 1
            if packet.index >= first:
                fits = packet.level < self._parser.expectations.n_levels
                fits &= packet.n_frames == (self._frames(packet.index) or packet.n_frames)
                yield packet if fits else self._lost(packet.index)
        trailer = scanner.trailer()  # where it is known, what lies between the packets and it is counted
        if self._trailer is None and trailer and index <= trailer.n_packets <= self._most_packets(source):
            self._trailer = None if self._mismatch(trailer) else trailer
        self.truncated = self._trailer is None
        self.surplus = scanner.surplus
        yield from map(self._lost, range(max(index, first), self.n_packets or 0))

    def _is_intact(self, index: int) -> bool:
        """Whether packet `index` is where the seek table says."""
        if self._trailer is None:
            return False
        try:
            parser = self._parser.at(self._trailer, index, self._find(index))
            return next(self._pull(parser), None) is not None
        except BitstreamError:
            return False

    def _lost(self, index: int) -> Packet:
        return Packet(index, 0, self._frames(index) or self.header.packet_frames, b"", damaged=True)

    def _frames(self, index: int) -> int | None:
        """Frames of packet `index`; None if it may be the last one, and how many that has is not known."""
        if self._trailer and index < self._trailer.n_packets - 1:
            return self.header.packet_frames
        n_frames = self._parser.expectations.n_frames
        if self._trailer and n_frames:
            return n_frames(self._trailer.n_samples) - index * self.header.packet_frames
        return None

    def _seek_trailer(self) -> Trailer | None:
        assert self._base is not None
        end = self._stream.seek(0, 2) - self._base
        tail = Source(self._stream, max(end - 12, 0), self._base)
        tail.fill(12)
        length = layout.trailer_length(tail.data)
        source = Source(self._stream, max(end - length, self._begin), self._base)
        source.fill(length)
        trailer = layout.unpack_trailer(self._parser.seed, bytes(source.data))
        if self._lenient:
            # more packets than bytes could hold: bytes are missing, or someone asks for years of silence
            return trailer if trailer and trailer.n_packets <= self._most_packets(source) else None
        if not length:
            raise DamageError(
                "there is no end of a file: it was cut off, is still being written, or is followed by other bytes"
            )
        if trailer is None:
            raise DamageError("the trailer is damaged: its checksum or its length differs")
        listed, found = trailer.group_starts[-1], end - length - self._begin
        if listed != found:
            raise DamageError(
                f"bytes are missing or too many: packets take {listed} bytes according to the seek table, and {found} "
                f"are there"
            )
        return trailer

    def _most_packets(self, read: Source) -> int:
        return (read.offset + len(read.data) - self._begin) // layout.MIN_PACKET

    def _find(self, index: int) -> int:
        """Finds the offset of packet `index` by the seek table."""
        if index == 0 or self._trailer is None:
            return self._begin
        offset = self._begin + self._trailer.group_starts[index // GROUP]
        for member in range(index - index % GROUP, index):
            source = Source(self._stream, offset, self._base)
            source.fill(MAX_HEAD)
            head = layout.unpack_head(source.data, 0, self.header.packet_frames)
            if head is None:
                place = self._parser.expectations.place(member, offset)
                raise DamageError(f"{place} is damaged: it does not begin as a packet")
            offset += head.checksum + 4
        return offset

    def _mismatch(self, trailer: Trailer) -> str | None:
        return self._parser.expectations.mismatch(trailer, self.header.packet_frames)
