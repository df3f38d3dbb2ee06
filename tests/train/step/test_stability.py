"""What keeps a training from blowing up: closed forms, and steps that are the same however a batch is spread."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.run.together import differences, small
from train.devices import parallel
from train.step import balancer, codebooks
from train.step.clipping import clip_by_percentile
from train.step.phases import Phases
from train.step.rematerialisation import rematerialised
from train.step.state import TrainState, create_state
from train.step.step import _commit, make_step
from train.step.task import CodecTask
from zoo.errors import ZooError
from zoo.nn.bottlenecks import CodebookUse, LearntCodebooks, ResidualVQ
from zoo.nn.bottlenecks.kmeans import spherical_kmeans
from zoo.nn.bottlenecks.residual_vq import fit_residual_vq
from zoo.nn.layers import ConvNeXtBlock
from zoo.saved.orbax_read import flat

pytestmark = pytest.mark.usefixtures("quick_module")

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
RNG = np.random.default_rng(0)


# --- balancer


def test_each_balanced_loss_has_its_share_of_the_gradient() -> None:
    shape = (3, 50, 1)
    gradients = {name: (scale * RNG.standard_normal(shape)).astype(np.float32) for name, scale in SCALES.items()}
    norms, balance = jax.jit(balancer.norms), jax.jit(balancer.balance)
    average = norms(gradients)
    for name, g in gradients.items():
        assert average[name] == pytest.approx(np.linalg.norm(np.asarray(g).reshape(3, -1), axis=1).mean(), rel=1e-5)
    weights = {"a": jnp.float32(3.0), "b": jnp.float32(1.0)}
    balanced = balance(gradients, average, weights, jnp.float32(5.0))
    expected = sum(5.0 * w / 4 * np.asarray(gradients[k]) / float(average[k]) for k, w in (("a", 3.0), ("b", 1.0)))
    np.testing.assert_allclose(balanced, expected, rtol=1e-5)
    # a loss in other units changes nothing
    louder = gradients | {"b": np.float32(1000) * gradients["b"]}
    again = balance(louder, norms(louder), weights, jnp.float32(5.0))
    np.testing.assert_allclose(again, balanced, rtol=1e-4, atol=1e-6)


def test_balanced_losses_that_all_weigh_nothing_give_no_gradient() -> None:
    gradients = {name: jnp.ones((2, 5, 1)) for name in SCALES}
    weights = dict.fromkeys(SCALES, jnp.float32(0.0))
    balanced = jax.jit(lambda g: balancer.balance(g, balancer.norms(g), weights, jnp.float32(0.0)))(gradients)
    np.testing.assert_array_equal(balanced, 0.0)


SCALES = {"a": 1.0, "b": 1e-3}


def test_a_gradient_is_pulled_from_each_loss_alone() -> None:
    audio = RNG.standard_normal((4, 10, 1)).astype(np.float32)
    one = lambda x: {"square": jnp.square(x).sum((1, 2))}  # noqa: E731
    two = lambda x: {"sum": 2 * x.sum((1, 2)), "cube": (x**3).sum((1, 2))}  # noqa: E731
    found = jax.jit(lambda audio: balancer.loss_gradients([one, two], audio))(audio)
    assert set(found.losses) == set(found.gradients) == {"square", "sum", "cube"}
    np.testing.assert_allclose(found.losses["cube"], (audio**3).sum((1, 2)), rtol=1e-6)
    for name, expected in (("square", 2 * audio), ("sum", 2 * np.ones_like(audio)), ("cube", 3 * audio**2)):
        np.testing.assert_allclose(found.gradients[name], expected, rtol=1e-6)


def test_averaged_norms_begin_as_the_mean_and_go_on_as_a_moving_average() -> None:
    given, sums = [4.0, 14.0, 6.0, *[5.0] * 200], {"a": jnp.zeros(2)}
    assert float(balancer.averages(sums, {"a": jnp.float32(given[0])})["a"]) == 4.0
    for n, norm in enumerate(given, 1):
        sums = balancer.followed(sums, {"a": jnp.float32(norm)}, 0.9)
        found = float(balancer.averages(sums, {"a": jnp.float32(1e9)})["a"])
        weights = 0.9 ** np.arange(n)[::-1]
        assert found == pytest.approx((weights * given[:n]).sum() / weights.sum(), rel=1e-5)
    assert found == pytest.approx(5.0, rel=1e-4)


# --- clipping


@pytest.mark.parametrize("percentile", [0.5, 10.0, 50.0, 99.0])
def test_gradients_are_clipped_to_a_percentile_of_the_last_norms(percentile: float) -> None:
    window, norms = 8, RNG.lognormal(size=30)
    clip = clip_by_percentile(percentile, window)
    state, update = clip.init(None), jax.jit(clip.update)
    for n, norm in enumerate(norms):
        clipped, state = update({"x": np.array([0.6, 0.8], np.float32) * np.float32(norm)}, state)
        recent = norms[max(0, n + 1 - window) : n + 1]
        limit = np.percentile(recent, percentile, method="lower")
        np.testing.assert_allclose(clipped["x"], np.array([0.6, 0.8]) * min(norm, limit), rtol=1e-5)


# --- codebooks


def test_kmeans_finds_directions_and_their_lengths() -> None:
    angles = np.array([0.3, 1.7, 3.0, 4.9])
    lengths = np.array([1.0, 2.0, 0.5, 3.0])
    centres = lengths[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    vectors = np.repeat(centres, 50, axis=0) * (1 + 0.05 * RNG.standard_normal((200, 1)))
    found = np.asarray(spherical_kmeans(jnp.asarray(vectors, jnp.float32), 4, jax.random.key(1), 20))
    found = found[np.argsort(np.arctan2(found[:, 1], found[:, 0]) % (2 * np.pi))]
    np.testing.assert_allclose(found, vectors.reshape(4, 50, 2).mean(1), rtol=1e-4)


def test_a_fitted_quantiser_explains_more_with_every_stage() -> None:
    module = ResidualVQ(12, n_codebooks=4, codebook_size=64, code_dim=4, dropout=0.0)
    # a few strong directions away from the origin, as latents are
    latents = (
        RNG.standard_normal((600, 12)) * 2.0 ** -np.arange(12) @ np.linalg.qr(RNG.standard_normal((12, 12)))[0] + 3
    )
    latents = latents.astype(np.float32)
    params = jax.jit(module.init)(jax.random.key(0), latents[None])["params"]
    fitted = jax.jit(fit_residual_vq)(params, latents, jax.random.key(1))
    assert jax.tree.map(jnp.shape, fitted) == jax.tree.map(jnp.shape, params)
    variance = float(((latents - latents.mean(0)[None]) ** 2).mean())

    quantise = jax.jit(lambda params, level: module.apply({"params": params}, latents[None], level=level).latent)

    def errors(params: Any) -> list[float]:
        quantised = (np.asarray(quantise(params, level))[0] for level in range(4))
        return [float(((latents - q) ** 2).mean()) / variance for q in quantised]

    left = errors(fitted)
    assert left[0] < 0.2
    assert left[3] < 0.02
    assert sorted(left, reverse=True) == left
    assert min(errors(params)) > 1  # as it is initialised at random it explains nothing


def test_all_devices_begin_with_the_same_codebooks(tmp_path: Path) -> None:
    """Even where they add up differently, as GPUs do from one time to the next."""
    task, mesh = CodecTask(small(tmp_path)), parallel.make_mesh()
    state = parallel.replicate(_begun(task), mesh)

    def differing(params: Any, latents: jax.Array, key: jax.Array) -> Any:
        return jax.tree.map(lambda x: x + 1e-3 * jax.lax.axis_index("data"), params)

    assert task.learnt_codebooks is not None
    task.learnt_codebooks = dataclasses.replace(task.learnt_codebooks, fit=differing)
    audio = np.zeros((mesh.size, 800, 1), np.float32)
    batches = iter([{"audio": audio, "index": np.arange(mesh.size, dtype=np.uint32)}])
    begun = codebooks.initialise(state, task, mesh, batches)
    for tree in (begun.params, begun.ema):
        for leaf in jax.tree.leaves(tree["bottleneck"]):
            first, *others = [np.asarray(shard.data) for shard in leaf.addressable_shards]
            assert len(others) == mesh.size - 1 > 0
            for other in others:
                np.testing.assert_array_equal(other, first)


def test_frequencies_follow_what_is_chosen_and_forget_their_beginning() -> None:
    usage = np.full((2, 4), 0.25, np.float32)
    counts = np.array([[8.0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    frequencies, statistics = jax.jit(codebooks.frequencies), jax.jit(codebooks.statistics)
    for n in range(1, 6):
        usage = np.asarray(frequencies(usage, counts, 0.5))
        found = statistics(usage, np.float32(0.5**n))
        assert found["perplexity/0"] == pytest.approx(1.0, abs=1e-4)
        assert found["dead/0"] == 0.75
        np.testing.assert_allclose(usage[1], 0.25)  # nobody asked it
    even = statistics(np.full((1, 4), 0.25, np.float32), np.float32(0.0))
    assert even["perplexity/0"] == pytest.approx(4.0, rel=1e-4)
    assert even["dead/0"] == 0


def test_dead_entries_become_frames_that_were_asked_for_each_another() -> None:
    frames, entries = 40, 16
    inputs = RNG.standard_normal((frames, 2, 3)).astype(np.float32)
    asked = np.zeros((frames, 2), bool)
    asked[10:30, 0] = True  # of the second codebook nothing was asked
    usage = np.full((2, entries), 1 / entries, np.float32)
    usage[:, [1, 5, 6]] = 1e-6
    use = CodebookUse(np.zeros((2, entries), np.float32), inputs, asked)
    revival = jax.jit(codebooks.revival, static_argnames="below")
    revived = jax.device_get(revival(usage, use, jax.random.key(0), below=0.1))
    np.testing.assert_array_equal(np.flatnonzero(revived.dead[0]), [1, 5, 6])
    assert not revived.dead[1].any()
    asked_for, vectors = np.asarray(inputs[:, 0]), np.asarray(revived.vectors[0])
    taken = [int(np.flatnonzero((asked_for == vectors[e]).all(-1))[0]) for e in (1, 5, 6)]
    assert len(set(taken)) == 3
    assert all(10 <= frame < 30 for frame in taken)
    # parameters, their average and the moments of these entries alone
    tree = {"bottleneck": {"codes": np.ones((2, entries, 3), np.float32), "other": np.ones(3, np.float32)}}
    changes = {"params": tree, "ema": tree, "opt_state": ({"mu": tree}, jnp.int32(7)), "usage": usage}
    learnt = LearntCodebooks("codes", 10.0, fit_residual_vq)
    changed = jax.device_get(jax.jit(lambda changes: codebooks.revive(changes, learnt, revived))(changes))
    for name in ("params", "ema"):
        codes = np.asarray(changed[name]["bottleneck"]["codes"])
        np.testing.assert_allclose(codes[0, [1, 5, 6]] * 10, revived.vectors[0, [1, 5, 6]], rtol=1e-6)
        assert (np.delete(codes[0], [1, 5, 6], axis=0) == 1).all()
        assert (codes[1] == 1).all()
    moments = np.asarray(changed["opt_state"][0]["mu"]["bottleneck"]["codes"])
    assert (moments[0, [1, 5, 6]] == 0).all()
    assert moments.sum() == moments.size - 9
    assert (changed["opt_state"][0]["mu"]["bottleneck"]["other"] == 1).all()


# --- the step


def trained(
    n_devices: int = 1, n_steps: int = 3, **changes: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Metrics of some adversarial steps, and the last state, with everything on that looks at the whole batch."""
    config = small(Path("unused"), adversarial_start=0, **changes)
    task = CodecTask(config)
    mesh = parallel.make_mesh(jax.devices()[:n_devices])
    state: TrainState = jax.tree.map(np.array, _begun(task))
    place = parallel.replicate(state, mesh)
    step, rows = None, []
    for n in range(n_steps):
        rng = np.random.default_rng(n)
        audio = (0.2 * rng.standard_normal((16, 800, 1))).astype(np.float32)
        batch = parallel.shard_batch({"audio": audio, "index": np.arange(16 * n, 16 * n + 16, dtype=np.uint32)}, mesh)
        if step is None:
            mapped = parallel.map_step(make_step(task, adversarial=True), mesh)
            step = mapped.lower(place, batch).compile(QUICK)  # type: ignore[attr-defined]
        place, metrics = step(place, batch)
        rows.append(jax.device_get(metrics))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}, flat(jax.device_get(place))


