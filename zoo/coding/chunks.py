"""The compiled functions of a codec for chunks of frames, and what its layers carry from one chunk to the next."""

from __future__ import annotations

import copy
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec, Reach
from zoo.nn.bottlenecks import SymbolFormat

Carry = Any
"""What layers with memory know of all that came before, a tree of arrays; empty for most codecs."""


class Chunks:
    """The compiled functions of a codec for chunks of `chunk_frames`; one stream (mono model: channel) at a time."""

    def __init__(self, module: Codec, variables: dict[str, Any], chunk_frames: int) -> None:
        self.module, self.chunk_frames = module, chunk_frames
        self._variables = variables
        self._known_carries: dict[tuple[str, tuple[int, ...]], Carry] = {}

    def with_variables(self, variables: dict[str, Any]) -> Chunks:
        """The same compiled functions for other weights of the same shapes."""
        other = copy.copy(self)
        other._variables = jax.device_put(variables)
        return other

    def encode(self, audio: np.ndarray, mask: np.ndarray, carry: Carry) -> tuple[np.ndarray, Carry]:
        """Latents (chunk_frames, D) of the chunk in the middle of a window ((before + chunk + after) · hop, C).

        Of which only the end is given, what is new, where the encoder continues. And what its layers carry on to the
        next chunk.
        """
        latents, carry = self._encode(self._variables, carry, audio[None], mask[None])
        return np.asarray(latents), carry

    def quantise(self, latent: np.ndarray, level: int) -> np.ndarray:
        """Codes int32 (chunk_frames, Q) of latents (chunk_frames, D)."""
        return np.asarray(self._quantise(self._variables, latent[None], np.int32(level)))

    def contents(self, latent: np.ndarray, n_frames: int) -> np.ndarray:
        """About how many bits the first n_frames of latents (chunk_frames, D) take at each level, (n_levels,)."""
        return np.asarray(self._contents(self._variables, latent[None], np.int32(n_frames)))

    def dequantise(self, codes: np.ndarray, level: int) -> np.ndarray:
        """Latents (n, D) of codes (n, q), n up to chunk_frames."""
        full = np.zeros((self.chunk_frames, codes.shape[1]), np.int32)
        full[: len(codes)] = codes
        return np.asarray(self._dequantise(self._variables, full[None], np.int32(level)))[: len(codes)]

    def decode(self, latent: np.ndarray, mask: np.ndarray, carry: Carry) -> tuple[np.ndarray, Carry]:
        """Audio (chunk_frames · hop, C) of the chunk in the middle of a window (before + chunk + after, D).

        Of which only the end is given, what is new, where the decoder continues. And what its layers carry on to the
        next chunk.
        """
        audio, carry = self._decode(self._variables, carry, latent[None], mask[None])
        return np.asarray(audio), carry

    def decode_whole(self, latent: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Audio (F · hop, C) of all latents (F, D) of a clip at once; padded, so that few lengths are compiled."""
        missing = _rounded_up(len(latent)) - len(latent)
        padded, mask = np.pad(latent, ((0, missing), (0, 0))), np.pad(mask, (0, missing))
        audio = self._decode_whole(self._variables, padded[None], mask[None])[0]
        return np.asarray(audio)[: len(latent) * self.module.hop_length]

    def encode_whole(self, audio: np.ndarray) -> np.ndarray:
        """Latents (F, D) of all of a clip (F · hop, C) at once; padded, so that few lengths are compiled."""
        hop, multiple = self.module.hop_length, self.module.frame_multiple
        n_frames = len(audio) // hop
        padded_frames = -(-_rounded_up(n_frames) // multiple) * multiple
        padded = np.pad(audio, ((0, padded_frames * hop - len(audio)), (0, 0)))
        mask = np.arange(padded_frames)[None] < n_frames
        return np.asarray(self._encode_whole(self._variables, padded[None], mask)[0])[:n_frames]

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
    def _encode(self) -> Any:
        start = self.module.encoder_context.before if self.encoder_overlap else 0

        def run(variables: Any, carry: Any, audio: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            latent, left = self.module.apply(variables, audio, mask, method=self._encoding, mutable=["carry"])
            return latent[0, start : start + self.chunk_frames], left.get("carry", {})

        return jax.jit(run)

    @functools.cached_property
    def _quantise(self) -> Any:
        def run(variables: Any, latent: jax.Array, level: jax.Array) -> jax.Array:
            codes: jax.Array = self.module.apply(variables, latent, level, method="quantise").codes  # type: ignore[union-attr]
            return codes[0]

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
            latent: jax.Array = self.module.apply(variables, codes, level, method="dequantise")  # type: ignore[assignment]
            return latent[0]

        return jax.jit(run)

    @functools.cached_property
    def _decode(self) -> Any:
        start = self.module.decoder_context.before * self.module.hop_length if self.decoder_overlap else 0
        end = start + self.chunk_frames * self.module.hop_length

        def run(variables: Any, carry: Any, latent: jax.Array, mask: jax.Array) -> Any:
            variables = {**variables, "carry": carry}
            audio, left = self.module.apply(variables, latent, mask, method=self._decoding, mutable=["carry"])
            return audio[0, start:end].astype(jnp.float32), left.get("carry", {})

        return jax.jit(run)

    @functools.cached_property
    def _encode_whole(self) -> Any:
        return jax.jit(functools.partial(self.module.apply, method="encode_frames"))

    @functools.cached_property
    def _decode_whole(self) -> Any:
        return jax.jit(functools.partial(self.module.apply, method="decode_frames"))


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
