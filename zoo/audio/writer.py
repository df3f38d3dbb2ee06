"""Audio out, block by block: .wav, .flac and .ogg files that appear whole or not at all, and pipes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import arguments
from zoo.audio.decoders import formats, wav
from zoo.audio.decoders.wav import RawFormat
from zoo.audio.loudspeakers import Layout, mask_of
from zoo.audio.output import open_output, output_name, output_path
from zoo.audio.samples import quantise, refuse_unusable
from zoo.errors import ZooError


class _Quiet:
    """What libsndfile writes to; it loses the exceptions raised in its callbacks, so they are kept here."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: BaseException | None = None
        self.seek, self.tell = stream.seek, stream.tell

    def write(self, data: bytes) -> int:
        try:
            return self._stream.write(data)
        except BaseException as error:
            self.error = self.error or error
            return 0


class Writer:
    """Takes samples block by block; made by `open_writer`."""

    def __init__(self, name: str, sample_rate: int, channels: int, sink: Callable[[np.ndarray], None]) -> None:
        self.name, self.sample_rate, self.channels = name, sample_rate, channels
        self.n_samples = 0  # written so far
        self._sink = sink

    def write(self, block: np.ndarray) -> None:
        """Appends floating-point samples (m, C); raises ZooError if one is no number, or if they cannot be written."""
        block = arguments.as_array(block, f"{self.name}: samples")
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise ZooError(f"{self.name}: expected samples (T, {self.channels}), got shape {block.shape}")
        if not np.issubdtype(block.dtype, np.floating):
            raise ZooError(f"{self.name}: expected floating-point samples in [-1, 1], got {block.dtype}")
        refuse_unusable(block, self.name, self.n_samples, self.sample_rate)
        if len(block):
            self._sink(block)
        self.n_samples += len(block)


@contextlib.contextmanager
def open_writer(
    path: str | Path,
    sample_rate: int,
    channels: int,
    *,
    n_samples: int | None = None,
    subtype: str | None = None,
    raw: RawFormat | None = None,
    layout: Layout = (),
    force: bool = False,
) -> Iterator[Writer]:
    """A context manager that yields a `Writer` to a .wav, .flac or .ogg file, or to "-" (standard output: WAV).

    Subtypes and rounding are those of `zoo.audio.write` (wav also "PCM_U8", "PCM_32" and "DOUBLE"); with `raw` there is
    no header and any suffix will do. Files appear as `open_output` says. To a pipe the header goes with the first
    block, and promises `n_samples` if given, else it states no length. `layout` names the loudspeakers of more than two
    channels, for wav. Raises ZooError, naming `path`, before any work if the place or the format will not do, and later
    if writing fails.
    """
    path = output_path(path)
    sample_rate, channels = arguments.sample_rate(sample_rate), arguments.whole(channels, "channels")
    if not 1 <= channels <= formats.MOST_CHANNELS:
        raise ZooError(f"{path}: cannot hold {channels} channels, only 1 to {formats.MOST_CHANNELS}")
    if n_samples is not None and (n_samples := arguments.whole(n_samples, "n_samples")) < 0:
        raise ZooError(f"n_samples must not be negative, got {n_samples}")
    name, is_pipe = output_name(path), _is_pipe(path)
    suffix, subtype = (Path(path).suffix.lower(), subtype or "") if raw else check_format(path, subtype)
    if raw is not None and (raw.sample_rate, raw.channels) != (sample_rate, channels):
        raise ZooError(f"{name}: raw audio of {raw.channels} channels at {raw.sample_rate} Hz was asked for, "
                       f"but there are {channels} at {sample_rate} Hz")  # fmt: skip
    with open_output(path, force=force) as stream:
        if raw is not None:
            yield Writer(name, sample_rate, channels, lambda block: _write(stream, wav.encode(block, raw.encoding)))
        elif suffix == ".wav":
            pcm = RawFormat(sample_rate, channels, wav.SUBTYPES[subtype], _mask(layout, channels))
            with _wav_writer(stream, name, pcm, n_samples, is_pipe=is_pipe) as writer:
                yield writer
        else:
            with _library_writer(
                stream, name, sample_rate=sample_rate, channels=channels, suffix=suffix, subtype=subtype
            ) as writer:
                yield writer


