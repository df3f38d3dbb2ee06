"""All that a run is: parameters, their average, the discriminators, both optimisers, and counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from train.step.task import CodecTask


@flax.struct.dataclass
class TrainState:
    """A pytree of arrays; `step` counts finished steps, `next_example` is the position in the data."""

    step: jax.Array
    next_example: jax.Array
    """uint32: number of the first example that no step has seen"""
    params: Any
    ema: Any
    """exponential moving average of params: what is evaluated, saved as the codec, and loaded"""
    opt_state: Any
    discriminator: Any
    discriminator_opt_state: Any
    balance: dict[str, jax.Array]
    """running sums (2,) of the norms of the gradients that each loss sends to the waveform; {} if not balanced"""
    codebook_usage: Any
    """averaged frequency (Q, K) with which each entry of the codebooks is chosen; {} without learnt codebooks"""
    skipped: jax.Array
    """non-finite steps so far"""
    skipped_in_a_row: jax.Array


Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def create_state(task: CodecTask, seed: int) -> TrainState:
    """Initial state, a pure function of the seed."""
    generator_key, discriminator_key = jax.random.split(jax.random.key(seed))
    params = task.init(generator_key)
    discriminator = task.init_discriminator(discriminator_key)

    @jax.jit  # one program, where there would be one for each shape and type
    def begun(params: Any, discriminator: Any) -> TrainState:
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            next_example=jnp.zeros((), jnp.uint32),
            params=params,
            ema=jax.tree.map(jnp.copy, params),
            opt_state=task.optimiser.init(params),
            discriminator=discriminator,
            discriminator_opt_state=task.discriminator_optimiser.init(discriminator),
            balance={name: jnp.zeros(2) for name in task.balanced},
            codebook_usage=task.initial_usage(params),
            skipped=jnp.zeros((), jnp.int32),
            skipped_in_a_row=jnp.zeros((), jnp.int32),
        )

    state: TrainState = begun(params, discriminator)
    return state
