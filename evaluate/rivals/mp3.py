"""MP3 (ISO/IEC 11172-3, 1993, and 13818-3) by LAME at constant rate, through libsndfile."""

from __future__ import annotations

import numpy as np

from evaluate.rivals.containers import mp3_frames, mp3_payload_bytes
from evaluate.rivals.rival import FULL_BAND_HZ, SoundfileRival
from zoo import audio
from zoo.errors import ZooError

DELAY_SAMPLES = 576 + 529  # of LAME's filterbank and of any decoder's
SCALES = {192: 0.97, 224: 0.98, 256: 1.0, 320: 1.0}
"""LAME lowers the level before coding, lest the decoded signal clips: by kbps (its presets.c; measured), 0.95 for all
others. This is undone, since it is no distortion, and the distances would see little else."""
SCALE = 0.95


class Mp3(SoundfileRival):
    """MP3 at one of the format's own constant rates, one or two channels; `setting` is kbps of both together.

    Sample rates that it does not have are resampled to the next one and back. LAME's lower level and the delay, where
    the file does not say it, are undone by known constants. Raises ZooError for a rate that the format does not have.
    """

    family = "mp3"
    example = "mp3:64"
    coded_rates = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    container = "MP3"
    codec = "MPEG_LAYER_III"
    signature = rb"(LAME[\x21-\x7e]+)"

    @classmethod
    def ladder(cls, sample_rate: int, channels: int) -> list[float]:
        mono = (32, 48, 64, 96, 128) if sample_rate >= FULL_BAND_HZ else (8, 16, 24, 32, 48, 64)
        return [float(kbps * channels) for kbps in mono]

    @property
    def rates_kbps(self) -> tuple[int, ...]:
        """What the format has at this sample rate."""
        if self.coded_rate >= 32_000:
            return (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
        low = (8, 16, 24, 32, 40, 48, 56, 64)
        return (*low, 80, 96, 112, 128, 144, 160) if self.coded_rate >= 16_000 else low

    def encode(self, samples: np.ndarray) -> bytes:
        """An MP3 file of (T, channels)."""
        low, high = self.rates_kbps[0], self.rates_kbps[-1]
        level = 1 - (self.setting - low) / (high - low)
        # at 1.0 libsndfile asks LAME for a rate that it has not
        return self._write(samples, min(level, 0.9999), bitrate_mode="CONSTANT")

    def decode(self, stream: bytes, n_samples: int) -> np.ndarray:
        """The `n_samples` (T, channels) that went in, each at its place and level."""
        decoded, rate = self._read(stream)
        # frames too small for LAME's tag leave the decoder without a word about the delay
        if not next(mp3_frames(stream)).is_tag:
            decoded = decoded[DELAY_SAMPLES:]
        decoded = decoded / np.float32(SCALES.get(round(self.setting), SCALE))
        return audio.resample(decoded, rate, self.sample_rate, n_samples=n_samples)

    def payload_bytes(self, stream: bytes) -> int:
        """Bytes of the frames of audio, their headers included, without LAME's tag: without one, all of the file."""
        return mp3_payload_bytes(stream)

    def _check(self) -> None:
        self._check_stereo()
        if self.setting not in self.rates_kbps:
            have = ", ".join(map(str, self.rates_kbps))
            raise ZooError(f"rival {self.name!r}: at {self.coded_rate} Hz the format has {have} kbps")
