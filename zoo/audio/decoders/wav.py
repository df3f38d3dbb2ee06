"""Samples as plain bytes: PCM encodings and the header of a WAV file, for streams that soundfile cannot read or write.

Source: Microsoft's "Multimedia Programming Interface and Data Specifications" 1.0 (1991),
WAVE_FORMAT_EXTENSIBLE (2001), and EBU Tech 3306 (RF64, 2009) for what is longer than 4 GiB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from zoo.audio.samples import quantise
from zoo.bitstream.layout import MAX_SAMPLE_RATE
from zoo.errors import ZooError

SAMPLE_BYTES = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}
"""Encodings, named as ffmpeg does, and how many bytes a sample takes."""
SUBTYPES = {
    "PCM_U8": "u8", "PCM_16": "s16le", "PCM_24": "s24le", "PCM_32": "s32le", "FLOAT": "f32le", "DOUBLE": "f64le",
}  # fmt: skip
"""soundfile's names for the same."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_UNKNOWN_U32 = 0xFFFFFFFF
_CHUNK_LIMIT = 1 << 16  # bytes: no chunk that is of use here is longer


@dataclass(frozen=True)
class RawFormat:
    """What headerless PCM is: rate in Hz, channels, and an encoding of `SAMPLE_BYTES`; ZooError if it cannot be."""

    sample_rate: int
    channels: int
    encoding: str = "s16le"
    mask: int | None = None
    """of the loudspeakers that the channels belong to; None: it is not said"""

    def __post_init__(self) -> None:
        if self.encoding not in SAMPLE_BYTES:
            raise ZooError(f"raw audio: no encoding '{self.encoding}', only {', '.join(SAMPLE_BYTES)}")
        if not 1 <= self.sample_rate <= MAX_SAMPLE_RATE or self.channels < 1:
            raise ZooError(f"raw audio: cannot have {self.sample_rate} Hz and {self.channels} channels")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * SAMPLE_BYTES[self.encoding]


@dataclass(frozen=True)
class Header:
    """A WAV header: the samples' format, how many bytes of them it promises (None: until the end), its own length."""

    format: RawFormat
    data_bytes: int | None
    header_bytes: int
    size_field: int
    """what stands in the 32 bits of the data's size, whatever it means"""


