"""SAME-S, the autoencoder of the small Stable Audio 3 (Stability AI, 2026): transformers between patches and latents.

Stereo at 44.1 kHz is cut into patches of 256 samples, of which a transformer makes a latent for every 16; another makes
them of latents again, and a convolution what lies at their borders. Both work on two frames at a time, 186 ms, so that
clips have an even number of them. Latents are brought to about unit deviation, which is what the diffusion model takes;
there are no codes, but `Grid` makes some, as for Oobleck. While it decodes, the published code adds noise to latents
(0.001 of their deviation) and to learnt tokens (0.01), which helped it train; here there is none.

This is what the weights of SAME-S were made for. Those of SAME-L have a sliding window, as has diffusers' version.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.codec import Codec
from zoo.nn.layers import Conv1d, Dtype, Layers, Module, Network, Transform, per_channel
from zoo.published.oobleck.grid import GRID_STEPS, Grid
from zoo.published.same.resampler import PAIR, BlocksSpec, Resampler


class Encoder(Network):
    """Audio (B, F · hop_length, channels) -> latents (B, F, latent_dim)."""

    spec: BlocksSpec
    patch_size: int
    stride: int
    width: int
    latent_dim: int
    dtype: Dtype

    def layers(self) -> Layers:
        size = self.patch_size
        yield Transform(lambda x, mask: _patched(x, size), lambda span: span.analysed(size, size, 0))
        yield Conv1d(self.width, dtype=self.dtype, name="mapping")
        yield Resampler(self.spec, self.stride, 1, self.dtype, name="resampler")
        yield Conv1d(self.latent_dim, dtype=self.dtype, masked=False, name="project")
        yield Affine(name="norm")


class Decoder(Network):
    """Latents (B, F, latent_dim) -> audio (B, F · hop_length, channels)."""

    spec: BlocksSpec
    patch_size: int
    stride: int
    width: int
    channels: int
    dtype: Dtype

    def layers(self) -> Layers:
        size = self.patch_size
        yield Conv1d(self.width, dtype=self.dtype, masked=False, name="project")
        yield Resampler(self.spec, 1, self.stride, self.dtype, name="resampler")
        yield Conv1d(size * self.channels, 3, dtype=self.dtype, name="mapping")
        yield Transform(lambda x, mask: _unpatched(x, size), lambda span: span.synthesised(size, size, 0))


class Affine(Module):
    """Scales and shifts each channel of (B, F, D)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        return x.astype(jnp.float32) * per_channel(scale) + per_channel(bias)


def same(
    *,
    sample_rate: int = 44_100,
    channels: int = 2,
    patch_size: int = 256,
    stride: int = 16,
    width: int = 768,
    depth: int = 6,
    head_dim: int = 64,
    hidden: int = 2304,
    latent_dim: int = 256,
    grid_steps: tuple[float, ...] = GRID_STEPS,
    codebook_size: int = 255,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The autoencoder of the small Stable Audio 3; `stride` patches to a frame, `depth` layers each way.

    Levels are `grid_steps` of the latents, in their deviations. Raises ValueError where these do not fit together.
    """
    if depth < 2 or depth % 2:
        raise ValueError(f"depth {depth} must be even")
    if width % head_dim or head_dim % 4:
        raise ValueError(f"head_dim {head_dim} must be a multiple of 4 that divides width {width}")
    spec = BlocksSpec(depth, head_dim, hidden)
    shared: dict[str, Any] = {"spec": spec, "patch_size": patch_size, "stride": stride, "width": width, "dtype": dtype}
    return Codec.from_parts(
        Encoder(latent_dim=latent_dim, **shared),
        Grid(latent_dim, grid_steps, codebook_size),
        Decoder(channels=channels, **shared),
        sample_rate=sample_rate,
        hop_length=patch_size * stride,
        channels=channels,
        frame_multiple=PAIR,
    )


def _patched(audio: jax.Array, size: int) -> jax.Array:
    """Patches (B, n, C · size) of audio (B, n · size, C), channel by channel."""
    batch, _, channels = audio.shape
    return audio.reshape(batch, -1, size, channels).swapaxes(2, 3).reshape(batch, -1, channels * size)


def _unpatched(patches: jax.Array, size: int) -> jax.Array:
    """The inverse of `_patched`."""
    batch, n, features = patches.shape
    return patches.reshape(batch, n, -1, size).swapaxes(2, 3).reshape(batch, n * size, features // size)
