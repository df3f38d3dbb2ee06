"""How a model of latents does while it trains: its loss on latents that are held out, always with the same noise."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs.base import Config
from train.data.latents import LatentCrops
from train.devices import parallel
from zoo.prior import Prior

HELD_OUT = ("held_out/flow",)
"""names of what `LatentObserver` measures"""
_TIMES = 4
"""noises of each crop: a loss at few times tells little"""


class HeldOutLatents:
    """The crops of held-out recordings on which a run is measured."""

    def __init__(self, config: Config, source: LatentCrops) -> None:
        self._n, self._source = max(8, config.evaluation.clips), source

    @functools.cached_property
    def clips(self) -> dict[str, np.ndarray]:
        """A batch of them, each several times."""
        batch = self._source.held_out_batch(self._n)
        return {name: np.tile(x, (_TIMES, *(1,) * (x.ndim - 1))) for name, x in batch.items()}


class LatentObserver:
    """Measures `held_out/flow` of the averaged weights, in one process alone."""

    def __init__(self, module: Prior, held_out: HeldOutLatents) -> None:
        self._held_out = held_out

        def loss(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
            keys = jax.random.split(jax.random.key(0), len(batch["latents"]))
            parts = (batch[name] for name in ("latents", "labels", "n_frames"))
            found: Any = module.apply({"params": params}, *parts, keys=keys)
            return jnp.mean(found.losses["flow"])

        self._loss = jax.jit(loss)

    def at_checkpoint(self, step: int, params: Any) -> dict[str, float]:
        """What the row of this step gets."""
        return {HELD_OUT[0]: float(self._loss(parallel.own_copy(params), self._held_out.clips))}