def decode(data: bytes, encoding: str) -> np.ndarray:
    """Bytes of whole samples → float32 (n,); integers are scaled to [-1, 1)."""
    if encoding == "u8":
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if encoding == "s24le":
        upper = np.zeros((len(data) // 3, 4), np.uint8)  # as the upper bytes of 32 bits, for their sign
        upper[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return upper.view("<i4")[:, 0].astype(np.float32) * np.float32(2**-31)
    if encoding in ("s16le", "s32le"):
        bits = 8 * SAMPLE_BYTES[encoding]
        return np.frombuffer(data, f"<i{bits // 8}").astype(np.float32) * np.float32(2.0 ** (1 - bits))
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinity, which the reader reports
        return np.frombuffer(data, f"<f{SAMPLE_BYTES[encoding]}").astype(np.float32)


def encode(samples: np.ndarray, encoding: str) -> bytes:
    """Samples (T, C) → bytes, channels interleaved; integers are rounded, and clipped to [-1, 1)."""
    n_bytes = SAMPLE_BYTES[encoding]
    if encoding.startswith("f"):
        return samples.astype(f"<f{n_bytes}").tobytes()
    integers = quantise(samples, 8 * n_bytes)
    if encoding == "u8":
        return (integers + 128).astype(np.uint8).tobytes()
    if encoding == "s24le":
        return integers.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    return integers.astype(f"<i{n_bytes}").tobytes()


def read_header(stream: BinaryIO, name: str) -> Header:
    """Reads a stream up to the first sample; raises ZooError, naming `name`, unless it is a WAV file of PCM or floats.

    A data size of 0, of all ones, or just below 2 GiB is what programs write that do not know it yet.
    """
    reader = _Chunks(stream, name)
    kind = reader.take(12)
    if kind[:4] not in (b"RIFF", b"RF64", b"BW64") or kind[8:] != b"WAVE":
        raise ZooError(
            f"{name}: is no WAV stream (it begins with {kind[:4]!r}): pipes carry WAV, or raw samples as told"
        )
    raw, long_bytes = None, None
    while True:
        chunk, size = struct.unpack("<4sI", reader.take(8))
        if chunk == b"data":
            break
        size += size % 2
        if chunk == b"fmt " and size <= _CHUNK_LIMIT:
            raw = _parse_format(reader.take(size), name)
        elif chunk == b"ds64" and 16 <= size <= _CHUNK_LIMIT:
            long_bytes = struct.unpack_from("<Q", reader.take(size), 8)[0]
        else:
            for first in range(0, size, _CHUNK_LIMIT):
                reader.take(min(size - first, _CHUNK_LIMIT))
    if raw is None:
        raise ZooError(f"{name}: its WAV header lacks the format of the samples")
    if size == _UNKNOWN_U32 and long_bytes:
        return Header(raw, long_bytes, reader.n_bytes, size)
    # arecord and sox announce just below 2 GiB, ffmpeg and we all ones
    unknown = size == 0 or size >= _UNKNOWN_U32 - 255 or 0x7FFFE000 <= size <= 0x80000000
    return Header(raw, None if unknown else size, reader.n_bytes, size)


class _Chunks:
    """Takes exact numbers of bytes from a stream, and counts them."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name, self.n_bytes = stream, name, 0

    def take(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            piece = self._stream.read(n - len(data))
            if not piece:
                empty = not (self.n_bytes or data)
                raise ZooError(f"{self._name}: {'holds nothing' if empty else 'ends within its WAV header'}")
            data += piece
        self.n_bytes += n
        return data


def _parse_format(body: bytes, name: str) -> RawFormat:
    if len(body) < 16:
        raise ZooError(f"{name}: its WAV header has a format of {len(body)} bytes instead of 16")
    tag, channels, sample_rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    mask = None
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        mask, tag = struct.unpack_from("<IH", body, 20)
    # Samples of fewer bits fill the upper ones of their bytes, so that only the bytes count.
    n_bytes = frame_bytes // channels if channels and frame_bytes % channels == 0 else 0
    encodings = {_PCM: {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"}, _FLOAT: {4: "f32le", 8: "f64le"}}
    encoding = encodings.get(tag, {}).get(n_bytes)
    if encoding is None or not 0 < sample_rate <= MAX_SAMPLE_RATE or bits > 8 * n_bytes:
        what = f"format {tag:#x}, {channels} channels, {sample_rate} Hz, {bits} bits in {frame_bytes} bytes"
        raise ZooError(f"{name}: cannot read this kind of WAV ({what})")
    return RawFormat(sample_rate, channels, encoding, mask)


def needs_long(raw: RawFormat, n_samples: int | None) -> bool:
    """Whether a file of so many samples (None: any number) needs room for sizes of 64 bits."""
    return n_samples is None or n_samples * raw.frame_bytes > _UNKNOWN_U32 - 4096


def header(raw: RawFormat, n_samples: int | None, *, long: bool = False) -> bytes:
    """The bytes before the first sample; n_samples None says "until the end".

    With `long` there is room for 64-bit sizes, used where needed, and the header's length never depends on `n_samples`.
    Raises ZooError where a number does not fit its field.
    """
    n_bytes = SAMPLE_BYTES[raw.encoding]
    if raw.channels * n_bytes > 0xFFFF or raw.sample_rate * raw.frame_bytes > _UNKNOWN_U32:
        raise ZooError(f"a WAV file cannot hold {raw.channels} channels of {raw.encoding} at {raw.sample_rate} Hz")
    is_float = raw.encoding.startswith("f")
    kind = _FLOAT if is_float else _PCM
    tag = kind if raw.mask is None else _EXTENSIBLE
    fields = (tag, raw.channels, raw.sample_rate, raw.sample_rate * raw.frame_bytes)
    fmt = struct.pack("<HHIIHH", *fields, raw.frame_bytes, 8 * n_bytes)
    if raw.mask is not None:
        fmt += struct.pack("<HHIH", 22, 8 * n_bytes, raw.mask, kind) + _GUID_TAIL
    elif is_float:
        fmt += bytes(2)
    chunks = b"WAVE"
    data_bytes = None if n_samples is None else n_samples * raw.frame_bytes
    rest = 8 + len(fmt) + (12 if is_float else 0) + 8  # bytes between the place of the long sizes and the samples
    riff_bytes = 0 if data_bytes is None else 4 + 36 * long + rest + data_bytes + data_bytes % 2
    too_long = riff_bytes > _UNKNOWN_U32
    if long and too_long:
        assert data_bytes is not None
        chunks += struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, n_samples, 0)
    elif long:
        chunks += struct.pack("<4sI", b"JUNK", 28) + bytes(28)
    chunks += struct.pack("<4sI", b"fmt ", len(fmt)) + fmt
    if is_float:
        chunks += struct.pack("<4sII", b"fact", 4, min(n_samples or 0, _UNKNOWN_U32))
    sizes = (_UNKNOWN_U32,) * 2 if data_bytes is None or too_long else (riff_bytes, data_bytes)
    magic = b"RF64" if long and too_long else b"RIFF"
    return magic + struct.pack("<I", sizes[0]) + chunks + struct.pack("<4sI", b"data", sizes[1])
