"""Reading parts of MPEG audio: the frames are found by `mpeg` and decoded by FFmpeg, from any of them on."""

from __future__ import annotations

import functools
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.audio.decoders import ffmpeg, mpeg
from zoo.audio.decoders.library import LibraryPart
from zoo.audio.loudspeakers import Layout, layout_of
from zoo.errors import ZooError
from zoo.wording import counted

SUFFIXES = (".mp3", ".mp2", ".mp1", ".mpga")
_CODECS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}
_RESERVOIR_BYTES = 511  # how far back a frame of Layer III finds its bits (9 bits; 8 in MPEG-2)
_SETTLING = 2  # frames whose overlap and filter states are in the one that is sought
_HEADER_BYTES = 4 + 32  # of a frame, at most, that the reservoir does not count
_READ_AHEAD = 64  # frames
_FEW_BYTES = 2048  # a frame that was cut off, and padding
_LIBRARY_PREROLL = 16 * 1152


@dataclass(frozen=True, slots=True)
class MpegPart:
    """Frames of one kind, from the first in the file at `start` to the last before `end`."""

    sample_rate: int
    channels: int
    n_samples: int
    layer: int
    start: int
    end: int
    skip: int
    """samples that come out before the first one of the input"""
    sequential: bool = False

    @property
    def layout(self) -> Layout:
        return layout_of(self.channels)

    def open(self, path: Path) -> MpegSource:
        return MpegSource(path, self)


@dataclass(frozen=True)
class Mpeg:
    """What a file of MPEG audio holds; `header_samples` is what its tag says, None without one."""

    parts: tuple[MpegPart | LibraryPart, ...]
    layer: int
    header_samples: int | None
    warning: str | None


