"""The training step: a pure function of (state, batch) on one device, with its collectives over the axis "data"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from train.step import balancer, codebooks, freezing
from train.step.augment import augment
from train.step.state import Batch, Metrics, Step, TrainState
from train.step.task import CodecTask, update
from zoo.nn.bottlenecks import CodebookUse, LearntCodebooks

_RESTART_STREAM = 2**32 - 2
"""Folded into the seed before the step; no example has this number."""


@flax.struct.dataclass
class PartGradients:
    """What a part of a batch gives: means over its examples, and what its frames asked of the codebooks."""

    generator: Any
    """gradients of its parameters"""
    discriminator: Any
    """gradients of its parameters; {} without adversaries"""
    metrics: Metrics
    norms: dict[str, jax.Array]
    """of each balanced loss's gradient on the waveform"""
    use: CodebookUse | None


def make_step(task: CodecTask, *, adversarial: bool, adversarial_generator: bool = True) -> Step:
    """The step of one phase; without `adversarial` no discriminator is ever evaluated.

    Without `adversarial_generator` the discriminators learn, and the generator does not learn from them. The result is
    what `jax.pmap(step, axis_name="data")` and `shard_map` accept. A step whose losses or gradients are not finite
    changes nothing but its counters.
    """
    config = task.config
    balanced = adversarial and adversarial_generator and config.optim.balancer

    def gradients(state: TrainState, batch: Batch) -> PartGradients:
        def forward(params: Any) -> tuple[Any, Any]:
            inputs = task.inputs(batch)
            output = task.apply(params, inputs)
            of_model = task.model_losses(output) | task.mix_losses(params, output, inputs, batch["index"])
            return (output.audio, of_model), output

        (fake, of_model), pull_back, output = jax.vjp(forward, state.params, has_aux=True)
        real = task.target(batch)
        functions = task.reconstruction_losses(real)
        if adversarial and adversarial_generator:
            functions.append(lambda audio: task.adversarial_losses(state.discriminator, real, audio))

        if balanced:
            each = balancer.loss_gradients(functions, fake)
            named, norms = each.losses, jax.lax.pmean(balancer.norms(each.gradients), "data")
            average = balancer.averages(state.balance, norms)
            weights = task.weights(named, state.step)
            on_audio = balancer.balance(each.gradients, average, weights, task.balanced_norm(average, weights))
            on_audio = on_audio / len(fake)
        else:
            norms = {}

            def total(audio: jax.Array) -> tuple[jax.Array, Metrics]:
                named: Metrics = {}
                for function in functions:
                    named |= function(audio)
                return task.total(named, state.step), named

            on_audio, named = jax.grad(total, has_aux=True)(fake)
        weights = task.weights(of_model, state.step)
        on_losses = {name: jnp.full_like(loss, weights[name] / len(loss)) for name, loss in of_model.items()}
        (generator,) = pull_back((on_audio, on_losses))
        named |= of_model
        metrics = {"loss": task.total(named, state.step), **{name: loss.mean() for name, loss in named.items()}}
        metrics |= output.metrics | {f"waveform_gradient/{name}": norm for name, norm in norms.items()}
        discriminator: Any = {}
        if adversarial:
            # the same output, stopped: it is an input here, not a function of the discriminator
            loss = lambda p: task.discriminator_loss(p, real, fake).mean()  # noqa: E731
            metrics["discriminator"], discriminator = jax.value_and_grad(loss)(state.discriminator)
        return PartGradients(generator, discriminator, metrics, norms, output.codebooks)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        n_examples = batch["index"].shape[0]
        batch = _augmented(task, batch)
        part = _in_parts(gradients, state, batch, config.accumulate)
        generator, means = jax.lax.pmean((part.generator, part.metrics), "data")
        metrics: Metrics = means | {"gradient_norm": optax.tree.norm(generator)}
        params, opt_state = update(task.optimiser, generator, state.opt_state, state.params)
        params = freezing.restore_frozen(params, state.params, config.freeze)
        decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
        averaged = jax.tree.map(lambda old, new: old + (1.0 - decay) * (new - old), state.ema, params)
        changes: dict[str, Any] = {
            "params": params,
            "opt_state": opt_state,
            "ema": freezing.restore_frozen(averaged, state.ema, config.freeze),
        }
        if adversarial:
            discriminator = jax.lax.pmean(part.discriminator, "data")
            metrics["discriminator_gradient_norm"] = optax.tree.norm(discriminator)
            changes["discriminator"], changes["discriminator_opt_state"] = update(
                task.discriminator_optimiser, discriminator, state.discriminator_opt_state, state.discriminator
            )
        if balanced:
            changes["balance"] = state.balance | balancer.followed(
                state.balance, part.norms, config.optim.balancer_decay
            )
        if part.use is not None and task.learnt_codebooks is not None:
            metrics |= _tend_codebooks(task, task.learnt_codebooks, state, part.use, changes)
        position = state.next_example + jax.lax.psum(jnp.uint32(n_examples), "data")
        return _commit(state.replace(next_example=position), changes, metrics, config.optim.skip_nonfinite)  # type: ignore[attr-defined]

    return step


