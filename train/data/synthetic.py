"""Training examples from the embedded generator: endless, no data needed."""

from __future__ import annotations

import numpy as np

from train.data.source import DRAWS, CropSource
from zoo import audio


class SyntheticCrops(CropSource):
    """Clips of the training split of `zoo.synth`, with the silence and gain treatment of every source."""

    def _draw(self, rng: np.random.Generator, k: int, attempt: int) -> np.ndarray | None:
        from zoo import synth

        samples = synth.clip(
            k * DRAWS + attempt,  # no two examples share a clip, rejected ones included
            self.segment_samples / self.sample_rate,
            self.sample_rate,
            channels=self.channels,
            seed=self.seed,
        )
        return audio.resample(samples, self.sample_rate, self.sample_rate, n_samples=self.segment_samples)
