"""The decoder: residual blocks and a transformer at the frame rate, and an inverse STFT.

Every sample depends on every frame: norms are over the clip, and every frame attends to every other. Attention knows
nothing of positions: the authors turn queries and keys by an angle that depends on the number of the head, not on that
of the frame, which cancels in their products, so that there are no such turns here.
"""

from __future__ import annotations

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn import dsp
from zoo.nn.layers import Conv1d, Dtype, LayerNorm, Layers, Network, RMSNorm, Transform
from zoo.published.vocos.vocoder import spectrum_to_audio
from zoo.published.wavtokenizer.whole import NormedResidual, WholeClip, attend

N_GROUPS = 32
"""of channels that are normalised together"""
N_BLOCKS = 2
"""residual blocks before the transformer, and as many after it"""
OVERLAP = 4
"""hops to a window of the inverse STFT"""


@dataclass(frozen=True)
class DecoderSpec:
    """Hyper-parameters."""

    joint_dim: int
    """channels into which both encoders' features go together"""
    width: int
    hidden: int
    """width between the two dense layers of the transformer"""
    n_layers: int
    n_heads: int
    head_dim: int
    norm_eps: float
    hop_length: int
    """samples"""


class TransformerLayer(WholeClip):
    """Attention of every frame to all of its clip, and two dense layers; RMSNorm before either, and the residual."""

    spec: DecoderSpec
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        spec, (batch, length, channels) = self.spec, x.shape
        y = RMSNorm(self.dtype, spec.norm_eps, name="norm_attention")(x)
        size = spec.n_heads * spec.head_dim
        query, key, value = (
            self._dense(y, size, name).reshape(batch, length, spec.n_heads, -1) for name in ("q", "k", "v")
        )
        valid = jnp.ones((batch, length), bool) if mask is None else mask
        y = attend(query * jnp.asarray(spec.head_dim**-0.5, self.dtype), key, value, valid)
        x = x + self._dense(y.reshape(batch, length, size), channels, "out")
        y = RMSNorm(self.dtype, spec.norm_eps, name="norm_mlp")(x)
        return x + self._dense(nn.silu(self._dense(y, spec.hidden, "expand")), channels, "project")

    def _dense(self, x: jax.Array, features: int, name: str) -> jax.Array:
        kernel = self.param(name, nn.initializers.lecun_normal(), (x.shape[-1], features), jnp.float32)
        return x @ kernel.astype(self.dtype)


class Decoder(Network):
    """Quantised latents (B, F, D) to audio (B, F · hop_length, 1)."""

    spec: DecoderSpec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, dtype = self.spec, self.dtype
        n_fft = OVERLAP * spec.hop_length
        yield Conv1d(spec.joint_dim, dtype=dtype, masked=False, name="project")
        yield Conv1d(spec.width, dtype=dtype, masked=False, name="fc")
        yield Conv1d(spec.width, 7, dtype=dtype, name="embed")
        for i in range(N_BLOCKS):
            yield NormedResidual(N_GROUPS, dtype=dtype, name=f"prior_{i}")
        for i in range(spec.n_layers):
            yield TransformerLayer(spec, dtype, name=f"layer_{i}")
        for i in range(N_BLOCKS):
            yield NormedResidual(N_GROUPS, dtype=dtype, name=f"post_{i}")
        yield LayerNorm(dtype, name="norm_out")
        yield Conv1d(n_fft + 2, dtype=dtype, masked=False, name="head")
        window = dsp.stft_window(n_fft, spec.hop_length)
        yield Transform(
            lambda head, mask: spectrum_to_audio(head, n_fft, spec.hop_length, mask),
            lambda samples: samples.synthesised(*window),
        )
