"""Bytes of a `.zac` file's header, packets and trailer, as FORMAT.md states them."""

from __future__ import annotations

import functools
import itertools
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from zoo.errors import BitstreamError

MAGIC = b"\x89ZAC"
END_MAGIC = b"CAZ\x89"
VERSION = 1
PACKET, FINAL_PACKET, TRAILER = 0xA5, 0xA4, 0x5A
GROUP = 8  # packets to an entry of the seek table: costs little, and finding a packet takes seven short reads more
MAX_PAYLOAD = (1 << 21) - 1  # three bytes of varint
MAX_PACKETS = 0xFFFFFFFF
MAX_HEAD = 7  # marker, level, frames (2), length (3)
MIN_PACKET = 7  # marker, level, length (1), checksum
MAX_CHANNELS, MAX_PACKET_FRAMES, MAX_SAMPLE_RATE = 64, 4096, 1_000_000

_PREFIX = struct.Struct("<4sBB")
_FIELDS = struct.Struct("<B16sIBH")
PREFIX_LENGTH = _PREFIX.size  # of a header: magic, version, and its length
HEADER_LENGTH = _PREFIX.size + _FIELDS.size + 4
_TRAILER_HEAD = struct.Struct("<BQI")
TRAILER_HEAD_LENGTH = _TRAILER_HEAD.size  # what comes before the seek table
_TRAILER_TAIL = struct.Struct("<II4s")
MIN_TRAILER = _TRAILER_HEAD.size + _TRAILER_TAIL.size
_MAX_GROUP_BYTES = 4  # of varint: 8 packets of MAX_PAYLOAD are below 2**28
_U32 = struct.Struct("<I")


@dataclass(frozen=True)
class Header:
    """What a file says once: raises BitstreamError for values that a `.zac` file cannot hold."""

    weights_hash: bytes
    """16 bytes that name the weights and hyper-parameters it was made with"""
    sample_rate: int
    """of the audio that went in, Hz"""
    channels: int
    """of the audio that went in"""
    packet_frames: int
    """latent frames of every packet but the last, which may hold fewer"""
    mid_side: bool = False
    """whether the two channels were coded as (left + right) / sqrt 2 and (left - right) / sqrt 2"""

    def __post_init__(self) -> None:
        if len(self.weights_hash) != 16:
            raise BitstreamError(f"a hash of weights has 16 bytes, not {len(self.weights_hash)}")
        for value, name, largest in (
            (self.sample_rate, "Hz", MAX_SAMPLE_RATE),
            (self.channels, "channels", MAX_CHANNELS),
            (self.packet_frames, "frames to a packet", MAX_PACKET_FRAMES),
        ):
            if not 1 <= value <= largest:
                raise BitstreamError(f"{value} {name}: a .zac file holds 1 to {largest}")
        if self.mid_side and self.channels != 2:
            raise BitstreamError(f"mid/side needs 2 channels, not {self.channels}")


@dataclass(frozen=True)
class Packet:
    """About a second of codes; the payload is for the entropy coder. A damaged one is empty, at a level of 0."""

    index: int
    level: int
    n_frames: int
    payload: bytes
    damaged: bool = False


class Head(NamedTuple):
    """Start of a packet: where its parts are, counted as the position that it was read at."""

    level: int
    n_frames: int
    final: bool
    payload: int
    """position of the payload's first byte"""
    checksum: int
    """position of the checksum, the byte after the payload"""


@dataclass(frozen=True)
class Trailer:
    """What stands behind the packets: how much they hold, and the seek table."""

    n_samples: int
    n_packets: int
    group_bytes: tuple[int, ...]
    """bytes of each 8 consecutive packets, heads and checksums included"""

    @functools.cached_property
    def group_starts(self) -> list[int]:
        """Bytes before each 8 consecutive packets, counted from the header's end; the last entry is those of all."""
        return list(itertools.accumulate(self.group_bytes, initial=0))


def pack_header(header: Header) -> bytes:
    flags = int(header.mid_side)
    fields = (flags, header.weights_hash, header.sample_rate, header.channels, header.packet_frames)
    data = _PREFIX.pack(MAGIC, VERSION, HEADER_LENGTH) + _FIELDS.pack(*fields)
    return data + _U32.pack(zlib.crc32(data))


def header_length(prefix: bytes) -> int:
    """Length of the header that begins with these 6 bytes (or fewer, where the file has no more)."""
    if not prefix:
        raise BitstreamError("not a .zac file: it ends before the signature of one")
    if prefix[:4] != MAGIC[: len(prefix)]:
        raise BitstreamError("not a .zac file: it does not begin with the signature of one")
    if len(prefix) < _PREFIX.size:
        raise BitstreamError("the file ends inside its header")
    _, version, length = _PREFIX.unpack(prefix)
    if version != VERSION:
        raise BitstreamError(f"a .zac file of version {version}; this program reads version {VERSION}")
    if length < HEADER_LENGTH:
        raise BitstreamError("the header is damaged: its length is wrong")
    return int(length)


