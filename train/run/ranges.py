"""What the numbers of a configuration may be where no other module knows better, asked before anything is made."""

from __future__ import annotations

import math
import operator
from typing import Any

from configs.base import Config
from zoo.errors import ZooError

WHOLE: dict[str, tuple[int, int | None]] = {
    "steps": (1, None),
    "checkpoint_every": (1, None),
    "keep_checkpoints": (1, None),
    "log_every": (1, None),
    "seed": (0, 2**32 - 1),  # as many as a key takes
    "data.stream": (0, None),
    "data.threads": (0, 1024),
    "data.prefetch": (0, None),
    "optim.warmup_steps": (0, None),
    "optim.max_skipped_steps": (1, None),
    "discriminator.n_layers": (1, None),
    "discriminator.warmup_steps": (0, None),
    "codebooks.kmeans_frames": (1, None),
    "distributed.timeout_s": (1, None),
    "evaluation.clips": (1, None),
    "evaluation.samples": (0, None),
}
"""the least and the most, None = no bound"""
NUMBERS = {
    "data.gain_db": (0.0, 200.0),
    "data.silence_db": (-math.inf, 200.0),
    "optim.final_learning_rate_ratio": (0.0, 1e6),
    "optim.beta1": (0.0, 1.0),
    "optim.beta2": (0.0, 1.0),
    "optim.weight_decay": (0.0, 1e6),
    "optim.balancer_decay": (0.0, 1.0),
    "codebooks.restart_below": (0.0, 1e6),
    "codebooks.usage_decay": (0.0, 1.0),
    "evaluation.clip_s": (0.0, 1e12),
    "evaluation.table_s": (0.0, 1e12),
}
"""the least and the most; what takes memory is asked for that elsewhere"""


def check(config: Config) -> None:
    """Raises ZooError, naming it, for a number that is none of `WHOLE` and `NUMBERS`."""
    for name, (least, most) in WHOLE.items():
        value = _value(config, name)
        if value is not None and value < least:
            raise ZooError(f"{name} must be at least {least}, got {value}")
        if value is not None and most is not None and value > most:
            raise ZooError(f"{name} must be at most {most}, got {value}")
    for name, (low, high) in NUMBERS.items():
        if not low <= (number := _value(config, name)) <= high:  # nan is neither
            raise ZooError(f"{name} must be a number from {low:g} to {high:g}, got {number:g}")


def _value(config: Config, name: str) -> Any:
    return operator.attrgetter(name)(config)
