"""SpectroStream (Li et al., 2025): convolutions over an STFT, residual VQ, and an inverse STFT.

Spectra, real and imaginary parts as they are, go through residual units that are causal in time and lower the rates of
time and frequency. Far from the latents each channel of audio goes its own way, with the same weights; near them all go
together. What is left of frequency then becomes one vector per frame. The decoder is the mirror image.

The STFT looks ahead by half a window, and the decoder by a frame: what it makes of a frame is the spectra of the frame
before. So that the last one is heard as well, a clip is followed by a frame of silence (`Codec.tail`), which the
published code leaves to its user; it decodes F frames to F − 1.

The Nyquist frequency is left out. The inverse STFT divides by the sum of squared windows of a signal without ends, so
that a clip's first half window swells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from zoo.codec import Codec
from zoo.nn import dsp
from zoo.nn.layers import Conv1d, Dtype, Layers, Network, Sum, Transform, apply_mask, elu
from zoo.published.parts.euclidean import EuclideanRVQ
from zoo.published.spectrostream.layers import Apart, Conv, Down, Strides, Up

PARTS = 2
"""of a complex number"""


@dataclass(frozen=True)
class Spec:
    """Hyper-parameters of an encoder or a decoder."""

    channels: int
    """of audio"""
    n_fft: int
    latent_dim: int
    width: int
    """at the spectra's own rates"""
    strides: tuple[Strides, ...]
    """from the spectra to the latents"""
    growth: tuple[int, ...]
    """by which each stride multiplies the width"""
    n_joint: int
    """strides, those next to the latents, at which the channels of audio are together"""
    kernel_size: int

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2

    @property
    def frame_steps(self) -> int:
        """Spectra in a latent frame."""
        return int(np.prod([down for down, _ in self.strides]))

    @property
    def hop_length(self) -> int:
        """Samples in a latent frame."""
        return self.frame_steps * (self.n_fft // 2)

    @property
    def latent_bins(self) -> int:
        """Bins of frequency that are left at the latents' rate."""
        return self.n_bins // int(np.prod([across for _, across in self.strides]))

    @property
    def n_apart(self) -> int:
        return len(self.strides) - self.n_joint

    def width_of(self, i: int) -> int:
        """Channels behind the stride before number i, of one channel of audio where they are apart."""
        return self.width * int(np.prod(self.growth[:i], dtype=np.int64))


class EncoderApart(Apart):
    """Spectra (B, T, K, 2 · n_groups) to what is put together."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec = self.spec
        yield Conv(spec.width, (spec.kernel_size, spec.kernel_size), dtype=self.dtype, name="conv_in")
        yield from downward(spec, range(spec.n_apart), self.dtype)


class Encoder(Network):
    """Audio (B, F · hop_length, channels) -> latents (B, F, latent_dim)."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, n = self.spec, len(self.spec.strides)
        width = spec.width_of(n)
        size, hop, _ = dsp.stft_window(spec.n_fft, spec.n_fft // 2)
        yield Transform(self._spectra, lambda frames: frames.analysed(size, hop, -1))
        yield EncoderApart(spec.channels, spec, self.dtype, name="apart")
        yield from downward(spec, range(spec.n_apart, n), self.dtype)
        yield Down(width, width, dtype=self.dtype, name="bottleneck")
        yield lambda x: x.reshape(*x.shape[:2], -1)
        yield Sum(
            [_dense(spec.latent_dim, self.dtype, "linear")],
            [
                elu,
                _dense(spec.latent_bins * width, self.dtype, "expand"),
                elu,
                _dense(spec.latent_dim, self.dtype, "project"),
            ],
        )

    def _spectra(self, audio: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Real and imaginary parts (B, T, K, 2 · channels), those of a channel of audio side by side."""
        spec, hop = self.spec, self.spec.n_fft // 2
        padded = jnp.pad(audio.swapaxes(1, 2), ((0, 0), (0, 0), (0, hop)))
        spectra = dsp.stft(padded, spec.n_fft, hop, padding="none")[..., : spec.n_bins]
        parts = jnp.stack([spectra.real, spectra.imag], axis=-1)  # (B, C, T, K, 2)
        parts = parts.transpose(0, 2, 3, 1, 4)
        return parts.reshape(*parts.shape[:3], -1).astype(self.dtype)


class DecoderApart(Apart):
    """What was put apart to spectra (B, T, K, 2 · n_groups)."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec = self.spec
        yield from upward(spec, range(spec.n_apart), self.dtype)
        yield elu
        yield Conv(PARTS, (spec.kernel_size, spec.kernel_size), dtype=self.dtype, name="conv_out")


class Decoder(Network):
    """Latents (B, F, latent_dim) -> audio (B, F · hop_length, channels), of which the last hop is silence."""

    spec: Spec
    dtype: Dtype

    def layers(self) -> Layers:
        spec, n = self.spec, len(self.spec.strides)
        bins, width, ahead = spec.latent_bins, spec.width_of(n), spec.frame_steps
        size, hop, _ = dsp.stft_window(spec.n_fft, spec.n_fft // 2)
        yield Sum(
            [_dense(bins * width, self.dtype, "linear")],
            [_dense(bins * width, self.dtype, "expand"), elu, _dense(bins * width, self.dtype, "project")],
        )
        yield lambda x: x.reshape(*x.shape[:2], bins, width)
        yield Up(width, width, dtype=self.dtype, name="bottleneck")
        yield from upward(spec, range(spec.n_apart, n), self.dtype)
        yield DecoderApart(spec.channels, spec, self.dtype, name="apart")
        yield Transform(lambda x, _: _earlier(x, ahead), lambda steps: steps.analysed(1, 1, -ahead))
        yield Transform(self._audio, lambda samples: samples.synthesised(size, hop, -1))

    def _audio(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Audio (B, T · hop, channels) of spectra as the encoder has them."""
        hop, n_fft = self.spec.n_fft // 2, self.spec.n_fft
        parts = apply_mask(x, mask).astype(jnp.float32).reshape(*x.shape[:3], -1, PARTS).transpose(0, 3, 1, 2, 4)
        spectra = jnp.pad(jax.lax.complex(parts[..., 0], parts[..., 1]), ((0, 0), (0, 0), (0, 0), (0, 1)))
        frames = jnp.fft.irfft(spectra, n_fft) * jnp.asarray(_synthesis_window(n_fft))[None, None, None]
        return dsp.overlap_add(frames, hop)[..., : x.shape[1] * hop].swapaxes(1, 2)


def downward(spec: Spec, stages: range, dtype: Dtype) -> Iterator[Down]:
    """The encoder's units with these of the strides."""
    for i in stages:
        together = spec.channels if i == spec.n_apart else 1
        yield Down(together * spec.width_of(i), spec.width_of(i + 1), spec.strides[i], dtype, name=f"down_{i}")


def upward(spec: Spec, stages: range, dtype: Dtype) -> Iterator[Up]:
    """The decoder's units with these of the strides, the last one first."""
    for i in reversed(stages):
        after = spec.channels if i == spec.n_apart else 1
        # the first unit in which channels of audio are apart counts its input's as though they were not
        before = spec.channels if i + 1 == spec.n_apart else 1
        yield Up(before * spec.width_of(i + 1), after * spec.width_of(i), spec.strides[i], dtype, name=f"up_{i}")


def _dense(features: int, dtype: Dtype, name: str) -> Conv1d:
    return Conv1d(features, dtype=dtype, masked=False, name=name)


def _earlier(x: jax.Array, steps: int) -> jax.Array:
    """The same (B, T, …), so many steps earlier, with zeros at its end."""
    return jnp.pad(x[:, steps:], ((0, 0), (0, steps), *[(0, 0)] * (x.ndim - 2)))


def _synthesis_window(n_fft: int) -> np.ndarray:
    """The Hann window over the sum of the squares of those that overlap: (n_fft,)."""
    window = dsp.hann_window(n_fft)
    return window / np.tile(np.square(window).reshape(2, -1).sum(axis=0), 2)


def spectrostream(
    *,
    sample_rate: int = 48_000,
    channels: int = 2,
    n_fft: int = 960,
    strides: tuple[Strides, ...] = ((1, 2), (1, 2), (1, 3), (1, 2), (1, 2), (2, 2), (2, 1)),
    growth: tuple[int, ...] = (2, 1, 2, 1, 1, 2, 1),
    n_joint: int = 1,
    kernel_size: int = 7,
    encoder_width: int = 32,
    decoder_width: int = 64,
    latent_dim: int = 256,
    n_codebooks: int = 64,
    codebook_size: int = 1024,
    dtype: Dtype = jnp.float32,
) -> Codec:
    """The codec of Magenta RealTime, by default as published.

    `strides`, of time and of frequency, and the `growth` of the width with each are given from the spectra to the
    latents; windows of `n_fft` samples overlap by half. Raises ValueError where these numbers do not fit together.
    """
    strides = tuple((int(down), int(across)) for down, across in strides)
    if len(growth) != len(strides):
        raise ValueError(f"growth {growth} must be as many as strides {strides}")
    if not 1 <= n_joint <= len(strides):
        raise ValueError(f"n_joint {n_joint} must be from 1 to the number of strides, {len(strides)}")
    if n_fft % 2 or (n_fft // 2) % int(np.prod([across for _, across in strides])):
        raise ValueError(f"strides {strides} must divide the n_fft / 2 = {n_fft / 2:g} bins of frequency")
    encoder, decoder = (
        part(
            Spec(channels, n_fft, latent_dim, width, strides, tuple(growth), n_joint, kernel_size),
            dtype,
        )
        for part, width in ((Encoder, encoder_width), (Decoder, decoder_width))
    )
    hop = encoder.spec.hop_length
    return Codec.from_parts(
        encoder,
        EuclideanRVQ(latent_dim, n_codebooks, codebook_size),
        decoder,
        sample_rate=sample_rate,
        hop_length=hop,
        channels=channels,
        tail=hop,
    )
