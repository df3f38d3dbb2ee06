"""Fits the entropy coder's integer tables on training audio."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from train.data import CropSource
from zoo.bitstream.entropy import EntropyModel, Fitter
from zoo.bottlenecks import SymbolFormat
from zoo.codec import Codec


class TableFitter:
    """Codes the first crops of the training data, at every level, and fits an entropy coder to the codes."""

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

    def fit(self, params: Any) -> EntropyModel:
        """The coder that `zoo.ReadyCodec` holds, of a codec with these parameters."""
        if self._audio is None:
            self._audio = np.stack([self._source[k]["audio"] for k in range(self._n_examples)])
        symbols: SymbolFormat = self._module.bottleneck.symbols()
        fitter = Fitter(symbols)
        levels = range(symbols.n_levels) if symbols.tables_per_level else [symbols.n_levels - 1]
        for start in range(0, self._n_examples if symbols.codebook_sizes else 0, self._batch_size):
            latent = self._encode(params, self._audio[start : start + self._batch_size])
            for level in levels:
                fitter.update(np.asarray(self._quantise(params, latent, np.int32(level))), level)
        return fitter.fit()
