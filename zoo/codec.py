"""The one shape of every codec: encoder → bottleneck → decoder, a pure function of (variables, audio)."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.nn.bottlenecks import Bottleneck, CodebookUse, Quantised, check_keys, check_level
from zoo.nn.layers import Chunk, Network, Span, apply_mask


@dataclass(frozen=True)
class Reach:
    """How many neighbouring frames matter: frame f depends on nothing outside frames [f - before, f + after]."""

    before: int
    after: int

    @classmethod
    def of_encoder(cls, encoder: Any, hop_length: int, frame_multiple: int = 1) -> Reach:
        """The reach of a latent frame over frames of hop_length samples; `encoder.inputs` maps frames to samples.

        In whole groups of `frame_multiple` frames.
        """
        span = encoder.inputs(Span(0, frame_multiple - 1))
        group = hop_length * frame_multiple
        return cls(max(0, -(span.first // group)) * frame_multiple, max(0, span.last // group) * frame_multiple)

    @classmethod
    def of_decoder(cls, decoder: Any, hop_length: int, frame_multiple: int = 1) -> Reach:
        """The reach of hop_length samples over latent frames; `decoder.inputs` maps samples to frames.

        In whole groups of `frame_multiple` frames.
        """
        span = decoder.inputs(Span(0, hop_length * frame_multiple - 1))
        first, last = span.first // frame_multiple, span.last // frame_multiple
        return cls(max(0, -first) * frame_multiple, max(0, last) * frame_multiple)


@flax.struct.dataclass
class CodecOutput:
    """audio (B, T, C) as long as the input, latent (B, F, D), codes int32 (B, F, Q), losses (B,), metrics ()."""

    audio: jax.Array
    latent: jax.Array
    codes: jax.Array
    losses: dict[str, jax.Array]
    metrics: dict[str, jax.Array]
    codebooks: CodebookUse | None = None


class Codec(nn.Module):
    """A codec: three submodules and the numbers that tie samples to frames.

    `lead` samples of silence are put before and at least as many after a clip, so that transforms whose windows
    overlap by half (hop_length // 2 of lead) reach its first and last sample, and `tail` more after it; T samples give
    ceil((T + 2·lead + tail) / hop_length) frames, or the next multiple of `frame_multiple`. Shapes: audio
    (B, T, channels) in [-1, 1], latent (B, F, D), codes (B, F, Q).

    On the padded time line, where sample t of a clip stands at t + lead, frame f is the samples from f * hop_length on.
    The contexts are tight, on both sides of a frame: a window that reaches that much further gives the frame itself.
    """

    encoder: nn.Module
    bottleneck: Bottleneck
    decoder: nn.Module
    sample_rate: int
    """Hz"""
    hop_length: int
    """samples per latent frame"""
    encoder_context: Reach
    """frames of the padded time line on which a latent frame depends"""
    decoder_context: Reach
    """latent frames on which a frame of the decoded time line depends"""
    channels: int = 1
    lead: int = 0
    """samples"""
    tail: int = 0
    """samples"""
    frame_multiple: int = 1
    """clips have a multiple of so many frames, and what is computed at once as well: a window of attention, say"""
    recurrent: bool = False
    """whether frames depend on all before them beyond the contexts, through what layers remember"""
    min_first_frames: int = 1
    """frames of a clip's beginning that must be computed at once: causal layers that mirror it depend on its future"""
    decodes_whole: bool = False
    """whether a clip is decoded all at once, since attention or norms reach over all of it, beyond `decoder_context`"""
    encodes_whole: bool = False
    """whether a clip is encoded all at once, for the same reasons, beyond `encoder_context`"""
    codes_hold: bool = False
    """whether at least 995 of 1,000 codes are those of float32 where networks compute in bfloat16: as was measured"""

    @classmethod
    def from_parts(
        cls,
        encoder: nn.Module,
        bottleneck: nn.Module,
        decoder: nn.Module,
        *,
        sample_rate: int,
        hop_length: int,
        frame_multiple: int = 1,
        **options: Any,
    ) -> Codec:
        """A codec whose contexts are what its encoder and decoder say they reach; `options` are its other fields."""
        return cls(
            encoder,
            bottleneck,
            decoder,
            sample_rate,
            hop_length,
            Reach.of_encoder(encoder, hop_length, frame_multiple),
            Reach.of_decoder(decoder, hop_length, frame_multiple),
            frame_multiple=frame_multiple,
            **options,
        )

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate / self.hop_length

    @property
    def algorithmic_latency_samples(self) -> float:
        """How many samples must have come in, from a sample on and with it, before it can be given out decoded.

        A hop, and what encoder and decoder look ahead: for causal convolutions between two STFTs, a window. Infinity
        where it takes the whole clip, however long.
        """
        if self.decodes_whole or self.encodes_whole:
            return math.inf
        samples = range(self.hop_length * self.frame_multiple)

        def last_frame(sample: int) -> int:
            last: int = self.decoder.inputs(Span(sample, sample)).last
            return last

        waits = []
        for frame in range(last_frame(samples[0]), last_frame(samples[-1]) + 1):
            # of the samples that need this frame the first waits longest
            first = bisect.bisect_left(samples, frame, key=last_frame)
            waits.append(self.encoder.inputs(Span(frame, frame)).last - first)
        return max(waits) + 1

    def n_frames(self, n_samples: Any) -> Any:
        """Latent frames of a clip of `n_samples` (an int or an integer array)."""
        multiple = self.frame_multiple
        return -(-(n_samples + 2 * self.lead + self.tail) // (self.hop_length * multiple)) * multiple

    def max_samples(self, n_frames: int) -> int:
        """Longest clip that `n_frames` frames hold."""
        return n_frames * self.hop_length - 2 * self.lead - self.tail

    @nn.nowrap
    def example(self) -> tuple[np.ndarray]:
        """Arguments from whose shapes all parameters follow, whatever their length."""
        frames = max(4, self.min_first_frames + 1) * self.frame_multiple
        return (np.zeros((1, frames * self.hop_length, self.channels), np.float32),)

    def __call__(
        self,
        audio: jax.Array,
        n_samples: jax.Array | None = None,
        *,
        keys: jax.Array | None = None,
        level: Any = None,
    ) -> CodecOutput:
        """Codes and decodes (B, T, C); `n_samples` (B,) are the clips' true lengths in a padded batch.

        With `keys` (one per example) the bottleneck is in training: noise or dropout, and its losses. Raises ZooError
        for audio of another shape, other numbers of keys, and a level that there is not, where it is known.
        """
        check_keys(keys, len(audio))
        check_level(level, self.bottleneck.symbols().n_levels)
        latent = self.encode(audio, n_samples)
        mask = self.frame_mask(audio.shape[1], n_samples)
        q = self.bottleneck(latent, mask, keys=keys, level=level)
        decoded = self.decode(q.latent, audio.shape[1], n_samples)
        return CodecOutput(decoded, latent, codes=q.codes, losses=q.losses, metrics=q.metrics, codebooks=q.codebooks)

    def encode(self, audio: jax.Array, n_samples: jax.Array | None = None) -> jax.Array:
        """Latent (B, F, D), before quantisation, of audio (B, T, C); raises ZooError for audio of another shape."""
        if audio.ndim != 3 or audio.shape[2] != self.channels:
            raise ZooError(f"audio must be (B, T, C) with C = {self.channels}, got shape {tuple(audio.shape)}")
        length = audio.shape[1]
        if n_samples is not None:
            audio = _zero_after(audio, n_samples)
        frames = self.n_frames(length)
        padded = jnp.pad(audio, ((0, 0), (self.lead, frames * self.hop_length - self.lead - length), (0, 0)))
        return self.encode_frames(padded, self.frame_mask(length, n_samples))

    def encode_frames(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Latent (B, F, D) of a stretch (B, F * hop_length, C) of the padded time line; what is masked is silence.

        `mask` bool (B, F), None for all: frames that belong to the clip. At its borders all is as at a clip's ends, so
        that a window of a long clip, with the frames outside the clip masked and `encoder_context` more frames on each
        side than are kept, gives the long clip's latent. Latents of masked frames mean nothing. Raises ZooError for a
        length that is not a whole number of frames.
        """
        if audio.shape[1] % self.hop_length:
            raise ZooError(f"{audio.shape[1]} samples are not a whole number of frames of {self.hop_length}")
        return self.encoder(apply_mask(audio, mask), mask).astype(jnp.float32)

    @property
    def encoder_continues(self) -> bool:
        """Whether clips can be encoded by `encode_next`: the encoder's layers can, and the context is what they say."""
        if self.encodes_whole or not _continues(self.encoder, 1):
            return False
        return self.encoder_context == Reach.of_encoder(self.encoder, self.hop_length, self.frame_multiple)

    @property
    def decoder_continues(self) -> bool:
        """Whether clips can be decoded by `decode_next`."""
        if self.decodes_whole or not _continues(self.decoder, self.hop_length):
            return False
        return self.decoder_context == Reach.of_decoder(self.decoder, self.hop_length, self.frame_multiple)

    def encode_next(self, audio: jax.Array, mask: jax.Array) -> jax.Array:
        """Latent (B, n, D) of the next chunk of a long clip, of which only what is new is given.

        `mask` bool (B, before + n + after) is that of the window [before | chunk | after], with which `audio`
        (B, m * hop_length, C) ends: m = n frames, or n + after where the chunk is a clip's first. What layers kept of
        what came before is in the collection "carry", which must be mutable.
        """
        context, given = self.encoder_context, audio.shape[1] // self.hop_length
        audio = apply_mask(audio, mask[:, mask.shape[1] - given :])
        chunk = _chunk(context, mask, given, rate=1, end=mask.shape[1] * self.hop_length)
        return self.encoder(audio, chunk).astype(jnp.float32)

    def quantise(self, latent: jax.Array, level: Any = None) -> Quantised:
        check_level(level, self.bottleneck.symbols().n_levels)
        return self.bottleneck(latent, level=level)

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        check_level(level, self.bottleneck.symbols().n_levels)
        return self.bottleneck.dequantise(codes, level)

    def decode(self, latent: jax.Array, length: int | None = None, n_samples: jax.Array | None = None) -> jax.Array:
        """Audio (B, length, C) of a quantised latent (B, F, D); `length` defaults to all that the frames hold."""
        length = self.max_samples(latent.shape[1]) if length is None else length
        audio = self.decode_frames(latent, self.frame_mask(length, n_samples))
        audio = audio[:, self.lead : self.lead + length]
        return audio if n_samples is None else _zero_after(audio, n_samples)

    def decode_frames(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Stretch (B, F * hop_length, C) of the padded time line of a quantised latent (B, F, D), zero where masked.

        The counterpart of `encode_frames`, with `decoder_context`.
        """
        return apply_mask(self.decoder(latent, mask).astype(jnp.float32), mask)

    def decode_next(self, latent: jax.Array, mask: jax.Array) -> jax.Array:
        """Audio (B, n * hop_length, C) of the next chunk of a long clip, zero where masked, from latents (B, n, D).

        The counterpart of `encode_next`, but all chunks are given n frames, the last of their windows.
        """
        context, hop = self.decoder_context, self.hop_length
        chunk = _chunk(context, mask, latent.shape[1], rate=hop, end=mask.shape[1])
        audio = self.decoder(latent, chunk).astype(jnp.float32)
        return apply_mask(audio, mask[:, context.before : context.before + chunk.n])

    def decode_codes(
        self, codes: jax.Array, length: int | None = None, n_samples: jax.Array | None = None, level: Any = None
    ) -> jax.Array:
        return self.decode(self.dequantise(codes, level), length, n_samples)

    def frame_mask(self, length: int, n_samples: jax.Array | None) -> jax.Array | None:
        """Which frames (B, F) belong to each clip; None where all do."""
        if n_samples is None:
            return None
        return jnp.arange(self.n_frames(length))[None] < self.n_frames(n_samples)[:, None]


@functools.lru_cache(maxsize=64)
def _parameter_shapes(module: Any) -> dict[str, Any]:
    shapes: dict[str, Any] = jax.eval_shape(module.init, jax.random.key(0), *module.example())["params"]
    return shapes


def parameter_shapes(module: Any) -> dict[str, Any]:
    """Shapes and types of the parameters of a codec or a prior: a tree of jax.ShapeDtypeStruct.

    They are found once for modules that are equal, since that takes as long as to trace all of the module.
    """
    find: Callable[[Any], dict[str, Any]] = _parameter_shapes
    try:
        hash(module)
    except TypeError:  # of a module with lists among its fields
        find = _parameter_shapes.__wrapped__
    return jax.tree.map(lambda leaf: leaf, find(module))


def _continues(network: Any, rate: int) -> bool:
    return isinstance(network, Network) and network.continues(rate)


def _chunk(context: Reach, mask: jax.Array, given: int, *, rate: int, end: int) -> Chunk:
    """The chunk in the middle of a window with that mask, of which so many frames are given."""
    frames, before = mask.shape[1], context.before
    n = frames - before - context.after
    return Chunk(mask, frames, before, n, given > n, end=end, rate=rate, last=(before + n) * rate - 1)


def _zero_after(audio: jax.Array, n_samples: jax.Array) -> jax.Array:
    inside = jnp.arange(audio.shape[1])[None] < n_samples[:, None]
    return jnp.where(inside[..., None], audio, 0.0)
