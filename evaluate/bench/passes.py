"""Clips through a codec at its highest level: whole, in one compiled program each way, or in chunks as files are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from evaluate.bench import operations
from zoo.ready import ReadyCodec

PEAK_TFLOPS = {
    "H200 NVL": 835.0,
    "H200": 989.0,
    "H100 NVL": 835.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "TPU v6": 918.0,
    "TPU v5p": 459.0,
    "TPU v5 lite": 197.0,
    "TPU v5e": 197.0,
    "TPU v5": 459.0,
    "TPU v4": 275.0,
}
"""Dense bfloat16 products of matrices, 10¹² operations per second by their makers, of devices whose kind says this.

The first that fits counts.
"""


@dataclass(frozen=True)
class Whole:
    """Clips as a whole in one compiled program each way, from and to arrays on the device, at the highest level."""

    encode_rtf: float
    decode_rtf: float
    encode_flops: float
    """operations of one call"""
    decode_flops: float
    encode_share: float | None
    """of the device's matrix rate; None where that is not known"""
    decode_share: float | None


def known_peak_tflops(device_kind: str) -> float | None:
    """The matrix rate of a device by the name that JAX gives it, None for one that is not listed."""
    return next((peak for name, peak in PEAK_TFLOPS.items() if name in device_kind), None)


class WholeClips:
    """`encode` and `decode` wait for their result, which stays on the device.

    Where a model is used for its latents, they take the place of codes.
    """

    def __init__(self, codec: ReadyCodec, *, continuous: bool = False) -> None:
        module, level = codec.module, None if continuous else np.int32(codec.n_levels - 1)
        self._variables = jax.device_put(codec.variables)

        def encode(variables: Any, audio: jax.Array) -> Any:
            latent = module.apply(variables, audio, method="encode")
            if continuous:
                return latent
            found: Any = module.apply(variables, latent, level, method="quantise")
            return found.codes

        def decode(length: int, variables: Any, frames: jax.Array) -> Any:
            if continuous:
                return module.apply(variables, frames, length, method="decode")
            return module.apply(variables, frames, length, level=level, method="decode_codes")

        self._encode = jax.jit(encode)
        self._decode = jax.jit(decode, static_argnums=0)

    def encode(self, audio: Any) -> jax.Array:
        """Codes (B, F, Q), or latents (B, F, D), of audio (B, T, C)."""
        found: jax.Array = jax.block_until_ready(self._encode(self._variables, audio))
        return found

    def decode(self, frames: Any, length: int) -> jax.Array:
        """Audio (B, length, C) of what `encode` gave."""
        found: jax.Array = jax.block_until_ready(self._decode(length, self._variables, frames))
        return found

    def encode_flops(self, audio: Any) -> float:
        """Counts the operations of `encode`: see `evaluate.bench.operations`."""
        return operations.of(self._encode, self._variables, audio)

    def decode_flops(self, frames: Any, length: int) -> float:
        """Counts the operations of `decode`."""
        return operations.of(functools.partial(self._decode, length), self._variables, frames)


class InChunks:
    """`encode` and `decode` as files and streams have them: a second of audio at a time."""

    def __init__(self, codec: ReadyCodec, *, continuous: bool = False) -> None:
        self._codec, self._continuous = codec, continuous

    def encode(self, audio: Any) -> np.ndarray:
        """Codes (B, F, Q), or latents (B, F, D), of audio (B, T, C) with the codec's channels."""
        if self._continuous:
            return self._codec.encode_latents(audio)
        return self._codec.encode(audio, level=self._codec.n_levels - 1).codes

    def decode(self, frames: Any, length: int) -> np.ndarray:
        """Audio (B, length, C) of what `encode` gave."""
        if self._continuous:
            return self._codec.decode_latents(frames, length)
        return self._codec.decode(frames, length, level=self._codec.n_levels - 1)


def measure(
    codec: ReadyCodec, audio: Any, rtf: Callable[[Callable[[], Any]], float], peak_tflops: float | None
) -> Whole:
    """Measures passes over clips (B, T, C); `rtf` says how many seconds of them a call handles per second."""
    n_samples, duration_s = audio.shape[1], audio.shape[0] * audio.shape[1] / codec.sample_rate
    clips = WholeClips(codec, continuous=not codec.symbols.codebook_sizes)
    there = jax.device_put(audio)
    frames = clips.encode(there)
    clips.decode(frames, n_samples)
    encode_rtf, decode_rtf = rtf(lambda: clips.encode(there)), rtf(lambda: clips.decode(frames, n_samples))
    encode_flops, decode_flops = clips.encode_flops(there), clips.decode_flops(frames, n_samples)
    peak = peak_tflops or known_peak_tflops(jax.devices()[0].device_kind)

    def share(flops: float, factor: float) -> float | None:
        return None if peak is None else flops * factor / duration_s / (1e12 * peak)

    return Whole(
        encode_rtf, decode_rtf, encode_flops=encode_flops, decode_flops=decode_flops,
        encode_share=share(encode_flops, encode_rtf), decode_share=share(decode_flops, decode_rtf),
    )  # fmt: skip