def _augmented(task: CodecTask, batch: Batch) -> Batch:
    if "audio" not in batch:  # latents are as they were computed
        return batch
    config, rate = task.config, task.module.sample_rate
    audio = augment(
        batch["audio"], batch["index"], config.augmentation, seed=config.seed, sample_rate=rate, axis_name="data"
    )
    return batch | {"audio": audio}


def _in_parts(
    gradients: Callable[[TrainState, Batch], PartGradients], state: TrainState, batch: Batch, parts: int
) -> PartGradients:
    """The gradients of the whole batch, computed in `parts` one after the other: one's activations are in memory."""
    if parts == 1:
        return gradients(state, batch)
    cut = jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), batch)

    def add(total: Any, part: Batch) -> tuple[Any, Any]:
        found = gradients(state, part)
        sums = (found.generator, found.discriminator, found.metrics, found.norms)
        return jax.tree.map(jnp.add, total, sums), found.use

    example = jax.eval_shape(gradients, state, jax.tree.map(lambda x: x[0], cut))
    shapes = (example.generator, example.discriminator, example.metrics, example.norms)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    sums, use = jax.lax.scan(add, zeros, cut)
    generator, discriminator, metrics, norms = jax.tree.map(lambda x: x / parts, sums)
    if use is not None:
        merged = lambda x: x.reshape(-1, *x.shape[2:])  # noqa: E731
        use = CodebookUse(use.counts.sum(axis=0), merged(use.inputs), merged(use.asked))
    return PartGradients(generator, discriminator, metrics, norms, use)


def _tend_codebooks(
    task: CodecTask, learnt: LearntCodebooks, state: TrainState, use: CodebookUse, changes: dict[str, Any]
) -> Metrics:
    """Follows how often entries are chosen, and lets dead ones begin anew in `changes`; perplexities for the log."""
    config = task.config.codebooks
    use = codebooks.gathered(use, "data")
    usage = codebooks.frequencies(state.codebook_usage, use.counts, config.usage_decay)
    prior = config.usage_decay ** (state.step + 1 - state.skipped).astype(jnp.float32)
    metrics = codebooks.statistics(usage, prior)
    if task.restarts_codebooks(state.params):
        key = jax.random.fold_in(jax.random.key(task.config.seed), _RESTART_STREAM)
        revived = codebooks.revival(usage, use, jax.random.fold_in(key, state.step), config.restart_below)
        changes |= codebooks.revive(changes, learnt, revived)
        # time to be chosen before they are looked at again
        usage = jnp.where(revived.dead, 1 / usage.shape[-1], usage)
        metrics["restarted"] = revived.dead.sum().astype(jnp.float32)
    changes["codebook_usage"] = usage
    return metrics


def _commit(
    state: TrainState, changes: dict[str, Any], metrics: Metrics, skip_nonfinite: bool
) -> tuple[TrainState, Metrics]:
    """Takes the changes over if every loss and gradient norm was finite."""
    finite = jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all()
    keep = {name: getattr(state, name) for name in changes}
    if skip_nonfinite:
        changes = jax.tree.map(lambda new, old: jnp.where(finite, new, old), changes, keep)
    skipped = (~finite).astype(jnp.int32)
    in_a_row = jnp.where(finite, 0, state.skipped_in_a_row + 1)
    state = state.replace(**changes, step=state.step + 1, skipped=state.skipped + skipped, skipped_in_a_row=in_a_row)  # type: ignore[attr-defined]
    return state, {**metrics, "skipped": state.skipped, "skipped_in_a_row": in_a_row}
