"""FLAC (RFC 9639): the true length of a file, which its header may leave open (streams) or say wrongly (cut files).

The last frame tells its place. libsndfile is shown the file with that length in its header, and without what lies
before and behind the stream (ID3 tags, which libFLAC takes for damage).
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from zoo.audio.decoders import library, mpeg
from zoo.audio.decoders.crc import crc
from zoo.audio.decoders.library import LibraryPart
from zoo.audio.decoders.view import Piece
from zoo.errors import ZooError

_LENGTH_AT = 21  # bytes behind "fLaC": 4 bits, and the 4 bytes after them
_TAIL_BYTES = 1 << 20  # a frame is at most 65,535 samples
_TRIED = 8  # frames from the end: one may be cut off, and one header of 256 × 2^14 bytes is none
_BLOCK_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True)
class Flac:
    """What a FLAC file holds; `header_samples` is None where its header leaves the length open."""

    part: LibraryPart
    header_samples: int | None
    warning: str | None


def inspect(path: Path) -> Flac | None:
    """Rate, channels and true length of a file; None if it is no native FLAC. Raises ZooError where it is damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = mpeg.behind_id3(data, 0)
        if data[start : start + 4] != b"fLaC" or len(data) < start + 42:
            return None
        end = mpeg.audio_end(data)
        head = bytearray(data[start : start + 42])
        info = int.from_bytes(head[18:26])
        sample_rate, channels, header = info >> 44, (info >> 41 & 7) + 1, info & (1 << 36) - 1
        is_plain = start == 0 and end == len(data)
        frames = [first + n for first, n in _last_frames(data, start, end, int.from_bytes(head[10:12]))]
    # The last header says where its frame ends; but it may be cut off, or be a chance likeness of one.
    n_samples = 0
    for end_of_frame in (header, *frames) if header in frames else frames:
        pieces = () if is_plain and end_of_frame == header else _pieces(head, end_of_frame, start, end)
        if library.ends_at(path, pieces, end_of_frame):
            n_samples = end_of_frame
            break
    if not n_samples:
        raise ZooError(f"{path}: holds no samples")
    warning = None
    if header not in (0, n_samples):
        warning = f"{path}: holds {n_samples} samples, its header promises {header}"
    return Flac(LibraryPart(sample_rate, channels, n_samples, pieces=pieces), header or None, warning)


def _pieces(head: bytearray, n_samples: int, start: int, end: int) -> tuple[Piece, ...]:
    patched = bytearray(head)
    patched[_LENGTH_AT] = patched[_LENGTH_AT] & 0xF0 | n_samples >> 32
    patched[_LENGTH_AT + 1 : _LENGTH_AT + 5] = (n_samples & 0xFFFFFFFF).to_bytes(4)
    return (bytes(patched), (start + len(head), end - start - len(head)))


def _last_frames(data: mmap.mmap, start: int, end: int, block_size: int) -> list[tuple[int, int]]:
    """First sample and length of the last frames that begin, the last one first."""
    found: list[tuple[int, int]] = []
    place = end
    while len(found) < _TRIED and (place := data.rfind(b"\xff", max(end - _TAIL_BYTES, start + 42), place)) >= 0:
        if data[place + 1 : place + 2] in (b"\xf8", b"\xf9") and (frame := _frame(data, place, block_size)):
            found.append(frame)
    return found


def _frame(data: mmap.mmap, place: int, block_size: int) -> tuple[int, int] | None:
    """First sample and number of samples of a frame by its header; None if this is none."""
    head = data[place : place + 16].ljust(16, b"\0")  # a frame of silence takes fewer
    if head[3] & 1:
        return None
    size_code, hz_code = head[2] >> 4, head[2] & 15
    # the number is coded as UTF-8 codes characters, in up to seven bytes
    n_ones = 8 - (~head[4] & 0xFF).bit_length()
    if n_ones in (1, 8) or size_code == 0 or hz_code == 15:
        return None
    number = head[4] & (0x7F >> n_ones)
    at = 5
    for _ in range(max(n_ones - 1, 0)):
        number = number << 6 | head[at] & 0x3F
        at += 1
    n = _BLOCK_SIZES[size_code]
    if size_code in (6, 7):
        n = int.from_bytes(head[at : at + size_code - 5]) + 1
        at += size_code - 5
    at += {12: 1, 13: 2, 14: 2}.get(hz_code, 0)
    if at >= 16 or crc(head[:at], 8, 0x07) != head[at]:
        return None
    return (number if head[1] & 1 else number * block_size), n
