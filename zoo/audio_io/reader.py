"""Audio in, block by block: files that soundfile reads, WAV of any length, and pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np

from zoo import audio
from zoo.audio_io import wav
from zoo.audio_io.output import describe, standard
from zoo.audio_io.wav import RawFormat, refuse_nan
from zoo.errors import ZooError

_MAX_READ_BYTES = 1 << 20  # asked of a stream at once: a read allocates what it asks for
_MPEG_TAIL_BYTES = 1 << 16  # behind the audio: tags, and what the decoder had no need of


class _Source(Protocol):
    """Samples from one open file: at most n a read, none only at the end."""

    sample_rate: int
    channels: int
    n_samples: int | None
    warning: str | None

    def read(self, n: int) -> np.ndarray: ...
    def close(self) -> None: ...


class _PcmSource:
    """Whole samples from bytes that arrive in pieces of any size."""

    def __init__(self, stream: BinaryIO, name: str, raw: RawFormat, promised: int | None, present: int | None) -> None:
        """`promised` bytes of samples by a header (None: until the end), `present` in the file (None: it is a pipe)."""
        self.sample_rate, self.channels = raw.sample_rate, raw.channels
        self.warning: str | None = None
        self._stream, self._name, self._raw, self._present = stream, name, raw, present
        self._promised = promised
        limit = promised if present is None else present if promised is None else min(promised, present)
        self._end = None if limit is None else limit // raw.frame_bytes
        self.n_samples = self._end
        self._position, self._rest = 0, b""
        # What is missing at the end of a file is known at once, in a pipe only there.
        if present is not None:
            self._note_end(limit or 0)

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
            take = self._stream.read if self._present is not None else self._stream.read1  # type: ignore[attr-defined]
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
        if self._present is not None:
            raise ZooError(f"{self._name}: ends after {self._position} samples, it had {self._end} when it was opened")
        self._note_end(self._position * self._raw.frame_bytes + n_rest)
        self._end = self._position

    def close(self) -> None:
        if self._stream is not getattr(sys.stdin, "buffer", None):
            self._stream.close()


class _LibrarySource:
    """Whatever libsndfile decodes, read strictly in order."""

    def __init__(self, path: Path) -> None:
        import soundfile

        class InOrder(soundfile.SoundFile):
            def seekable(self) -> bool:
                return False  # or soundfile seeks after each read, which is not exact for MPEG and Vorbis

        self._path, self.warning, self._position = path, cast("str | None", None), 0
        with audio.blame(path, "read as audio"):
            self._file = InOrder(path)
            self._is_mp3 = self._file.format == "MP3"
            if self._is_mp3:
                # By a descriptor of ours, whose position tells how much of the file has been looked at.
                self._file.close()
                self._stream = path.open("rb")
                self._file = InOrder(self._stream.fileno(), closefd=False)
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self._promised = self._file.frames if self._file.frames < 1 << 62 else None
        self.n_samples = None if self._is_mp3 else self._promised  # an MP3's length may be an estimate

    def read(self, n: int) -> np.ndarray:
        with audio.blame(self._path, "read as audio"):
            samples = self._file.read(n, dtype="float32", always_2d=True)
        self._position += len(samples)
        if not len(samples) and self._promised is not None:
            self._check_end(self._promised)
        return samples

    def _check_end(self, promised: int) -> None:
        at = f"{self._path}: ends at sample {self._position}, its header promises {promised}"
        if not self._is_mp3:
            if self._position < promised:
                raise ZooError(at)
            return
        left = os.fstat(self._stream.fileno()).st_size - os.lseek(self._stream.fileno(), 0, os.SEEK_CUR)
        if left < 0:
            raise ZooError(f"{self._path}: has become shorter while it was read")
        if self._position < promised:
            self.warning = at
        elif left > _MPEG_TAIL_BYTES:
            self.warning = (
                f"{self._path}: {left} bytes lie behind the length that its header promises, and are left out"
            )

    def close(self) -> None:
        self._file.close()
        if self._is_mp3:
            self._stream.close()


class Reader:
    """Samples of a file or pipe in order; a context manager. Made by `open_reader`.

    `n_samples` is what is known before reading (None: nothing is; of a pipe it is what its header promises);
    `warning` is a line on what was left out, known at the latest at the end.
    """

    def __init__(self, name: str, connect: Callable[[], _Source], *, seekable: bool) -> None:
        self.name, self.seekable = name, seekable
        self._connect = connect
        self._source = connect()
        self._position = 0
        self.sample_rate: int = self._source.sample_rate  # Hz
        self.channels: int = self._source.channels
        self.n_samples: int | None = self._source.n_samples

    @property
    def warning(self) -> str | None:
        """One line on what is missing or left out, None if nothing."""
        return self._source.warning

    def read(self, n: int) -> np.ndarray:
        """The next samples, float32 (m, C) with m <= n; m is 0 only at the end, and a pipe gives what has come.

        Raises ZooError naming the file, and the time of a sample that is no number.
        """
        if n < 1:
            raise ValueError(f"asked for {n} samples")
        samples = self._source.read(n)
        if not len(samples) and not self._position:
            raise ZooError(f"{self.name}: holds no samples")
        refuse_nan(samples, self.name, self._position, self.sample_rate)
        self._position += len(samples)
        return samples

    def rewind(self) -> None:
        """Starts again at the first sample; raises ZooError if this is a pipe, or if the file has changed its kind."""
        if not self.seekable:
            raise ZooError(f"{self.name}: is a pipe, which cannot be read twice")
        self._source.close()
        self._source = self._connect()
        self._position = 0
        now = (self._source.sample_rate, self._source.channels, self._source.n_samples)
        if now != (self.sample_rate, self.channels, self.n_samples):
            raise ZooError(f"{self.name}: has changed while it was read")

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_reader(path: str | Path, *, raw: RawFormat | None = None) -> Reader:
    """Opens a file, a named pipe or "-" (standard input) for reading block by block.

    Pipes carry WAV, or PCM as `raw` says; WAV of unknown or wrong length is read to its end. Files are what soundfile
    reads, or `raw`. Raises ZooError, naming the file, if it is missing, a folder, or not audio.
    """
    is_stdin = str(path) == "-"
    name = "standard input" if is_stdin else str(path)
    place = Path(path)
    if not is_stdin and (place.is_dir() or not place.exists()):
        raise ZooError(f"{path}: {'is a folder' if place.is_dir() else 'no such file'}")
    regular = not is_stdin and place.is_file()

    def connect() -> _Source:
        try:
            stream = standard(sys.stdin, name) if is_stdin else place.open("rb")
        except OSError as error:
            raise ZooError(f"{name}: cannot be opened ({describe(error)})") from error
        try:
            present = os.fstat(stream.fileno()).st_size if regular else None
            if raw is not None:
                return _PcmSource(stream, name, raw, None, present)
            header = wav.read_header(stream, name)
            if present is not None:
                present = max(present - header.header_bytes, 0)
            return _PcmSource(stream, name, header.format, header.data_bytes, present)
        except BaseException as error:
            if not is_stdin:
                stream.close()
            if isinstance(error, OSError):
                raise ZooError(f"{name}: cannot be read ({describe(error)})") from error
            if not isinstance(error, ZooError) or not regular:
                raise
        return _LibrarySource(place)

    return Reader(name, connect, seekable=regular)
