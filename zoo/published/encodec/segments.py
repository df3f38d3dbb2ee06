"""Segments that overlap, each divided by its loudness: how EnCodec of 48 kHz works (Défossez et al., 2022).

A frame is a segment: its latent is those of the network inside it, one after the other, and last the loudness.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn.bottlenecks import CodebookLevels, Quantised, SymbolFormat
from zoo.nn.layers import Dtype, Span, carrying
from zoo.published.parts.euclidean import residual_codes, residual_sum
from zoo.published.parts.seanet import Seanet, SeanetDecoder, SeanetEncoder

SCALE_BYTES = 4
"""of a loudness in the codes"""


class SegmentEncoder(nn.Module):
    """Audio (B, F · hop_length, C) -> latents (B, F, D) of segments that begin every hop, and are longer.

    Each is divided by its loudness, which is the last of the D numbers.
    """

    spec: Seanet
    length: int
    """samples in a segment"""
    hop_length: int
    dtype: Dtype

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        return frames.analysed(self.length, self.hop_length, 0)

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        batch, _, channels = audio.shape
        hops = audio.reshape(batch, -1, self.hop_length, channels)
        after = hops[:, 1:, : self.length - self.hop_length]
        # in a window, the last hop is only there for the segment before it
        n = hops.shape[1] - 1 if carrying(self) else hops.shape[1]
        after = jnp.pad(after, ((0, 0), (0, n - after.shape[1]), (0, 0), (0, 0)))
        segments = jnp.concatenate([hops[:, :n], after], axis=2)
        power = jnp.square(segments.mean(axis=3)).mean(axis=2)
        scale = jnp.sqrt(power) + 1e-8
        segments = (segments / scale[..., None, None]).reshape(batch * n, self.length, channels)
        latent = SeanetEncoder(self.spec, self.dtype, name="segment")(segments).astype(jnp.float32)
        latent = jnp.concatenate([latent.reshape(batch, n, -1), scale[..., None]], axis=2)
        return jnp.pad(latent, ((0, 0), (0, hops.shape[1] - n), (0, 0)))


class SegmentDecoder(nn.Module):
    """The inverse of `SegmentEncoder`: where segments overlap, one fades into the next."""

    spec: Seanet
    length: int
    hop_length: int
    dtype: Dtype

    @nn.nowrap
    def inputs(self, samples: Span) -> Span:
        return samples.synthesised(self.length, self.hop_length, 0)

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        (batch, frames, _), channels = latent.shape, self.spec.channels
        hop, overlap = self.hop_length, self.length - self.hop_length
        known = jnp.ones((batch, frames), bool) if mask is None else mask
        # in a window, all that is wanted of the first segment is its end, which is remembered
        skipped = 1 if carrying(self) else 0
        latent = latent[:, skipped:]
        n = latent.shape[1]
        scale = latent[..., -1][..., None, None]
        steps = latent[..., :-1].reshape(batch * n, -1, self.spec.latent_dim)
        audio = SeanetDecoder(self.spec, self.dtype, name="segment")(steps).astype(jnp.float32)
        audio = audio.reshape(batch, n, self.length, channels) * scale
        before = jnp.zeros((batch, 1, overlap, channels))
        if skipped:
            remembered = self.variable("carry", "end", jnp.zeros, before.shape)
            before = remembered.value
            remembered.value = audio[:, -1:, hop:]
        before = jnp.concatenate([before, audio[:, :-1, hop:]], axis=1)
        known = jnp.pad(known, ((0, 0), (1 - skipped, 0)))[:, :n, None, None]
        fade = ((overlap - jnp.arange(overlap, dtype=jnp.float32)) / (overlap + 1))[None, None, :, None]
        start = audio[:, :, :overlap]
        start = start + jnp.where(known, fade * (before - start), 0.0)
        audio = jnp.concatenate([start, audio[:, :, overlap:hop]], axis=2)
        return jnp.pad(audio, ((0, 0), (skipped, 0), (0, 0), (0, 0))).reshape(batch, frames * hop, channels)


class SegmentRVQ(CodebookLevels, nn.Module):
    """`EuclideanRVQ` of the latents inside segments, beside the bytes of their loudness."""

    latent_dim: int
    n_codebooks: int
    codebook_size: int
    n_steps: int
    """latents in a segment"""

    loss_names = ()
    learnt_codebooks = None

    def setup(self) -> None:
        shape = (self.n_codebooks, self.codebook_size, self.latent_dim)
        self.codebooks = self.param("codebooks", nn.initializers.normal(1.0), shape, jnp.float32)

    def symbols(self) -> SymbolFormat:
        sizes = (256,) + (self.codebook_size,) * self.n_codebooks
        return SymbolFormat(sizes, self.n_codebooks, n_always=1, subframes=self.n_steps)

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        batch, frames, _ = latent.shape
        steps = latent[..., :-1].reshape(batch, frames * self.n_steps, self.latent_dim)
        codes, total = residual_codes(jax.lax.stop_gradient(steps), self.codebooks, self.n_used(level))
        total = steps + jax.lax.stop_gradient(total - steps)
        scale = latent[..., -1:]
        parts = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(scale[..., 0]), jnp.uint32)[..., None]
        shifts = jnp.arange(0, 8 * SCALE_BYTES, 8, dtype=jnp.uint32)[None, None]
        side = ((parts >> shifts) & 255).astype(jnp.int32)
        side = jnp.pad(side, ((0, 0), (0, 0), (0, self.n_steps - SCALE_BYTES)))
        codes = codes.reshape(batch, frames, self.n_steps, self.n_codebooks).swapaxes(2, 3)
        codes = jnp.concatenate([side, codes.reshape(batch, frames, -1)], axis=2)
        return Quantised(jnp.concatenate([total.reshape(batch, frames, -1), scale], axis=2), codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latents of codes (B, F, (1 + q) · n_steps); a loudness that is no number is silence."""
        batch, frames, _ = codes.shape
        shifts = jnp.arange(0, 8 * SCALE_BYTES, 8, dtype=jnp.uint32)[None, None]
        parts = (codes[..., :SCALE_BYTES].astype(jnp.uint32) << shifts).sum(-1, dtype=jnp.uint32)
        scale = jax.lax.bitcast_convert_type(parts, jnp.float32)[..., None]
        scale = jnp.where(jnp.isfinite(scale), scale, 0.0)
        steps = codes[..., self.n_steps :].reshape(batch, frames, -1, self.n_steps).swapaxes(2, 3)
        steps = steps.reshape(batch, frames * self.n_steps, -1)
        total = residual_sum(steps, self.codebooks, self.n_used(level))
        return jnp.concatenate([total.reshape(batch, frames, -1), scale], axis=2)
