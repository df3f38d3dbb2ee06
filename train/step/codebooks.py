"""Learnt codebooks kept in use: k-means initialisation and dead-code restarts, both on the global batch.

All statistics are sums or lists over the whole mesh before anything is decided from them, and what is drawn at random
comes from one key: the replicas of the codebooks stay equal, and equal to those of a single device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from train.data import memory
from train.devices import parallel
from train.step.state import TrainState
from train.step.task import CodecTask
from zoo.nn.bottlenecks import CodebookUse, LearntCodebooks

DEAD_SHARE = 0.03
"""An entry chosen less often than this share of the uniform frequency is counted as dead."""


def gathered(use: CodebookUse, axis: str) -> CodebookUse:
    """The use that the batches of all devices made, frames in the examples' order: inputs (N, Q, k), asked (N, Q)."""
    together = lambda x: jax.lax.all_gather(x, axis, tiled=True)  # noqa: E731
    flat = lambda x: together(x).reshape(-1, *x.shape[2:])  # noqa: E731
    return CodebookUse(jax.lax.psum(use.counts, axis), flat(use.inputs), flat(use.asked))


def frequencies(usage: jax.Array, counts: jax.Array, decay: float) -> jax.Array:
    """The averaged frequency (Q, K) of every entry after a batch with these counts."""
    total = counts.sum(axis=-1, keepdims=True)
    # a codebook that no example asked learns nothing about its entries
    return jnp.where(total > 0, decay * usage + (1 - decay) * counts / jnp.maximum(total, 1), usage)


def statistics(usage: jax.Array, prior: jax.Array) -> dict[str, jax.Array]:
    """Perplexity and share of dead entries of each codebook, from averaged frequencies that began as uniform.

    `prior` is the weight that this beginning still has in the average, which is taken off.
    """
    n_entries = usage.shape[-1]
    seen = jnp.maximum(usage - prior / n_entries, 0.0)
    seen = seen / jnp.maximum(seen.sum(axis=-1, keepdims=True), 1e-12)
    perplexity = jnp.exp(-(seen * jnp.log(seen + 1e-10)).sum(axis=-1))
    dead = (seen < DEAD_SHARE / n_entries).astype(jnp.float32).mean(axis=-1)
    return {f"perplexity/{q}": perplexity[q] for q in range(len(usage))} | {
        f"dead/{q}": dead[q] for q in range(len(usage))
    }


@flax.struct.dataclass
class Revival:
    """Which entries begin anew, bool (Q, K), and as which vectors (Q, K, k)."""

    dead: jax.Array
    vectors: jax.Array


def revival(usage: jax.Array, use: CodebookUse, key: jax.Array, below: float) -> Revival:
    """Entries below a share of the uniform frequency become frames of the global batch, each another one.

    `use` as `gathered` gives it. The frames are spread evenly over those that asked the codebook; without any, all
    entries stay.
    """
    dead = (usage < below / usage.shape[-1]) & use.asked.any(axis=0)[:, None]

    def draw(dead: jax.Array, asked: jax.Array, inputs: jax.Array, key: jax.Array) -> jax.Array:
        place = (jnp.cumsum(dead) - 1 + jax.random.uniform(key, dead.shape)) / jnp.maximum(dead.sum(), 1)
        cumulative = jnp.cumsum(asked.astype(jnp.float32))
        frame = jnp.searchsorted(cumulative, place * cumulative[-1], side="right")
        return inputs[jnp.clip(frame, 0, len(inputs) - 1)]

    keys = jax.random.split(key, len(usage))
    return Revival(dead, jax.vmap(draw, in_axes=(0, 1, 1, 0))(dead, use.asked, use.inputs, keys))


def revive(changes: dict[str, Any], learnt: LearntCodebooks, revived: Revival) -> dict[str, Any]:
    """New parameters, average and optimiser state in which the dead entries are what `revived` says.

    Their average begins anew, too, and an optimiser's moments as those of a parameter that has not moved.
    """
    dead = revived.dead[..., None]

    def replaced(tree: Any, value: Any) -> Any:
        def one(path: Any, x: jax.Array) -> jax.Array:
            names = [getattr(key, "key", None) for key in path]
            return jnp.where(dead, value, x) if names[-2:] == ["bottleneck", learnt.leaf] else x

        return jax.tree_util.tree_map_with_path(one, tree)

    entries = revived.vectors / learnt.scale
    return changes | {
        "params": replaced(changes["params"], entries),
        "ema": replaced(changes["ema"], entries),
        "opt_state": replaced(changes["opt_state"], 0.0),
    }


def initialise(state: TrainState, task: CodecTask, mesh: Mesh, batches: Iterator[dict[str, np.ndarray]]) -> TrainState:
    """`state` with codebooks that are centroids of the untrained encoder's latents, of the first examples.

    At least `codebooks.kmeans_frames` latent frames of `batches`, of all devices together, are taken.
    """
    n_frames, learnt = task.config.codebooks.kmeans_frames, task.learnt_codebooks
    assert learnt is not None

    def latents(params: Any, batch: dict[str, jax.Array]) -> jax.Array:
        latent: Any = task.module.apply({"params": params}, task.inputs(batch)["audio"], method="encode")
        return jax.lax.all_gather(latent, "data", tiled=True)

    collect = jax.jit(
        jax.shard_map(latents, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False),
    )
    collected: list[jax.Array] = []
    for batch in itertools.islice(batches, n_frames):
        collected.append(collect(state.params, parallel.shard_batch(batch, mesh)))
        frame_bytes = collected[0].shape[-1] * collected[0].dtype.itemsize
        memory.check_total(n_frames, frame_bytes, "codebooks.kmeans_frames", "latent frames")
        if sum(x.shape[0] * x.shape[1] for x in collected) >= n_frames:
            break

    def fit(params: Any, collected: list[jax.Array]) -> Any:
        flat = jnp.concatenate([x.reshape(-1, x.shape[-1]) for x in collected])
        key = jax.random.fold_in(jax.random.key(task.config.seed), _KMEANS_STREAM)
        bottleneck = learnt.fit(params["bottleneck"], flat, key)
        # of one device: a GPU adds up in no certain order, and a last bit can send a vector to another centroid
        bottleneck = jax.tree.map(lambda x: jax.lax.all_gather(x, "data")[0], bottleneck)
        fitted = params | {"bottleneck": bottleneck}
        return fitted, jax.tree.map(jnp.copy, fitted)

    mapped = jax.jit(jax.shard_map(fit, mesh=mesh, in_specs=(P(), P()), out_specs=P(), check_vma=False))
    params, ema = mapped(state.params, collected)
    return state.replace(params=params, ema=ema)  # type: ignore[attr-defined]


_KMEANS_STREAM = 2**32 - 1
"""No example has this number, so that no example's key is this one."""
