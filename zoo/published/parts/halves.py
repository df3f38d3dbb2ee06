"""What stands in the place of an encoder or a decoder that a model was published without."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.errors import ZooError
from zoo.nn.layers import Span


class NoEncoder(nn.Module):
    """The encoder of a model that only decodes; raises ZooError for whoever wants to encode."""

    latent_dim: int
    hop_length: int

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        return frames.analysed(self.hop_length, self.hop_length, 0)

    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        if not self.is_initializing():  # when only shapes are asked for
            raise ZooError("this model was published without its encoder: it decodes latents, and cannot encode")
        return jnp.zeros((len(audio), audio.shape[1] // self.hop_length, self.latent_dim))


class NoDecoder(nn.Module):
    """The decoder of a model that only encodes; raises ZooError for whoever wants to decode."""

    channels: int
    hop_length: int

    @nn.nowrap
    def inputs(self, samples: Span) -> Span:
        return samples.synthesised(self.hop_length, self.hop_length, 0)

    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        if not self.is_initializing():
            raise ZooError("this model was published without its decoder: it encodes audio, and cannot decode")
        return jnp.zeros((len(latent), latent.shape[1] * self.hop_length, self.channels))
