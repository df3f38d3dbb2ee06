"""Whatever FFmpeg demultiplexes and decodes: m4a, webm, mkv, wma and the like, one audio stream of a file."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.audio.decoders import ffmpeg, promised
from zoo.audio.decoders.source import skip
from zoo.audio.decoders.view import Piece, View
from zoo.audio.loudspeakers import NAMES, Layout, layout_of
from zoo.audio.resampler import Resampler
from zoo.audio.samples import mix_channels
from zoo.errors import ZooError
from zoo.wording import counted

# Every packet of these is decoded by itself, so that decoding can begin at any.
_INDEPENDENT = ("alac", "flac", "tta", "wavpack", "pcm_")
_FRAME = 4096  # samples of a large frame
_SKIP_MANUAL = 1 << 29  # of FFmpeg's flags2: decoders leave it to us to drop samples
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_SEEKABLE = (_MP4, "wv", "tta", "caf", "avi", "wav", "w64", "aiff")
"""where FFmpeg knows the time of a packet that it has sought; it guesses that in Ogg, and Matroska has milliseconds"""
_SAY_DURATION = (_MP4, "matroska,webm", "asf", "avi", "wv", "tta", "ape", "caf", "aiff", "wav", "w64")
"""of other formats FFmpeg estimates it from the bit rate"""
_FORMATS = (
    f"{_MP4},matroska,webm,asf,avi,flv,mpegts,mpegtsraw,mpeg,aac,loas,ac3,eac3,dts,dtshd,truehd,mlp,mp3,flac,ogg,wav,w64,"
    "aiff,au,caf,voc,wv,tta,ape,mpc,mpc8,amr,amrnb,amrwb,tak,rm,dsf,iff,mxf,nut,nsv,wtv,oma,xwma,wsd,ast,adx,gsm,g722,"
    "g729,sbc,aptx,aptx_hd,sox,nistsphere,ircam,avr,bonk,shn,qcp,vqf,swf,dv,ivf,aea,sds,paf,rso,svx"
)
"""FFmpeg's names of the formats that hold sound themselves"""
_NAMES = {"matroska,webm": "Matroska", _MP4: "MP4", "asf": "ASF", "aac": "ADTS", "mpegts": "MPEG-TS"}


@dataclass(frozen=True, slots=True)
class ContainerPart:
    """An audio stream of a file, by its number among them."""

    sample_rate: int
    channels: int
    n_samples: int | None
    stream: int
    pieces: tuple[Piece, ...] = ()
    """none: the whole file"""
    seekable: bool = False
    """whether packets are decoded by themselves, and their times count samples"""
    layout: Layout = ()

    @property
    def sequential(self) -> bool:
        return not self.seekable

    def open(self, path: Path) -> ContainerSource:
        return ContainerSource(path, self)


@dataclass(frozen=True)
class Container:
    """What such a file holds: its format and codec by name, and how many samples its header promises, if it does."""

    part: ContainerPart
    format: str
    header_samples: int | None


def inspect(path: Path, *, stream: int = 0, count: bool = True, pieces: tuple[Piece, ...] = ()) -> Container:
    """Opens a file and, with `count`, decodes it to the end, since only that tells its length.

    Raises ZooError, naming what is missing, where there is no such stream or FFmpeg does not read the file.
    """
    part = ContainerPart(0, 0, None, stream, pieces)
    source = ContainerSource(path, part)
    try:
        part = replace(part, sample_rate=source.sample_rate, channels=source.channels, layout=source.layout)
        described = f"{source.format}, {source.codec}"
        if count:
            n = 0
            while len(block := source.read(1 << 16)):
                n += len(block)
            part = replace(part, n_samples=n, seekable=source.regular)
        return Container(part, described, source.header_samples)
    finally:
        source.close()


