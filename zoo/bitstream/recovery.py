"""Finding a damaged file's intact packets again, wherever they are, in time linear in its bytes.

A checksum covers the file's header and the packet's index, of which the packet holds neither: so a candidate's checksum
can be solved for the index, and a false one gives any of 2**32. CRC-32 is linear: a candidate is checked from the
checksums of what lies before its two ends, at the same cost whatever length it claims, or hostile files could make
each byte claim millions.
"""

from __future__ import annotations

import functools
import heapq
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from zoo.bitstream import layout
from zoo.bitstream.layout import MAX_HEAD, MIN_PACKET, Head, Packet, Trailer
from zoo.errors import BitstreamError

_BLOCK = 256
_CHUNK = 1 << 16
_ONES = 0xFFFFFFFF
_MARKER = re.compile(bytes((0x5B, layout.FINAL_PACKET, layout.PACKET, 0x5D)))
_SMALL_GAP = 64  # a larger one must be confirmed by what follows: chance alone makes 2**-26 of the candidates fit
_END_CANDIDATES = 8


class Source:
    """Bytes of a stream from `offset` (of its first byte) on, read as they are needed; `data` grows at its end.

    Other users may move a seekable stream between reads. Raises BitstreamError where it cannot be read.
    """

    def __init__(self, stream: BinaryIO, offset: int, base: int | None) -> None:
        self.data = bytearray()
        self.offset = offset
        """position in the file of data[0]"""
        self._stream = stream
        self._base = base

    def take(self, n: int) -> bytes:
        """The next bytes, n at most, which are forgotten at once; none at the end. Nothing else may be held."""
        piece = self._read(min(n, _CHUNK), self._stream.read)
        self.offset += len(piece)
        return piece

    def fill(self, n: int) -> bool:
        """Whether there are n bytes; reads not one more."""
        while len(self.data) < n:
            # in pieces: a length that is a lie must not allocate
            piece = self._read(min(n - len(self.data), _CHUNK), self._stream.read)
            if not piece:
                return False
            self.data += piece
        return True

    def more(self) -> bool:
        """Reads whatever comes next; False at the end."""
        piece = self._read(_CHUNK, getattr(self._stream, "read1", self._stream.read))
        self.data += piece
        return bool(piece)

    def drop(self, n: int) -> None:
        """Forgets the first n bytes."""
        del self.data[:n]
        self.offset += n

    def _read(self, n: int, read: Callable[[int], bytes | None]) -> bytes:
        try:
            if self._base is not None:
                self._stream.seek(self._base + self.offset + len(self.data))
            return read(n) or b""
        except OSError as error:
            raise BitstreamError(f"cannot be read any further: {error.strerror or error}") from None


@dataclass(frozen=True)
class _Candidate:
    start: int
    head: Head
    index: int = -1

    @property
    def end(self) -> int:
        return self.head.checksum + 4


