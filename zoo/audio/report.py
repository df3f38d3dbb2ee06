"""What an audio file really holds: `python -m zoo info song.mp3`, and `python -m train check` for a folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.audio import FileInfo, open_reader
from zoo.audio.loudness import LoudnessMeter
from zoo.audio.places import no_folder
from zoo.errors import ZooError

_BLOCK = 1 << 16
_SILENCE_DB = -90.0  # RMS: what 16 bits hardly hold
_CANCELLED_DB = -40.0  # of the mean of the channels beside the channels themselves
_OFFSET = 0.02  # of the mean sample: a constant that speakers only suffer from
_CLIPPED_SHARE = 1e-3
_FULL_SCALE = 0.999  # of 16 bits, and of what lossy decoders make of it


@dataclass(frozen=True)
class AudioReport:
    """A file decoded to its end: what it is, its number of samples, levels, and what is strange about it."""

    info: FileInfo
    n_samples: int
    peak: float
    """largest magnitude of a sample, 1 being full scale"""
    rms_db: float
    """root mean square of all samples and channels in dBFS, −inf for silence"""
    loudness_lufs: float
    """integrated loudness (ITU-R BS.1770-5), −inf for silence"""
    warnings: tuple[str, ...]
    """a line each, without the file's name"""

    @property
    def seconds(self) -> float:
        return self.n_samples / self.info.sample_rate


def examine(
    path: str | Path, *, stream: int | None = None, advance: Callable[[int], None] = lambda _: None
) -> AudioReport:
    """Decodes a file and measures it; `stream` chooses among a container's audio streams.

    `advance` is called with the number of samples of each block. Raises ZooError, naming the file, if it cannot be read
    to its end.
    """
    if no_folder(path) != "file":
        raise ZooError(f"{path}: is a pipe, not a file")
    with open_reader(path, stream=stream) as reader:
        assert reader.info is not None
        meter = LoudnessMeter(reader.sample_rate, reader.channels)
        n = n_clipped = 0
        peak = energy = mixed_energy = difference = 0.0
        total = np.zeros(reader.channels)
        while len(block := reader.read(_BLOCK)):
            meter.push(block)
            n += len(block)
            magnitude = np.abs(block)
            peak = max(peak, float(magnitude.max()))
            n_clipped += int(np.count_nonzero(magnitude >= _FULL_SCALE))
            energy += float(np.vdot(block, block))
            total += block.sum(axis=0, dtype=np.float64)
            mixed = block.mean(axis=1)
            mixed_energy += float(np.vdot(mixed, mixed)) * reader.channels
            difference = max(difference, float(np.abs(block - block[:, :1]).max()))
            advance(len(block))
        rms_db = 10 * math.log10(energy / (n * reader.channels)) if energy else -math.inf
        loudness = meter.integrated_lufs()
        told = (reader.warning or "").removeprefix(f"{path}: ")
        info = reader.info
    warnings = [told] if told else []
    if rms_db < _SILENCE_DB:
        warnings.append("is digital silence" if not peak else f"is all but silent ({rms_db:.0f} dBFS)")
    elif energy and mixed_energy < energy * 10 ** (_CANCELLED_DB / 10):
        warnings.append("its channels cancel each other out when mixed to mono")
    if (offset := float(np.abs(total / n).max())) > _OFFSET:
        warnings.append(f"has a constant offset of {offset:.3f}")
    if peak > 1:
        warnings.append(f"peaks {20 * math.log10(peak):.1f} dB above full scale")
    if n_clipped > _CLIPPED_SHARE * n * info.channels:
        warnings.append(f"is clipped: {100 * n_clipped / n / info.channels:.1f} % of its samples are at full scale")
    if info.channels > 1 and not difference and peak:
        warnings.append(f"its {info.channels} channels are the same")
    return AudioReport(info, n, peak=peak, rms_db=rms_db, loudness_lufs=loudness, warnings=tuple(warnings))


def lines(report: AudioReport) -> list[str]:
    """What is told of a file, a line to each property."""
    info = report.info
    header = None
    if info.header_samples is not None:
        header = f"{info.header_samples / info.sample_rate:.3f} s, {info.header_samples} samples"
    peak_db = 20 * math.log10(report.peak) if report.peak else -math.inf
    table = {
        "file": str(info.path),
        "format": f"{info.format}, read by {engine(info)}",
        "audio": f"{report.seconds:.3f} s, {report.n_samples} samples, {info.sample_rate} Hz, "
        f"{info.channels} channel{'s' * (info.channels > 1)}",
        "header": header or "does not say how long it is",
        "peak": f"{report.peak:.4f} ({peak_db:.1f} dBFS), RMS {report.rms_db:.1f} dBFS",
        "loudness": f"{report.loudness_lufs:.1f} LUFS",
    }
    return [f"{name:8} {value}" for name, value in table.items()] + [f"warning  {line}" for line in report.warnings]


def engine(info: FileInfo) -> str:
    """The engine of a file with its version."""
    if info.engine == "libsndfile":
        import soundfile

        return f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}"
    if info.engine == "FFmpeg":
        import av

        return f"FFmpeg {av.ffmpeg_version_info} (PyAV {av.__version__})"
    return "ourselves"
