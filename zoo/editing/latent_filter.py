"""Filters of latents: what is done to audio, as a matrix that was fitted to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo import given, synth
from zoo.arguments import as_array
from zoo.errors import ZooError
from zoo.ready import ReadyCodec

FIT_S = 4.0
FIT_CLIPS = 6
NEIGHBOURS = 1
"""frames on either side that count"""
RIDGE = 1e-4
"""of the mean energy of what is fitted to"""


@dataclass(frozen=True, eq=False)
class LatentFilter:
    """Latents (F, D) to those of filtered audio: a matrix ((2·NEIGHBOURS + 1)·D, D) on each frame and its neighbours.

    A codec whose latents are linear in the audio has such a matrix for every filter, as far as a filter rings no longer
    than the neighbours reach; for others it is the best there is on the clips that it was fitted to.
    """

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, latents: Any) -> np.ndarray:
        """Filtered latents (N, F, D) float32; raises ZooError for latents of another codec."""
        frames = np.asarray(as_array(latents, "latents"), np.float32)
        if frames.ndim != 3 or frames.shape[2] != len(self.offset):
            raise ZooError(f"latents must be (N, F, {len(self.offset)}), got shape {frames.shape}")
        return np.stack([_beside(stream) @ self.matrix + self.offset for stream in frames])


class FilterFrames:
    """A `LatentFilter` of frames that come one after another."""

    def __init__(self, filter_: LatentFilter) -> None:
        self._filter = filter_
        self._held: np.ndarray | None = None
        self._known = 0  # frames that are held and out already

    def push(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Latents (N, m, D) that the next ones (N, n, D) make known."""
        (latents,) = inputs
        self._held = latents if self._held is None else np.concatenate([self._held, latents], axis=1)
        return self._take(self._held.shape[1] - NEIGHBOURS)

    def finish(self, n_frames: int) -> np.ndarray:
        """The rest."""
        return np.zeros((0, 0, 0), np.float32) if self._held is None else self._take(self._held.shape[1])

    def _take(self, stop: int) -> np.ndarray:
        assert self._held is not None
        stop = max(stop, self._known)
        done = self._filter(self._held)[:, self._known : stop]
        dropped = max(0, stop - NEIGHBOURS)
        self._held, self._known = self._held[:, dropped:], stop - dropped
        return done


def fit_filter(codec: ReadyCodec, process: Callable[[np.ndarray], np.ndarray]) -> LatentFilter:
    """The filter of latents that comes nearest to what `process` does to audio (T, C), sample on sample."""
    codec = given.codec(codec)
    inputs: list[np.ndarray] = []
    wanted: list[np.ndarray] = []
    channels = min(codec.channels, 2)
    for i in range(FIT_CLIPS):
        domain = synth.DOMAINS[i % len(synth.DOMAINS)]
        audio = synth.clip(i, FIT_S, codec.sample_rate, channels=channels, domain=domain)
        for found, clip in ((inputs, audio), (wanted, process(audio))):
            found.append(codec.encode_latents(clip))
    x = np.concatenate([_beside(stream) for latents in inputs for stream in latents]).astype(np.float64)
    y = np.concatenate([stream for latents in wanted for stream in latents]).astype(np.float64)
    # how the filter differs from none at all: what cannot be told stays as it is
    dim = y.shape[1]
    centre = x[:, NEIGHBOURS * dim : (NEIGHBOURS + 1) * dim]
    mean, change = x.mean(axis=0), (y - centre).mean(axis=0)
    x, difference = x - mean, y - centre - change
    squares = x.T @ x
    squares[np.diag_indices_from(squares)] += RIDGE * float(np.trace(squares)) / len(squares) + 1e-12
    matrix = np.linalg.solve(squares, x.T @ difference)
    offset = change - mean @ matrix
    matrix[NEIGHBOURS * dim : (NEIGHBOURS + 1) * dim] += np.eye(dim)
    return LatentFilter(matrix.astype(np.float32), offset.astype(np.float32))


def _beside(frames: np.ndarray) -> np.ndarray:
    """Frames (F, D) beside their neighbours, (F, (2·NEIGHBOURS + 1)·D); at the ends these are repeated."""
    around = np.pad(frames, ((NEIGHBOURS, NEIGHBOURS), (0, 0)), mode="edge")
    return np.concatenate([around[i : i + len(frames)] for i in range(2 * NEIGHBOURS + 1)], axis=1)
