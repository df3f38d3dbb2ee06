"""Samples that lie in a file or come through a pipe as they are: WAV of PCM and floats, and headerless PCM."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.audio.decoders import wav
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.loudspeakers import Layout, layout_of
from zoo.audio.output import describe
from zoo.errors import ZooError

_MAX_READ_BYTES = 1 << 20  # asked of a stream at once: a read allocates what it asks for
_WRAP = 1 << 32  # sizes of 32 bits begin again here
_UNUSED_BYTES = 1 << 12  # behind the samples, that no one misses


@dataclass(frozen=True, slots=True)
class PcmPart:
    """Samples one behind the other from byte `offset` of a file on."""

    sample_rate: int
    channels: int
    n_samples: int
    encoding: str
    offset: int
    sequential: bool = False
    mask: int | None = None
    """of the loudspeakers, as WAV has it; None: it is not said"""

    @property
    def layout(self) -> Layout:
        return layout_of(self.channels, self.mask)

    def open(self, path: Path) -> PcmSource:
        """Raises ZooError if the file cannot be opened."""
        try:
            stream = path.open("rb")
            stream.seek(self.offset)
        except OSError as error:
            raise ZooError(f"{path}: cannot be opened ({describe(error)})") from error
        return PcmSource(stream, str(path), RawFormat(self.sample_rate, self.channels, self.encoding), self)


@dataclass(frozen=True)
class Wav:
    """What a WAV file holds; `header_samples` is what its header promises, None where it leaves that open."""

    part: PcmPart
    header_samples: int | None
    warning: str | None


def inspect_raw(path: Path, raw: RawFormat) -> Wav:
    """All of a file as headerless PCM."""
    return _wav(path, raw, offset=0, present=path.stat().st_size, promised=None, n_bytes=None)


def inspect_wav(path: Path) -> Wav:
    """Finds the samples of a WAV file; raises ZooError unless it is one of PCM or floats.

    The size in the header is wrong in recordings that were cut off, in streams (0, or the largest number), and beyond
    4 GiB in 32 bits; what lies behind the samples tells.
    """
    with path.open("rb") as stream:
        header = wav.read_header(stream, str(path))
        present = os.fstat(stream.fileno()).st_size - header.header_bytes
        n_bytes = size = header.data_bytes
        if size is None or size < min(present, _WRAP):
            field = header.size_field if size is None else size
            n_bytes = _true_size(stream, header.header_bytes, present, field, open_ended=size is None)
    return _wav(path, header.format, offset=header.header_bytes, present=present, promised=size, n_bytes=n_bytes)


def _wav(path: Path, raw: RawFormat, offset: int, present: int, promised: int | None, n_bytes: int | None) -> Wav:
    """`promised` bytes by the header, of which `n_bytes` are meant (None: all that are `present`)."""
    n_bytes = present if n_bytes is None else min(n_bytes, present)
    n_samples = n_bytes // raw.frame_bytes
    warning = None
    if promised is not None and n_samples != promised // raw.frame_bytes:
        verb = "ends after" if n_bytes < promised else "holds"
        warning = f"{path}: {verb} {n_samples} samples, its header promises {promised // raw.frame_bytes}"
    elif n_bytes % raw.frame_bytes:
        warning = f"{path}: ends within a sample; its last {n_bytes % raw.frame_bytes} bytes are dropped"
    part = PcmPart(raw.sample_rate, raw.channels, n_samples, raw.encoding, offset, mask=raw.mask)
    return Wav(part, None if promised is None else promised // raw.frame_bytes, warning)


def _true_size(stream: BinaryIO, start: int, present: int, size: int, *, open_ended: bool) -> int | None:
    """Bytes of samples in a file that holds more than its header promises; None: all of them."""
    if _only_chunks(stream, start + size, start + present):
        return size
    for bytes_more in range((present - size) // _WRAP * _WRAP, 0, -_WRAP):
        if _only_chunks(stream, start + size + bytes_more, start + present):
            return size + bytes_more
    return None if open_ended or present - size >= _WRAP - _UNUSED_BYTES else size


def _only_chunks(stream: BinaryIO, place: int, end: int) -> bool:
    """Whether nothing but whole chunks of a RIFF file lies from `place` to the end (EBU 3306: padded to even sizes)."""
    place += place % 2 if place < end else 0
    while end - place >= 8:
        stream.seek(place)
        head = stream.read(8)
        if not all(32 <= byte < 127 for byte in head[:4]):
            return False
        size = int.from_bytes(head[4:], "little")
        place += 8 + size + size % 2
    return end - place in (-1, 0, 1)


class PcmSource:
    """Whole samples from bytes that arrive in pieces of any size."""

    def __init__(
        self, stream: BinaryIO, name: str, raw: RawFormat, part: PcmPart | None, promised: int | None = None
    ) -> None:
        """From a file, of which this `part` is read, or a pipe, of which a header may have `promised` some bytes."""
        self.sample_rate, self.channels = raw.sample_rate, raw.channels
        self.warning: str | None = None
        self._stream, self._name, self._raw, self._part, self._promised = stream, name, raw, part, promised
        self._end = part.n_samples if part else None if promised is None else promised // raw.frame_bytes
        self.n_samples = self._end
        self._position, self._rest = 0, b""

    def _note_end(self, n_bytes: int) -> None:
        if self._promised is not None and n_bytes < self._promised:
            n_promised = self._promised // self._raw.frame_bytes
            n = n_bytes // self._raw.frame_bytes
            self.warning = f"{self._name}: ends after {n} samples, its header promises {n_promised}"
        elif n_bytes % self._raw.frame_bytes:
            dropped = n_bytes % self._raw.frame_bytes
            self.warning = f"{self._name}: ends within a sample; its last {dropped} bytes are dropped"

    def read(self, n: int) -> np.ndarray:
        frame_bytes = self._raw.frame_bytes
        n = min(n, max(_MAX_READ_BYTES // frame_bytes, 1))
        if self._end is not None:
            n = min(n, self._end - self._position)
        data = self._rest
        while n and len(data) < frame_bytes:
            # Of a pipe what has come, so that live sound is not held back.
            take = self._stream.read if self._part else self._stream.read1  # type: ignore[attr-defined]
            try:
                piece = take(n * frame_bytes - len(data))
            except (OSError, ValueError) as error:
                raise ZooError(f"{self._name}: cannot be read ({describe(error)})") from error
            if not piece:
                self._finish(len(data))
                data = b""
                break
            data += piece
        whole = len(data) // frame_bytes * frame_bytes
        self._rest = data[whole:]
        self._position += whole // frame_bytes
        return wav.decode(data[:whole], self._raw.encoding).reshape(-1, self.channels)

    def _finish(self, n_rest: int) -> None:
        if self._part:
            raise ZooError(f"{self._name}: ends after {self._position} samples, it had {self._end} when it was opened")
        self._note_end(self._position * self._raw.frame_bytes + n_rest)
        self._end = self._position

    def seek(self, sample: int) -> None:
        assert self._part is not None
        try:
            self._stream.seek(self._part.offset + sample * self._raw.frame_bytes)
        except OSError as error:
            raise ZooError(f"{self._name}: cannot be read ({describe(error)})") from error
        self._position, self._rest = sample, b""

    def close(self) -> None:
        if self._stream is not getattr(sys.stdin, "buffer", None):
            self._stream.close()
