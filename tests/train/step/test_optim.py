"""Schedules and the optimiser against their formulas."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import zoo
from configs.base import Optim, Schedule
from train.step import optim
from zoo.codec import parameter_shapes
from zoo.errors import ZooError
from zoo.published.keymap import flatten


def values(weight: float | Schedule, steps: list[int]) -> list[float]:
    # traced, as in the step: a schedule that only works on Python integers fails here
    function = jax.jit(optim.schedule(weight))
    return [float(function(jnp.int32(step))) for step in steps]


def test_a_number_is_constant() -> None:
    assert values(0.25, [0, 10**6]) == [0.25, 0.25]
    assert values(3, [7]) == [3.0]


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (2.0, -1.0)])
def test_linear_schedule(start: float, end: float) -> None:
    found = values(Schedule("linear", start, end, 200), [0, 50, 100, 200, 201, 10**6])
    np.testing.assert_allclose(found, [start + (end - start) * share for share in (0, 0.25, 0.5, 1, 1, 1)], atol=1e-6)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (2.0, -1.0)])
def test_cosine_schedule(start: float, end: float) -> None:
    found = values(Schedule("cosine", start, end, 200), [0, 50, 100, 200, 201, 10**6])
    quarter = (1 - np.cos(np.pi / 4)) / 2
    np.testing.assert_allclose(found, [start + (end - start) * x for x in (0, quarter, 0.5, 1, 1, 1)], atol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_a_schedule_without_steps_is_refused(kind: str) -> None:
    with pytest.raises(ZooError, match="steps"):
        optim.schedule(Schedule(kind, 0.0, 1.0, 0))  # type: ignore[arg-type]


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ZooError, match="'square'"):
        optim.schedule(Schedule("square", 0.0, 1.0, 10))  # type: ignore[arg-type]


# --- the optimiser: Adam's first steps under a constant gradient have the size of the learning rate


PLAIN = Optim(warmup_steps=10, final_learning_rate_ratio=0.1, clip_norm=1e9, weight_decay=0.0)


def learning_rates(config: Optim, peak: float, steps: int, n: int) -> np.ndarray:
    """Under a constant gradient every bias-corrected Adam update is exactly the learning rate."""
    optimiser = optim.optimiser(config, peak, steps)
    params = jnp.zeros(1)

    def body(carry: tuple, _: None) -> tuple:
        params, state = carry
        updates, state = optimiser.update(jnp.ones(1), state, params)
        return (params + updates, state), -updates[0]

    return np.asarray(jax.lax.scan(body, (params, optimiser.init(params)), None, length=n)[1])


def test_warm_up_then_cosine_down_to_the_final_ratio() -> None:
    rates = learning_rates(PLAIN, 0.5, 110, 120)
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(10), rtol=1e-4, atol=1e-7)
    assert rates[10] == pytest.approx(0.5, rel=1e-4) == rates.max()
    assert rates[60] == pytest.approx((0.5 + 0.05) / 2, rel=1e-4)  # halfway down
    np.testing.assert_allclose(rates[110:], 0.05, rtol=1e-4)


def test_warm_up_takes_at_most_a_tenth_of_a_short_run() -> None:
    rates = learning_rates(dataclasses.replace(PLAIN, warmup_steps=100), 1.0, 50, 50)
    assert rates.argmax() == 5
    assert rates[5] == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_shortest_runs_have_a_finite_rate(steps: int) -> None:
    rates = learning_rates(PLAIN, 1.0, steps, steps + 2)
    assert np.isfinite(rates).all()
    assert 0 < rates.max() <= 1.0 + 1e-4


def test_no_warm_up_starts_at_the_peak() -> None:
    rates = learning_rates(dataclasses.replace(PLAIN, warmup_steps=0), 1.0, 100, 3)
    assert rates[0] == pytest.approx(1.0, rel=1e-4)


def test_clipping_is_of_the_global_norm() -> None:
    # Adam's first moment after one step is (1 − β1) · clipped gradient, whatever the learning rate
    gradients = {"a": np.array([3.0, 0.0], np.float32), "b": np.array([[4.0]], np.float32)}
    params = jax.tree.map(np.zeros_like, gradients)

    def first_moment(clip_norm: float) -> dict:
        config = dataclasses.replace(PLAIN, clip_norm=clip_norm, beta1=0.8)
        optimiser = optim.optimiser(config, 1e-3, 100)
        state = jax.jit(lambda g: optimiser.update(g, optimiser.init(params), params)[1])(gradients)
        (adam,) = [s for s in jax.tree.leaves(state, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")]
        return jax.tree.map(lambda m: np.asarray(m) / 0.2, adam.mu)

    clipped = first_moment(1.0)  # the norm is 5
    np.testing.assert_allclose(clipped["a"], [0.6, 0.0], rtol=1e-5)
    np.testing.assert_allclose(clipped["b"], [[0.8]], rtol=1e-5)
    untouched = first_moment(5.1)
    np.testing.assert_allclose(untouched["a"], [3.0, 0.0], rtol=1e-5)
    np.testing.assert_allclose(untouched["b"], [[4.0]], rtol=1e-5)


def test_weight_decay_is_decoupled_from_the_gradient() -> None:
    config = dataclasses.replace(PLAIN, warmup_steps=0, weight_decay=0.1)
    optimiser = optim.optimiser(config, 0.5, 100)
    params = np.array([[2.0, -4.0]], np.float32)
    updates = jax.jit(lambda g: optimiser.update(g, optimiser.init(params), params)[0])(np.zeros_like(params))
    np.testing.assert_allclose(updates, -0.5 * 0.1 * np.array([[2.0, -4.0]]), rtol=1e-6)


# --- what decays


def decaying(family: str, codebooks: str | None = None, **options: Any) -> set[str]:
    params = parameter_shapes(zoo.create(family, **options))
    return {path for path, decays in flatten(optim.decays(params, codebooks)).items() if decays}


def test_kernels_decay_and_nothing_else() -> None:
    vae = decaying("vae", latent_dim=20, widths=(8, 8), strides=(5, 4), dilations=(1,))
    assert vae
    assert all(path.endswith("/kernel") for path in vae)
    vq = {path for path in decaying("gan_vocoder") if path.startswith("bottleneck")}
    assert vq == {"bottleneck/project_in", "bottleneck/project_out"}
    for family in ("autoencoder", "spectral"):  # probabilities of symbols, of two axes in one of them
        assert not any(path.startswith("bottleneck") for path in decaying(family))


def test_the_mask_is_that_of_all_updates_of_a_model() -> None:
    config = dataclasses.replace(PLAIN, warmup_steps=0, weight_decay=0.1)
    params = {name: np.full((2, 2), 2.0, np.float32) for name in ("kernel", "bias", "codebooks_tenths", "atoms")}
    params["alpha"] = np.full(2, 2.0, np.float32)
    optimiser = optim.optimiser(config, 0.5, 100, codebooks="atoms")
    update = jax.jit(lambda g: optimiser.update(g, optimiser.init(params), params)[0])
    updates = update(jax.tree.map(np.zeros_like, params))
    assert {name for name, update in updates.items() if np.any(update)} == {"kernel"}
    np.testing.assert_allclose(updates["kernel"], -0.1, rtol=1e-6)


def test_the_state_is_laid_out_as_that_of_adamw() -> None:
    params = {"kernel": jnp.ones((2, 2))}
    state = optim.optimiser(PLAIN, 1.0, 10).init(params)
    wanted = optax.adamw(optim.learning_rate(PLAIN, 1.0, 10)).init(params)
    assert jax.tree.structure(state[-1]) == jax.tree.structure(wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", math.nan),
        ("discriminator_learning_rate", math.inf),
        ("ema_decay", 2.0),
        ("ema_decay", math.nan),
        ("clip_norm", math.nan),
    ],
)
def test_settings_without_sense_are_refused_before_a_run_begins(name: str, value: float) -> None:
    with pytest.raises(ZooError, match=f"optim.{name} must"):
        optim.optimiser(Optim(**{name: value}), 1e-3, 100)
