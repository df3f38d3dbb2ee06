"""Exact inference in chunks: any length at constant memory, the same codes however the audio comes in.

The padded time line of a clip (sample t at t + lead) is cut into frames and the frames into chunks of `chunk_frames`.
A chunk is computed from itself and as many frames beside it as the module's receptive field asks for, in one compiled
shape; frames outside the clip are masked. The grid of chunks is absolute, so neither the caller's blocks nor the
length of a clip change a code.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec

Carry = Any
"""What layers with memory know of all that came before, a tree of arrays; empty for most codecs."""

CHUNK_S = 1.0
MAX_PACKET_FRAMES = 4096


class Chunks:
    """The compiled functions of a codec for chunks of `chunk_frames`; one stream (mono model: channel) at a time."""

    def __init__(self, module: Codec, variables: dict[str, Any], chunk_frames: int) -> None:
        self.module, self.chunk_frames = module, chunk_frames
        self._variables = variables
        self._known_carries: dict[tuple[str, tuple[int, ...]], Carry] = {}

    def encode(self, audio: np.ndarray, mask: np.ndarray, carry: Carry) -> tuple[np.ndarray, Carry]:
        """Latents (chunk_frames, D) of the chunk in the middle of a window ((before + chunk + after) · hop, C).

        And what its layers carry on to the next chunk.
        """
        latents, carry = self._encode(self._variables, carry, audio[None], mask[None])
        return np.asarray(latents), carry

    def quantise(self, latent: np.ndarray, level: int) -> np.ndarray:
        """Codes int32 (chunk_frames, Q) of latents (chunk_frames, D)."""
        return np.asarray(self._quantise(self._variables, latent[None], np.int32(level)))

    def dequantise(self, codes: np.ndarray, level: int) -> np.ndarray:
        """Latents (n, D) of codes (n, q), n up to chunk_frames."""
        full = np.zeros((self.chunk_frames, codes.shape[1]), np.int32)
        full[: len(codes)] = codes
        return np.asarray(self._dequantise(self._variables, full[None], np.int32(level)))[: len(codes)]

    def decode(self, latent: np.ndarray, mask: np.ndarray, carry: Carry) -> tuple[np.ndarray, Carry]:
        """Audio (chunk_frames · hop, C) of the chunk in the middle of a window (before + chunk + after, D).

        And what its layers carry on to the next chunk.
        """
        audio, carry = self._decode(self._variables, carry, latent[None], mask[None])
        return np.asarray(audio), carry

    def encoder_carry(self) -> Carry:
        """What the encoder's layers remember before the first frame: nothing."""
        context = self.module.encoder_context
        frames = context.before + self.chunk_frames + context.after
        window = jax.ShapeDtypeStruct((1, frames * self.module.hop_length, self.module.channels), jnp.float32)
        return _empty(self._carried("encode_frames", window, frames), 0)

    def decoder_carry(self, latent_dim: int, position: int) -> Carry:
        """What the decoder's layers remember where the first chunk is to begin with frame `position`."""
        context = self.module.decoder_context
        frames = context.before + self.chunk_frames + context.after
        window = jax.ShapeDtypeStruct((1, frames, latent_dim), jnp.float32)
        return _empty(self._carried("decode_frames", window, frames), position)

    def _carried(self, method: str, window: jax.ShapeDtypeStruct, frames: int) -> Carry:
        """Shapes of what the layers carry on; found out once, since tracing takes as long as coding some seconds."""
        if (method, window.shape) in self._known_carries:
            return self._known_carries[method, window.shape]
        mask = jax.ShapeDtypeStruct((1, frames), bool)

        def run(variables: Any, window: jax.Array, mask: jax.Array) -> Any:
            return self.module.apply(variables, window, mask, method=method, mutable=["carry"])[1]

        shapes: Carry = jax.eval_shape(run, self._variables, window, mask).get("carry", {})
        self._known_carries[method, window.shape] = shapes
        return shapes

    @functools.cached_property
    def _encode(self) -> Any:
        before, n = self.module.encoder_context.before, self.chunk_frames

        def run(variables: Any, carry: Any, audio: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            latent, left = self.module.apply(variables, audio, mask, method="encode_frames", mutable=["carry"])
            return latent[0, before : before + n], left.get("carry", {})

        return jax.jit(run)

    @functools.cached_property
    def _quantise(self) -> Any:
        def run(variables: Any, latent: jax.Array, level: jax.Array) -> jax.Array:
            codes: jax.Array = self.module.apply(variables, latent, level, method="quantise").codes  # type: ignore[union-attr]
            return codes[0]

        return jax.jit(run)

    @functools.cached_property
    def _dequantise(self) -> Any:
        def run(variables: Any, codes: jax.Array, level: jax.Array) -> jax.Array:
            latent: jax.Array = self.module.apply(variables, codes, level, method="dequantise")  # type: ignore[assignment]
            return latent[0]

        return jax.jit(run)

    @functools.cached_property
    def _decode(self) -> Any:
        start = self.module.decoder_context.before * self.module.hop_length
        end = start + self.chunk_frames * self.module.hop_length

        def run(variables: Any, carry: Any, latent: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            audio, left = self.module.apply(variables, latent, mask, method="decode_frames", mutable=["carry"])
            return audio[0, start:end].astype(jnp.float32), left.get("carry", {})

        return jax.jit(run)


class FrameEncoder:
    """Latents of `n_streams` clips of equal length that come in blocks, chunk by chunk."""

    def __init__(self, chunks: Chunks, n_streams: int) -> None:
        module = chunks.module
        self._chunks, self._module = chunks, module
        self._hop = module.hop_length
        self._context = module.encoder_context
        lead = self._context.before * self._hop + module.lead
        # from the first sample of the next chunk's window on
        self._buffer = np.zeros((n_streams, lead, module.channels), np.float32)
        self._next = 0  # chunk
        self._carries: list[Carry] = [chunks.encoder_carry()] * n_streams
        self.n_samples = 0

    def push(self, audio: np.ndarray) -> list[np.ndarray]:
        """Latents (n_streams, chunk_frames, D) of each chunk that `audio` (n_streams, m, C) completes."""
        self.n_samples += audio.shape[1]
        self._buffer = np.concatenate([self._buffer, audio], axis=1)
        done = []
        while self._buffer.shape[1] >= self._window * self._hop:
            done.append(self._run(n_frames=None))
        return done

    def finish(self) -> list[np.ndarray]:
        """The remaining chunks; the last one has as many frames as are left. No samples at all give no frames."""
        done = []
        total = self._module.n_frames(self.n_samples) if self.n_samples else 0
        while (left := total - self._next * self._chunks.chunk_frames) > 0:
            missing = self._window * self._hop - self._buffer.shape[1]
            self._buffer = np.pad(self._buffer, ((0, 0), (0, max(missing, 0)), (0, 0)))
            done.append(self._run(n_frames=total)[:, :left])
        return done

    @property
    def _window(self) -> int:
        return self._context.before + self._chunks.chunk_frames + self._context.after

    def _run(self, n_frames: int | None) -> np.ndarray:
        first = self._next * self._chunks.chunk_frames - self._context.before
        mask = _inside(first, self._window, n_frames)
        windows = self._buffer[:, : self._window * self._hop]
        done = [self._chunks.encode(window, mask, carry) for window, carry in zip(windows, self._carries)]
        self._carries = [carry for _, carry in done]
        self._buffer = self._buffer[:, self._chunks.chunk_frames * self._hop :]
        self._next += 1
        return np.stack([latents for latents, _ in done])


class FrameDecoder:
    """Audio of `n_streams` clips whose latents come packet by packet.

    Its chunks lie `decoder_context.after` frames before those of the encoder, so that all that a packet determines is
    decoded when it arrives. `first_frame` (a multiple of chunk_frames) is where the latents begin; unless that is 0,
    what comes out first is not what decoding from the beginning gives: see `packets_to_warm_up`.
    """

    def __init__(self, chunks: Chunks, n_streams: int, first_frame: int = 0) -> None:
        module = chunks.module
        self._chunks, self._module = chunks, module
        context = module.decoder_context
        beside = context.before + context.after
        self._window = beside + chunks.chunk_frames
        self._origin = first_frame - beside  # frame at which the buffer and the next chunk's window begin
        self._buffer: np.ndarray | None = None  # its last dimension is not known before the first latents
        self._carries: list[Carry] = []
        self._valid = np.zeros(beside, bool)
        self._n_frames = first_frame  # up to which latents came
        self._pending = np.zeros((n_streams, 0, module.channels), np.float32)  # decoded, and not yet given out
        self.position = max(first_frame * module.hop_length - module.lead, 0)
        """number of the next sample that comes out, at the model's rate"""

    def push(self, latent: np.ndarray, *, lost: bool = False) -> np.ndarray:
        """Audio float32 (n_streams, m, C) that the next latents (n_streams, n, D) make final.

        All but the last have n = chunk_frames. Of `lost` ones only the shape counts: their frames are silent.
        """
        self._append(latent, valid=not lost)
        self._n_frames += latent.shape[1]
        while self._buffer is not None and self._buffer.shape[1] >= self._window:
            self._decode_next()
        # a clip of so many frames is longer than this, whatever its last frame holds
        module = self._module
        certain = (self._n_frames - module.frame_multiple) * module.hop_length - 2 * module.lead
        return self._take(certain)

    def finish(self, n_samples: int) -> np.ndarray:
        """The rest of a clip of `n_samples` at the model's rate, no more than its frames hold."""
        while self._buffer is not None and self.position + self._pending.shape[1] < n_samples:
            missing = max(self._window - self._buffer.shape[1], 0)
            self._append(np.zeros((self._buffer.shape[0], missing, self._buffer.shape[2]), np.float32), valid=False)
            self._decode_next()
        return self._take(n_samples)

    def _append(self, latent: np.ndarray, *, valid: bool) -> None:
        if self._buffer is None:
            self._buffer = np.zeros((latent.shape[0], len(self._valid), latent.shape[2]), np.float32)
            first = self._origin + self._module.decoder_context.before
            self._carries = [self._chunks.decoder_carry(latent.shape[2], first)] * latent.shape[0]
        self._buffer = np.concatenate([self._buffer, latent], axis=1)
        self._valid = np.concatenate([self._valid, np.full(latent.shape[1], valid)])

    def _decode_next(self) -> None:
        assert self._buffer is not None
        hop, n = self._module.hop_length, self._chunks.chunk_frames
        mask = self._valid[: self._window]
        windows = self._buffer[:, : self._window]
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
    """How many packets before a frame's own the decoder must hear, to give what it gives from the start; None: all."""
    if module.recurrent:
        return None
    context = module.decoder_context
    return -(-(context.before + context.after) // chunk_frames)


def _empty(carry: Carry, position: int) -> Carry:
    """What layers remember that have heard nothing, before frame `position`."""

    def start(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        return np.full(leaf.shape, position if path[-1].key == "position" else 0, leaf.dtype)

    empty: Carry = jax.tree_util.tree_map_with_path(start, carry)
    return empty


def _inside(first: int, n: int, n_frames: int | None) -> np.ndarray:
    """Which of the frames first … first + n − 1 belong to a clip of `n_frames` (None: it goes on beyond them)."""
    frames = np.arange(first, first + n)
    return (frames >= 0) & (True if n_frames is None else frames < n_frames)
