"""Vorbis (Xiph.Org, Vorbis I, 2000), through libsndfile: variable rate by quality."""

from __future__ import annotations

import numpy as np

from evaluate.rivals.containers import ogg_payload_bytes
from evaluate.rivals.rival import SoundfileRival
from zoo.errors import ZooError


class Vorbis(SoundfileRival):
    """Vorbis at quality `setting`, 0 to 10 as oggenc counts; it has no bitrate to ask for.

    Raises ZooError for other qualities.
    """

    family = "vorbis"
    letter = "q"
    example = "vorbis:q3"
    container = "OGG"
    codec = "VORBIS"
    signature = rb"(?s)\x03vorbis.{4}(?:Xiph\.Org )?(libVorbis[ \x21-\x27\x2a-\x7e]*[\x21-\x27\x2a-\x7e])"

    @classmethod
    def ladder(cls, sample_rate: int, channels: int) -> list[float]:
        return [0.0, 2.0, 4.0, 6.0, 8.0]

    @property
    def coded_rate(self) -> int:
        """Hz at which Vorbis is fed: the clip's own, within what libvorbis is tuned for."""
        return min(max(self.sample_rate, 8_000), 192_000)

    def encode(self, samples: np.ndarray) -> bytes:
        """An Ogg Vorbis stream of (T, channels)."""
        return self._write(samples, 1 - self.setting / 10)

    def payload_bytes(self, stream: bytes) -> int:
        """Bytes of the packets, without the three of the header (with the codebooks) and without Ogg's pages."""
        return ogg_payload_bytes(stream, header_packets=3)

    def _check(self) -> None:
        if not 0 <= self.setting <= 10:
            raise ZooError(f"rival {self.name!r}: its qualities are q0 to q10")
