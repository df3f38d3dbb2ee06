"""Exact inference in chunks: any length at constant memory, the same codes however the audio comes in.

The padded time line of a clip (sample t at t + lead) is cut into frames and the frames into chunks of `chunk_frames`.
A chunk depends on itself and as many frames beside it as the module's receptive field asks for: its window. Where
layers keep what they need of the windows before, it is computed from what is new in its own, else from all of it; in
one compiled shape, but for the first chunk's, of which more is new if the module looks ahead. Frames outside the clip
are masked. The grid of chunks is absolute, so neither the caller's blocks nor the length of a clip change a code.
"""

from __future__ import annotations

import numpy as np

from zoo.codec import Codec
from zoo.coding.chunks import Carry, Chunks


class FrameEncoder:
    """Latents of `n_streams` clips of equal length that come in blocks, chunk by chunk.

    Only a codec that encodes whole clips keeps all of them until the end.
    """

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
        self._carries: list[Carry] = [] if module.encodes_whole else [chunks.encoder_carry()] * n_streams
        self._kept: list[np.ndarray] = []  # of a codec that encodes whole clips
        self.n_samples = 0

    def push(self, audio: np.ndarray) -> list[np.ndarray]:
        """Latents (n_streams, chunk_frames, D) of each chunk that `audio` (n_streams, m, C) completes."""
        self.n_samples += audio.shape[1]
        if self._module.encodes_whole:
            self._kept.append(audio)
            return []
        self._buffer = np.concatenate([self._buffer, audio], axis=1)
        done = []
        while self._buffer.shape[1] >= self._given * self._hop:
            done.append(self._run(n_frames=None))
        return done

    def finish(self) -> list[np.ndarray]:
        """The remaining chunks; the last one has as many frames as are left. No samples at all give no frames."""
        done = []
        total = self._module.n_frames(self.n_samples) if self.n_samples else 0
        if self._module.encodes_whole:
            return self._whole(total)
        while (left := total - self._next * self._chunks.chunk_frames) > 0:
            missing = self._given * self._hop - self._buffer.shape[1]
            self._buffer = np.pad(self._buffer, ((0, 0), (0, max(missing, 0)), (0, 0)))
            done.append(self._run(n_frames=total)[:, :left])
        return done

    def _whole(self, n_frames: int) -> list[np.ndarray]:
        if not n_frames or not self._kept:
            return []
        clips = np.concatenate(self._kept, axis=1)
        self._kept = []
        missing = n_frames * self._hop - self._module.lead - self.n_samples
        padded = np.pad(clips, ((0, 0), (self._module.lead, missing), (0, 0)))
        latents = np.stack([self._chunks.encode_whole(clip) for clip in padded])
        step = self._chunks.chunk_frames
        return [latents[:, first : first + step] for first in range(0, n_frames, step)]

    @property
    def _given(self) -> int:
        """Frames from which the next chunk is computed."""
        overlap, n = self._chunks.encoder_overlap, self._chunks.chunk_frames
        return n + (overlap or (0 if self._next else self._context.after))

    def _run(self, n_frames: int | None) -> np.ndarray:
        chunk_frames, context, given = self._chunks.chunk_frames, self._context, self._given
        first = self._next * chunk_frames - context.before
        mask = _inside(first, context.before + chunk_frames + context.after, n_frames)
        windows = self._buffer[:, : given * self._hop]
        done = [self._chunks.encode(window, mask, carry) for window, carry in zip(windows, self._carries)]
        self._carries = [carry for _, carry in done]
        self._buffer = self._buffer[:, (given - self._chunks.encoder_overlap) * self._hop :]
        self._next += 1
        return np.stack([latents for latents, _ in done])


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
        self._carries: list[Carry] = []
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
            audio = np.stack([self._chunks.decode_whole(clip, self._valid) for clip in clips])
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
            self._carries = [self._chunks.decoder_carry(latent.shape[2], first)] * latent.shape[0]
        self._buffer = np.concatenate([self._buffer, latent], axis=1)
        self._valid = np.concatenate([self._valid, np.full(latent.shape[1], valid)])

    def _decode_next(self) -> None:
        assert self._buffer is not None
        hop, n = self._module.hop_length, self._chunks.chunk_frames
        mask = self._valid[: self._window]
        windows = self._buffer[:, : self._given]
        done = [self._chunks.decode(window, mask, carry) for window, carry in zip(windows, self._carries)]
        self._carries = [carry for _, carry in done]
        audio = np.stack([audio for audio, _ in done])
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


def _inside(first: int, n: int, n_frames: int | None) -> np.ndarray:
    """Which of the frames first … first + n − 1 belong to a clip of `n_frames` (None: it goes on beyond them)."""
    frames = np.arange(first, first + n)
    return (frames >= 0) & (True if n_frames is None else frames < n_frames)
