"""Fits the entropy coder's integer tables on training audio, and decides which checkpoints get new ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from train.data import CropSource
from train.devices import parallel, processes
from zoo.bitstream.entropy import EntropyModel, Fitter
from zoo.codec import Codec
from zoo.nn.bottlenecks import SymbolFormat

SHARE_OF_TIME = 0.005


@dataclass(frozen=True)
class Tables:
    """An entropy coder, and the step whose codec it was fitted to: it codes any other too, in some more bytes."""

    entropy: EntropyModel
    step: int | None = None
    """None: fitted to nothing, all symbols are as likely"""


class TableFitter:
    """Codes the first crops of the training data, at every level, and fits an entropy coder to the codes."""

    def __init__(self, module: Codec, source: CropSource, *, seconds: float, batch_size: int = 8) -> None:
        self.n_batches = max(1, round(seconds * source.sample_rate / source.segment_samples / batch_size))
        self._module = module
        self._source = source
        self._batch_size = batch_size
        self._batches: list[np.ndarray] = []
        self._encode = jax.jit(lambda params, audio: module.apply({"params": params}, audio, method="encode"))
        self._quantise = jax.jit(
            lambda params, latent, level: module.apply({"params": params}, latent, level, method="quantise").codes  # type: ignore[union-attr]
        )

    def fit(self, params: Any, *, n_batches: int | None = None, networks: bool = False) -> EntropyModel:
        """The coder that `zoo.ReadyCodec` holds, of a codec with these parameters; by default fitted to all batches.

        `networks` code better and take up to a minute to fit.
        """
        symbols: SymbolFormat = self._module.bottleneck.symbols()
        fitter = Fitter(symbols)
        for number in range(n_batches or self.n_batches if symbols.codebook_sizes else 0):
            latent = self._encode(params, self._batch(number))
            for level in fitter.levels:
                fitter.update(np.asarray(self._quantise(params, latent, np.int32(level))), level)
        return fitter.fit(networks=networks)

    def _batch(self, number: int) -> np.ndarray:
        """Audio (B, T, C), read once."""
        for missing in range(len(self._batches), number + 1):
            first = missing * self._batch_size
            examples = [self._source[k]["audio"] for k in range(first, first + self._batch_size)]
            self._batches.append(np.stack(examples))
        return self._batches[number]

    def flat(self) -> EntropyModel:
        """The coder that knows nothing."""
        return Fitter(self._module.bottleneck.symbols()).fit()


class TableKeeper:
    """The tables of each checkpoint of a run: fitted anew as often as SHARE_OF_TIME allows, and at the end.

    To fit them takes as long as hundreds of steps: checkpoints in between keep those of an earlier one, `former` of the
    checkpoint from which the run was resumed. The first ones are fitted to a single batch, which tells how long all
    would take. Only the first process fits, on its own copy of the weights; only what it has is written.
    """

    def __init__(
        self, fitter: TableFitter, former: Tables | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fitter = fitter
        self._tables = former
        self._clock = clock
        self._free_s = clock()
        """since when no time was spent"""
        self._cost_s: float | None = None

    def at(self, params: Any, step: int, *, last: bool = False, hurried: bool = False) -> Tables:
        """Tables for a checkpoint of `params` after `step` steps; `hurried` ones are never new, the `last` ones are."""
        if processes.is_first() and (last or not hurried):
            own = parallel.own_copy(params)
            if not last and self._cost_s is None:
                self._try_one_batch(own, step)
            if last or (self._clock() - self._free_s) * SHARE_OF_TIME >= (self._cost_s or 0.0):
                started = self._clock()
                # processes save one tree together, and only this one knows whether it has networks
                networks = last and jax.process_count() == 1
                self._tables = Tables(self._fitter.fit(own, networks=networks), step)
                self._free_s = self._clock()
                self._cost_s = self._free_s - started
        return self._tables or Tables(self._fitter.flat())

    def _try_one_batch(self, params: Any, step: int) -> None:
        self._fitter.fit(params, n_batches=1)  # compiles
        started = self._clock()
        entropy = self._fitter.fit(params, n_batches=1)
        self._cost_s = (self._clock() - started) * self._fitter.n_batches
        self._tables = self._tables or Tables(entropy, step)