def length_warning(path: Path, n: int, header: int | None, rate: int) -> str | None:
    """A line with both lengths where `n` samples at `rate` Hz are clearly more or less than the header promises."""
    if header is None or abs(n - header) <= max(rate // 10, n // 1000):
        return None
    return f"{path}: holds {n} samples ({n / rate:.2f} s), its header promises {header} ({header / rate:.2f} s)"


class ContainerSource:
    """Samples of one audio stream in the order of its packets; the first frame tells rate and channels."""

    sample_rate: int
    channels: int
    layout: Layout

    def __init__(self, path: Path, part: ContainerPart) -> None:
        """Raises ZooError if the file has no such stream, or cannot be opened."""
        ffmpeg.require(path, f"audio in such a container ({path.suffix or 'no suffix'})")
        self._path, self._part = path, part
        self.n_samples = part.n_samples
        self.warning: str | None = None
        self._kind: tuple[int, int] | None = None
        self._open()

    def _open(self) -> None:
        import av

        self._container: Any
        with ffmpeg.blame(self._path):
            self._view = View(self._path, self._part.pieces) if self._part.pieces else None
            # a name with a colon is a protocol's otherwise; and playlists would open other files
            name = self._view or f"file:{self._path}"
            # tags that are not UTF-8 are no errors; since PyAV 19 they never are, and it has no word for it
            lenient: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
            self._container = av.open(name, options={"format_whitelist": _FORMATS}, **lenient)
        streams = self._container.streams.audio
        if self._part.stream >= len(streams):
            self.close()
            if not streams:
                raise ZooError(f"{self._path}: holds no sound")
            raise ZooError(
                f"{self._path}: holds {counted(len(streams), 'audio stream')}, no number {self._part.stream}"
            )
        self._stream: Any = streams[self._part.stream]
        context = self._stream.codec_context
        if context is None:
            self.close()
            raise ZooError(f"{self._path}: FFmpeg has no decoder for its sound")
        self.codec: str = context.name.removesuffix("float")
        if self.codec == "opus":
            # libopus is the reference; FFmpeg's own decoder deviates at low rates
            own = av.CodecContext.create("libopus", "r")
            own.extradata = context.extradata
            context = own
        self._context: Any = context
        if self._container.format.name == "caf" and self.codec == "alac":
            # FFmpeg 8.1 takes the padding of the last packet off twice
            self._context.flags2 |= _SKIP_MANUAL
        name = self._container.format.name
        self.format = _NAMES.get(name, name.split(",")[0].upper())
        self._packets = self._container.demux(self._stream)
        self._waiting: Any = next(self._packets, None)
        self._blocks: deque[np.ndarray] = deque()
        self._position = 0  # of the first sample in _blocks
        self._decoded = 0
        self.regular = self.codec.startswith(_INDEPENDENT) and name in _SEEKABLE
        """whether decoding can begin at any packet, whose time says which sample it begins with"""
        self._first_pts: int | None = None
        self._resampler: Resampler | None = None
        self._end = self._gapless_end()
        self._n_damaged = 0
        try:
            with ffmpeg.blame(self._path):
                self._fill()
            if not self._blocks:
                raise ZooError(f"{self._path}: holds no samples")
            if self._part.n_samples is not None and self._kind != (self._part.sample_rate, self._part.channels):
                raise ZooError(f"{self._path}: has changed since it was examined")
        except BaseException:
            self.close()
            raise

    @property
    def header_samples(self) -> int | None:
        """Samples by the duration in the header, roughly; None where there is none. At its best at the end."""
        if self._container.format.name not in _SAY_DURATION:
            return None
        extent = promised.extent(self._path)
        if extent and extent.is_cut:  # FFmpeg makes a header of what is there
            return extent.samples(self._position)
        if self._stream.duration is not None:
            seconds = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1e6
            if self._stream.start_time:  # a film's sound may begin later than the film
                seconds -= float(self._stream.start_time * self._stream.time_base)
        else:
            return None
        return max(round(seconds * self.sample_rate), 0)

    def _gapless_end(self) -> int | None:
        """How many samples iTunes says there are, without what its encoder added; None where it says nothing likely."""
        fields = str(self._container.metadata.get("iTunSMPB", "")).split()
        rate, duration = self._context.rate, self._container.duration
        if len(fields) < 4 or not rate or not duration:
            return None
        try:
            end = int(fields[3], 16)
        except ValueError:
            return None
        # of a file that was cut since, it tells the former length
        return end if 0 <= duration / 1e6 * rate - end <= 2 * _FRAME else None

    def _fill(self) -> None:
        """Decodes until there are samples, or the stream has ended."""
        import av

        while not self._blocks and self._waiting is not None:
            packet = self._waiting
            # the last packet is an empty one, which drains the decoder
            self._waiting = next(self._packets, None)
            is_last = self._waiting is None or not self._waiting.size
            try:
                frames = self._context.decode(packet if packet.size else None)
            except av.error.EOFError:
                continue
            except av.error.FFmpegError:
                self._n_damaged += 1
                self.warning = f"{self._path}: {counted(self._n_damaged, 'damaged packet')} left out"
                continue
            for frame in frames:
                # FFmpeg drops what an encoder put before the sound in MP4, not what it put behind
                trim = is_last and self._container.format.name == _MP4 and packet.duration
                self._take(frame, round(packet.duration * packet.time_base * frame.sample_rate) if trim else None)
        if self._waiting is None and not self._blocks and self._resampler is not None:
            rest = self._resampler.finish()
            self._resampler = None
            if len(rest):
                self._blocks.append(rest)

    def _take(self, frame: Any, most: int | None) -> None:
        block = ffmpeg.samples(frame)[:most]
        if self._kind is None:
            self._kind = (frame.sample_rate, block.shape[1])
            self.sample_rate, self.channels = self._kind
            named = tuple(channel.name for channel in frame.layout.channels)
            self.layout = named if set(named) <= set(NAMES) else layout_of(self.channels)
        self._check_time(frame)
        self._decoded += len(block)
        if self._end is not None and self._decoded > self._end:
            block = block[: max(len(block) - (self._decoded - self._end), 0)]
        if frame.sample_rate != self.sample_rate or block.shape[1] != self.channels:
            self.regular = False
            self.warning = (
                f"{self._path}: goes on with {frame.sample_rate} Hz and "
                f"{counted(block.shape[1], 'channel')}; converted to "
                f"{self.sample_rate} Hz and {self.channels}"
            )
        block = mix_channels(block, self.channels)
        if self._resampler is not None and self._resampler.from_hz != frame.sample_rate:
            self._blocks.append(self._resampler.finish())
            self._resampler = None
        if frame.sample_rate != self.sample_rate:
            self._resampler = self._resampler or Resampler(frame.sample_rate, self.sample_rate, self.channels)
            block = self._resampler.push(block)
        if len(block):
            self._blocks.append(block)

    def _check_time(self, frame: Any) -> None:
        if not self.regular:
            return
        start = self._start_of(frame)
        if self._first_pts is None and start is not None:
            self._first_pts, start = start, 0
        elif start is not None and self._first_pts is not None:
            start -= self._first_pts
        self.regular = start == self._decoded

    def _start_of(self, frame: Any) -> int | None:
        """The first sample of a frame by its time, None where that does not count samples."""
        if frame.pts is None or frame.time_base is None:
            return None
        place = frame.pts * frame.time_base * frame.sample_rate
        return int(place) if place.denominator == 1 else None

    def read(self, n: int) -> np.ndarray:
        if not self._blocks:
            with ffmpeg.blame(self._path):
                self._fill()
        if not self._blocks:
            if self.n_samples is not None and self._position != self.n_samples:
                raise ZooError(f"{self._path}: ends at sample {self._position}, it had {self.n_samples} when examined")
            header = self.header_samples
            if line := length_warning(self._path, self._position, header, self.sample_rate):
                self.warning = line
            return np.zeros((0, self.channels), np.float32)
        block = self._blocks.popleft()
        if len(block) > n:
            self._blocks.appendleft(block[n:])
            block = block[:n]
        self._position += len(block)
        return block

    def seek(self, sample: int) -> None:
        ahead = sample - self._position
        if ahead < 0 or (self._part.seekable and ahead > 8 * _FRAME):
            self.close()
            self._open()
            if self._part.seekable:
                self._seek_packet(sample)
        skip(self, sample - self._position)

    def _seek_packet(self, sample: int) -> None:
        """Goes to a packet at or before a sample; stays at the first where the container cannot."""
        assert self._first_pts is not None
        wanted = round((sample + self._first_pts) / self.sample_rate / self._stream.time_base)
        with ffmpeg.blame(self._path):
            self._container.seek(wanted, stream=self._stream)
            self._context.flush_buffers()
            self._packets = self._container.demux(self._stream)
            self._waiting = next(self._packets, None)
            self._blocks.clear()
            while self._waiting is not None and not self._blocks:
                packet = self._waiting
                self._waiting = next(self._packets, None)
                for frame in self._context.decode(packet if packet.size else None):
                    if not self._blocks:
                        start = self._start_of(frame)
                        assert start is not None
                        self._position = self._decoded = start - self._first_pts
                    self._take(frame, None)
        if self._position > sample:
            self.close()
            self._open()

    def close(self) -> None:
        self._container.close()
        if self._view is not None:
            self._view.close()
