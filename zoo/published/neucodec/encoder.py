"""The encoder: acoustic and semantic features side by side, brought down to the few numbers that are quantised."""

from __future__ import annotations

import math
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from zoo.nn.layers import Conv1d, Dtype, Span, apply_mask
from zoo.published.neucodec import filterbank
from zoo.published.neucodec.acoustic import AcousticEncoder
from zoo.published.neucodec.fsq import bounded
from zoo.published.neucodec.semantic import SemanticEncoder, SemanticSpec


@dataclass(frozen=True)
class EncoderSpec:
    """Hyper-parameters."""

    sample_rate: int
    """Hz, of what is to be encoded"""
    input_rate: int
    """Hz, of the encoder's own input"""
    ratios: tuple[int, ...]
    """their product is a frame, at `input_rate`"""
    width: int
    """of the acoustic encoder, at the audio's own rate"""
    features: int
    """of the acoustic encoder"""
    semantic: SemanticSpec
    levels: tuple[int, ...]
    centred: bool
    """whether windows of mel energies are in the middle of their frame, rather than begin with it"""

    @property
    def hop_length(self) -> int:
        """Samples to a frame, at `input_rate`."""
        return int(np.prod(self.ratios))


class Encoder(nn.Module):
    """Audio (B, F · hop_length, 1) to bounded latents (B, F, D), in units that `JointFSQ` rounds, of whole clips.

    Where windows begin with their frame, the last ones reach beyond the clip: another frame of silence follows it,
    which the acoustic encoder is given, too.
    """

    spec: EncoderSpec
    dtype: Dtype = jnp.float32

    @nn.nowrap
    def inputs(self, frames: Span) -> Span:
        """The samples of the frames themselves."""
        hop = self.spec.hop_length * self.spec.sample_rate // self.spec.input_rate
        return frames.analysed(hop, hop, 0)

    @nn.compact
    def __call__(self, audio: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        spec, dtype = self.spec, self.dtype
        divisor = math.gcd(spec.sample_rate, spec.input_rate)
        audio = filterbank.resampled(audio, spec.input_rate // divisor, spec.sample_rate // divisor)
        audio, hop = apply_mask(audio, mask), spec.hop_length
        n_frames, heard = audio.shape[1] // hop, mask
        if spec.centred:
            around = jnp.pad(audio[..., 0], ((0, 0), (hop // 2, hop // 2)))
        else:
            audio = jnp.pad(audio, ((0, 0), (0, hop), (0, 0)))
            around = audio[..., 0]
            if mask is not None:
                heard = jnp.pad(mask, ((0, 0), (0, 1))) | jnp.pad(mask, ((0, 0), (1, 0)))
        acoustic = AcousticEncoder(spec.width, spec.ratios, spec.features, dtype, name="acoustic")(audio, heard)
        mels = filterbank.features(around, mask, spec.input_rate, hop, spec.semantic.n_mels)
        semantic = SemanticEncoder(spec.semantic, dtype, name="semantic")(mels, mask)
        joint = jnp.concatenate([semantic, acoustic[:, :n_frames]], axis=-1)
        joint = Conv1d(dtype=dtype, masked=False, name="fc")(joint)
        latent = Conv1d(len(spec.levels), dtype=dtype, masked=False, name="project")(joint)
        half = np.asarray(spec.levels, np.float32)[None, None] // 2
        # twice, as the authors have it
        return bounded(bounded(latent, spec.levels), spec.levels) / half