def check_format(path: str | Path, subtype: str | None) -> tuple[str, str]:
    """Suffix and subtype of what `open_writer` makes without `raw`; raises ZooError where that can be known to fail."""
    path, subtype = output_path(path), formats.check_subtype(path, subtype)
    suffix = ".wav" if _is_pipe(path) else Path(path).suffix.lower()
    if suffix not in formats.FORMATS:
        raise ZooError(f"{path}: cannot write '{Path(path).suffix}', only {', '.join(formats.FORMATS)}")
    subtype = subtype or formats.FORMATS[suffix][1]
    if suffix == ".wav" and subtype not in wav.SUBTYPES:
        raise ZooError(f"{output_name(path)}: cannot write the subtype '{subtype}', only {', '.join(wav.SUBTYPES)}")
    return suffix, subtype


def _mask(layout: Layout, channels: int) -> int | None:
    """What the header says of loudspeakers: nothing of one or two channels, whose are known."""
    return mask_of(layout) if channels > 2 and len(layout) == channels else None


def _is_pipe(path: str | Path) -> bool:
    """What is no ordinary file (/dev/null, a named pipe) is fed as standard output is."""
    return str(path) == "-" or (Path(path).exists() and not Path(path).is_file())


def _write(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)


@contextlib.contextmanager
def _wav_writer(
    stream: BinaryIO, name: str, raw: RawFormat, n_samples: int | None, *, is_pipe: bool
) -> Iterator[Writer]:
    long = not is_pipe and wav.needs_long(raw, n_samples)
    stream.write(wav.header(raw, n_samples, long=long))
    writer = Writer(name, raw.sample_rate, raw.channels, lambda block: _write(stream, wav.encode(block, raw.encoding)))
    yield writer
    if (n_samples is not None or not is_pipe) and writer.n_samples * raw.frame_bytes % 2:
        stream.write(b"\0")  # chunks are of even length
    if is_pipe and n_samples not in (None, writer.n_samples):
        raise ZooError(f"{name}: {n_samples} samples were promised, but {writer.n_samples} came")
    if not is_pipe:
        stream.seek(0)
        stream.write(wav.header(raw, writer.n_samples, long=long))


@contextlib.contextmanager
def _library_writer(
    stream: BinaryIO, name: str, sample_rate: int, channels: int, suffix: str, subtype: str
) -> Iterator[Writer]:
    import soundfile

    quiet = _Quiet(stream)
    file_format = formats.FORMATS[suffix][0]

    @contextlib.contextmanager
    def watched() -> Iterator[None]:
        try:
            with formats.blame(name, "written"):
                yield
        except (ZooError, AssertionError):  # soundfile asserts that all was written
            if quiet.error is None:
                raise
        if quiet.error is not None:
            raise quiet.error

    with watched():
        file = soundfile.SoundFile(quiet, "w", sample_rate, channels, subtype, format=file_format)

    def sink(block: np.ndarray) -> None:
        if subtype in formats.INTEGER_BITS:
            bits = formats.INTEGER_BITS[subtype]
            integers = quantise(block, bits)
            # libsndfile takes 24 bits as the upper ones of 32
            block = integers.astype(np.int16) if bits == 16 else (integers * 2 ** (32 - bits)).astype(np.int32)
        for first in range(0, len(block), formats.WRITE_BLOCK):
            with watched():
                part = formats.in_file_order(block[first : first + formats.WRITE_BLOCK], file_format)
                file.write(np.ascontiguousarray(part))

    try:
        yield Writer(name, sample_rate, channels, sink)
    except BaseException:
        with contextlib.suppress(Exception):
            file.close()
        raise
    with watched():
        file.close()
