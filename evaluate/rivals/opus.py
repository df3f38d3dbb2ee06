"""Opus (Valin et al., RFC 6716, 2012): variable rate through libsndfile, constant rate through PyAV."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from evaluate.rivals import ffmpeg
from evaluate.rivals.containers import ogg_payload_bytes
from evaluate.rivals.rival import FULL_BAND_HZ, SoundfileRival

KBPS = (6.0, 256.0)  # per channel, what libsndfile sets
LADDER_KBPS = (6, 8, 12, 16, 24, 32)
MOST_KBPS = 64  # per channel, beyond which full-band Opus gains little


class Opus(SoundfileRival):
    """Opus at `setting` kbps for all channels together, variable rate.

    Rates that Opus does not have are resampled to 48 kHz and back. Raises ZooError for a bitrate outside 6 to 256 kbps
    per channel.
    """

    family = "opus"
    example = "opus:12"
    coded_rates = (8_000, 12_000, 16_000, 24_000, 48_000)
    container = "OGG"
    codec: ClassVar[str] = "OPUS"
    signature = rb"(?s)OpusTags.{4}(libopus [\x21-\x7e]+)"

    @classmethod
    def ladder(cls, sample_rate: int, channels: int) -> list[float]:
        full_band = [MOST_KBPS] if sample_rate >= FULL_BAND_HZ else []
        return [float(kbps * channels) for kbps in (*LADDER_KBPS, *full_band)]

    @property
    def coded_rate(self) -> int:
        """Hz at which Opus is fed."""
        return self.sample_rate if self.sample_rate in self.coded_rates else 48_000

    @property
    def max_delay_s(self) -> float:
        """Its speech mode shifts the waveform by up to 0.07 ms, early or late by bitrate and sample rate (measured):
        inaudible, but it costs many dB of SNR."""
        return 1e-4

    def encode(self, samples: np.ndarray) -> bytes:
        """An Ogg Opus stream of (T, channels)."""
        low, high = KBPS
        return self._write(samples, 1 - (self.setting / self.channels - low) / (high - low))

    def payload_bytes(self, stream: bytes) -> int:
        """Bytes of the packets, without the two of the header and without Ogg's pages."""
        return ogg_payload_bytes(stream, header_packets=2)

    def _check(self) -> None:
        low, high = KBPS
        self._check_kbps(low * self.channels, high * self.channels)


class OpusCbr(Opus):
    """Opus at a constant `setting` kbps, one or two channels: every 20 ms cost the same number of bytes.

    Raises ZooError for a bitrate outside 6 to 256 kbps per channel, and if PyAV is missing.
    """

    family = "opus-cbr"
    example = "opus-cbr:12"

    @classmethod
    def require_library(cls) -> None:
        super().require_library()  # it decodes, as it does for the variable rate
        ffmpeg.require(cls.family, "libopus")

    @classmethod
    def library(cls) -> str:
        """The encoder in PyAV, and the decoder, which is that of the variable rate."""
        return f"{ffmpeg.libopus()}, decoded by {super().library()}"

    def encode(self, samples: np.ndarray) -> bytes:
        """An Ogg Opus stream of (T, channels)."""
        return ffmpeg.encode(
            self._fed(samples), self.coded_rate, name=self.name, codec="libopus", sample_format="flt",
            container="ogg", kbps=self.setting, codec_options={"vbr": "off"},
        )  # fmt: skip

    def _check(self) -> None:
        self._check_stereo()
        super()._check()
