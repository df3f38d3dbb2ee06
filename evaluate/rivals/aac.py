"""AAC-LC (ISO/IEC 13818-7, 1997) by FFmpeg's encoder in MP4, through PyAV."""

from __future__ import annotations

import numpy as np

from evaluate.rivals import ffmpeg
from evaluate.rivals.containers import mp4_payload_bytes
from evaluate.rivals.rival import FULL_BAND_HZ, Rival
from zoo import audio

MOST_KBPS = 128.0  # per channel
MOST_BITS = 4  # per sample: lower sample rates cannot spend more


class Aac(Rival):
    """AAC-LC at about `setting` kbps for one or two channels together.

    Sample rates that it does not have are resampled to the next one and back. Raises ZooError for a bitrate that the
    encoder misses by far (per channel: below 12 kbps, 16 from 32 kHz on; above 4 bits a sample or 128 kbps; measured),
    and if PyAV is missing.
    """

    family = "aac"
    example = "aac:32"
    coded_rates = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)

    @classmethod
    def ladder(cls, sample_rate: int, channels: int) -> list[float]:
        mono = (16, 24, 32, 48, 64, 96) if sample_rate >= FULL_BAND_HZ else (12, 16, 24, 32, 48, 64)
        return [float(kbps * channels) for kbps in mono]

    @classmethod
    def require_library(cls) -> None:
        ffmpeg.require(cls.family, "aac")

    @classmethod
    def library(cls) -> str:
        """FFmpeg's libavcodec and the PyAV that brings it."""
        return ffmpeg.libavcodec()

    def encode(self, samples: np.ndarray) -> bytes:
        """An MP4 file of (T, channels)."""
        return ffmpeg.encode(
            self._fed(samples), self.coded_rate, name=self.name, codec="aac", sample_format="fltp",
            # a file counts its length in these ticks: in the usual milliseconds, the last samples are lost
            container="mp4", kbps=self.setting, container_options={"movie_timescale": str(self.coded_rate)},
        )  # fmt: skip

    def decode(self, stream: bytes, n_samples: int) -> np.ndarray:
        """The `n_samples` (T, channels) that went in: the file says where its delay ends."""
        decoded = ffmpeg.decode(stream, name=self.name, channels=self.channels)
        return audio.resample(decoded, self.coded_rate, self.sample_rate, n_samples=n_samples)

    def payload_bytes(self, stream: bytes) -> int:
        """Bytes of the AAC frames, without MP4's tables."""
        return mp4_payload_bytes(stream)

    def _check(self) -> None:
        self._check_stereo()
        low = 16.0 if self.coded_rate >= FULL_BAND_HZ else 12.0
        high = min(MOST_KBPS, MOST_BITS * self.coded_rate / 1000)
        self._check_kbps(low * self.channels, high * self.channels)
