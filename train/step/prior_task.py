"""A model of a codec's latents as the loop trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from train.step import freezing
from train.step.rematerialisation import rematerialised
from train.step.task import CodecTask, Params
from zoo import families
from zoo.codec import CodecOutput
from zoo.errors import ZooError
from zoo.prior import STATISTICS, Prior, with_statistics


class PriorTask(CodecTask):
    """A prior trained on the latents of a codec, which a batch holds: "latents", "labels", "n_frames" and "index"."""

    module: Prior  # type: ignore[assignment]
    statistics: Mapping[str, np.ndarray] | None = None
    """of the latents; what a run begins with, once its data is there"""

    def _create_module(self, dtype: Any) -> Any:
        config = self.config
        module = families.create_prior(config.model.family, **config.model.kwargs(), dtype=dtype)
        if config.adversarial_start >= 0:
            raise ZooError("adversarial_start: a model of latents has no discriminators, leave it at -1")
        if STATISTICS not in config.freeze:
            raise ZooError(f"freeze: a model of latents keeps its {STATISTICS}: add {STATISTICS}")
        return module

    def init(self, key: jax.Array) -> Params:
        """Raises ZooError for a loss or a frozen part that the model does not have."""
        self._check_losses()
        init = jax.jit(lambda k: self.module.init(k, *self.module.example()))  # as in CodecTask
        freezing.check(jax.eval_shape(init, key)["params"], self.config.freeze)
        params = init(key)["params"]
        return with_statistics(params, dict(self.statistics)) if self.statistics is not None else params

    def inputs(self, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        keys = super().inputs({"audio": batch["latents"], "index": batch["index"]})["keys"]
        return {name: batch[name] for name in ("latents", "labels", "n_frames")} | {"keys": keys}

    def target(self, batch: dict[str, jax.Array]) -> jax.Array:
        return batch["latents"]

    def apply(self, params: Params, inputs: dict[str, jax.Array]) -> CodecOutput:
        params = freezing.stop_frozen(params, self.config.freeze)
        with rematerialised(self.config.rematerialise):
            found: Any = self.module.apply(
                {"params": params}, inputs["latents"], inputs["labels"], inputs["n_frames"], keys=inputs["keys"]
            )
        # there is no audio, and no loss on it
        nothing = jnp.zeros((len(inputs["keys"]), 0, 1))
        return CodecOutput(nothing, nothing, nothing.astype(jnp.int32), losses=found.losses, metrics=found.metrics)

    def _check_losses(self) -> None:
        for name in self._weights:
            if name not in self.module.bottleneck.loss_names:
                known = ", ".join(self.module.bottleneck.loss_names)
                raise ZooError(f"loss.{name} is set, but a model of latents has no such loss; it has: {known}")
        if not self._weights:
            raise ZooError("loss.flow is 0: there is nothing to train for")
