"""Coded audio as a `.zac` file or pipe: a header, a packet for each second or so, a trailer (FORMAT.md)."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from zoo.bitstream import layout
from zoo.bitstream.layout import GROUP, MAX_HEAD, MAX_PAYLOAD, Header, Packet, Trailer
from zoo.bitstream.recovery import Scanner, Source
from zoo.errors import BitstreamError

__all__ = ["ContainerReader", "ContainerWriter", "Header", "Packet"]

_U32 = struct.Struct("<I")


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
        if self.n_packets == 0xFFFFFFFF:
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
        source = Source(stream, 0, self._base)
        source.fill(layout.PREFIX_LENGTH)
        length = layout.header_length(bytes(source.data))
        if not source.fill(length):
            raise BitstreamError("the file ends inside its header")
        self.header: Header = layout.unpack_header(bytes(source.data))
        self._seed = layout.seed(bytes(source.data))
        self._begin = length
        self._packet_s: float | None = None
        self._n_levels = 256
        self._n_frames: Callable[[int], int] | None = None
        self._trailer: Trailer | None = None
        self._starts = [length]
        self._is_read = False
        self.truncated = False
        """after a lenient reading: whether there was no intact trailer, so that packets may be missing at the end"""
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
        self._n_levels = self._n_levels if n_levels is None else n_levels
        self._packet_s = self._packet_s if packet_s is None else packet_s
        self._n_frames = self._n_frames if n_frames is None else n_frames
        if self._trailer and (complaint := self._mismatch(self._trailer)):
            if not self._lenient:
                raise BitstreamError(complaint)
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
        index, source = first, Source(self._stream, self._find(first), self._base)
        starts: list[int] = []
        while not self._is_end(source, index):
            if index % GROUP == 0:
                starts.append(source.offset)
                if self._trailer and source.offset != self._starts[index // GROUP]:
                    raise BitstreamError(f"{self._place(index, source)} is not where the seek table says")
            packet, final = self._next_packet(source, index)
            index += 1
            if final and not self._is_end(source, index):
                raise BitstreamError(f"{self._place(index - 1)} says that it is the last one, but more follows")
            if self._trailer and index == self.n_packets:
                self._check_frames(self._trailer, packet.n_frames)
            yield packet
        if self._trailer is None:
            self._trailer = self._end_of_pipe(source, index, [*starts, source.offset])
            if index:
                self._check_frames(self._trailer, packet.n_frames)
        elif source.offset != self._starts[-1]:
            raise BitstreamError(f"{self._place(index - 1)} does not end where the seek table says")

    def _is_end(self, source: Source, index: int) -> bool:
        if self._trailer:
            return index == self.n_packets
        return source.fill(1) and source.data[0] == layout.TRAILER

    def _next_packet(self, source: Source, index: int) -> tuple[Packet, bool]:
        """The packet that `source` is at, which is moved behind it, and whether it is marked as the final one."""
        place = self._place(index, source)
        if not source.fill(1):
            raise BitstreamError(f"the file ends before {place}, without a trailer: it was cut off")
        is_whole = source.fill(MAX_HEAD)
        head = layout.unpack_head(source.data, 0, self.header.packet_frames)
        if head is None and is_whole:
            raise BitstreamError(f"{place} is damaged: it does not begin as a packet")
        if head is None or not source.fill(head.checksum + 4):
            raise BitstreamError(f"the file ends inside {place}: it was cut off, or the packet is damaged")
        data = bytes(source.data[: head.checksum])
        if layout.packet_checksum(self._seed, index, data) != _U32.unpack_from(source.data, head.checksum)[0]:
            raise BitstreamError(f"{place} is damaged: its checksum differs")
        if head.level >= self._n_levels:
            raise BitstreamError(f"{place} has level {head.level}; the model has {self._n_levels}")
        source.drop(head.checksum + 4)
        return Packet(index, head.level, head.n_frames, data[head.payload :]), head.final

    def _recovered(self, first: int) -> Iterator[Packet]:
        index, offset = 0, self._begin
        if first and self._trailer:
            try:
                offset = self._find(first)
                self._next_packet(Source(self._stream, offset, self._base), first)
                index = first
            except BitstreamError:
                offset = self._begin  # bytes are missing or too many: only a search from the beginning finds it
        source = Source(self._stream, offset, self._base)
        scanner = Scanner(source, self._seed, self._begin, self.header.packet_frames, self.n_packets)
        while self.n_packets is None or index < self.n_packets:
            packet = scanner.next(index)
            if packet is None:
                break
            yield from map(self._lost, range(max(index, first), packet.index))
            index = packet.index + 1
            if packet.index >= first:
                fits = packet.level < self._n_levels and packet.n_frames == (
                    self._frames(packet.index) or packet.n_frames
                )
                yield packet if fits else self._lost(packet.index)
        if self._trailer is None:
            trailer = scanner.trailer()
            if trailer and index <= trailer.n_packets <= self._most_packets(source) and not self._mismatch(trailer):
                self._trailer = trailer
        self.truncated = self._trailer is None
        yield from map(self._lost, range(max(index, first), self.n_packets or 0))

    def _lost(self, index: int) -> Packet:
        return Packet(index, 0, self._frames(index) or self.header.packet_frames, b"", damaged=True)

    def _frames(self, index: int) -> int | None:
        """Frames of packet `index`; None if it may be the last one, and how many that has is not known."""
        if self._trailer and index < self._trailer.n_packets - 1:
            return self.header.packet_frames
        if self._trailer and self._n_frames:
            return self._n_frames(self._trailer.n_samples) - index * self.header.packet_frames
        return None

    def _seek_trailer(self) -> Trailer | None:
        assert self._base is not None
        end = self._stream.seek(0, 2) - self._base
        tail = Source(self._stream, max(end - 12, 0), self._base)
        tail.fill(12)
        length = layout.trailer_length(tail.data)
        source = Source(self._stream, max(end - length, self._begin), self._base)
        source.fill(length)
        trailer = layout.unpack_trailer(self._seed, bytes(source.data))
        if trailer is not None:
            self._starts = list(itertools.accumulate(trailer.group_bytes, initial=self._begin))
        if self._lenient:
            # more packets than bytes could hold: bytes are missing, or someone asks for years of silence
            return trailer if trailer and trailer.n_packets <= self._most_packets(source) else None
        if not length:
            raise BitstreamError("the end of the file is missing: it was cut off, or is still being written")
        if trailer is None:
            raise BitstreamError("the trailer is damaged: its checksum or its length differs")
        if self._starts[-1] != end - length:
            raise BitstreamError(
                f"bytes are missing or too many: packets take {self._starts[-1] - self._begin} bytes according to the "
                f"seek table, and {end - length - self._begin} are there"
            )
        return trailer

    def _most_packets(self, read: Source) -> int:
        return (read.offset + len(read.data) - self._begin) // layout.MIN_PACKET

    def _end_of_pipe(self, source: Source, n_packets: int, starts: list[int]) -> Trailer:
        if source.fill(layout.max_trailer(n_packets) + 1):
            raise BitstreamError(f"{n_packets} packets are followed by a damaged trailer, or it by other bytes")
        trailer = layout.unpack_trailer(self._seed, bytes(source.data))
        if trailer is None:
            raise BitstreamError(
                f"the trailer after {n_packets} packets is damaged, cut off, or followed by other bytes"
            )
        if trailer.n_packets != n_packets:
            raise BitstreamError(f"the trailer counts {trailer.n_packets} packets, but there are {n_packets}")
        if trailer.group_bytes != tuple(b - a for a, b in itertools.pairwise(starts)):
            raise BitstreamError("the seek table says other lengths than the packets have")
        if complaint := self._mismatch(trailer):
            raise BitstreamError(complaint)
        return trailer

    def _find(self, index: int) -> int:
        """Where packet `index` begins, by the seek table."""
        if index == 0 or self._trailer is None:
            return self._begin
        offset = self._starts[index // GROUP]
        for member in range(index - index % GROUP, index):
            source = Source(self._stream, offset, self._base)
            source.fill(MAX_HEAD)
            head = layout.unpack_head(source.data, 0, self.header.packet_frames)
            if head is None:
                raise BitstreamError(f"{self._place(member, source)} is damaged: it does not begin as a packet")
            offset += head.checksum + 4
        return offset

    def _mismatch(self, trailer: Trailer) -> str | None:
        if self._n_frames is None:
            return None
        n_packets = -(-self._n_frames(trailer.n_samples) // self.header.packet_frames)
        if n_packets == trailer.n_packets:
            return None
        return f"{trailer.n_samples} samples take {n_packets} packets, but the trailer counts {trailer.n_packets}"

    def _check_frames(self, trailer: Trailer, last: int) -> None:
        n_frames = (trailer.n_packets - 1) * self.header.packet_frames + last
        if self._n_frames and (expected := self._n_frames(trailer.n_samples)) != n_frames:
            raise BitstreamError(f"{trailer.n_samples} samples take {expected} frames, but the file has {n_frames}")

    def _place(self, index: int, source: Source | None = None) -> str:
        if self._packet_s is None:
            return f"packet {index} (byte {source.offset})" if source else f"packet {index}"
        minutes, seconds = divmod(int(index * self._packet_s), 60)
        hours, minutes = divmod(minutes, 60)
        return f"packet {index} (at {f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02})"
