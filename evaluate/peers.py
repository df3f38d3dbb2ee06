"""Codecs that others made, as rivals at the same clips: Opus (Valin et al., RFC 6716), through libsndfile."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import numpy as np

from evaluate.evaluation import Coded, System
from zoo import audio
from zoo.errors import ZooError

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
OPUS_KBPS = (6.0, 256.0)  # per channel, what libsndfile sets
HEADER_PACKETS = 2  # OpusHead and OpusTags


def create(spec: str, *, sample_rate: int, channels: int) -> System:
    """The rival that `spec` names, such as "opus:12" (kbps, all channels together), for audio of this format.

    Raises ZooError for an unknown name or a bitrate that it does not have.
    """
    name, _, rate = spec.partition(":")
    if name != "opus":
        raise ZooError(f"unknown peer {spec!r}; there is opus:KBPS, such as opus:12")
    try:
        kbps = float(rate)
    except ValueError:
        raise ZooError(f"peer {spec!r}: give its bitrate in kbps, such as opus:12") from None
    return Opus(spec, kbps, sample_rate, channels)


@dataclass(frozen=True)
class Opus:
    """Opus at `kbps` for all channels together, variable rate, with audio at any sample rate.

    Rates that Opus does not have are resampled to 48 kHz and back. Its bytes are those of the packets, without the two
    of the header and without Ogg's pages. Raises ZooError for a bitrate outside 6 to 256 kbps per channel.
    """

    name: str
    kbps: float
    sample_rate: int
    channels: int
    level: None = None
    max_delay_s: float = 1e-4
    """Its speech mode shifts the waveform by up to 0.07 ms, early or late by bitrate and sample rate (measured):
    inaudible, but it costs many dB of SNR."""

    def __post_init__(self) -> None:
        low, high = (limit * self.channels for limit in OPUS_KBPS)
        if not low <= self.kbps <= high:
            raise ZooError(f"peer {self.name!r}: Opus with {self.channels} channels runs at {low:g} to {high:g} kbps")

    @property
    def coded_rate(self) -> int:
        """Hz at which Opus is fed."""
        return self.sample_rate if self.sample_rate in OPUS_RATES else 48_000

    def process(self, samples: np.ndarray) -> Coded:
        """Codes and decodes (T, channels)."""
        start = time.perf_counter()
        stream = self.encode(samples)
        between = time.perf_counter()
        decoded = self.decode(stream, len(samples))
        end = time.perf_counter()
        return Coded(decoded, payload_bytes(stream), between - start, end - between)

    def encode(self, samples: np.ndarray) -> bytes:
        """An Ogg Opus stream of (T, channels)."""
        import soundfile

        file = io.BytesIO()
        low, high = OPUS_KBPS
        level = 1 - (self.kbps / self.channels - low) / (high - low)
        fed = audio.resample(samples, self.sample_rate, self.coded_rate)
        soundfile.write(file, fed, self.coded_rate, format="OGG", subtype="OPUS", compression_level=level)
        return file.getvalue()

    def decode(self, stream: bytes, n_samples: int) -> np.ndarray:
        """The `n_samples` (T, channels) that went in."""
        import soundfile

        decoded, rate = soundfile.read(io.BytesIO(stream), dtype="float32", always_2d=True)
        return audio.resample(decoded, rate, self.sample_rate, n_samples=n_samples)


def payload_bytes(stream: bytes) -> int:
    """Bytes of the audio packets in an Ogg stream (RFC 3533): no pages' headers, no header packets.

    Raises ZooError if the stream is not one of Ogg pages.
    """
    position, finished, total = 0, 0, 0
    while position < len(stream):
        if stream[position : position + 4] != b"OggS" or position + 27 > len(stream):
            raise ZooError(f"not an Ogg page at byte {position}")
        n_segments = stream[position + 26]
        lacing = stream[position + 27 : position + 27 + n_segments]
        for size in lacing:
            if finished >= HEADER_PACKETS:
                total += size
            # a packet goes on for as long as its segments are full
            finished += size < 255
        position += 27 + n_segments + sum(lacing)
    return total
