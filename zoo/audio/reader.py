"""Audio in, block by block: files of every format, and pipes of WAV or plain PCM."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zoo.arguments import as_path, whole
from zoo.audio.decoders import wav
from zoo.audio.decoders.inspect import FileInfo, inspect
from zoo.audio.decoders.pcm import PcmSource
from zoo.audio.decoders.source import Source
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.loudspeakers import layout_of
from zoo.audio.output import describe, standard
from zoo.audio.places import no_folder
from zoo.audio.samples import refuse_unusable
from zoo.errors import ZooError


class Reader:
    """Samples of a file or pipe in order; a context manager. Made by `open_reader`.

    `n_samples` is what is known before reading (None: nothing is; of a pipe it is what its header promises), `info`
    what a file is (None: a pipe), `layout` the loudspeakers of the channels (empty: of none), `warning` a line on what
    is missing or was put right, known at the latest at the end.
    """

    def __init__(self, name: str, connect: Callable[[], tuple[Source, FileInfo | None]]) -> None:
        self.name, self._connect = name, connect
        self._source, self.info = connect()
        self.seekable = self.info is not None
        self._position = 0
        self.sample_rate: int = self._source.sample_rate  # Hz
        self.channels: int = self._source.channels
        self.layout = self.info.layout if self.info else layout_of(self.channels)
        self.n_samples: int | None = self._source.n_samples

    @property
    def warning(self) -> str | None:
        """One line on what is missing or left out, None if nothing."""
        return (self.info and self.info.warning) or self._source.warning

    def read(self, n: int) -> np.ndarray:
        """The next samples, float32 (m, C) with m <= n; m is 0 only at the end, and a pipe gives what has come.

        Raises ZooError naming the file, and the time of a sample that is no number, and for an n below 1.
        """
        if (n := whole(n, "n")) < 1:
            raise ZooError(f"{self.name}: asked for {n} samples")
        samples = self._source.read(n)
        if not len(samples) and not self._position:
            raise ZooError(f"{self.name}: holds no samples")
        refuse_unusable(samples, self.name, self._position, self.sample_rate)
        self._position += len(samples)
        return samples

    def rewind(self) -> None:
        """Starts again at the first sample; raises ZooError if this is a pipe, or if the file has changed its kind."""
        if not self.seekable:
            raise ZooError(f"{self.name}: is a pipe, which cannot be read twice")
        self._source.close()
        self._source, _ = self._connect()
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


def open_reader(path: str | Path, *, raw: RawFormat | None = None, stream: int | None = None) -> Reader:
    """Opens a file, a named pipe or "-" (standard input) for reading block by block.

    Pipes carry WAV, or PCM as `raw` says; WAV of unknown or wrong length is read to its end. Files are of any format
    that `inspect` knows, or `raw`; `stream` chooses among the audio streams of a container (from 0). Raises ZooError,
    naming the file, if it is missing, a folder, or not audio.
    """
    path = as_path(path)
    is_stdin = path == "-"
    name = "standard input" if is_stdin else str(path)
    place = Path(path)
    if not is_stdin and no_folder(place) == "file":

        def connect() -> tuple[Source, FileInfo]:
            info = inspect(place, count=False, stream=stream, raw=raw)
            return info.open(), info

        return Reader(name, connect)
    if stream:
        raise ZooError(f"{name}: is a pipe, which carries one stream, no number {stream}")
    return Reader(name, lambda: (_open_pipe(place, is_stdin, name, raw), None))


def _open_pipe(place: Path, is_stdin: bool, name: str, raw: RawFormat | None) -> Source:
    try:
        stream = standard(sys.stdin, name) if is_stdin else place.open("rb")
    except OSError as error:
        raise ZooError(f"{name}: cannot be opened ({describe(error)})") from error
    try:
        if raw is not None:
            return PcmSource(stream, name, raw, None)
        header = wav.read_header(stream, name)
        return PcmSource(stream, name, header.format, None, header.data_bytes)
    except BaseException as error:
        if not is_stdin:
            stream.close()
        if isinstance(error, OSError):
            raise ZooError(f"{name}: cannot be read ({describe(error)})") from error
        raise