_states: dict[str, TrainState] = {}


def _begun(task: CodecTask) -> TrainState:
    if "state" not in _states:
        state = create_state(task, 0)
        # usage so uneven that entries are restarted, and norms that were measured before
        usage = state.codebook_usage * jnp.where(jnp.arange(32) % 8 == 0, 0.01, 1.0)[None]
        balance = {name: jnp.array([0.6, 2.0]) for name in state.balance}
        _states["state"] = state.replace(codebook_usage=usage, balance=balance)  # type: ignore[attr-defined]
    return _states["state"]


@pytest.fixture(scope="module")
def alone() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    return trained()


def assert_same(a: Any, b: Any) -> None:
    for x, y, bound in zip(a, b, (1e-4, 2e-4)):
        found = differences(x, y)
        worst = max(found, key=lambda name: found[name])
        assert found[worst] < bound, (worst, found[worst])


def test_the_step_is_the_same_on_several_devices_in_parts_and_rematerialised(alone: Any) -> None:
    assert alone[0]["restarted"].max() > 0
    assert {"perplexity/0", "dead/1", "waveform_gradient/adversarial"} <= set(alone[0])
    assert_same(trained(2, accumulate=2, rematerialise=True), alone)


def test_rematerialisation_keeps_less_in_memory() -> None:
    module = ConvNeXtBlock(256)
    x = jnp.zeros((4, 2000, 64))
    blocks = jax.eval_shape(lambda: [module.init(jax.random.key(n), x[:, :8]) for n in range(4)])

    def kept_bytes(on: bool) -> int:
        """What the forward pass leaves for the backward pass."""

        def loss(blocks: Any) -> jax.Array:
            with rematerialised(on):
                y = x
                for variables in blocks:
                    y = module.apply(variables, y)  # type: ignore[assignment]
            return jnp.square(y).sum()

        kept = jax.tree.leaves(jax.eval_shape(lambda blocks: jax.vjp(loss, blocks)[1], blocks))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in kept)

    # the input of each block, instead of what its four times wider layers make of it
    assert kept_bytes(True) < 0.15 * kept_bytes(False)


