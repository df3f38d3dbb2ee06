"""Training examples from the embedded generator: endless, no data needed."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from train.data.source import DRAWS, CropSource, Recording
from zoo import audio

N_RECORDINGS, RECORDING_S = 240, 8.0
"""of which a library is made where whole recordings are asked for, and how long each is"""
N_HELD_OUT = 24


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

    def recordings(self) -> list[Recording]:
        return held_out_recordings(self) + [
            _recording(self, i, held_out=False, seconds=RECORDING_S) for i in range(N_RECORDINGS)
        ]


def held_out_recordings(source: CropSource) -> list[Recording]:
    """Clips of the generator's held-out split, for libraries of which nothing is held out."""
    return [_recording(source, i, held_out=True, seconds=RECORDING_S) for i in range(N_HELD_OUT)]


def _recording(source: CropSource, i: int, *, held_out: bool, seconds: float) -> Recording:
    from zoo import synth

    domain = synth.DOMAINS[i % len(synth.DOMAINS)]

    def blocks() -> Iterator[np.ndarray]:
        clip = functools.partial(synth.clip, i, seconds, source.sample_rate, channels=source.channels, domain=domain)
        yield clip(held_out=True) if held_out else clip(seed=source.seed)

    name = f"{'held_out_' if held_out else ''}{domain}_{i:03d}"
    identity = name, seconds, source.sample_rate, source.channels, 0 if held_out else source.seed
    return Recording(name, domain, held_out, seconds, identity, blocks)