def unpack_header(data: bytes) -> Header:
    """Parses a header, the inverse of `pack_header`; `data` is all of it, and may hold fields that were added later."""
    if _U32.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
        raise BitstreamError("the header is damaged: its checksum differs")
    flags, weights_hash, sample_rate, channels, packet_frames = _FIELDS.unpack_from(data, _PREFIX.size)
    if flags > 1:
        raise BitstreamError(f"the file uses a feature that this program lacks (flags {flags:#04x})")
    return Header(weights_hash, sample_rate, channels, packet_frames, bool(flags))


def seed(header: bytes) -> int:
    """What all later checksums continue from, so that no packet of another file fits in."""
    return zlib.crc32(header[-4:])


def pack_packet(seed: int, index: int, level: int, payload: bytes, n_frames: int | None = None) -> bytes:
    """Bytes of a packet; `n_frames` is given for a final one."""
    marker = PACKET if n_frames is None else FINAL_PACKET
    frames = b"" if n_frames is None else pack_varint(n_frames)
    data = bytes((marker, level)) + frames + pack_varint(len(payload)) + payload
    return data + _U32.pack(packet_checksum(seed, index, data))


def packet_checksum(seed: int, index: int, data: bytes) -> int:
    """Checksum of a packet's bytes, marker to payload, at this place of this file."""
    return zlib.crc32(data, zlib.crc32(_U32.pack(index), seed))


def is_intact(seed: int, index: int, packet: bytes) -> bool:
    """Whether the last four bytes of a packet are its checksum at this place of this file."""
    return packet_checksum(seed, index, packet[:-4]) == _U32.unpack_from(packet, len(packet) - 4)[0]


def unpack_head(data: bytes | bytearray, start: int, packet_frames: int) -> Head | None:
    """Head of a packet that begins at `start`; None if there is none or not all of it."""
    if len(data) < start + 2 or data[start] not in (PACKET, FINAL_PACKET):
        return None
    position, n_frames = start + 2, packet_frames
    final = data[start] == FINAL_PACKET
    if final:
        n_frames, position = unpack_varint(data, position, 2)
        if not 1 <= n_frames <= packet_frames:
            return None
    length, position = unpack_varint(data, position, 3)
    return None if length < 0 else Head(data[start + 1], n_frames, final, position, position + length)


def pack_trailer(seed: int, n_samples: int, n_packets: int, group_bytes: tuple[int, ...] | list[int]) -> bytes:
    data = _TRAILER_HEAD.pack(TRAILER, n_samples, n_packets) + b"".join(map(pack_varint, group_bytes))
    data += _U32.pack(len(data) + _TRAILER_TAIL.size)
    return data + _U32.pack(zlib.crc32(data, seed)) + END_MAGIC


def trailer_length(tail: bytes | bytearray) -> int:
    """Length of the trailer that ends with these 12 bytes; 0 if none does."""
    if len(tail) != _TRAILER_TAIL.size:
        return 0
    length, _, magic = _TRAILER_TAIL.unpack(tail)
    return int(length) if magic == END_MAGIC and length >= MIN_TRAILER else 0


def unpack_trailer_head(data: bytes) -> tuple[int, int]:
    """Numbers of samples and packets, by the first 13 bytes of a trailer."""
    _, n_samples, n_packets = _TRAILER_HEAD.unpack(data)
    return n_samples, n_packets


def unpack_trailer(seed: int, data: bytes) -> Trailer | None:
    """Parses a trailer, the inverse of `pack_trailer`; None if `data` is not exactly one whole trailer of this file."""
    if len(data) < MIN_TRAILER or trailer_length(data[-12:]) != len(data) or data[0] != TRAILER:
        return None
    if zlib.crc32(data[:-8], seed) != _U32.unpack(data[-8:-4])[0]:
        return None
    n_samples, n_packets = unpack_trailer_head(data[:TRAILER_HEAD_LENGTH])
    groups: list[int] = []
    position = _TRAILER_HEAD.size
    table = data[: -_TRAILER_TAIL.size]
    while position < len(table):
        size, position = unpack_varint(table, position, _MAX_GROUP_BYTES)
        members = min(GROUP, n_packets - GROUP * len(groups))
        if members <= 0 or size < members * MIN_PACKET:
            return None
        groups.append(size)
    if len(groups) != -(-n_packets // GROUP):
        return None
    return Trailer(n_samples, n_packets, tuple(groups))


def pack_varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first; all but the last byte have their highest bit set."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def unpack_varint(data: bytes | bytearray, position: int, most: int) -> tuple[int, int]:
    """Value and the position after it; value -1 if it is cut off, takes more than `most` bytes or than it needs."""
    value = 0
    for k, byte in enumerate(data[position : position + most]):
        value |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            return (value if byte or not k else -1), position + k + 1
    return -1, position
