"""Fits the entropy coder's integer tables on training audio."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from train.data import CropSource
from zoo.bitstream import tables
from zoo.bottlenecks import SymbolFormat
from zoo.codec import Codec


class TableFitter:
    """Counts a codec's symbols over the first crops of the training data, at every level, and fits tables to them."""

    def __init__(self, module: Codec, source: CropSource, *, seconds: float, batch_size: int = 8) -> None:
        n = max(1, round(seconds * source.sample_rate / source.segment_samples / batch_size)) * batch_size
        self._module = module
        self._source = source
        self._n_examples = n
        self._batch_size = batch_size
        self._audio: np.ndarray | None = None
        self._encode = jax.jit(lambda params, audio: module.apply({"params": params}, audio, method="encode"))
        self._quantise = jax.jit(
            lambda params, latent, level: module.apply({"params": params}, latent, level, method="quantise").codes  # type: ignore[union-attr]
        )

    def fit(self, params: Any) -> np.ndarray:
        """Tables int32 (L, Q, S) as `zoo.ReadyCodec` holds them, of a codec with these parameters."""
        if self._audio is None:
            self._audio = np.stack([self._source[k]["audio"] for k in range(self._n_examples)])
        symbols: SymbolFormat = self._module.bottleneck.symbols()
        sizes = symbols.codebook_sizes
        levels = range(symbols.n_levels) if symbols.tables_per_level else [symbols.n_levels - 1]
        if not sizes:
            return np.zeros((len(levels), 0, 1), np.int32)
        counts = np.zeros((len(levels), len(sizes), max(sizes)), np.int64)
        for start in range(0, self._n_examples, self._batch_size):
            latent = self._encode(params, self._audio[start : start + self._batch_size])
            for i, level in enumerate(levels):
                codes = np.asarray(self._quantise(params, latent, np.int32(level)))
                counts[i] += tables.count(codes.reshape(-1, len(sizes)), sizes)
        return np.stack([tables.fit(count, sizes) for count in counts])
