"""A strict reader of `.zac` files in plain Python, written from FORMAT.md alone; it shares nothing with the package."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


class Refused(Exception):
    """A file that departs from the format."""


@dataclass(frozen=True)
class File:
    weights_hash: bytes
    sample_rate: int
    channels: int
    packet_frames: int
    mid_side: bool
    n_samples: int
    packets: list[tuple[int, int, bytes]]
    """level, frames, payload of each"""


def read(data: bytes) -> File:
    """Contents of a whole file; raises Refused."""
    if data[:4] != b"\x89ZAC" or _integer(data, 4, 1) != 1:
        raise Refused("magic or version")
    header_length = _integer(data, 5, 1)
    if header_length < 34:
        raise Refused("header length")
    header_crc = data[header_length - 4 : header_length]
    if _integer(data, header_length - 4, 4) != crc(data[: header_length - 4]):
        raise Refused("header checksum")
    flags = data[6]
    sample_rate, channels, packet_frames = _integer(data, 23, 4), data[27], _integer(data, 28, 2)
    if flags > 1 or not 1 <= sample_rate <= 1000000 or not 1 <= channels <= 64 or not 1 <= packet_frames <= 4096:
        raise Refused("header values")
    if flags and channels != 2:
        raise Refused("mid/side")

    packets: list[tuple[int, int, bytes]] = []
    lengths: list[int] = []
    position, ended = header_length, False
    while (marker := _integer(data, position, 1)) != 0x5A:
        if marker not in (0xA4, 0xA5) or ended:
            raise Refused("marker")
        start = position
        level = _integer(data, position + 1, 1)
        position += 2
        n_frames = packet_frames
        if marker == 0xA4:
            ended = True
            n_frames, position = _varint(data, position, 2)
            if not 1 <= n_frames <= packet_frames:
                raise Refused("frames")
        length, position = _varint(data, position, 3)
        covered = header_crc + len(packets).to_bytes(4, "little") + data[start : position + length]
        stored = _integer(data, position + length, 4)
        if stored != crc(covered):
            raise Refused("packet checksum")
        packets.append((level, n_frames, data[position : position + length]))
        position += length + 4
        lengths.append(position - start)

    start = position
    n_samples, n_packets = _integer(data, start + 1, 8), _integer(data, start + 9, 4)
    if n_packets != len(packets):
        raise Refused("number of packets")
    position = start + 13
    for group in range(0, n_packets, 8):
        size, position = _varint(data, position, 4)
        if size != sum(lengths[group : group + 8]):
            raise Refused("seek table")
    if _integer(data, position, 4) != position + 12 - start:
        raise Refused("trailer length")
    if _integer(data, position + 4, 4) != crc(header_crc + data[start : position + 4]):
        raise Refused("trailer checksum")
    if data[position + 8 :] != b"CAZ\x89":
        raise Refused("end magic")
    return File(data[7:23], sample_rate, channels, packet_frames, bool(flags), n_samples, packets)


def crc(data: bytes) -> int:
    return zlib.crc32(data)


def _integer(data: bytes, position: int, size: int) -> int:
    if position + size > len(data):
        raise Refused("the file ends too early")
    return int.from_bytes(data[position : position + size], "little")


def _varint(data: bytes, position: int, most: int) -> tuple[int, int]:
    value = 0
    for k in range(most):
        byte = _integer(data, position + k, 1)
        value += (byte & 0x7F) << 7 * k
        if byte < 0x80:
            if byte == 0 and k > 0:
                raise Refused("a varint longer than needed")
            return value, position + k + 1
    raise Refused("a varint too long")