def test_what_is_frozen_is_not_restarted() -> None:
    config = small(Path("unused"), freeze=("bottleneck",))
    task = CodecTask(config)
    params = jax.eval_shape(lambda: create_state(task, 0)).params
    assert not task.restarts_codebooks(params)
    assert CodecTask(dataclasses.replace(config, freeze=("encoder",))).restarts_codebooks(params)
    # nor what others have learnt
    assert not CodecTask(dataclasses.replace(config, freeze=(), init="runs/other")).restarts_codebooks(params)


@pytest.mark.parametrize("skip", [True, False])
def test_what_is_not_finite_is_kept_out_if_asked(skip: bool) -> None:
    state = _begun(CodecTask(small(Path("unused"))))
    poisoned = {"params": jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), state.params)}
    committed, metrics = _commit(state, poisoned, {"loss": jnp.float32(jnp.nan)}, skip)
    kept = [bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(committed.params)]
    assert all(kept) if skip else not any(kept)
    assert (int(committed.step), int(metrics["skipped"]), int(metrics["skipped_in_a_row"])) == (1, 1, 1)


def test_phases_follow_each_other() -> None:
    task = CodecTask(small(Path("unused")))
    phases = Phases(task, parallel.make_mesh(jax.devices()[:1]))
    assert [phases.at(step) for step in (0, 9, 10, 11, 12, 49)] == (
        ["reconstruction"] * 2 + ["warmup"] * 2 + ["adversarial"] * 2
    )
    # the generator does not hear discriminators that are learning
    state = jax.eval_shape(lambda: create_state(task, 0))
    batch = {"audio": jax.ShapeDtypeStruct((4, 800, 1), jnp.float32), "index": jax.ShapeDtypeStruct((4,), jnp.uint32)}
    names = {
        phase: set(jax.eval_shape(phases[phase], state, batch)[1])
        for phase in ("reconstruction", "warmup", "adversarial")
    }
    assert names["warmup"] - names["reconstruction"] == {"discriminator", "discriminator_gradient_norm"}
    assert {"adversarial", "feature_matching"} <= names["adversarial"] - names["warmup"]


@pytest.mark.parametrize("value", [0.0, 101.0, -3.0])
def test_a_percentile_that_is_none_is_refused(value: float) -> None:
    config = small(Path("unused"))
    with pytest.raises(ZooError, match="clip_percentile"):
        CodecTask(dataclasses.replace(config, optim=dataclasses.replace(config.optim, clip_percentile=value)))


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 3), (8, 4), (4, 0)])
def test_parts_that_do_not_come_out_even_are_refused(batch_size: int, accumulate: int) -> None:
    with pytest.raises(ZooError, match="accumulate"):
        parallel.check_batch_size(batch_size, parallel.make_mesh(), accumulate)
