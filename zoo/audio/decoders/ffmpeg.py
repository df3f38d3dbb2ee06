"""FFmpeg's decoders, through PyAV: frames as float32 samples, and its errors as ours."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.audio.decoders.formats import INSTALL
from zoo.errors import ZooError

# by FFmpeg's name of a sample format: how it lies in memory, and what counts as 1
_KINDS: dict[str, tuple[type[np.generic], float]] = {
    "u8": (np.uint8, 2.0**7),
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "s64": (np.int64, 2.0**63),
    "flt": (np.float32, 1.0),
    "dbl": (np.float64, 1.0),
}


def is_installed() -> bool:
    """Whether PyAV can be imported; it is not."""
    return importlib.util.find_spec("av") is not None


def require(path: Path, what: str) -> None:
    """Raises ZooError, naming the file and what brings the decoders, where PyAV is missing."""
    if not is_installed():
        raise ZooError(f"{path}: {what} is read by FFmpeg's decoders, which are missing: {INSTALL}")


@contextlib.contextmanager
def blame(path: Path) -> Iterator[None]:
    """What PyAV raises inside becomes a ZooError naming the file."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ZooError(f"{path}: cannot be read as audio ({' '.join(reason.split())})") from error


def joined(frames: list[Any]) -> Any:
    """Frames of one kind as one, which takes far less time to look at."""
    import av

    if len(frames) == 1:
        return frames[0]
    fifo = av.AudioFifo()
    for frame in frames:
        frame.pts = None  # they follow one another, whatever their times say
        fifo.write(frame)
    return fifo.read()


def samples(frame: Any) -> np.ndarray:
    """Float32 (T, C) of a decoded frame; integers are scaled to [-1, 1), as libsndfile does."""
    kind = frame.format.name.removesuffix("p")
    channels, n = frame.layout.nb_channels, frame.samples
    dtype, full_scale = _KINDS[kind]
    if frame.format.is_planar and channels > 1:
        out = np.empty((n, channels), np.float32)
        for c, plane in enumerate(frame.planes):
            out[:, c] = np.frombuffer(plane, dtype, n)
    else:
        out = np.frombuffer(frame.planes[0], dtype, n * channels).reshape(n, channels).astype(np.float32)
    if kind == "u8":
        out -= 128
    if full_scale != 1:
        out *= np.float32(1 / full_scale)
    return out
