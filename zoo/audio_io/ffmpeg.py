"""FFmpeg's decoders, through PyAV: frames as float32 samples, and its errors as ours."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.audio_io.formats import INSTALL
from zoo.errors import ZooError

_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


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


def samples(frame: Any) -> np.ndarray:
    """Float32 (T, C) of a decoded frame; integers are scaled to [-1, 1), as libsndfile does."""
    content = frame.to_ndarray()
    channels = frame.layout.nb_channels
    content = content.T if frame.format.is_planar else content.reshape(-1, channels)
    full_scale = _FULL_SCALE.get(frame.format.name.removesuffix("p"))
    if full_scale is None:
        return np.ascontiguousarray(content, np.float32)
    if frame.format.name.startswith("u8"):
        content = content.astype(np.int16) - 128
    return np.ascontiguousarray(content, np.float32) * np.float32(1 / full_scale)
