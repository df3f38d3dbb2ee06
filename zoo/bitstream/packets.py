"""The bytes of a `.zac` file, in pieces of any size, to packets: refuses all that FORMAT.md has a reader refuse."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zoo.bitstream import layout
from zoo.bitstream.layout import GROUP, MAX_HEAD, MAX_PACKETS, Head, Header, Packet, Trailer
from zoo.errors import BitstreamError, DamageError


@dataclass(frozen=True)
class Expectations:
    """What only the model knows of a file; by default nothing."""

    n_levels: int = 256
    """each packet's level must be below it"""
    packet_s: float | None = None
    """duration of a full packet, seconds: puts times into messages"""
    n_frames: Callable[[int], int] | None = None
    """frames, of all packets together, that stand for so many samples at the source's rate"""

    def updated(self, **known: Any) -> Expectations:
        """These, but for the fields that are given and not None."""
        return replace(self, **{name: value for name, value in known.items() if value is not None})

    def place(self, index: int, offset: int | None = None) -> str:
        """A packet as messages name it: by its time, or where that is not known by the byte that it begins at."""
        if self.packet_s is None:
            return f"packet {index}" if offset is None else f"packet {index} (byte {offset})"
        minutes, seconds = divmod(int(index * self.packet_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"packet {index} (at {f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02})"

    def mismatch(self, trailer: Trailer, packet_frames: int) -> str | None:
        """Complaint about a trailer that counts other packets than its samples take."""
        if self.n_frames is None:
            return None
        n_packets = -(-self.n_frames(trailer.n_samples) // packet_frames)
        if n_packets == trailer.n_packets:
            return None
        return f"{trailer.n_samples} samples take {n_packets} packets, but the trailer counts {trailer.n_packets}"


class PacketParser:
    """The one strict parser of `.zac` files: takes their bytes in pieces of any size and gives the packets in them.

    Raises BitstreamError, one line that says where, for anything that FORMAT.md tells a reader to refuse, and again
    whenever it is called after that. It takes time linear in the bytes, however they are cut, and remembers no more
    than the bytes of the packet, or of the trailer, that is not complete yet.
    """

    def __init__(self) -> None:
        self.header: Header | None = None
        """None until all of it has come"""
        self.header_length = 0
        """bytes"""
        self.seed = 0
        """what the file's checksums continue from"""
        self.trailer: Trailer | None = None
        """None until all of it has come, unless it was known beforehand"""
        self.n_packets = 0
        """number of the next packet"""
        self.expectations = Expectations()
        self._known: Trailer | None = None  # beforehand
        self._packet_frames = 0
        self._fault: str | None = None
        self._buffer = bytearray()
        self._start = 0  # of what is to be parsed next, in the buffer
        self._offset = 0  # of the buffer's first byte, in the file
        self._needed = layout.PREFIX_LENGTH  # bytes from `_start` on, without which `_step` is not to be called
        # a function, not a method of this object, or it would refer to itself
        self._step: Callable[[PacketParser], Packet | None] | None = PacketParser._take_prefix
        self._head = Head(0, 0, False, 0, 0)
        self._final = False  # whether the last packet was marked as the final one
        self._last_frames = 0
        # the seek table as it must be: a digest, since the table itself grows with the stream
        self._table = hashlib.blake2b(digest_size=32)
        self._table_length = 0
        self._group_offset = 0

    @property
    def wanted(self) -> int:
        """Bytes at least that must still come before anything can be made of them; 0 at the end.

        Who reads just so many from a pipe never waits for a byte that a packet does not need.
        """
        return self._needed - len(self._buffer) if self._step else 0

    @property
    def offset(self) -> int:
        """The offset in the file of the bytes that are to come next."""
        return self._offset + len(self._buffer)

    def expect(
        self,
        *,
        n_levels: int | None = None,
        packet_s: float | None = None,
        n_frames: Callable[[int], int] | None = None,
    ) -> None:
        """Says what only the model knows (see `Expectations`), so that it is checked too, from the next packet on.

        Raises BitstreamError if a trailer that is known counts other packets than its samples take.
        """
        self.expectations = self.expectations.updated(n_levels=n_levels, packet_s=packet_s, n_frames=n_frames)
        if self.trailer:
            self._check_packets(self.trailer)

    def at(self, trailer: Trailer, first: int, offset: int) -> PacketParser:
        """A parser of the same file that begins with packet `first`, at byte `offset`, and ends after the last packet.

        The header must be known; the trailer is taken for granted, and the packets must be where its table says.
        """
        other = PacketParser()
        other.header, other.header_length, other.seed = self.header, self.header_length, self.seed
        other.expectations, other._packet_frames = self.expectations, self._packet_frames
        other.trailer = other._known = trailer
        other.n_packets, other._offset = first, offset
        other._await_packet()
        return other

    def push(self, data: bytes) -> list[Packet]:
        """The packets that these bytes complete; those that come before a fault in the same bytes are not given out."""
        self.feed(data)
        packets = []
        while (packet := self.next()) is not None:
            packets.append(packet)
        return packets

    def feed(self, data: bytes) -> None:
        """Takes bytes for `next`, without looking at them."""
        if self._fault is None:
            self._buffer += data

    def next(self) -> Packet | None:
        """The next packet, if all of it has been fed. Those before a fault are given out before it is raised."""
        if self._fault is not None:
            raise self._error(self._fault)
        held = len(self._buffer)
        try:
            while self._step is not None and held - self._start >= self._needed:
                if (packet := self._step(self)) is not None:
                    return packet
            if self._step is None and held > self._start:
                raise BitstreamError("the trailer is followed by other bytes")
        except BitstreamError as error:
            self._fault = str(error)
            self._buffer.clear()
            raise self._error(self._fault) from None
        if self._start:
            del self._buffer[: self._start]
            self._offset += self._start
            self._start = 0
        return None

    def finish(self) -> Trailer:
        """The trailer, if the bytes so far are a whole file; raises BitstreamError if they are not."""
        if self._fault is not None:
            raise self._error(self._fault)
        if self._step is None and self.trailer:
            return self.trailer
        if self.header is None:
            layout.header_length(bytes(self._buffer[: layout.PREFIX_LENGTH]))
            raise BitstreamError("the file ends inside its header")
        place = self.expectations.place(self.n_packets, self._offset)
        if not self._buffer:
            raise DamageError(f"the file ends before {place}, without a trailer: it was cut off")
        if self._buffer[0] == layout.TRAILER and not self._known:
            raise DamageError("the file ends inside its trailer: it was cut off, or the trailer is damaged")
        raise DamageError(f"the file ends inside {place}: it was cut off, or the packet is damaged")

    def _take_prefix(self) -> None:
        self._needed = layout.header_length(bytes(self._buffer[: layout.PREFIX_LENGTH]))
        self._step = PacketParser._take_header

    def _take_header(self) -> None:
        raw = bytes(self._buffer[: self._needed])
        header = layout.unpack_header(raw)
        self.seed, self.header_length, self.header = layout.seed(raw), len(raw), header
        self._packet_frames = header.packet_frames
        self._start = self._group_offset = len(raw)
        self._await_packet()

    def _await_packet(self) -> None:
        """What comes after the header, and after each packet."""
        offset = self._offset + self._start
        if self._known:
            table = self._known.group_starts
            if self.n_packets == self._known.n_packets:
                if offset != self.header_length + table[-1]:
                    place = self.expectations.place(self.n_packets - 1)
                    raise BitstreamError(f"{place} does not end where the seek table says")
                self._step = None
                return
            if self.n_packets % GROUP == 0 and offset != self.header_length + table[self.n_packets // GROUP]:
                place = self.expectations.place(self.n_packets, offset)
                raise BitstreamError(f"{place} is not where the seek table says")
        elif self.n_packets % GROUP == 0:
            self._end_group(offset)
        self._needed = MAX_HEAD  # no packet is shorter, nor a trailer
        self._step = PacketParser._take_head

    def _end_group(self, offset: int) -> None:
        if offset > self._group_offset:
            entry = layout.pack_varint(offset - self._group_offset)
            self._table.update(entry)
            self._table_length += len(entry)
            self._group_offset = offset

    def _take_head(self) -> None:
        data = self._buffer[self._start : self._start + MAX_HEAD]
        if data[0] == layout.TRAILER and not self._known:
            self._end_group(self._offset + self._start)
            self._needed = layout.TRAILER_HEAD_LENGTH
            self._step = PacketParser._take_trailer_head
            return
        if self._final:
            raise self._not_the_last(self.n_packets - 1)
        if self.n_packets == MAX_PACKETS:
            raise BitstreamError(f"more packets than the {MAX_PACKETS} that a .zac file can hold")
        head = layout.unpack_head(data, 0, self._packet_frames)
        if head is None:
            raise BitstreamError(f"{self._place()} is damaged: it does not begin as a packet")
        self._head = head
        self._needed = head.checksum + 4
        self._step = PacketParser._take_packet

    def _take_packet(self) -> Packet:
        index, head, end = self.n_packets, self._head, self._start + self._needed
        data = bytes(self._buffer[self._start : end])
        if not layout.is_intact(self.seed, index, data):
            raise BitstreamError(f"{self._place()} is damaged: its checksum differs")
        if head.level >= self.expectations.n_levels:
            raise BitstreamError(f"{self._place()} has level {head.level}; the model has {self.expectations.n_levels}")
        self._final, self._last_frames = head.final, head.n_frames
        self.n_packets += 1
        if self._known:
            if self.n_packets == self._known.n_packets:
                self._check_frames(self._known)
            elif head.final:
                raise self._not_the_last(index)
        self._start = end
        self._await_packet()
        return Packet(index, head.level, head.n_frames, data[head.payload : head.checksum])

    def _take_trailer_head(self) -> None:
        data = bytes(self._buffer[self._start : self._start + layout.TRAILER_HEAD_LENGTH])
        _, n_packets = layout.unpack_trailer_head(data)
        if n_packets != self.n_packets:
            raise BitstreamError(f"the trailer counts {n_packets} packets, but there are {self.n_packets}")
        self._needed = layout.TRAILER_HEAD_LENGTH + self._table_length
        self._step = PacketParser._take_table

    def _take_table(self) -> None:
        table = self._buffer[self._start + layout.TRAILER_HEAD_LENGTH : self._start + self._needed]
        if hashlib.blake2b(table, digest_size=32).digest() != self._table.digest():
            raise BitstreamError("the seek table says other lengths than the packets have, or is damaged")
        self._needed = layout.MIN_TRAILER + self._table_length
        self._step = PacketParser._take_trailer

    def _take_trailer(self) -> None:
        data = bytes(self._buffer[self._start : self._start + self._needed])
        trailer = layout.unpack_trailer(self.seed, data)
        if trailer is None:
            raise BitstreamError(f"the trailer after {self.n_packets} packets is damaged: its checksum or end differs")
        self._check_packets(trailer)
        if self.n_packets:
            self._check_frames(trailer)
        self.trailer = trailer
        self._start += self._needed
        self._step = None

    def _check_packets(self, trailer: Trailer) -> None:
        if complaint := self.expectations.mismatch(trailer, self._packet_frames):
            raise BitstreamError(complaint)

    def _check_frames(self, trailer: Trailer) -> None:
        found = (trailer.n_packets - 1) * self._packet_frames + self._last_frames
        n_frames = self.expectations.n_frames
        if n_frames and (expected := n_frames(trailer.n_samples)) != found:
            raise BitstreamError(f"{trailer.n_samples} samples take {expected} frames, but the file has {found}")

    def _not_the_last(self, index: int) -> BitstreamError:
        return BitstreamError(f"{self.expectations.place(index)} says that it is the last one, but more follows")

    def _error(self, fault: str) -> BitstreamError:
        return BitstreamError(fault) if self.header is None else DamageError(fault)

    def _place(self) -> str:
        return self.expectations.place(self.n_packets, self._offset + self._start)
