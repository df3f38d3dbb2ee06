"""Exact inference in chunks: any length at constant memory, the same codes however the audio comes in.

The padded time line of a clip (sample t at t + lead) is cut into frames and the frames into chunks of `chunk_frames`.
A chunk depends on itself and as many frames beside it as the module's receptive field asks for: its window. Where
layers keep what they need of the windows before, it is computed from what is new in its own, else from all of it; in
one compiled shape, but for the first chunk's, of which more is new if the module looks ahead. Frames outside the clip
are masked. The grid of chunks is absolute, so neither the caller's blocks nor the length of a clip change a code.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from zoo.codec import Codec
from zoo.coding.chunks import Chunks
from zoo.coding.lanes import Lanes
from zoo.coding.windows import Window, Windows


class FrameEncoder:
    """Latents of `n_streams` clips of equal length that come in blocks, chunk by chunk.

    Only a codec that encodes whole clips keeps all of them until the end.
    """

    def __init__(self, chunks: Chunks, n_streams: int) -> None:
        self._chunks, self._module = chunks, chunks.module
        self._windows, self._lanes = None, None
        if not self._module.encodes_whole:
            self._windows, self._lanes = Windows(chunks, n_streams), chunks.encoder_lanes(n_streams)
        self._kept: list[np.ndarray] = []  # of a codec that encodes whole clips
        self.n_samples = 0

    def push(self, audio: np.ndarray) -> list[np.ndarray]:
        """Latents (n_streams, chunk_frames, D) of each chunk that `audio` (n_streams, m, C) completes."""
        self.n_samples += audio.shape[1]
        if self._windows is None:
            self._kept.append(audio)
            return []
        return self._run(self._windows.push(audio))

    def finish(self) -> list[np.ndarray]:
        """The remaining chunks; the last one has as many frames as are left. No samples at all give no frames."""
        return self._whole() if self._windows is None else self._run(self._windows.finish())

    def _whole(self) -> list[np.ndarray]:
        if not self._kept or not self.n_samples:
            return []
        clips = np.concatenate(self._kept, axis=1)
        self._kept = []
        n_frames = self._module.n_frames(self.n_samples)
        missing = n_frames * self._module.hop_length - self._module.lead - self.n_samples
        padded = np.pad(clips, ((0, 0), (self._module.lead, missing), (0, 0)))
        latents = self._chunks.encode_whole(padded)
        step = self._chunks.chunk_frames
        return [latents[:, first : first + step] for first in range(0, n_frames, step)]

    def _run(self, windows: Iterator[Window]) -> list[np.ndarray]:
        assert self._lanes is not None
        return [self._lanes.run_all(window.samples, window.mask)[:, : window.n_frames] for window in windows]


class FrameDecoder:
    """Audio of `n_streams` clips whose latents come packet by packet.

    Its chunks lie `decoder_context.after` frames before those of the encoder, so that all that a packet determines is
    decoded when it arrives; only a codec that decodes whole clips keeps all of them until the end. `first_frame` (a
    multiple of chunk_frames) is where the latents begin; unless that is 0, what comes out first is not what decoding
    from the beginning gives: see `packets_to_warm_up`.
    """

    def __init__(self, chunks: Chunks, n_streams: int, first_frame: int = 0) -> None:
        module = chunks.module
        self._chunks, self._module = chunks, module
        context = module.decoder_context
        beside = context.before + context.after
        self._window = beside + chunks.chunk_frames
        self._given = chunks.decoder_overlap + chunks.chunk_frames  # frames of a window, its last
        self._origin = first_frame - beside  # frame at which the next chunk's window begins
        self._buffer: np.ndarray | None = None  # its last dimension is not known before the first latents
        self._lanes: Lanes | None = None
        self._kept: list[np.ndarray] = []  # of a codec that decodes whole clips
        self._valid = np.zeros(beside, bool)
        self._n_frames = first_frame  # up to which latents came
        self._pending = np.zeros((n_streams, 0, module.channels), np.float32)  # decoded, and not yet given out
        self.position = max(first_frame * module.hop_length - module.lead, 0)
        """number of the next sample that comes out, at the model's rate"""

    def push(self, latent: np.ndarray, *, lost: bool = False) -> np.ndarray:
        """Audio float32 (n_streams, m, C) that the next latents (n_streams, n, D) make final.

        All but the last have n = chunk_frames. Of `lost` ones only the shape counts: their frames are silent.
        """
        self._n_frames += latent.shape[1]
        if self._module.decodes_whole:
            self._kept.append(latent)
            self._valid = np.concatenate([self._valid, np.full(latent.shape[1], not lost)])
            return self._take(0)
        self._append(latent, valid=not lost)
        while self._buffer is not None and self._buffer.shape[1] >= self._given:
            self._decode_next()
        # a clip of so many frames is longer than this, whatever its last frame holds
        module = self._module
        certain = (self._n_frames - module.frame_multiple) * module.hop_length - 2 * module.lead - module.tail
        return self._take(certain)

    def finish(self, n_samples: int) -> np.ndarray:
        """The rest of a clip of `n_samples` at the model's rate, no more than its frames hold."""
        if self._kept:
            clips = np.concatenate(self._kept, axis=1)
            audio = self._chunks.decode_whole(clips, self._valid)
            self._pending, self._kept = audio[:, self._module.lead :], []
        while self._buffer is not None and self.position + self._pending.shape[1] < n_samples:
            missing = max(self._given - self._buffer.shape[1], 0)
            self._append(np.zeros((self._buffer.shape[0], missing, self._buffer.shape[2]), np.float32), valid=False)
            self._decode_next()
        return self._take(n_samples)

    def _append(self, latent: np.ndarray, *, valid: bool) -> None:
        if self._buffer is None:
            self._buffer = np.zeros((latent.shape[0], self._chunks.decoder_overlap, latent.shape[2]), np.float32)
            first = self._origin + self._module.decoder_context.before
            self._lanes = self._chunks.decoder_lanes(latent.shape[2], first, latent.shape[0])
        self._buffer = np.concatenate([self._buffer, latent], axis=1)
        self._valid = np.concatenate([self._valid, np.full(latent.shape[1], valid)])

    def _decode_next(self) -> None:
        assert self._buffer is not None
        assert self._lanes is not None
        hop, n = self._module.hop_length, self._chunks.chunk_frames
        mask = self._valid[: self._window]
        audio = self._lanes.run_all(self._buffer[:, : self._given], mask)
        start = (self._origin + self._module.decoder_context.before) * hop - self._module.lead
        skipped = self.position + self._pending.shape[1] - start
        self._pending = np.concatenate([self._pending, audio[:, max(skipped, 0) :]], axis=1)
        self._buffer, self._valid = self._buffer[:, n:], self._valid[n:]
        self._origin += n

    def _take(self, end: int) -> np.ndarray:
        n = min(max(end - self.position, 0), self._pending.shape[1])
        taken, self._pending = self._pending[:, :n], self._pending[:, n:]
        self.position += n
        return taken


def packets_to_warm_up(module: Codec, chunk_frames: int) -> int | None:
    """The packets before a frame's own after which a decoder gives what it gives from the start; None: all."""
    if module.recurrent or module.decodes_whole:
        return None
    context = module.decoder_context
    return -(-(context.before + context.after) // chunk_frames)
