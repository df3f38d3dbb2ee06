"""A clip's padded time line, cut into the windows from which its chunks are computed (see `zoo.coding.stream`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from zoo.coding.chunks import Chunks


class Window(NamedTuple):
    """What one chunk is computed from."""

    samples: np.ndarray
    """(n_streams, m · hop, C)"""
    mask: np.ndarray
    """(W,), which of the window's frames belong to the clip"""
    n_frames: int
    """of the chunk, that belong to the clip"""


class Windows:
    """Blocks of `n_streams` clips of equal length to windows; not of a codec that encodes whole clips."""

    def __init__(self, chunks: Chunks, n_streams: int) -> None:
        module = chunks.module
        self._chunks, self._module = chunks, module
        self._hop = module.hop_length
        self._context = module.encoder_context
        before = self._context.before if chunks.encoder_overlap else 0
        lead = before * self._hop + module.lead
        # from the first sample on that is to be given next
        self._buffer = np.zeros((n_streams, lead, module.channels), np.float32)
        self._next = 0  # chunk
        self._n_samples = 0

    def push(self, audio: np.ndarray) -> Iterator[Window]:
        """The windows that (n_streams, m, C) completes."""
        self._n_samples += audio.shape[1]
        self._buffer = np.concatenate([self._buffer, audio], axis=1)
        while self._buffer.shape[1] >= self._given * self._hop:
            yield self._cut(None)

    def finish(self) -> Iterator[Window]:
        """The remaining ones. No samples at all give none."""
        total = self._module.n_frames(self._n_samples) if self._n_samples else 0
        while self._next * self._chunks.chunk_frames < total:
            missing = self._given * self._hop - self._buffer.shape[1]
            self._buffer = np.pad(self._buffer, ((0, 0), (0, max(missing, 0)), (0, 0)))
            yield self._cut(total)

    @property
    def _given(self) -> int:
        """Frames from which the next chunk is computed."""
        overlap, n = self._chunks.encoder_overlap, self._chunks.chunk_frames
        return n + (overlap or (0 if self._next else self._context.after))

    def _cut(self, total: int | None) -> Window:
        chunk_frames, context, given = self._chunks.chunk_frames, self._context, self._given
        begin = self._next * chunk_frames
        mask = _inside(begin - context.before, context.before + chunk_frames + context.after, total)
        samples = self._buffer[:, : given * self._hop]
        self._buffer = self._buffer[:, (given - self._chunks.encoder_overlap) * self._hop :]
        self._next += 1
        return Window(samples, mask, chunk_frames if total is None else min(total - begin, chunk_frames))


def _inside(first: int, n: int, n_frames: int | None) -> np.ndarray:
    """Which of the frames first … first + n − 1 belong to a clip of `n_frames` (None: it goes on beyond them)."""
    frames = np.arange(first, first + n)
    return (frames >= 0) & (True if n_frames is None else frames < n_frames)
