"""Audio files, whole or in parts.

Audio is float32 (T, C), T samples of C channels, nominally in [-1, 1]; a float file that goes beyond is kept as it is.
Decoders and soxr are imported only when a file is touched or a rate changed.
"""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from zoo import arguments
from zoo.audio.decoders import ffmpeg
from zoo.audio.decoders.formats import (
    FFMPEG_SUFFIXES,
    FORMATS,
    INSTALL,
    INTEGER_BITS,
    MOST_CHANNELS,
    SUFFIXES,
    WRITE_BLOCK,
    blame,
    check_subtype,
    in_file_order,
)
from zoo.audio.decoders.inspect import FileInfo, inspect
from zoo.audio.decoders.source import Source
from zoo.audio.loudspeakers import Downmix, Layout, take
from zoo.audio.output import describe
from zoo.audio.samples import mix_channels, quantise, resample, validate
from zoo.errors import ZooError
from zoo.saved import whole
from zoo.wording import counted

_FILTER_REACH = 128  # samples of the lower rate: beyond this soxr's HQ filter is below 1e-5 (measured: 91)


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples float32 (T, C) and their rate in Hz; a line on what is missing, or was put right, in the file."""

    samples: np.ndarray
    sample_rate: int
    warning: str | None = None
    layout: Layout = ()
    """the loudspeakers of the channels; empty where none are meant, or the number of channels was changed"""


def probe(path: str | Path) -> FileInfo:
    """What a file is, and how many samples come out of it; raises ZooError if `path` is no readable audio."""
    return inspect(Path(arguments.as_path(path)))


def _window(source: Source, start: int, n_frames: int, n_samples: int) -> np.ndarray:
    """Frames [start, start + n_frames) at the file's own rate, float32 (n_frames, C), zeros outside the file."""
    out = np.zeros((n_frames, source.channels), np.float32)
    first, last = max(start, 0), min(start + n_frames, n_samples)
    if first < last:
        source.seek(first)
        filled = first - start
        while filled < last - start and len(block := source.read(last - start - filled)):
            out[filled : filled + len(block)] = block
            filled += len(block)
    return out


