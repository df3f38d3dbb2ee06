"""Turns the configuration's schedules and optimiser settings into optax."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax
import optax

from configs.base import Optim, Schedule, Weight
from train.step import freezing
from train.step.clipping import clip_by_percentile
from zoo.errors import ZooError

_UNDECAYED = re.compile(r"^(bias|scale|codebooks|entries)|_tenths$")
"""names of parameters that are no kernels, though some have two axes or more"""


LARGEST_WEIGHT = 1e12
"""of a loss: squares of gradients stay far below what float32 can hold"""


def check_weight(value: Weight, name: str) -> None:
    """Raises ZooError, naming `name`, for a weight that is, or comes to be, negative, too large or no number."""
    for end in (value.start, value.end) if isinstance(value, Schedule) else (value,):
        if not 0 <= end <= LARGEST_WEIGHT:
            raise ZooError(f"{name} must be a number from 0 to {LARGEST_WEIGHT:g}, got {end:g}")


def schedule(value: Weight, name: str = "weight") -> optax.Schedule:
    """A number, or a configured schedule, as a function of the step.

    Raises ZooError, naming `name`, for a schedule that is none.
    """
    if not isinstance(value, Schedule):
        return optax.constant_schedule(float(value))
    if value.steps < 1:
        raise ZooError(f"{name}: the steps of a schedule must be at least 1, got {value.steps}")
    if value.kind == "linear":
        return optax.linear_schedule(value.start, value.end, value.steps)
    if value.kind == "cosine":
        falling = optax.cosine_decay_schedule(1.0, value.steps)
        return lambda step: value.end + (value.start - value.end) * falling(step)
    raise ZooError(f"{name}: a schedule is linear or cosine, not {value.kind!r}")


def learning_rate(config: Optim, peak: float, steps: int) -> optax.Schedule:
    """Linear warm-up to `peak`, then cosine decay over what is left of `steps`."""
    warmup = min(config.warmup_steps, max(steps // 10, 1))
    return optax.warmup_cosine_decay_schedule(
        0.0, peak, warmup, max(steps, warmup + 1), peak * config.final_learning_rate_ratio
    )


def decays(params: Any, codebooks: str | None = None) -> Any:
    """The tree of `params` with True for matrices and kernels, which weight decay makes smaller, False for the rest.

    Biases, gains, Snake's frequencies, a quantiser's codebooks and the probabilities of its symbols are none, of
    however many axes; `codebooks` is the name of codebooks that are called otherwise.
    """

    def is_kernel(path: Any, leaf: Any) -> bool:
        name = str(path[-1].key) if path else ""
        return leaf.ndim >= 2 and name != codebooks and not _UNDECAYED.search(name)

    return jax.tree_util.tree_map_with_path(is_kernel, params)


def optimiser(
    config: Optim, peak: float, steps: int, freeze: Sequence[str] = (), codebooks: str | None = None
) -> optax.GradientTransformation:
    """Clipping of the global norm, then AdamW with linear warm-up and cosine decay over `steps`.

    Of AdamW (Loshchilov & Hutter, 2019) the decay is of kernels only: of what `decays(params, codebooks)` says.
    Parameters named by `freeze` have no moments, no weight decay and no part in the norm; their gradients pass through.
    Raises ZooError for settings without sense.
    """
    if not 0 < config.clip_percentile <= 100:
        raise ZooError(f"optim.clip_percentile must lie in (0, 100], got {config.clip_percentile:g}")
    if not 0 <= config.ema_decay < 1:
        raise ZooError(f"optim.ema_decay must lie in [0, 1), got {config.ema_decay:g}")
    if not config.clip_norm > 0:
        raise ZooError(f"optim.clip_norm must be positive, got {config.clip_norm:g}")
    for name in ("learning_rate", "discriminator_learning_rate"):
        if not 0 <= (value := getattr(config, name)) < float("inf"):
            raise ZooError(f"optim.{name} must be a number from 0 on, got {value:g}")
    rate = learning_rate(config, peak, steps)
    clips = [optax.clip_by_global_norm(config.clip_norm)]
    if config.clip_percentile < 100:
        clips.insert(0, clip_by_percentile(config.clip_percentile))

    def decayed(updates: Any, params: Any) -> Any:
        mask = decays(params, codebooks)
        return jax.tree.map(lambda u, p, yes: u + config.weight_decay * p if yes else u, updates, params, mask)

    # as optax.adamw, but that its mask would be a part of the state, which checkpoints have without
    adamw = optax.chain(
        optax.scale_by_adam(config.beta1, config.beta2), optax.stateless(decayed), optax.scale_by_learning_rate(rate)
    )
    chain = optax.chain(*clips, adamw)
    return optax.masked(chain, lambda params: freezing.trainable_mask(params, freeze)) if freeze else chain
