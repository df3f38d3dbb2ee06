"""The acoustic tokeniser of VibeVoice (Peng et al., 2025): 7.5 continuous latents a second of 24 kHz speech.

Strided causal convolutions and, at each rate, ConvNeXt-like blocks: a depthwise convolution and two dense layers, each
after an RMSNorm and with a layer scale of its own; the decoder is the mirror image. It was trained as a VAE whose noise
has the same deviation everywhere (σ-VAE), so that a latent is the encoder's output as it is. The layers at the latents'
rate reach back seven seconds together; from chunk to chunk their past is carried.

What was published has no codes: `Grid` makes some, as for Oobleck. The noise in training has 0.12 of the latents'
deviation; rounding has its variance where a step is √12 · 0.12 = 0.42 of that, near the step that is the default.

The published preprocessing brings speech to −25 dB of full scale first; here it is coded at the level that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn.layers import (
    Block,
    Conv1d,
    ConvTranspose1d,
    DepthwiseConv1d,
    Dtype,
    Layers,
    Network,
    Remembering,
    Residual,
    RMSNorm,
    per_channel,
    run,
)
from zoo.published.oobleck.grid import GRID_STEPS, Grid

DEVIATION = 5.1
"""of the latents: VibeVoice's language model multiplies them by 0.196 for unit deviation"""


@dataclass(frozen=True)
class Spec:
    """Hyper-parameters of an encoder and its decoder."""

    latent_dim: int
    width: int
    """at the audio's own rate; each stride doubles it"""
    strides: tuple[int, ...]
    """from the audio to the latents"""
    depths: tuple[int, ...]
    """blocks at the audio's rate, and after each stride"""
    channels: int
    """of audio"""
    kernel_size: int
    expansion: int
    """by how much dense layers are wider inside"""
    norm_eps: float
    layer_scale: float
    """initial"""

    @property
    def hop_length(self) -> int:
        """Samples in a frame."""
        return int(np.prod(self.strides))


class Half(Residual, Block):
    """One half of a block: RMSNorm, some layers, a learnt scale per channel, and the residual."""

    spec: Spec
    dtype: Dtype

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        y = run(self.layers(), x, mask)
        initial = nn.initializers.constant(self.spec.layer_scale)
        scale = self.param("layer_scale", initial, (x.shape[-1],), jnp.float32)
        return x + y * per_channel(scale, self.dtype)


class Mixer(Half):
    """The half that mixes steps of time: a causal depthwise convolution, perhaps with a memory."""

    remembers: bool

    def layers(self) -> Layers:
        yield RMSNorm(self.dtype, self.spec.norm_eps, name="norm")
        conv = DepthwiseConv1d(self.spec.kernel_size, self.dtype, causal=True, name="conv")
        yield _remembering(conv, self.spec) if self.remembers else conv


class Dense(Half):
    """The half that mixes channels: two dense layers with a GELU between them."""

    width: int

    def layers(self) -> Layers:
        yield RMSNorm(self.dtype, self.spec.norm_eps, name="norm")
        yield Conv1d(self.spec.expansion * self.width, dtype=self.dtype, masked=False, name="expand")
        yield lambda x: 0.5 * x * (1 + jax.lax.erf(x * np.float32(0.5**0.5)))  # exact, but without erfc, which is slow
        yield Conv1d(self.width, dtype=self.dtype, masked=False, name="project")


class Encoder(Network):
    """Audio (B, F · hop_length, channels) -> latents (B, F, latent_dim)."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, causal = self.spec, _causal(self.dtype)
        yield Conv1d(spec.width, spec.kernel_size, **causal, name="conv_in")
        yield from _blocks(spec, 0, self.dtype)
        for i, stride in enumerate(spec.strides, start=1):
            yield Conv1d(spec.width << i, 2 * stride, stride, **causal, name=f"down_{i}")
            yield from _blocks(spec, i, self.dtype)
        yield _remembering(Conv1d(spec.latent_dim, spec.kernel_size, **causal, name="conv_out"), spec)


class Decoder(Network):
    """Latents (B, F, latent_dim) -> audio (B, F · hop_length, channels)."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, causal, n = self.spec, _causal(self.dtype), len(self.spec.strides)
        yield _remembering(Conv1d(spec.width << n, spec.kernel_size, **causal, name="conv_in"), spec)
        yield from _blocks(spec, n, self.dtype)
        for i in reversed(range(n)):
            yield ConvTranspose1d(spec.width << i, spec.strides[i], dtype=self.dtype, left=0, name=f"up_{i}")
            yield from _blocks(spec, i, self.dtype)
        yield Conv1d(spec.channels, spec.kernel_size, **causal, name="conv_out")


def _blocks(spec: Spec, i: int, dtype: Dtype) -> Iterator[nn.Module]:
    """The blocks after so many strides; those at the latents' rate remember."""
    for j in range(spec.depths[i]):
        yield Mixer(spec, dtype, i == len(spec.strides), name=f"mixer_{i}_{j}")
        yield Dense(spec, dtype, spec.width << i, name=f"dense_{i}_{j}")


def _remembering(conv: nn.Module, spec: Spec) -> Remembering:
    """The convolution at the latents' rate, where the reach of all of them adds up to seconds."""
    return Remembering(conv, spec.kernel_size - 1, name=f"{conv.name}_memory")


def _causal(dtype: Dtype) -> dict[str, Any]:
    return {"causal": True, "dtype": dtype}


def vibevoice(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    latent_dim: int = 64,
    width: int = 32,
    strides: tuple[int, ...] = (2, 2, 4, 5, 5, 8),
    depths: tuple[int, ...] = (3, 3, 3, 3, 3, 3, 8),
    kernel_size: int = 7,
    expansion: int = 4,
    norm_eps: float = 1e-5,
    layer_scale: float = 1e-6,
    grid_steps: tuple[float, ...] = GRID_STEPS,
    codebook_size: int = 255,
    deviation: float = DEVIATION,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The acoustic tokeniser, by default as published; `strides` and `depths` from the waveform to the latent.

    Levels are `grid_steps` of the latents, in units of their `deviation`. Raises ValueError unless there is one more of
    `depths` than of `strides`.
    """
    if len(depths) != len(strides) + 1:
        raise ValueError(f"depths {depths} must be one more than strides {strides}")
    spec = Spec(
        latent_dim, width, tuple(strides), tuple(depths), channels, kernel_size, expansion, norm_eps, layer_scale
    )
    return Codec.from_parts(
        Encoder(spec, dtype),
        Grid(latent_dim, grid_steps, codebook_size, deviation),
        Decoder(spec, dtype),
        sample_rate=sample_rate,
        hop_length=spec.hop_length,
        channels=channels,
        recurrent=True,
    )
