"""Reading, writing, resampling and aligning audio: the only place that does.

Audio is float32 (T, C), T samples of C channels, nominally in [-1, 1]; a float file that goes beyond is kept as it is.
soundfile and soxr are imported only when a file is touched or a rate changed.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import ZooError

if TYPE_CHECKING:
    import soundfile

_SUFFIXES = """
    .wav .wave .wavex .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .snd .caf .voc .avr .pvf .nist
    .sph .ircam .sds .svx .8svx .paf .xi .wve .htk
"""
SUFFIXES = frozenset(_SUFFIXES.split())
"""File name endings, in lower case, that soundfile reads without being told the format."""

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
INTEGER_BITS = {"PCM_16": 16, "PCM_24": 24}
_FILTER_REACH = 128  # samples of the lower rate: beyond this soxr's HQ filter is below 1e-5 (measured: 91)
_MPEG_PREROLL = 16 * 1152  # samples: frames borrow bits from up to ~10 earlier ones, which a seek does not decode
_VORBIS_TAIL = 1 << 18  # samples: the longest page (255 packets); libsndfile misplaces what it seeks in the last one
WRITE_BLOCK = 1 << 16  # frames per call: libvorbis overflows its stack when handed minutes at once


@dataclass(frozen=True, eq=False)
class Audio:
    """Samples float32 (T, C) and their rate in Hz."""

    samples: np.ndarray
    sample_rate: int


@dataclass(frozen=True)
class FileInfo:
    """What a file's header says: duration in seconds, rate in Hz, channels."""

    path: Path
    seconds: float
    sample_rate: int
    channels: int


@dataclass(frozen=True, eq=False)
class Aligned:
    """Reference and estimate of one shape (T, C); `lag` is by how many samples the estimate came late."""

    reference: np.ndarray
    estimate: np.ndarray
    lag: int


def validate(samples: np.ndarray, *, name: str = "audio") -> None:
    """Raises ZooError, blaming `name`, unless `samples` is a non-empty, finite, floating-point (T, C)."""
    samples = np.asarray(samples)
    if samples.ndim != 2:
        raise ZooError(f"{name}: expected samples (T, C), got shape {samples.shape}")
    if not np.issubdtype(samples.dtype, np.floating):
        raise ZooError(f"{name}: expected floating-point samples in [-1, 1], got {samples.dtype}")
    if samples.size == 0:
        raise ZooError(f"{name}: is empty, shape {samples.shape}")
    finite = np.isfinite(samples)
    if not finite.all():
        t, c = np.unravel_index(int(np.argmin(finite)), samples.shape)
        what = "NaN" if np.isnan(samples[t, c]) else "infinity"
        raise ZooError(f"{name}: {what} at sample {t}, channel {c}")


def mix_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """(T, C) → (T, channels): the mean on the way down to mono, copies on the way up; other counts go through mono."""
    if channels < 1:
        raise ZooError(f"channels must be at least 1, got {channels}")
    if samples.shape[1] == channels:
        return samples
    mono = samples[:, :1].copy()
    for c in range(1, samples.shape[1]):  # numpy's mean over a short last axis takes as long as decoding
        mono += samples[:, c : c + 1]
    mono /= samples.shape[1]
    return mono if channels == 1 else np.repeat(mono, channels, axis=1)


