"""The training step: a pure function of (state, batch) on one device, with its collectives over the axis "data"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from train import freezing
from train.state import TrainState
from train.task import CodecTask, update

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(task: CodecTask, *, adversarial: bool) -> Step:
    """The step of one phase; without `adversarial` no discriminator is ever evaluated.

    The result is what `jax.pmap(step, axis_name="data")` and `shard_map` accept. A step whose losses or gradients
    are not finite changes nothing but its counters.
    """

    def generator(params: Any, state: TrainState, batch: Batch) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
        output = task.apply(params, task.inputs(batch))
        named = task.losses(output, batch)
        if adversarial:
            named |= task.adversarial_losses(state.discriminator, batch["audio"], output.audio)
        total = task.total(named, state.step)
        logged = {name: loss.mean() for name, loss in named.items()}
        return total, ({"loss": total, **logged, **output.metrics}, output.audio)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        gradients, (metrics, fake) = jax.grad(generator, has_aux=True)(state.params, state, batch)
        gradients = jax.lax.pmean(gradients, "data")
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        params, opt_state = update(task.optimiser, gradients, state.opt_state, state.params)
        params = freezing.held(params, state.params, task.config.freeze)
        changes: dict[str, Any] = {"params": params, "opt_state": opt_state}
        if adversarial:
            # the same output, stopped: it is an input here, not a function of the discriminator
            loss = lambda p: task.discriminator_loss(p, batch["audio"], fake).mean()  # noqa: E731
            value, gradients = jax.value_and_grad(loss)(state.discriminator)
            gradients = jax.lax.pmean(gradients, "data")
            metrics["discriminator"] = value
            metrics["discriminator_gradient_norm"] = optax.tree.norm(gradients)
            changes["discriminator"], changes["discriminator_opt_state"] = update(
                task.discriminator_optimiser, gradients, state.discriminator_opt_state, state.discriminator
            )
        metrics = jax.lax.pmean(metrics, "data")
        decay = jnp.minimum(task.config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        averaged = jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), state.ema, params)
        changes["ema"] = freezing.held(averaged, state.ema, task.config.freeze)
        position = state.next_example + jax.lax.psum(jnp.uint32(batch["audio"].shape[0]), "data")
        return _commit(state.replace(next_example=position), changes, metrics)  # type: ignore[attr-defined]

    return step


def _commit(state: TrainState, changes: dict[str, Any], metrics: Metrics) -> tuple[TrainState, Metrics]:
    """Takes the changes over if every loss and gradient norm was finite."""
    finite = jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all()
    keep = {name: getattr(state, name) for name in changes}
    chosen = jax.tree.map(lambda new, old: jnp.where(finite, new, old), changes, keep)
    skipped = (~finite).astype(jnp.int32)
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    state = state.replace(**chosen, step=state.step + 1, skipped=state.skipped + skipped, skipped_in_a_row=in_a_row)  # type: ignore[attr-defined]
    return state, {**metrics, "skipped": state.skipped, "skipped_in_a_row": in_a_row}
