"""A codec ready for use: module, weights and tables behind `encode` and `decode` of any rate, length and channels."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from zoo import audio as zoo_audio
from zoo.bitstream import entropy
from zoo.bottlenecks import SymbolFormat
from zoo.codec import Codec
from zoo.errors import ZooError


@dataclass(frozen=True)
class Encoded:
    """Codes, and what `decode` needs to give back the shape, rate, channels and exact length of what went in.

    codes: int32 (N, F, Q). N is the batch; a codec with fewer channels than the audio codes channels as clips of
    their own (row b·C + c is channel c of clip b).
    """

    codes: np.ndarray
    level: int
    """operating point that the codes were made at"""
    sample_rate: int
    """of the audio that went in, Hz"""
    shape: tuple[int, ...]
    """of the audio that went in"""
    model_samples: int
    """length at the codec's rate"""


@dataclass(frozen=True, eq=False, repr=False)
class ReadyCodec:
    """What `zoo.load` returns; `module` and `variables` are the pure linen codec and its weights."""

    module: Codec
    variables: dict[str, Any]
    tables: np.ndarray
    """entropy coder's frequencies int32 (L, Q, S): L = n_levels where the levels' statistics differ, else 1"""
    metadata: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        module = self.module
        parts = [
            str(self.metadata.get("family", "codec")),
            f"{module.sample_rate} Hz",
            f"{module.channels} channel{'s' * (module.channels > 1)}",
            f"{module.frame_rate_hz:g} frames/s of {self.symbols.n_codebooks} codes",
            f"{self.n_levels} level{'s' * (self.n_levels > 1)}",
            f"{sum(x.size for x in jax.tree.leaves(self.variables)) / 1e6:.1f} M parameters",
        ]
        if "step" in self.metadata:
            parts.append(f"step {self.metadata['step']}")
        return f"ReadyCodec({', '.join(parts)})"

    @property
    def sample_rate(self) -> int:
        return self.module.sample_rate

    @property
    def channels(self) -> int:
        return self.module.channels

    @property
    def hop_length(self) -> int:
        return self.module.hop_length

    @functools.cached_property
    def symbols(self) -> SymbolFormat:
        symbols: SymbolFormat = self.module.bottleneck.symbols()
        return symbols

    @property
    def n_levels(self) -> int:
        """Operating points, from 0 (lowest rate) to n_levels − 1."""
        return self.symbols.n_levels

    @property
    def default_level(self) -> int:
        level: int = self.module.bottleneck.default_level
        return level

    def encode(
        self,
        audio: Any,
        sample_rate: int | None = None,
        *,
        n_codebooks: int | None = None,
        level: int | None = None,
    ) -> Encoded:
        """Codes of audio (T,), (T, C) or (B, T, C), numpy or jax, float in [-1, 1] or integer PCM.

        `sample_rate` (Hz) is the audio's, by default the codec's own. The rate of the code is chosen by `level`, or,
        for residual vector quantisation, by `n_codebooks`. Raises ZooError for NaN, an empty or misshapen array, a
        level that is none.
        """
        samples = _as_batch(audio)
        rate = self.sample_rate if sample_rate is None else int(sample_rate)
        chosen = self._level(level, n_codebooks)
        model_audio = self._to_model(samples, rate)
        n_samples = model_audio.shape[1]
        frames = bucket(self.module.n_frames(n_samples))
        padded = np.pad(model_audio, ((0, 0), (0, self.module.max_samples(frames) - n_samples), (0, 0)))
        lengths = np.full(len(padded), n_samples, np.int32)
        codes = np.asarray(self._encode(self.variables, padded, lengths, np.int32(chosen)))
        codes = codes[:, : self.module.n_frames(n_samples), : self.symbols.n_codes(chosen)]
        return Encoded(codes, chosen, rate, np.shape(audio), n_samples)

    def decode(self, encoded: Encoded | Any, length: int | None = None, *, level: int | None = None) -> np.ndarray:
        """Audio float32 of `encoded`, shaped as what went in; or (N, length, channels) of bare codes (N, F, Q).

        For bare codes `length` is in samples at the codec's rate, by default all that the frames hold, and `level` the
        operating point they were made at. Raises ZooError for codes that are none of this codec's.
        """
        if not isinstance(encoded, Encoded):
            codes = self._check_codes(_as_array(encoded, "codes"))
            longest = self.module.max_samples(codes.shape[1])
            if length is not None and not 0 <= length <= longest:
                raise ZooError(f"length {length} does not fit {codes.shape[1]} frames of up to {longest} samples")
            return self._decode(codes, longest if length is None else length, self._level(level, None, codes))
        if length is not None or level is not None:
            raise ZooError("length and level belong to bare codes; an Encoded knows its own")
        decoded = self._decode(self._check_codes(encoded.codes), encoded.model_samples, encoded.level)
        return self._from_model(decoded, encoded)

    def count_bytes(self, encoded: Encoded) -> int:
        """Size in bytes of all codes after entropy coding under the codec's static tables."""
        tables = self.tables[encoded.level if self.symbols.tables_per_level else 0]
        return sum(len(entropy.encode(codes, tables)) for codes in encoded.codes)

    @functools.cached_property
    def _encode(self) -> Any:
        def run(variables: Any, audio: jax.Array, n_samples: jax.Array, level: jax.Array) -> jax.Array:
            latent = self.module.apply(variables, audio, n_samples, method="encode")
            codes: jax.Array = self.module.apply(variables, latent, level, method="quantise").codes  # type: ignore[union-attr]
            return codes

        return jax.jit(run)

    @functools.cached_property
    def _decode_codes(self) -> Any:
        def run(variables: Any, codes: jax.Array, n_samples: jax.Array, level: jax.Array) -> jax.Array:
            length = self.module.max_samples(codes.shape[1])
            audio: jax.Array = self.module.apply(  # type: ignore[assignment]
                variables, codes, length, n_samples, level, method="decode_codes"
            )
            return audio

        return jax.jit(run)

    def _decode(self, codes: np.ndarray, n_samples: int, level: int) -> np.ndarray:
        frames = bucket(codes.shape[1])
        padded = np.pad(codes, ((0, 0), (0, frames - codes.shape[1]), (0, 0)))
        lengths = np.full(len(codes), n_samples, np.int32)
        decoded = self._decode_codes(self.variables, jnp.asarray(padded), lengths, np.int32(level))
        return np.asarray(decoded)[:, :n_samples]

    def _level(self, level: int | None, n_codebooks: int | None, codes: np.ndarray | None = None) -> int:
        by_codebooks = self.n_levels > 1 and not self.symbols.tables_per_level
        if n_codebooks is not None and level is not None:
            raise ZooError("n_codebooks and level both say how much to spend: give one of them")
        if n_codebooks is not None:
            if not by_codebooks:
                raise ZooError("n_codebooks is for residual vector quantisation; choose a level for this codec")
            if not 1 <= n_codebooks <= self.symbols.n_codebooks:
                raise ZooError(f"n_codebooks {n_codebooks} is not between 1 and {self.symbols.n_codebooks}")
            return n_codebooks - 1
        if level is None:
            return codes.shape[-1] - 1 if by_codebooks and codes is not None else self.default_level
        if not 0 <= level < self.n_levels:
            raise ZooError(f"level {level} is not between 0 and {self.n_levels - 1}")
        return level

    def _to_model(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """(B, T, C) at any rate -> (N, T', channels) at the codec's."""
        if sample_rate <= 0:
            raise ZooError(f"sample_rate {sample_rate} is not positive")
        resampled = np.stack([zoo_audio.resample(clip, sample_rate, self.sample_rate) for clip in samples])
        channels = resampled.shape[2]
        if channels == self.channels:
            return resampled
        if channels == 1:
            return np.repeat(resampled, self.channels, axis=2)
        if self.channels == 1:
            return resampled.swapaxes(1, 2).reshape(-1, resampled.shape[1], 1)
        raise ZooError(f"audio has {channels} channels, this codec {self.channels}: give it 1 or {self.channels}")

    def _from_model(self, decoded: np.ndarray, encoded: Encoded) -> np.ndarray:
        shape = encoded.shape
        batch = shape[0] if len(shape) == 3 else 1
        length = shape[0] if len(shape) < 3 else shape[1]
        channels = shape[-1] if len(shape) > 1 else 1
        if channels != self.channels:
            if channels == 1:
                decoded = decoded.mean(axis=2, keepdims=True)
            else:
                decoded = decoded.reshape(batch, channels, -1).swapaxes(1, 2)
        clips = [zoo_audio.resample(c, self.sample_rate, encoded.sample_rate, n_samples=length) for c in decoded]
        return np.stack(clips).reshape(shape)

    def _check_codes(self, codes: np.ndarray) -> np.ndarray:
        n = self.symbols.n_codebooks
        fewest = 1 if self.n_levels > 1 and not self.symbols.tables_per_level else n
        integers = np.issubdtype(codes.dtype, np.integer)
        if codes.ndim != 3 or not integers or 0 in codes.shape[:2] or not fewest <= codes.shape[2] <= n:
            raise ZooError(
                f"codes must be integers (B, F, {n}), got {codes.dtype} {codes.shape}; they come from encode(...).codes"
            )
        sizes = np.array(self.symbols.codebook_sizes[: codes.shape[2]])
        if codes.size and (codes.min() < 0 or (codes.max(axis=(0, 1)) >= sizes).any()):
            raise ZooError(f"codes out of range: they must lie in [0, size), sizes {sizes.min()}–{sizes.max()}")
        return codes.astype(np.int32)


def _as_batch(audio: Any) -> np.ndarray:
    samples = _as_array(audio, "audio")
    if samples.dtype in (np.int8, np.int16, np.int32):
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    elif not jnp.issubdtype(samples.dtype, jnp.floating):
        raise ZooError(f"audio must be floating-point, or signed integers of 8, 16 or 32 bits, got {samples.dtype}")
    if samples.ndim not in (1, 2, 3) or 0 in samples.shape:
        raise ZooError(f"audio must be (T,), (T, C) or (B, T, C) and not empty, got shape {samples.shape}")
    samples = samples.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(samples))
    if bad.size:
        position = tuple(int(i) for i in np.unravel_index(bad[0], samples.shape))
        raise ZooError(f"audio holds NaN or infinity, first at index {position}")
    if samples.ndim == 1:
        return samples[None, :, None]
    return samples[None] if samples.ndim == 2 else samples


def _as_array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:
        raise ZooError(f"{name} must be an array, got parts of different shapes") from None


def bucket(frames: int) -> int:
    """Frames rounded up to one of four sizes per octave, so that few shapes are ever compiled."""
    step = max(1, 1 << max(frames.bit_length() - 3, 0))
    return max(-(-frames // step) * step, 8)