def resample(samples: np.ndarray, from_hz: int, to_hz: int, *, n_samples: int | None = None) -> np.ndarray:
    """(T, C) at `from_hz` → float32 (T', C) at `to_hz` by soxr HQ, without delay: sample j lies at j / to_hz seconds.

    T' is ceil(T · to_hz / from_hz), or `n_samples` by trimming or appending zeros. Raises ZooError on a bad rate or
    rank.
    """
    if from_hz < 1 or to_hz < 1:
        raise ZooError(f"sample rates must be positive, got {from_hz} and {to_hz} Hz")
    if samples.ndim != 2:
        raise ZooError(f"resample: expected samples (T, C), got shape {samples.shape}")
    natural = -(-len(samples) * to_hz // from_hz)
    if from_hz != to_hz and len(samples):
        import soxr

        # soxr rounds the length to the nearest: with a little silence behind it, the last sample is there too.
        silence = np.zeros((-(-from_hz // to_hz), samples.shape[1]), np.float32)
        padded = np.concatenate([samples.astype(np.float32, copy=False), silence])
        samples = soxr.resample(padded, from_hz, to_hz, quality="HQ")[:natural]
    samples = samples.astype(np.float32, copy=False)
    return samples if n_samples is None else _fit(samples, n_samples)


def _fit(samples: np.ndarray, n: int) -> np.ndarray:
    return samples[:n] if n <= len(samples) else np.pad(samples, ((0, n - len(samples)), (0, 0)))


@contextlib.contextmanager
def blame(path: str | Path, verb: str) -> Iterator[None]:
    """Whatever soundfile raises inside becomes a ZooError: "`path`: cannot be `verb` (the reason)"."""
    import soundfile

    try:
        yield
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(": ") or "damaged"
        raise ZooError(f"{path}: cannot be {verb} ({reason})") from error


@contextlib.contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    """An open file with at least one frame; whatever goes wrong inside becomes a ZooError naming the path."""
    import soundfile

    if not path.is_file():
        raise ZooError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    with blame(path, "read as audio"), soundfile.SoundFile(path) as file:
        if file.frames < 1:
            raise ZooError(f"{path}: holds no samples")
        if file.frames >= 1 << 62:
            raise ZooError(f"{path}: its header does not say how long it is; write it anew")
        yield file


def probe(path: str | Path) -> FileInfo:
    """Duration, rate and channels from the header alone; raises ZooError if `path` is no readable audio."""
    with _open(Path(path)) as file:
        return FileInfo(Path(path), file.frames / file.samplerate, file.samplerate, file.channels)


def _window(file: soundfile.SoundFile, start: int, n_frames: int) -> np.ndarray:
    """Frames [start, start + n_frames) at the file's own rate, float32 (n_frames, C), zeros outside the file."""
    first, last = max(start, 0), min(start + n_frames, file.frames)
    if first >= last:
        return np.zeros((n_frames, file.channels), np.float32)
    decode_from = first
    if file.format == "MP3":
        decode_from = max(first - _MPEG_PREROLL, 0)
    elif file.subtype == "VORBIS":
        decode_from = min(first, max(file.frames - _VORBIS_TAIL, 0))
    if decode_from:
        file.seek(decode_from)
    # In one call: soundfile seeks after each read, which is not exact for MPEG.
    samples = file.read(last - decode_from, dtype="float32", always_2d=True)[first - decode_from :]
    if len(samples) < last - first and file.format != "MP3":  # an MP3's length may be an estimate
        raise ZooError(f"{file.name}: ends at frame {first + len(samples)}, its header promises {file.frames}")
    if len(samples) == n_frames:
        return samples
    out = np.zeros((n_frames, file.channels), np.float32)
    out[first - start : first - start + len(samples)] = samples
    return out


def _crop(file: soundfile.SoundFile, start: int, n_samples: int, sample_rate: int, channels: int | None) -> np.ndarray:
    from_hz = file.samplerate
    unit = from_hz // math.gcd(from_hz, sample_rate)  # the fewest frames that are a whole number of output samples
    reach = -(-_FILTER_REACH * from_hz // min(from_hz, sample_rate))
    margin = 0 if from_hz == sample_rate else -(-reach // unit) * unit
    n_frames = -(-n_samples * from_hz // sample_rate) + 2 * margin
    samples = _window(file, start - margin, n_frames)
    if channels is not None and channels < samples.shape[1]:
        samples = mix_channels(samples, channels)
    skip = margin * sample_rate // from_hz
    samples = resample(samples, from_hz, sample_rate, n_samples=skip + n_samples)[skip:]
    return samples if channels is None else mix_channels(samples, channels)


def read_crop(
    path: str | Path, start: int, n_samples: int, *, sample_rate: int, channels: int | None = None
) -> np.ndarray:
    """Exactly `n_samples` at `sample_rate` Hz from frame `start` (at the file's own rate) on: float32 (n_samples, C).

    Sample j is the file at start / file_rate + j / sample_rate seconds, resampled with its surroundings, so that a crop
    equals that part of the whole file resampled; outside the file lies silence (`start` may be negative). Decodes only
    what it needs. Raises ZooError naming a file that is missing or damaged.
    """
    if n_samples < 1 or sample_rate < 1:
        raise ZooError(f"{path}: asked for {n_samples} samples at {sample_rate} Hz")
    with _open(Path(path)) as file:
        return _crop(file, start, n_samples, sample_rate, channels)


def read(
    path: str | Path,
    *,
    start_s: float = 0.0,
    seconds: float | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Audio:
    """Reads a file or the part of it from `start_s` on that is `seconds` long (less at its end), decoding only that.

    Integer files are scaled to [-1, 1); `sample_rate` (Hz) and `channels` convert, None keeps the file's own. A part
    equals that part of the whole file resampled. Raises ZooError, naming the path, if the file is missing, not audio,
    damaged or empty, or if the part lies outside it.
    """
    with _open(Path(path)) as file:
        rate = sample_rate or file.samplerate
        start = round(start_s * file.samplerate)
        if start_s < 0 or start >= file.frames:
            length_s = file.frames / file.samplerate
            raise ZooError(f"{path}: a part from {start_s} s lies outside the file's {length_s:.3f} s")
        if rate < 1 or (seconds is not None and seconds <= 0):
            raise ZooError(f"{path}: asked for {seconds} s at {rate} Hz")
        n_samples = -(-(file.frames - start) * rate // file.samplerate)
        if seconds is not None:
            n_samples = min(max(round(seconds * rate), 1), n_samples)
        return Audio(_crop(file, start, n_samples, rate, channels), rate)


def quantise(samples: np.ndarray, bits: int) -> np.ndarray:
    """Rounds samples in [-1, 1) to whole numbers (float64) in [-2^(bits-1), 2^(bits-1)), clipping what lies beyond."""
    scale = 2.0 ** (bits - 1)
    return np.clip(np.round(np.asarray(samples, np.float64) * scale), -scale, scale - 1)


def write(path: str | Path, samples: np.ndarray, sample_rate: int, *, subtype: str | None = None) -> None:
    """Writes (T, C) as .wav, .flac (16 bits unless `subtype` is "PCM_24", or "FLOAT" for wav) or .ogg (Vorbis).

    Integer formats clip to [-1, 1] and round, so that what was read from a 16-bit file is written back unchanged. The
    file appears whole or not at all. Raises ZooError on bad samples, an unknown suffix or an unwritable place.
    """
    import soundfile

    path = Path(path)
    validate(samples, name=str(path))
    if path.suffix.lower() not in FORMATS:
        raise ZooError(f"{path}: cannot write '{path.suffix}', only {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ZooError(f"{path}: no folder {path.parent}")
    file_format, default = FORMATS[path.suffix.lower()]
    subtype = subtype or default
    samples = np.asarray(samples)
    if subtype in INTEGER_BITS:
        integers = quantise(samples, INTEGER_BITS[subtype])
        # libsndfile takes 24 bits as the upper ones of 32.
        samples = integers.astype(np.int16) if subtype == "PCM_16" else (integers * 256).astype(np.int32)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}{path.suffix}")
    channels = samples.shape[1]
    try:
        with blame(path, "written"):
            with soundfile.SoundFile(temporary, "w", sample_rate, channels, subtype, format=file_format) as file:
                for first in range(0, len(samples), WRITE_BLOCK):
                    file.write(np.ascontiguousarray(samples[first : first + WRITE_BLOCK]))
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def find_files(root: str | Path) -> list[Path]:
    """Every audio file below `root` by its suffix, links followed, hidden files and folders left out, sorted.

    Raises ZooError if `root` is missing, is not a folder, or holds no audio.
    """
    root = Path(root)
    if not root.is_dir():
        raise ZooError(f"{root}: {'is not a folder' if root.exists() else 'no such folder'}")
    files: list[Path] = []
    seen: set[str] = set()  # real paths of folders, so that a link to a parent ends
    for folder, names, file_names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        names[:] = sorted(n for n in names if not n.startswith(".")) if real not in seen else []
        if real in seen:
            continue
        seen.add(real)
        files += [
            Path(folder, n) for n in file_names if not n.startswith(".") and os.path.splitext(n)[1].lower() in SUFFIXES
        ]
    if not files:
        raise ZooError(f"{root}: holds no audio files")
    return sorted(files, key=lambda f: f.relative_to(root).parts)


def align(reference: np.ndarray, estimate: np.ndarray, *, max_lag: int = 0) -> Aligned:
    """Cuts (T, C) and (T', C) to what they have in common, after undoing the lag of best cross-correlation.

    The lag, in ±max_lag samples, is found by FFT over all channels together; of equal ones the smallest. Raises
    ZooError on different channels, an empty signal or a negative `max_lag`.
    """
    if reference.ndim != 2 or estimate.ndim != 2 or reference.shape[1] != estimate.shape[1]:
        raise ZooError(f"align: expected (T, C) and (T', C), got {reference.shape} and {estimate.shape}")
    if not reference.size or not estimate.size or max_lag < 0:
        raise ZooError(f"align: cannot align {reference.shape} with {estimate.shape} within ±{max_lag} samples")
    lag = 0
    if max_lag:
        n_fft = 1 << (len(reference) + len(estimate) - 1).bit_length()
        spectra = [np.fft.rfft(x.astype(np.float64), n_fft, axis=0) for x in (reference, estimate)]
        correlation = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(axis=1), n_fft)
        lags = np.arange(-min(max_lag, len(reference) - 1), min(max_lag, len(estimate) - 1) + 1)
        lags = lags[np.argsort(np.abs(lags), kind="stable")]
        lag = int(lags[np.argmax(correlation[lags])])
    reference, estimate = reference[max(-lag, 0) :], estimate[max(lag, 0) :]
    n = min(len(reference), len(estimate))
    return Aligned(reference[:n], estimate[:n], lag)