def _crop(
    source: Source,
    start: int,
    n_samples: int,
    sample_rate: int,
    channels: int | None,
    in_file: int,
    downmix: Downmix,
    layout: Layout,
) -> np.ndarray:
    from_hz = source.sample_rate
    unit = from_hz // math.gcd(from_hz, sample_rate)  # the fewest frames that are a whole number of output samples
    reach = -(-_FILTER_REACH * from_hz // min(from_hz, sample_rate))
    margin = 0 if from_hz == sample_rate else -(-reach // unit) * unit
    n_frames = -(-n_samples * from_hz // sample_rate) + 2 * margin
    samples = _window(source, start - margin, n_frames, in_file)
    if channels is not None and channels < samples.shape[1]:
        samples = take(samples, channels, downmix=downmix, layout=layout)
    skip = margin * sample_rate // from_hz
    samples = resample(samples, from_hz, sample_rate, n_samples=skip + n_samples)[skip:]
    return samples if channels is None else mix_channels(samples, channels)


def read_crop(
    path: str | Path | FileInfo,
    start: int,
    n_samples: int,
    *,
    sample_rate: int,
    channels: int | None = None,
    downmix: Downmix = "mix",
) -> np.ndarray:
    """Exactly `n_samples` at `sample_rate` Hz from frame `start` (at the file's own rate) on: float32 (n_samples, C).

    Sample j is the file at start / file_rate + j / sample_rate seconds, resampled with its surroundings, so that a crop
    equals that part of the whole file resampled; outside the file lies silence (`start` may be negative). Decodes only
    what it needs. Given a FileInfo, the file is not examined anew. Raises ZooError naming a file that is missing or
    damaged.
    """
    info = path if isinstance(path, FileInfo) else probe(path)
    if info.n_samples is None:
        info = probe(info.path)
    start, n_samples = arguments.whole(start, "start"), arguments.whole(n_samples, "n_samples")
    sample_rate = arguments.whole(sample_rate, "sample_rate")
    channels = None if channels is None else arguments.whole(channels, "channels")
    if n_samples < 1 or sample_rate < 1:
        raise ZooError(f"{info.path}: asked for {n_samples} samples at {sample_rate} Hz")
    source = info.open()
    try:
        return _crop(
            source,
            start,
            n_samples=n_samples,
            sample_rate=sample_rate,
            channels=channels,
            in_file=info.n_samples or 0,
            downmix=downmix,
            layout=info.layout,
        )
    finally:
        source.close()


def read(
    path: str | Path,
    *,
    start_s: float = 0.0,
    seconds: float | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    downmix: Downmix = "mix",
    stream: int | None = None,
) -> Audio:
    """Reads a file or the part of it from `start_s` on that is `seconds` long (less at its end), decoding only that.

    Integer files are scaled to [-1, 1); `sample_rate` (Hz) and `channels` convert, None keeps the file's own;
    `downmix` says how these become fewer (`zoo.audio.loudspeakers.take`), `stream` chooses among those of a container.
    A part equals that part of the whole file resampled. Raises ZooError, naming the path, if the file is missing, not
    audio, damaged or empty, or if the part lies outside it.
    """
    path = arguments.as_path(path)
    start_s = arguments.number(start_s, "start_s")
    seconds = None if seconds is None else arguments.number(seconds, "seconds")
    sample_rate = None if sample_rate is None else arguments.sample_rate(sample_rate)
    channels = None if channels is None else arguments.whole(channels, "channels")
    stream = None if stream is None else arguments.whole(stream, "stream")
    if downmix not in get_args(Downmix):
        raise ZooError(f"downmix must be {' or '.join(map(repr, get_args(Downmix)))}, got {str(downmix)[:80]!r}")
    is_whole = start_s == 0 and seconds is None
    info = inspect(Path(path), count=not is_whole, stream=stream)
    source = info.open()
    try:
        rate = sample_rate or info.sample_rate
        if seconds is not None and not 0 < seconds < math.inf:
            raise ZooError(f"{path}: asked for {seconds} s")
        if info.n_samples is None:
            samples = _whole(source, rate, channels, downmix, info.layout)
            return Audio(samples, rate, info.warning or source.warning, _kept(info, samples))
        # beyond the end before it is counted in samples, which infinity cannot be
        start = round(start_s * info.sample_rate) if 0 <= start_s < info.seconds else info.n_samples
        if start >= info.n_samples:
            raise ZooError(f"{path}: a part from {start_s} s lies outside the file's {info.seconds:.3f} s")
        n_samples = -(-(info.n_samples - start) * rate // info.sample_rate)
        if seconds is not None:
            n_samples = min(max(round(min(seconds, info.seconds) * rate), 1), n_samples)
        samples = _crop(
            source,
            start,
            n_samples=n_samples,
            sample_rate=rate,
            channels=channels,
            in_file=info.n_samples,
            downmix=downmix,
            layout=info.layout,
        )
        return Audio(samples, rate, info.warning or source.warning, _kept(info, samples))
    finally:
        source.close()


def _kept(info: FileInfo, samples: np.ndarray) -> Layout:
    return info.layout if samples.shape[1] == info.channels else ()


def _whole(source: Source, rate: int, channels: int | None, downmix: Downmix, layout: Layout) -> np.ndarray:
    """All of a source of unknown length, at a rate and with channels (None: its own)."""
    blocks = []
    while len(block := source.read(1 << 16)):
        fewer = channels is not None and channels < block.shape[1]
        blocks.append(take(block, channels, downmix=downmix, layout=layout) if fewer and channels else block)
    samples = resample(np.concatenate(blocks), source.sample_rate, rate)
    return samples if channels is None else mix_channels(samples, channels)


def write(path: str | Path, samples: np.ndarray, sample_rate: int, *, subtype: str | None = None) -> None:
    """Writes (T, C) as .wav, .flac (16 bits unless `subtype` is "PCM_24", or "FLOAT" for wav) or .ogg (Vorbis).

    Integer formats clip to [-1, 1] and round, so that what was read from a 16-bit file is written back unchanged. The
    file appears whole or not at all. Raises ZooError on bad samples, an unknown suffix or an unwritable place.
    """
    import soundfile

    path = Path(arguments.as_path(path))
    samples = arguments.as_array(samples, f"{path}: samples")
    validate(samples, name=str(path))
    sample_rate = arguments.sample_rate(sample_rate)
    if (channels := samples.shape[1]) > MOST_CHANNELS:
        raise ZooError(f"{path}: samples are (T, C), and a file has {MOST_CHANNELS} channels at most, not {channels}")
    if path.suffix.lower() not in FORMATS:
        raise ZooError(f"{path}: cannot write '{path.suffix}', only {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ZooError(f"{path}: no folder {path.parent}")
    file_format, default = FORMATS[path.suffix.lower()]
    subtype = check_subtype(path, subtype) or default
    if subtype in INTEGER_BITS:
        integers = quantise(samples, INTEGER_BITS[subtype])
        # libsndfile takes 24 bits as the upper ones of 32.
        samples = integers.astype(np.int16) if subtype == "PCM_16" else (integers * 256).astype(np.int32)
    with blame(path, "written"), whole.place(path, unique=True) as temporary:
        place = os.fsencode(temporary)  # soundfile takes a str for UTF-8
        with soundfile.SoundFile(place, "w", sample_rate, channels, subtype, format=file_format) as file:
            for first in range(0, len(samples), WRITE_BLOCK):
                file.write(np.ascontiguousarray(in_file_order(samples[first : first + WRITE_BLOCK], file_format)))


def _say(line: str) -> None:
    print(f"skipped {line}", file=sys.stderr, flush=True)


def find_files(root: str | Path, *, on_left_out: Callable[[str], None] = _say) -> list[Path]:
    """The paths of all files that `find_names` finds."""
    root = Path(arguments.as_path(root))
    return [root / name for name in find_names(root, on_left_out=on_left_out)]


def find_names(root: Path, *, also: tuple[str, ...] = (), on_left_out: Callable[[str], None] = _say) -> list[str]:
    """Every audio file below `root` by its suffix, links followed, hidden files and folders left out, sorted.

    Names are paths below `root` with forward slashes; a million of them take a tenth of the memory of as many paths.
    What ends in one of `also` is found as well. What is no ordinary file (a pipe, a device) is left out. Folders that
    cannot be read, and all files together whose decoders are not installed, are told to `on_left_out` in a line each,
    by default on standard error. Raises ZooError if `root` is missing, is not a folder, cannot be read, or holds no
    audio.
    """
    if not root.is_dir():
        raise ZooError(f"{root}: {'is not a folder' if root.exists() else 'no such folder'}")

    def closed(error: OSError) -> None:
        place = os.fsdecode(error.filename)
        line = f"{place}: this folder cannot be read ({describe(error)})"
        if place == str(root):
            raise ZooError(line)
        on_left_out(line)

    files = []
    for folder, names in walk(root, closed):
        inside = folder[len(str(root)) :].lstrip("/")
        for name in names:
            if (_suffix(name) in SUFFIXES or name.lower().endswith(also)) and not _is_special(f"{folder}/{name}"):
                files.append(f"{inside}/{name}" if inside else name)
    undecodable = [] if ffmpeg.is_installed() else [file for file in files if _suffix(file) in FFMPEG_SUFFIXES]
    if undecodable:
        kinds = ", ".join(sorted({_suffix(file) for file in undecodable}))
        line = f"{root}: FFmpeg's decoders are missing for {counted(len(undecodable), 'file')} ({kinds}): {INSTALL}"
        if len(undecodable) == len(files):
            raise ZooError(line)
        on_left_out(line)
        files = [file for file in files if _suffix(file) not in FFMPEG_SUFFIXES]
    if not files:
        raise ZooError(f"{root}: holds no audio files")
    files.sort(key=in_order)
    return files


def in_order(name: str) -> str:
    """A key that sorts paths with forward slashes by their parts, as a walk through the folders meets them."""
    return name.replace("/", "\0")


def walk(root: Path, on_closed: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
    """Every folder below `root`, itself first, with the names of the files in it.

    Links are followed, each real folder is entered once; hidden files and folders are left out. A folder that cannot be
    read is told to `on_closed`.
    """
    seen: set[str] = set()  # real paths of folders, so that a link to a parent ends
    for folder, names, file_names in os.walk(root, followlinks=True, onerror=on_closed):
        real = os.path.realpath(folder)
        names[:] = sorted(name for name in names if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            seen.add(real)
            yield folder, [name for name in file_names if not name.startswith(".")]


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_special(path: str) -> bool:
    """Whether it is there and neither a file nor a link that leads nowhere: opening a pipe would wait for a writer."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
