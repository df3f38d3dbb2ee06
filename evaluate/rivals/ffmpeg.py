"""FFmpeg's codecs through PyAV, an optional extra that is imported only when one of them is asked for."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.metadata
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.errors import ZooError

INSTALL = "pip install -e '.[rivals]'"


def require(family: str, codec: str) -> None:
    """Raises ZooError, naming the library and how to install it, unless PyAV is there and has `codec`."""
    if codec not in _import(family).codecs_available:
        raise ZooError(f"rival {family!r}: this PyAV (av) was built without {codec}; {INSTALL}")


def libavcodec() -> str:
    """Name and version of the library that codes and decodes, and of PyAV; raises ZooError without PyAV."""
    av = _import("aac")
    return f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))} in PyAV {av.__version__}"


@functools.cache
def libopus() -> str:
    """Name and version of PyAV's libopus, as the library itself gives them, and of PyAV.

    Without a version where PyAV uses an FFmpeg of the system. Raises ZooError without PyAV.
    """
    av = _import("opus-cbr")
    name = "libopus"
    for file in importlib.metadata.files("av") or []:
        if re.fullmatch(r"(lib)?opus\b.*\.(so|dll|dylib)\b.*", file.name):
            with contextlib.suppress(OSError, AttributeError):
                version = ctypes.CDLL(str(file.locate())).opus_get_version_string
                version.restype = ctypes.c_char_p
                name = version().decode()
    return f"{name} in PyAV {av.__version__}"


def encode(
    samples: np.ndarray,
    sample_rate: int,
    *,
    name: str,
    codec: str,
    sample_format: str,
    container: str,
    kbps: float,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> bytes:
    """A file of (T, C), one or two channels; `sample_format` is what the codec takes: "flt", or "fltp" for planes.

    Raises ZooError blaming `name`.
    """
    av = _import(name)
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    planes = samples.T if sample_format == "fltp" else samples.reshape(1, -1)
    file = io.BytesIO()
    with _blame(av, name, "encoded"):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format=sample_format, layout=layout)
        frame.sample_rate, frame.pts = sample_rate, 0
        with av.open(file, "w", format=container, options=container_options or {}) as output:
            stream = output.add_stream(codec, rate=sample_rate, options=codec_options or {})
            stream.codec_context.layout = layout
            stream.codec_context.format = sample_format
            stream.codec_context.bit_rate = round(kbps * 1000)
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return file.getvalue()


def decode(stream: bytes, *, name: str, channels: int) -> np.ndarray:
    """All (T, channels) of a file whose codec decodes to planes of floats; raises ZooError blaming `name`."""
    av = _import(name)
    with _blame(av, name, "decoded"), av.open(io.BytesIO(stream)) as file:
        frames = [frame.to_ndarray().T for frame in file.decode(audio=0)]
    return np.concatenate([np.zeros((0, channels), np.float32), *frames])


def _import(name: str) -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        raise ZooError(f"rival {name!r}: needs PyAV (av), which is not installed; {INSTALL}") from None


@contextlib.contextmanager
def _blame(av: Any, name: str, verb: str) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise ZooError(f"{name}: cannot be {verb} ({error.strerror or error})") from error