class Scanner:
    """Intact packets of a stream in order of their indices, from a position inside it."""

    # `begin`: the header's length; `n_packets`: None where no trailer is known
    def __init__(self, source: Source, seed: int, begin: int, packet_frames: int, n_packets: int | None) -> None:
        self._source = source
        self._seed = seed
        self._begin = begin
        self._packet_frames = packet_frames
        self._n_packets = n_packets
        self._cursor = 0
        self._marks = [0]  # checksum of all bytes before each block
        self._largest = 4096
        self.surplus = 0
        """bytes that were passed over: of no intact packet, nor of the trailer where that was looked for"""

    def next(self, index: int) -> Packet | None:
        """The next intact packet whose index is at least `index`; None if there is none up to the stream's end."""
        self._forget()
        found = self._at_cursor(index) or self._scan(index)
        if found is None:
            return None
        head, data = found.head, self._source.data
        self.surplus += found.start - self._cursor
        self._cursor = found.end
        self._largest = max(self._largest, head.checksum - head.payload)
        return Packet(found.index, head.level, head.n_frames, bytes(data[head.payload : head.checksum]))

    def trailer(self) -> Trailer | None:
        """The trailer, if an intact one follows; reads to the stream's end."""
        while self._source.more():
            pass
        found = self._find_trailer()
        if found is None:
            return None
        start, end, trailer = found
        self.surplus += start - self._cursor + len(self._source.data) - end
        return trailer

    def _at_cursor(self, index: int) -> _Candidate | None:
        # No chance can deceive here, where the index is known. But a length far beyond those before is probably
        # damaged, and on a pipe it may take long until so many bytes have come.
        source, start = self._source, self._cursor
        source.fill(start + MAX_HEAD)
        head = layout.unpack_head(source.data, start, self._packet_frames)
        if head is None or head.checksum - head.payload > 4 * self._largest or not source.fill(head.checksum + 4):
            return None
        return _Candidate(start, head, index) if self._index(start, head.checksum) == index else None

    def _scan(self, index: int) -> _Candidate | None:
        """The first candidate to be complete that fits; only what lies before its end is looked at."""
        source, data, search = self._source, self._source.data, self._cursor
        pending: list[tuple[int, int, Head]] = []
        unconfirmed: dict[int, _Candidate] = {}  # by where they end
        ended = False
        while True:
            match = _MARKER.search(data, search)
            search = match.start() if match else len(data)
            known = match is not None and (ended or search + MAX_HEAD <= len(data))
            if pending and pending[0][0] <= (search if known else len(data)):
                _, start, head = heapq.heappop(pending)
                found = _Candidate(start, head, self._index(start, head.checksum))
                before = unconfirmed.get(start)
                if before is not None and before.index == found.index - 1:
                    return before
                if index <= found.index and self._is_possible(found):
                    if found.index <= index + _SMALL_GAP:
                        return found
                    unconfirmed[found.end] = found
            elif known:
                candidate = layout.unpack_head(data, search, self._packet_frames)
                if candidate is not None:
                    heapq.heappush(pending, (candidate.checksum + 4, search, candidate))
                search += 1
            elif ended:
                break
            else:
                ended = not source.more()
        end = self._find_trailer()
        last = unconfirmed.get(end[0]) if end else None
        return last if end and last and end[2].n_packets == last.index + 1 else None

    def _is_possible(self, found: _Candidate) -> bool:
        if self._n_packets is not None:
            return found.index < self._n_packets
        # so many packets do not come out of so few bytes: keeps a crafted index from making years of silence
        return found.index * MIN_PACKET <= self._source.offset + found.start - self._begin

    def _find_trailer(self) -> tuple[int, int, Trailer] | None:
        """Where the last intact trailer begins and ends in the bytes that are held, and what it says."""
        data, end = self._source.data, len(self._source.data)
        for _ in range(_END_CANDIDATES):
            end = data.rfind(layout.END_MAGIC, self._cursor, end)
            if end < 0:
                break
            start = end + 4 - layout.trailer_length(data[max(end - 8, 0) : end + 4])
            if start >= self._cursor and (trailer := layout.unpack_trailer(self._seed, bytes(data[start : end + 4]))):
                return start, end + 4, trailer
        return None

    def _index(self, start: int, checksum: int) -> int:
        """The packet index for which the checksum of the bytes from `start` to it fits."""
        data = self._source.data
        stored = int.from_bytes(data[checksum : checksum + 4], "little")
        before = _back(stored ^ self._prefix(checksum), checksum - start) ^ self._prefix(start)
        return _back(before ^ _ONES, 4) ^ self._seed ^ _ONES

    def _prefix(self, position: int) -> int:
        data, marks = self._source.data, self._marks
        while len(marks) * _BLOCK <= position:
            first = (len(marks) - 1) * _BLOCK
            marks.append(zlib.crc32(data[first : first + _BLOCK], marks[-1]))
        block = position // _BLOCK
        return zlib.crc32(data[block * _BLOCK : position], marks[block])

    def _forget(self) -> None:
        # whole blocks only, and only those whose checksums the next ones no longer need
        blocks = min(self._cursor // _BLOCK, len(self._marks) - 1)
        if blocks * _BLOCK >= _CHUNK:
            self._source.drop(blocks * _BLOCK)
            del self._marks[:blocks]
            self._cursor -= blocks * _BLOCK


def _back(checksum: int, n_bytes: int) -> int:
    """The checksum from which n zero bytes lead to `checksum`, but for a constant that cancels out."""
    for place in range(3):
        if digit := n_bytes >> 8 * place & 0xFF:
            checksum = _multiply(_power(place, digit), checksum)
    return checksum


@functools.cache
def _power(place: int, digit: int) -> int:
    """Computes x**(-8 · digit · 256**place) modulo CRC-32's polynomial; x has order 2**32 - 1."""
    exponent = -8 * digit * 256**place % 0xFFFFFFFF
    power, square = 1 << 31, 1 << 30
    while exponent:
        if exponent & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        exponent >>= 1
    return power


def _multiply(a: int, b: int) -> int:
    """Product of polynomials over two elements modulo CRC-32's, bit-reversed as the checksum is: 1 is 2**31."""
    product = 0
    while a:
        if a & 0x80000000:
            product ^= b
        a = a << 1 & _ONES
        b = b >> 1 ^ (0xEDB88320 if b & 1 else 0)
    return product
