"""Waveform VAE: strided residual convolutions with Snake, a Gaussian bottleneck, the mirror image out.

Beside the convolution stack runs one linear layer from waveform to latent, and one back: kernels of two
hops that start as a lapped cosine transform (the MDCT of the lowest frequencies). It gives the stack a latent
that follows the waveform from the first step, and learns with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn import dsp
from zoo.nn.bottlenecks import Gaussian
from zoo.nn.layers import (
    Conv1d,
    ConvTranspose1d,
    Dtype,
    Layers,
    Network,
    ResidualUnit,
    Snake,
    Span,
    Sum,
    asking,
    compand,
    expand,
    inputs_of,
    run,
)


class Encoder(Network):
    latent_dim: int
    widths: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    companding: float
    latent_scale: float
    dtype: Dtype

    def layers(self) -> Layers:
        hop = int(np.prod(self.strides))
        linear = Conv1d(
            self.latent_dim, 2 * hop, stride=hop, use_bias=False, kernel_init=_lapped_analysis, name="linear"
        )
        stack: list[Any] = []
        for i, (width, stride) in enumerate(zip(self.widths, self.strides)):
            stack.append(Conv1d(width, 2 * stride, stride=stride, dtype=self.dtype, name=f"down_{i}"))
            stack += _units(i, self.dilations, self.dtype)
        head = Conv1d(self.latent_dim, 3, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="head")
        yield Sum([linear, lambda x: compand(x, self.companding)], [*stack, head, jnp.float32])
        yield lambda x: self.latent_scale * x


class Decoder(nn.Module):
    channels: int
    widths: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    companding: float
    latent_scale: float
    dtype: Dtype

    @nn.nowrap
    def _parts(self, latent_dim: int | None = None) -> list[Layers]:
        """The stack down to where it corrects the latent, the correction, the rest of the stack, the linear path."""
        zeros, hop = nn.initializers.zeros, int(np.prod(self.strides))
        stack: list[Any] = [Conv1d(self.widths[-1], 3, dtype=self.dtype, name="stem")]
        for i in reversed(range(len(self.strides))):
            stack += _units(i, self.dilations, self.dtype)
            width, init = (self.widths[i - 1], nn.initializers.lecun_normal()) if i else (self.channels, zeros)
            stack.append(ConvTranspose1d(width, self.strides[i], kernel_init=init, dtype=self.dtype, name=f"up_{i}"))
        n = 2 + len(self.dilations)
        # a correction of the latent itself, in which quantised neighbours inform each other
        correction = [Conv1d(latent_dim, 3, kernel_init=zeros, dtype=self.dtype, name="correct"), jnp.float32]
        linear = ConvTranspose1d(self.channels, hop, use_bias=False, kernel_init=_lapped_synthesis, name="linear")
        return [stack[:n], correction, stack[n:], [lambda x: expand(x, self.companding), linear]]

    @asking
    def inputs(self, samples: Span) -> Span:
        """The latents on which `samples` depend."""
        first, correction, rest, linear = self._parts()
        latents = inputs_of(linear, samples)
        return latents | inputs_of(first, inputs_of(rest, samples) | inputs_of(correction, latents))

    @nn.compact
    def __call__(self, latent: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        first, correction, rest, linear = self._parts(latent.shape[-1])
        latent = latent / self.latent_scale
        x = run(first, latent, mask)
        latent = latent + run(correction, x, mask)
        x = run(rest, x, mask)
        return run(linear, latent, mask) + x.astype(jnp.float32)


def _units(i: int, dilations: Sequence[int], dtype: Dtype) -> Layers:
    """Residual units of stage i, which are followed by a Snake."""
    for j, dilation in enumerate(dilations):
        yield ResidualUnit(dilation, dtype=dtype, name=f"unit_{i}_{j}")
    yield Snake(dtype=dtype, name=f"snake_{i}")


def vae(
    *,
    sample_rate: int = 24_000,
    channels: int = 1,
    latent_dim: int = 192,
    widths: tuple[int, ...] = (32, 96, 256),
    strides: tuple[int, ...] = (8, 5, 8),
    dilations: tuple[int, ...] = (1, 3),
    companding: float = 0.7,
    latent_scale: float = 1.5,
    grid_steps: tuple[float, ...] = (40.0, 28.0, 20.0, 14.0, 10.0, 7.0, 5.0, 3.5),
    dtype: Dtype = jnp.float32,
) -> Codec:
    """Waveform VAE: one stage per entry of `widths` and `strides` (first = nearest the waveform).

    Its code is the posterior mean on a uniform grid; `grid_steps`, in posterior standard deviations, are its levels.
    """
    if len(widths) != len(strides):
        raise ValueError(f"widths {widths} and strides {strides} must be equally many")
    hop = int(np.prod(strides))
    if latent_dim > hop * channels:
        raise ValueError(f"latent_dim {latent_dim} exceeds the samples in a frame, {hop * channels}")
    shared = (widths, strides, dilations, companding, latent_scale, dtype)
    encoder, decoder = Encoder(latent_dim, *shared), Decoder(channels, *shared)
    return Codec.from_parts(
        encoder,
        Gaussian(latent_dim, grid_steps, initial_std=_initial_std(latent_dim)),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        channels=channels,
        lead=hop // 2,
        codes_hold=True,
    )


def _initial_std(latent_dim: int) -> tuple[float, ...]:
    """Deviations for the bottleneck to begin with: small where a latent is a low frequency, which most of a sound is.

    About what they become. They move by a per cent a step, and a short training would be over before they got there.
    """
    return tuple(float(std) for std in np.geomspace(0.03, 0.4, latent_dim))


def _lapped_basis(hop_length: int, channels: int, latent_dim: int) -> np.ndarray:
    """Builds the basis (2·hop, channels, latent_dim): dimension d is MDCT coefficient d // channels of mid or side."""
    basis = dsp.mdct_basis(hop_length)
    mix = np.eye(channels) if channels != 2 else np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0)
    full = np.einsum("nk,cm->nckm", basis, mix).reshape(2 * hop_length, channels, hop_length * channels)
    return full[..., :latent_dim].astype(np.float32)


def _lapped_analysis(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    size, channels, latent_dim = shape
    return jnp.asarray(_lapped_basis(size // 2, channels, latent_dim), dtype)


def _lapped_synthesis(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
    size, latent_dim, channels = shape
    return jnp.asarray(_lapped_basis(size // 2, channels, latent_dim).transpose(0, 2, 1), dtype)
