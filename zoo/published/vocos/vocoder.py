"""What Vocos is made of: mel spectra, EnCodec's codes with other entries, ConvNeXt blocks and an inverse STFT."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from zoo.nn import dsp
from zoo.nn.bottlenecks import CodebookLevels, Quantised, straight_through
from zoo.nn.layers import (
    Beside,
    Conv1d,
    ConvNeXtBlock,
    Dtype,
    LayerNorm,
    Layers,
    Network,
    Span,
    Transform,
    apply_mask,
    inputs_of,
)
from zoo.published.parts.euclidean import residual_codes, residual_sum

KERNEL_SIZE = 7
_LARGEST_MAGNITUDE = 100.0
_SMALLEST_MEL = 1e-7


class MelSpectrogram(nn.Module):
    """Natural logarithms of the mel magnitudes (B, F, n_mels) of a padded time line that has half a hop of lead.

    Frame f is centred on sample f · hop_length of the clip, whose ends are mirrored without repeating the last sample.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        return frames.analysed(*dsp.stft_window(self.n_fft, self.hop_length))

    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        hop = self.hop_length
        valid = jnp.ones((audio.shape[0], audio.shape[1] // hop), bool) if mask is None else mask
        start = jnp.argmax(valid, axis=1) * hop + hop // 2
        end = audio.shape[1] - jnp.argmax(valid[:, ::-1], axis=1) * hop - hop // 2
        mirrored = jax.vmap(functools.partial(_mirrored, n_fft=self.n_fft, hop_length=hop))(audio[..., 0], start, end)
        spectrum = dsp.magnitude(dsp.stft(mirrored, self.n_fft, hop, padding="none"), 1e-12)
        filters = dsp.mel_filterbank(self.sample_rate, self.n_fft, self.n_mels, htk=True)
        mel = jnp.tensordot(spectrum, filters, axes=1, precision=jax.lax.Precision.HIGHEST)
        return jnp.log(jnp.maximum(mel, _SMALLEST_MEL))


class ConditionedVQ(CodebookLevels, nn.Module):
    """Residual VQ with EnCodec's codebooks, whose codes stand for other entries: latent (B, F, D) -> (B, F, D + N).

    The last N numbers of what the decoder gets say how many codebooks there are, as one of `condition_codebooks`.
    Gradients pass straight through, from the other entries to the latent.
    """

    latent_dim: int
    condition_codebooks: Sequence[int]
    codebook_size: int

    loss_names = ()
    learnt_codebooks = None

    def setup(self) -> None:
        shape = (self.n_codebooks, self.codebook_size, self.latent_dim)
        self.codebooks = self.param("codebooks", nn.initializers.normal(1.0), shape, jnp.float32)
        self.entries = self.param("entries", nn.initializers.normal(1.0), shape, jnp.float32)

    @property
    def n_codebooks(self) -> int:
        return self.condition_codebooks[-1]

    def __call__(
        self, latent: jax.Array, mask: jax.Array | None = None, *, keys: jax.Array | None = None, level: Any = None
    ) -> Quantised:
        codes, _ = residual_codes(jax.lax.stop_gradient(latent), self.codebooks, self.n_used(level))
        decoded = self.dequantise(codes, level)
        entries = straight_through(latent, decoded[..., : self.latent_dim])
        return Quantised(jnp.concatenate([entries, decoded[..., self.latent_dim :]], axis=-1), codes, {}, {})

    def dequantise(self, codes: jax.Array, level: Any = None) -> jax.Array:
        """Latents and condition of codes (B, F, q) with any q up to n_codebooks."""
        used = self.n_used(level)
        total = residual_sum(codes, self.entries, used)
        counts = jnp.asarray(self.condition_codebooks, jnp.int32)
        chosen = jnp.searchsorted(counts, jnp.reshape(used, (-1, 1)))  # the smallest that is enough
        condition = jax.nn.one_hot(chosen, len(self.condition_codebooks), dtype=total.dtype)
        shape = (*total.shape[:2], len(self.condition_codebooks))
        return jnp.concatenate([total, jnp.broadcast_to(condition, shape)], axis=-1)


Signals = tuple[jax.Array, jax.Array]
"""a signal, and the condition of each frame"""


@dataclass(frozen=True)
class _Conditioned:
    """A layer of signal and condition, which goes on to the next one."""

    layer: Any

    def inputs(self, span: Span) -> Span:
        return span | inputs_of([self.layer], span)

    def __call__(self, signals: Signals, mask: jax.Array | None = None) -> Signals:
        x, condition = signals
        given = (x, mask) if hasattr(self.layer, "inputs") else (x,)
        return self.layer(*given, condition if condition.shape[-1] else None), condition


class Decoder(Network):
    """Features (B, F, D), with n_conditions more numbers if there are any, to audio (B, F · hop_length, 1)."""

    n_fft: int
    hop_length: int
    width: int
    hidden: int
    n_blocks: int
    n_conditions: int = 0
    dtype: Dtype = jnp.float32

    def layers(self) -> Layers:
        n, dtype = self.n_conditions, self.dtype
        yield self.with_condition
        yield Beside(Conv1d(self.width, KERNEL_SIZE, dtype=dtype, name="embed"))
        for layer in self.mixing():
            yield Beside(layer)
        yield _Conditioned(LayerNorm(dtype, n_conditions=n, name="norm_in"))
        for i in range(self.n_blocks):
            block = (self.hidden, KERNEL_SIZE, 1.0 / self.n_blocks, dtype, False, True, n)
            yield _Conditioned(ConvNeXtBlock(*block, name=f"block_{i}"))
        yield operator.itemgetter(0)
        yield LayerNorm(dtype, name="norm_out")
        yield Conv1d(self.n_fft + 2, dtype=dtype, masked=False, name="head")
        yield Transform(self._audio, lambda samples: samples.synthesised(*dsp.stft_window(self.n_fft, self.hop_length)))

    @nn.nowrap
    def with_condition(self, latent: jax.Array) -> Signals:
        """Features, and condition (B, F, n_conditions), of what the decoder is given."""
        n = latent.shape[-1] - self.n_conditions
        return latent[..., :n], latent[..., n:]

    @nn.nowrap
    def mixing(self) -> Layers:
        """Layers that embedded frames go through before the blocks: none, unless a subclass has some."""
        return ()

    def _audio(self, head: jax.Array, mask: jax.Array | None) -> jax.Array:
        return spectrum_to_audio(head, self.n_fft, self.hop_length, mask)


def spectrum_to_audio(head: jax.Array, n_fft: int, hop_length: int, mask: jax.Array | None) -> jax.Array:
    """Audio (B, F · hop_length, 1) of logarithms of magnitudes, and after them phases, (B, F, n_fft + 2)."""
    magnitude, phase = jnp.split(head.astype(jnp.float32), 2, axis=-1)
    magnitude = jnp.minimum(jnp.exp(magnitude), _LARGEST_MAGNITUDE)
    spectrum = jax.lax.complex(magnitude * jnp.cos(phase), magnitude * jnp.sin(phase))
    audio = dsp.istft(spectrum, n_fft, hop_length, mask=mask)
    return apply_mask(audio[..., None], mask)


def _mirrored(x: jax.Array, start: jax.Array, end: jax.Array, n_fft: int, hop_length: int) -> jax.Array:
    """Time line (T,) with (n_fft - hop_length) / 2 samples more at either end, and the mirror image beside its clip.

    The clip is samples start … end − 1; half a window is mirrored, what lies beyond the array counts as silence. Where
    the array is the middle of a longer clip, only windows are wrong that reach beyond the array.
    """
    half, margin = n_fft // 2, (n_fft - hop_length) // 2
    steps = jnp.arange(half)
    padded = jnp.pad(x, (margin, margin))
    for source, place in ((start + half - steps, start - half), (end - 2 - steps, end)):
        inside = (source >= 0) & (source < len(x))
        values = jnp.where(inside, x[jnp.clip(source, 0, len(x) - 1)], 0.0)
        padded = jax.lax.dynamic_update_slice(padded, values, (place + margin,))
    return padded
