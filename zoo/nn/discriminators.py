"""Discriminators: multi-period and multi-resolution complex STFT.

The first are after HiFi-GAN's (Kong et al., 2020), the second after EnCodec's (Défossez et al., 2022), which dilate in
time; both without their weight normalisation. Each maps audio (B, T, C) to one `Verdict` per scale; only training uses
them, but every checkpoint carries them, so that a model can be fine-tuned.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from zoo.nn import dsp
from zoo.nn.layers import Block, Conv1d, Conv2d, Dtype


@flax.struct.dataclass
class Verdict:
    """The output of one scale: logits (B, …), and the features of every layer (B, …)."""

    logits: jax.Array
    features: tuple[jax.Array, ...]


class PeriodDiscriminator(Block):
    """Sees every `period`-th sample: strided convolutions over (B·period, T / period, C)."""

    period: int
    base_channels: int = 8
    max_channels: int = 128
    n_layers: int = 4
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array) -> Verdict:
        batch, length, channels = audio.shape
        # whole blocks of 3 ** n_layers, so that each stride divides what it gets
        block = self.period * 3**self.n_layers
        audio = jnp.pad(audio, ((0, 0), (0, -length % block), (0, 0)))
        x = audio.reshape(batch, -1, self.period, channels).swapaxes(1, 2).reshape(batch * self.period, -1, channels)
        features = []
        for i in range(self.n_layers):
            width = min(self.base_channels * 2**i, self.max_channels)
            x = nn.leaky_relu(Conv1d(width, 6, stride=3, dtype=self.dtype, name=f"conv_{i}")(x), 0.1)
            features.append(_per_example(x, batch))
        x = nn.leaky_relu(Conv1d(x.shape[-1], 3, dtype=self.dtype, name="conv_last")(x), 0.1)
        features.append(_per_example(x, batch))
        logits = Conv1d(1, 3, dtype=self.dtype, name="logits")(x)
        return Verdict(_per_example(logits, batch), tuple(features))


class STFTDiscriminator(Block):
    """Two-dimensional convolutions over the real and imaginary parts of one STFT."""

    n_fft: int
    channels: int = 16
    max_channels: int = 128
    n_layers: int = 4
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array) -> Verdict:
        window_energy = float((dsp.hann_window(self.n_fft) ** 2).sum())
        spectrum = dsp.stft(audio.swapaxes(1, 2), self.n_fft, self.n_fft // 4) / window_energy**0.5
        # without the Nyquist bin, so that each stride of 2 divides the width
        x = jnp.concatenate([spectrum.real, spectrum.imag], axis=1)[..., :-1].transpose(0, 2, 3, 1)
        features = []
        for i in range(self.n_layers):
            width = min(self.channels * (1 if i < 2 else 2), self.max_channels)
            conv = Conv2d(width, (3, 8), stride=2 if i else 4, dtype=self.dtype, name=f"conv_{i}")
            x = nn.leaky_relu(conv(x), 0.1)
            features.append(x.astype(jnp.float32))
        logits = Conv2d(1, (3, 3), dtype=self.dtype, name="logits")(x)
        return Verdict(logits.astype(jnp.float32), tuple(features))


class Discriminators(nn.Module):
    """All scales on the same audio (B, T, C): a list of verdicts."""

    periods: Sequence[int] = (2, 3, 5, 7, 11)
    fft_sizes: Sequence[int] = (2048, 1024, 512)
    period_channels: int = 8
    stft_channels: int = 16
    max_channels: int = 128
    n_layers: int = 4
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, audio: jax.Array) -> list[Verdict]:
        verdicts = [
            PeriodDiscriminator(
                period, self.period_channels, self.max_channels, self.n_layers, self.dtype, name=f"period_{period}"
            )(audio)
            for period in self.periods
        ]
        verdicts += [
            STFTDiscriminator(
                n_fft, self.stft_channels, self.max_channels, self.n_layers, self.dtype, name=f"stft_{n_fft}"
            )(audio)
            for n_fft in self.fft_sizes
        ]
        return verdicts


def _per_example(x: jax.Array, batch: int) -> jax.Array:
    return x.reshape(batch, -1, *x.shape[1:]).astype(jnp.float32)
