"""What every rival shares: its name, the rate it is fed at, and the round trip that is timed and charged."""

from __future__ import annotations

import abc
import functools
import io
import re
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evaluate.systems import Coded
from zoo import audio
from zoo.errors import ZooError

FULL_BAND_HZ = 32_000
"""From this sample rate on, ladders and limits are those of full-band audio."""


@dataclass(frozen=True)
class Rival(abc.ABC):
    """A codec at one setting (kbps of all channels together, or a quality), for audio at any sample rate in Hz.

    What it cannot be fed is resampled to the next rate that it has, and back. Raises ZooError for a setting or a
    number of channels that it does not have, and if the library that it needs is missing.
    """

    setting: float
    sample_rate: int
    channels: int

    family: ClassVar[str]
    letter: ClassVar[str] = ""
    """stands before the setting if that is no bitrate"""
    example: ClassVar[str]
    coded_rates: ClassVar[tuple[int, ...]] = ()
    """Hz, ascending; empty = any"""

    def __post_init__(self) -> None:
        self.require_library()
        self._check()

    @property
    def name(self) -> str:
        return f"{self.family}:{self.letter}{self.setting:g}"

    @property
    def level(self) -> None:
        return None

    @property
    def identity(self) -> str:
        return repr(self)

    @property
    def coder(self) -> str:
        """Libraries that code and decode, with the versions that they give themselves."""
        return self.library()

    @property
    def max_delay_s(self) -> float:
        """Seconds by which the output may be shifted after the constant delay, if any, was cut off by `decode`."""
        return 0.0

    @property
    def coded_rate(self) -> int:
        """Hz at which the codec is fed: the clip's own, else the next that it has, else its highest."""
        if not self.coded_rates or self.sample_rate in self.coded_rates:
            return self.sample_rate
        return next((rate for rate in self.coded_rates if rate > self.sample_rate), self.coded_rates[-1])

    @classmethod
    @abc.abstractmethod
    def ladder(cls, sample_rate: int, channels: int) -> list[float]:
        """Settings from low to high that are worth a curve in this format; some of them may turn out not to be had."""

    @classmethod
    @abc.abstractmethod
    def require_library(cls) -> None:
        """Raises ZooError, naming what to install, if the codec is not there."""

    @classmethod
    @abc.abstractmethod
    def library(cls) -> str:
        """The library that codes, as in `coder`; it does not depend on the setting."""

    @abc.abstractmethod
    def _check(self) -> None:
        """Raises ZooError if the codec does not have this setting in this format."""

    @abc.abstractmethod
    def encode(self, samples: np.ndarray) -> bytes:
        """A whole file of (T, channels)."""

    @abc.abstractmethod
    def decode(self, stream: bytes, n_samples: int) -> np.ndarray:
        """The `n_samples` (T, channels) that went in, each at its place and level."""

    @abc.abstractmethod
    def payload_bytes(self, stream: bytes) -> int:
        """Bytes of coded audio in a file."""

    def process(self, samples: np.ndarray) -> Coded:
        """Codes and decodes (T, channels)."""
        start = time.perf_counter()
        stream = self.encode(samples)
        between = time.perf_counter()
        decoded = self.decode(stream, len(samples))
        end = time.perf_counter()
        return Coded(decoded, len(stream), self.payload_bytes(stream), between - start, end - between)

    def _check_kbps(self, low: float, high: float) -> None:
        if not low <= self.setting <= high:
            raise ZooError(f"rival {self.name!r}: at {_format(self)} it runs at {low:g} to {high:g} kbps")

    def _check_stereo(self) -> None:
        if not 1 <= self.channels <= 2:
            raise ZooError(f"rival {self.name!r}: codes one or two channels, not {self.channels}")

    def _fed(self, samples: np.ndarray) -> np.ndarray:
        return audio.resample(samples, self.sample_rate, self.coded_rate)


class SoundfileRival(Rival):
    """A rival that libsndfile writes and reads."""

    container: ClassVar[str]
    codec: ClassVar[str]
    signature: ClassVar[bytes]
    """pattern of what the encoder writes of itself into each file; its first group is name and version"""

    @classmethod
    def require_library(cls) -> None:
        import soundfile

        if cls.codec not in soundfile.available_subtypes(cls.container):
            raise ZooError(
                f"rival {cls.family!r}: this libsndfile ({soundfile.__libsndfile_version__}) has no {cls.codec}; "
                "pip install --force-reinstall soundfile"
            )

    @classmethod
    def library(cls) -> str:
        """What the encoder says of itself, whose library decodes too (MP3: not), and the libsndfile that brings it."""
        import soundfile

        found = re.search(cls.signature, _signed_file(cls.container, cls.codec))
        name = found[1].decode() if found else cls.family
        return f"{name} in libsndfile {soundfile.__libsndfile_version__}"

    def _write(self, samples: np.ndarray, compression_level: float, **options: str) -> bytes:
        import soundfile

        stream = io.BytesIO()
        fed = self._fed(samples)
        with (
            audio.blame(self.name, "encoded"),
            soundfile.SoundFile(
                stream,
                "w",
                self.coded_rate,
                self.channels,
                format=self.container,
                subtype=self.codec,
                compression_level=compression_level,
                **options,
            ) as file,
        ):
            for start in range(0, len(fed), audio.WRITE_BLOCK):
                file.write(fed[start : start + audio.WRITE_BLOCK])
        return stream.getvalue()

    def decode(self, stream: bytes, n_samples: int) -> np.ndarray:
        """The `n_samples` (T, channels) that went in."""
        decoded, rate = self._read(stream)
        return audio.resample(decoded, rate, self.sample_rate, n_samples=n_samples)

    def _read(self, stream: bytes) -> tuple[np.ndarray, int]:
        import soundfile

        with audio.blame(self.name, "decoded"):
            return soundfile.read(io.BytesIO(stream), dtype="float32", always_2d=True)


@functools.cache
def _signed_file(container: str, codec: str) -> bytes:
    """Some silence, at a rate at which MP3 frames have room for who wrote them."""
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(4800), 48_000, format=container, subtype=codec)
    return stream.getvalue()


def _format(rival: Rival) -> str:
    channels = {1: "mono", 2: "stereo"}.get(rival.channels, f"{rival.channels} channels")
    return f"{rival.coded_rate} Hz {channels}"
