"""What the numbers of a configuration may be where no other module knows better, asked before anything is made."""

from __future__ import annotations

import math
import operator
from typing import Any

from configs.base import Config
from zoo.errors import ZooError

MOST = 2**31 - 1
"""of what is counted in steps, which are int32"""
WHOLE = {
    "steps": (1, MOST),
    "adversarial_start": (-MOST, MOST),
    "checkpoint_every": (1, MOST),
    "keep_checkpoints": (1, MOST),
    "log_every": (1, MOST),
    "seed": (0, 2**32 - 1),  # as many as a key takes
    "data.stream": (0, MOST),
    "data.threads": (0, 1024),
    "data.prefetch": (0, MOST),
    "optim.warmup_steps": (0, MOST),
    "optim.max_skipped_steps": (1, MOST),
    "discriminator.n_layers": (1, 64),
    "discriminator.warmup_steps": (0, MOST),
    "codebooks.kmeans_frames": (1, MOST),
    "distributed.timeout_s": (1, MOST),
    "evaluation.clips": (1, MOST),
    "evaluation.samples": (0, MOST),
}
"""the least and the most"""
NUMBERS = {
    "data.gain_db": (0.0, 200.0),
    "data.silence_db": (-math.inf, 200.0),
    # steps of AdamW are as long as the rate
    "optim.learning_rate": (0.0, 100.0),
    "optim.discriminator_learning_rate": (0.0, 100.0),
    "optim.final_learning_rate_ratio": (0.0, 100.0),
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
        if value is not None and value > most:
            raise ZooError(f"{name} must be at most {most}, got {value}")
    for name, (low, high) in NUMBERS.items():
        if not low <= (number := _value(config, name)) <= high:  # nan is neither
            raise ZooError(f"{name} must be a number from {low:g} to {high:g}, got {number:g}")


def _value(config: Config, name: str) -> Any:
    return operator.attrgetter(name)(config)
