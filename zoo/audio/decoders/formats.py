"""Names of formats: what is looked for in folders, what is written, and how failures of libsndfile are told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ZooError

_LIBSNDFILE = """
    .wav .wave .wavex .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .mp1 .mpga .aif .aiff .aifc .au .snd .caf .voc .avr
    .pvf .nist .sph .ircam .sds .svx .8svx .paf .xi .wve .htk
"""
_FFMPEG = """
    .m4a .m4b .m4r .mp4 .m4v .mov .3gp .3g2 .aac .adts .webm .weba .mkv .mka .wma .asf .wmv .ac3 .eac3 .ec3 .dts .wv
    .tta .ape .mpc .amr .spx .ogv .ogx .avi .flv .ts .m2ts .mts .mpg .mpeg .tak .ra .rm .dsf .dff
"""
FFMPEG_SUFFIXES = frozenset(_FFMPEG.split())
"""Those that only FFmpeg's decoders read."""
SUFFIXES = frozenset(_LIBSNDFILE.split()) | FFMPEG_SUFFIXES
"""File name endings, in lower case, of audio and of films with sound; the contents decide how a file is read."""

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""What is written: suffix → libsndfile's format and default subtype."""
INTEGER_BITS = {"PCM_16": 16, "PCM_24": 24}
WRITE_BLOCK = 1 << 16  # frames per call: libvorbis overflows its stack when handed minutes at once

VORBIS_PLACES = {
    3: (0, 2, 1), 5: (0, 2, 1, 3, 4), 6: (0, 2, 1, 5, 3, 4), 7: (0, 2, 1, 6, 5, 3, 4), 8: (0, 2, 1, 7, 5, 6, 3, 4),
}  # fmt: skip
"""By number of channels, where in Vorbis (I, 4.3.9) and Opus (RFC 7845, 5.1.1.2) each channel of a WAV file is."""
MOST_CHANNELS = 1024
"""that libsndfile writes"""

INSTALL = "pip install -e '.[formats]'"
"""What brings FFmpeg's decoders (PyAV)."""


def check_subtype(path: str | Path, subtype: Any) -> str | None:
    """What is asked for as a subtype; raises ZooError, naming `path`, for what is neither a name nor None."""
    if subtype is None or isinstance(subtype, str):
        return subtype
    raise ZooError(f"{path}: a subtype is a name such as 'PCM_24', got {str(subtype)[:80]}")


def in_file_order(samples: np.ndarray, file_format: str) -> np.ndarray:
    """Samples (T, C) whose channels are in WAV's order in that of a format of libsndfile's, which stores them as given.

    In another order Vorbis would take what is loud in the back for the LFE, of which it keeps the bass alone.
    """
    places = VORBIS_PLACES.get(samples.shape[1]) if file_format == "OGG" else None
    return samples if places is None else samples[:, np.argsort(places)]


@contextlib.contextmanager
def blame(path: str | Path, verb: str) -> Iterator[None]:
    """Whatever soundfile raises inside becomes a ZooError: "`path`: cannot be `verb` (the reason)"."""
    import soundfile

    try:
        yield
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(": ") or "damaged"
        raise ZooError(f"{path}: cannot be {verb} ({reason})") from error
