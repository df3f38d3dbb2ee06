"""Crops with what a step cannot make to corrupt them: recorded noises, and what a codec of others leaves of a crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluate.rivals import Mp3, Opus
from train.data.source import CropSource, Drawn, example_rng
from zoo import audio
from zoo.errors import ZooError

_CODING_STREAM = 0x636F6465  # sets these draws apart from those of the crops
_RATES_KBPS = {"mp3": (16, 24, 32, 40, 48, 56, 64, 80, 96), "opus": (8, 12, 16, 24, 32, 48, 64, 96)}


class CorruptedCrops(CropSource):
    """The crops of `clean`, whose batches hold more: "noise" (B, T, C) from another source, and "coded" (B, T, C).

    `noise` is drawn for the same example numbers, with another seed. With the probability `coding` "coded" is the crop
    after MP3 or Opus at a rate in `coding_kbps` for each channel, else the crop itself. All is a function of (seed, k).
    """

    def __init__(
        self,
        clean: CropSource,
        *,
        noise: CropSource | None = None,
        coding: float = 0.0,
        coding_kbps: tuple[float, float] = (16.0, 48.0),
    ) -> None:
        """Raises ZooError where neither codec has a rate in the range."""
        super().__init__(
            segment_samples=clean.segment_samples,
            sample_rate=clean.sample_rate,
            channels=clean.channels,
            seed=clean.seed,
            gain_db=clean.gain_db,
            silence_db=clean.silence_db,
        )
        self._clean, self._noise, self._coding = clean, noise, coding
        self.full_scale, self.held_out, self.seconds = clean.full_scale, clean.held_out, clean.seconds
        self._codecs = _codecs(clean, coding_kbps) if coding else []

    def inventory(self) -> dict[str, int]:
        """Frames of each file, those of the noises under another name than any file has."""
        noises = self._noise.inventory() if self._noise is not None else {}
        return self._clean.inventory() | {f"//noise/{name}": frames for name, frames in noises.items()}

    def read_held_out(self, number: int, start_s: float, n_samples: int) -> np.ndarray | None:
        return self._clean.read_held_out(number, start_s, n_samples)

    def drawn(self, k: int) -> Drawn:
        return self._clean.drawn(k)

    def batch(self, examples: Sequence[int]) -> dict[str, np.ndarray]:
        """These examples together: what they are, and what they are to be corrupted with."""
        found = super().batch(examples)
        if self._noise is not None:
            found["noise"] = self._noise.batch(examples)["audio"]
        if self._codecs:
            found["coded"] = np.stack([self._coded(samples, k) for samples, k in zip(found["audio"], examples)])
        return found

    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray | None:
        return self._clean._draw(rng, k, attempt)

    def _coded(self, samples: np.ndarray, k: int) -> np.ndarray:
        chance, which = example_rng(self.seed ^ _CODING_STREAM, k).random(2)
        if chance >= self._coding:
            return samples
        codec = self._codecs[int(which * len(self._codecs))]
        decoded = codec.process(samples).samples
        return audio.resample(decoded, self.sample_rate, self.sample_rate, n_samples=len(samples))


def _codecs(source: CropSource, coding_kbps: tuple[float, float]) -> list[Mp3 | Opus]:
    """The codecs with their rates that a crop may have been through."""
    low, high = coding_kbps
    channels, rate = source.channels, source.sample_rate
    found: list[Mp3 | Opus] = []
    for kind, name in ((Mp3, "mp3"), (Opus, "opus")):
        for kbps in _RATES_KBPS[name]:
            if low <= kbps <= high:
                try:
                    found.append(kind(float(kbps * channels), rate, channels))
                except ZooError:
                    continue  # a rate that the format does not have for so many channels, or at this sample rate
    if not found:
        raise ZooError(f"corruption.coding_kbps: neither MP3 nor Opus has a rate between {low:g} and {high:g} kbps")
    return found