def inspect(path: Path) -> Mpeg | None:
    """Finds the parts of a file and their exact lengths; None if it is no MPEG audio.

    Raises ZooError where FFmpeg's decoders are needed and missing.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = mpeg.audio_end(data)
        start = mpeg.first_frame(data, anywhere=path.suffix.lower() in SUFFIXES)
        if start is None:
            return None
        if trusted := mpeg.corroborated(data, start, end):
            frame, tag = trusted
            assert tag.n_frames is not None
            n = mpeg.n_samples(frame, tag.n_frames, tag)
            skip = 0 if tag.delay is None else tag.delay + mpeg.DECODER_DELAY
            part = _part(frame, n, start, end, skip)
            return Mpeg((part if ffmpeg.is_installed() else _by_library(part),), frame.layer, n, None)
        found = list(mpeg.runs(data, start, end))
        behind = len(data) - end
    first = found[0]
    header = None
    if first.tag is not None and first.tag.n_frames:
        header = mpeg.n_samples(first.frame, first.tag.n_frames, first.tag)
    ffmpeg.require(path, f"MPEG audio that no tag tells the length of (Layer {first.frame.layer})")
    parts = tuple(_part(run.frame, run.n_samples, run.start, run.end, run.skip) for run in found if run.n_samples > 0)
    return Mpeg(parts, first.frame.layer, header, _warning(path, found, header, max(end - found[-1].end, 0), behind))


def _part(frame: mpeg.Frame, n_samples: int, start: int, end: int, skip: int) -> MpegPart:
    return MpegPart(
        frame.sample_rate, frame.channels, n_samples=n_samples, layer=frame.layer, start=start, end=end, skip=skip
    )


def _by_library(part: MpegPart) -> LibraryPart:
    return LibraryPart(part.sample_rate, part.channels, part.n_samples, preroll=_LIBRARY_PREROLL)


def _warning(path: Path, found: list[mpeg.Run], header: int | None, left: int, behind: int) -> str | None:
    first = found[0].frame
    if len(found) > 1:
        seconds = [run.n_samples / run.frame.sample_rate for run in found]
        lengths = " + ".join(f"{s:.2f}" for s in seconds[:4]) + (" + …" if len(seconds) > 4 else "")
        changed = any(run.frame.kind != first.kind for run in found)
        said = f"; the header of the first promises {header / first.sample_rate:.2f} s" if header else ""
        to = f", converted to {first.sample_rate} Hz with {counted(first.channels, 'channel')}" if changed else ""
        return f"{path}: holds {len(found)} streams joined end to end, {lengths} s{said}; all are read{to}"
    n = found[0].n_samples
    if header is not None and header != n:
        return (
            f"{path}: holds {n} samples ({n / first.sample_rate:.2f} s), its header promises {header} "
            f"({header / first.sample_rate:.2f} s)"
        )
    junk = found[0].n_junk + left
    return f"{path}: {junk} bytes are no frames of sound, and left out" if junk > _FEW_BYTES else None


class MpegSource:
    """Samples of one part."""

    def __init__(self, path: Path, part: MpegPart) -> None:
        """Raises ZooError if the file cannot be opened or is not what it was."""
        ffmpeg.require(path, "MPEG audio")
        self.sample_rate, self.channels, self.n_samples = part.sample_rate, part.channels, part.n_samples
        self.warning: str | None = None
        self._path, self._part = path, part
        with ffmpeg.blame(path):
            stat = path.stat()
            self._file = path.open("rb")
        self._offsets = _offsets(path, part, stat.st_size, stat.st_mtime_ns)
        self._frame_samples = 384 if part.layer == 1 else 576 if part.layer == 3 and part.sample_rate < 32_000 else 1152
        self._begin(0)

    def _begin(self, frame: int) -> None:
        """Starts decoding at a frame; what comes out begins with its first sample."""
        self._decoder: Any = None
        self._next = frame
        self._data, self._data_at = b"", 0  # bytes of the file that were read ahead, and where they begin
        self._block = np.zeros((0, self.channels), np.float32)  # decoded, and not yet given out
        self._position = frame * self._frame_samples - self._part.skip  # of the next sample that comes out

    def read(self, n: int) -> np.ndarray:
        n = min(n, self.n_samples - max(self._position, 0))
        if n < 1:
            return np.zeros((0, self.channels), np.float32)
        self._drop(-self._position)
        out = np.empty((n, self.channels), np.float32)
        filled = 0
        while filled < n:
            if not len(self._block):
                self._block = self._decode(-(-(n - filled) // self._frame_samples))
            taken = self._block[: n - filled]
            out[filled : filled + len(taken)] = taken
            self._block = self._block[len(taken) :]
            filled += len(taken)
        self._position += n
        return out

    def _drop(self, n: int) -> None:
        while n > 0:
            if not len(self._block):
                if n >= self._frame_samples:  # nothing is wanted of them but what they leave in the decoder
                    first = self._next
                    self._decode(n // self._frame_samples, keep=False)
                    dropped = (self._next - first) * self._frame_samples
                    self._position += dropped
                    n -= dropped
                    continue
                self._block = self._decode(1)
            dropped = min(n, len(self._block))
            self._block = self._block[dropped:]
            self._position += dropped
            n -= dropped

    def _decode(self, n: int, *, keep: bool = True) -> np.ndarray:
        """Up to n frames, at least one, none of them unless `keep`; a damaged one is silent, as in every player."""
        n = min(n, len(self._offsets) - 1 - self._next, _READ_AHEAD)
        if n < 1:
            raise ZooError(f"{self._path}: ends at sample {self._position}, it had {self.n_samples} when examined")
        first, self._next = self._next, self._next + n
        frames: list[Any] | None = self._decoded(range(first, first + n))
        if frames is not None:
            return ffmpeg.samples(ffmpeg.joined(frames)) if keep else self._block
        # one of them is damaged, and with it what the decoder holds: each by itself, from before the first on
        self._decoder = None
        for number in range(self._settled_before(first), first):
            self._decoded(range(number, number + 1))
        blocks = []
        for number in range(first, first + n):
            frames = self._decoded(range(number, number + 1))
            if frames is None:
                at_s = max(number * self._frame_samples - self._part.skip, 0) / self.sample_rate
                self.warning = f"{self._path}: damaged near {at_s:.2f} s, silent there"
            silence = np.zeros((self._frame_samples, self.channels), np.float32)
            blocks.append(silence if frames is None else ffmpeg.samples(frames[0]))
        return np.concatenate(blocks) if keep else self._block

    def _decoded(self, numbers: range) -> list[Any] | None:
        """The decoder's frames of consecutive numbers; None unless there is one of each."""
        import av

        if self._decoder is None:
            self._decoder = av.CodecContext.create(_CODECS[self._part.layer], "r")
        data = b"".join(self._frame_bytes(number) for number in numbers)
        try:
            frames: list[Any] = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            return None
        kinds = {(frame.samples, frame.layout.nb_channels) for frame in frames}
        return frames if len(frames) == len(numbers) and kinds == {(self._frame_samples, self.channels)} else None

    def _frame_bytes(self, number: int) -> bytes:
        start, end = int(self._offsets[number]), int(self._offsets[number + 1])
        if end > self._data_at + len(self._data):
            last = min(number + _READ_AHEAD, len(self._offsets) - 1)
            self._file.seek(start)
            self._data, self._data_at = self._file.read(int(self._offsets[last]) - start), start
        return self._data[start - self._data_at : end - self._data_at]

    def seek(self, sample: int) -> None:
        if self._decoder is not None and 0 <= sample - self._position < 8 * self._frame_samples:
            self._drop(sample - self._position)
            return
        self._begin(self._settled_before((sample + self._part.skip) // self._frame_samples))
        self._drop(sample - self._position)

    def _settled_before(self, frame: int) -> int:
        """The frame from which on to decode, so that `frame` comes out as if all before it had been."""
        first = max(frame - _SETTLING, 0)
        reservoir = 0
        while self._part.layer == 3 and first > 0 and reservoir < _RESERVOIR_BYTES:
            first -= 1
            reservoir += max(int(self._offsets[first + 1] - self._offsets[first]) - _HEADER_BYTES, 1)
        return first

    def close(self) -> None:
        self._file.close()


@functools.lru_cache(maxsize=256)
def _offsets(path: Path, part: MpegPart, size: int, mtime_ns: int) -> np.ndarray:
    """Places (n + 1,) of the frames of a part, and of its end; a file of another size or time is walked over anew."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = min(part.end, len(data))
        run = next(mpeg.runs(data, part.start, end), None) if mpeg.parse(data, part.start) else None
        if run is None or run.n_samples != part.n_samples:
            raise ZooError(f"{path}: has changed since it was examined")
        return np.append(run.offsets, run.end)
