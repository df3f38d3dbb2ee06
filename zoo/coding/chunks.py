"""The compiled functions of a codec for chunks of frames, and what its layers carry from one chunk to the next."""

from __future__ import annotations

import copy
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Reach
from zoo.coding.lanes import Array, Carry, Lanes, Step, in_batches
from zoo.nn.bottlenecks import SymbolFormat


class Chunks:
    """The compiled functions of a codec for chunks of `chunk_frames`, for one stream (mono model: channel) at a time.

    With a `batch_size` above 1, functions of many streams compute so many of them at once.
    """

    def __init__(self, module: Codec, variables: dict[str, Any], chunk_frames: int, batch_size: int = 1) -> None:
        self.module, self.chunk_frames, self.batch_size = module, chunk_frames, batch_size
        self._variables = variables
        self._known_carries: dict[tuple[str, tuple[int, ...]], Carry] = {}

    def with_variables(self, variables: dict[str, Any]) -> Chunks:
        """The same compiled functions for other weights of the same shapes."""
        other = copy.copy(self)
        other._variables = jax.device_put(variables)
        return other

    def encoder_lanes(self, n_places: int) -> Lanes:
        """So many streams at their beginning, for windows ((before + chunk + after) · hop, C) of theirs.

        They give latents (chunk_frames, D) of the chunks in the middle. Where the encoder continues, only the end of
        a window is given, what is new.
        """
        return Lanes(self._encode, self._variables, self.encoder_carry(), n_places, self.batch_size)

    def decoder_lanes(self, latent_dim: int, position: int, n_places: int) -> Lanes:
        """So many streams that begin with frame `position`, for windows (before + chunk + after, D) of theirs.

        They give audio (chunk_frames · hop, C) of the chunks in the middle. Where the decoder continues, only the end
        of a window is given, what is new.
        """
        carry = self.decoder_carry(latent_dim, position)
        return Lanes(self._decode, self._variables, carry, n_places, self.batch_size)

    def quantised(self, latents: Array, n_frames: np.ndarray, level: int) -> Array:
        """Codes int32 (B, chunk_frames, Q), maybe still on their way, of latents (B, chunk_frames, D).

        Of these the first n_frames (B,) count.
        """
        codes: jax.Array = self._quantise(self._variables, latents, n_frames, np.int32(level))
        return codes

    def quantise(self, latents: np.ndarray, level: int) -> np.ndarray:
        """Codes int32 (N, n, Q) of latents (N, n, D), n up to chunk_frames."""
        n = latents.shape[1]
        padded = _padded(latents, self.chunk_frames)

        def codes(batch: np.ndarray) -> Array:
            return self.quantised(batch, np.full(len(batch), n, np.int32), level)

        return in_batches(codes, padded, self.batch_size)[:, :n]

    def contents(self, latent: np.ndarray, n_frames: int) -> np.ndarray:
        """About how many bits the first n_frames of latents (chunk_frames, D) take at each level, (n_levels,)."""
        return np.asarray(self._contents(self._variables, latent[None], np.int32(n_frames)))

    def dequantise(self, codes: np.ndarray, level: int) -> np.ndarray:
        """Latents (N, n, D) of codes (N, n, q), n up to chunk_frames."""
        n = codes.shape[1]
        full = _padded(codes.astype(np.int32, copy=False), self.chunk_frames)

        def latents(batch: np.ndarray) -> Array:
            found: jax.Array = self._dequantise(self._variables, batch, np.int32(level))
            return found

        return in_batches(latents, full, self.batch_size)[:, :n]

    def decode_whole(self, latents: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Audio (N, F · hop, C) of all latents (N, F, D) of clips at once; padded, so that few lengths are compiled."""
        n_frames = latents.shape[1]
        padded = _padded(latents, _rounded_up(n_frames))
        mask = np.pad(mask, (0, padded.shape[1] - n_frames))

        def audio(batch: np.ndarray) -> Array:
            found: jax.Array = self._decode_whole(self._variables, batch, np.stack([mask] * len(batch)))
            return found

        return in_batches(audio, padded, self.batch_size)[:, : n_frames * self.module.hop_length]

    def encode_whole(self, audio: np.ndarray) -> np.ndarray:
        """Latents (N, F, D) of all of clips (N, F · hop, C) at once; padded, so that few lengths are compiled."""
        hop, multiple = self.module.hop_length, self.module.frame_multiple
        n_frames = audio.shape[1] // hop
        padded_frames = -(-_rounded_up(n_frames) // multiple) * multiple
        padded = _padded(audio, padded_frames * hop)
        mask = np.arange(padded_frames) < n_frames

        def latents(batch: np.ndarray) -> Array:
            found: jax.Array = self._encode_whole(self._variables, batch, np.stack([mask] * len(batch)))
            return found

        return in_batches(latents, padded, self.batch_size)[:, :n_frames]

    def encoder_carry(self) -> Carry:
        """What the encoder's layers remember before the first frame: nothing."""
        given = self.chunk_frames + self.encoder_overlap
        new = jax.ShapeDtypeStruct((1, given * self.module.hop_length, self.module.channels), jnp.float32)
        return _empty(self._carried(self._encoding, new, self.module.encoder_context), 0)

    def decoder_carry(self, latent_dim: int, position: int) -> Carry:
        """What the decoder's layers remember where the first chunk is to begin with frame `position`."""
        new = jax.ShapeDtypeStruct((1, self.chunk_frames + self.decoder_overlap, latent_dim), jnp.float32)
        return _empty(self._carried(self._decoding, new, self.module.decoder_context), position)

    @functools.cached_property
    def encoder_remembers(self) -> bool:
        """Whether chunks of a clip must be computed one after the other, because layers remember what came before."""
        return not self.module.encodes_whole and bool(jax.tree.leaves(self.encoder_carry()))

    @functools.cached_property
    def encoder_overlap(self) -> int:
        """Frames of a window that the next one has as well, and that are given again: none if layers keep theirs."""
        context = self.module.encoder_context
        return 0 if self._encoding == "encode_next" else context.before + context.after

    @functools.cached_property
    def decoder_overlap(self) -> int:
        """Frames of a window that the next one has as well, and that are given again: none if layers keep theirs."""
        context = self.module.decoder_context
        return 0 if self._decoding == "decode_next" else context.before + context.after

    @functools.cached_property
    def _encoding(self) -> str:
        return "encode_next" if self.module.encoder_continues else "encode_frames"

    @functools.cached_property
    def _decoding(self) -> str:
        return "decode_next" if self.module.decoder_continues else "decode_frames"

    def _carried(self, method: str, given: jax.ShapeDtypeStruct, context: Reach) -> Carry:
        """Shapes of what the layers carry on; found out once, since tracing takes as long as coding some seconds."""
        if (method, given.shape) in self._known_carries:
            return self._known_carries[method, given.shape]
        mask = jax.ShapeDtypeStruct((1, context.before + self.chunk_frames + context.after), bool)

        def run(variables: Any, given: jax.Array, mask: jax.Array) -> Any:
            return self.module.apply(variables, given, mask, method=method, mutable=["carry"])[1]

        shapes: Carry = jax.eval_shape(run, self._variables, given, mask).get("carry", {})
        self._known_carries[method, given.shape] = shapes
        return shapes

    @functools.cached_property
    def _encode(self) -> Step:
        start = self.module.encoder_context.before if self.encoder_overlap else 0

        def run(variables: Any, carry: Any, audio: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            latent, left = self.module.apply(
                variables, audio[None], mask[None], method=self._encoding, mutable=["carry"]
            )
            return latent[0, start : start + self.chunk_frames], left.get("carry", {})

        return Step(run)

    @functools.cached_property
    def _quantise(self) -> Any:
        def run(variables: Any, latents: jax.Array, n_frames: jax.Array, level: jax.Array) -> jax.Array:
            inside = jnp.arange(latents.shape[1])[None] < n_frames[:, None]
            latents = jnp.where(inside[..., None], latents, 0.0)
            codes: jax.Array = self.module.apply(variables, latents, level, method="quantise").codes  # type: ignore[union-attr]
            return codes

        return jax.jit(run)

    @functools.cached_property
    def _contents(self) -> Any:
        symbols: SymbolFormat = self.module.bottleneck.symbols()
        zeros = symbols.zeros[None]
        worth = np.ones(zeros.shape, np.float32)
        worth[:, : symbols.n_unsigned] = 0.2  # they are easily foretold

        def run(variables: Any, latent: jax.Array, n_frames: jax.Array) -> jax.Array:
            def bits(level: jax.Array) -> jax.Array:
                codes = self.module.apply(variables, latent, level, method="quantise").codes[0]  # type: ignore[union-attr]
                size = jnp.abs(codes - zeros)
                each = worth * (3.0 * (size > 0) + jnp.log2(1.0 + size))
                return jnp.where(jnp.arange(len(codes)) < n_frames, 2.0 + each.sum(-1), 0.0).sum()

            return jax.lax.map(bits, jnp.arange(symbols.n_levels))

        return jax.jit(run)

    @functools.cached_property
    def _dequantise(self) -> Any:
        def run(variables: Any, codes: jax.Array, level: jax.Array) -> jax.Array:
            latents: jax.Array = self.module.apply(variables, codes, level, method="dequantise")  # type: ignore[assignment]
            return latents

        return jax.jit(run)

    @functools.cached_property
    def _decode(self) -> Step:
        start = self.module.decoder_context.before * self.module.hop_length if self.decoder_overlap else 0
        end = start + self.chunk_frames * self.module.hop_length

        def run(variables: Any, carry: Any, latent: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            audio, left = self.module.apply(
                variables, latent[None], mask[None], method=self._decoding, mutable=["carry"]
            )
            return audio[0, start:end].astype(jnp.float32), left.get("carry", {})

        return Step(run)

    @functools.cached_property
    def _encode_whole(self) -> Any:
        return jax.jit(functools.partial(self.module.apply, method="encode_frames"))

    @functools.cached_property
    def _decode_whole(self) -> Any:
        return jax.jit(functools.partial(self.module.apply, method="decode_frames"))


def _padded(clips: np.ndarray, length: int) -> np.ndarray:
    """Clips (N, n, …) with zeros behind them, (N, length, …)."""
    missing = length - clips.shape[1]
    return np.pad(clips, ((0, 0), (0, missing), (0, 0))) if missing else clips


def _rounded_up(n_frames: int) -> int:
    """The next of lengths of which there are four to eight between a power of two and the next."""
    step = 1 << max((n_frames - 1).bit_length() - 3, 3)
    return -(-n_frames // step) * step


def _empty(carry: Carry, position: int) -> Carry:
    """The memory of layers before their first frame, which is number `position`."""

    def start(path: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        at = position if getattr(path[-1], "key", None) == "position" else 0  # of several signals each has a number
        return np.full(leaf.shape, at, leaf.dtype)

    empty: Carry = jax.tree_util.tree_map_with_path(start, carry)
    return empty
