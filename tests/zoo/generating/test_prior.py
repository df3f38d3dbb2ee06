"""What a prior is before its network has learnt anything, and what its loss counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo import families
from zoo.errors import ZooError
from zoo.generating import solver
from zoo.generating.solver import Given
from zoo.prior import measured, with_statistics

pytestmark = pytest.mark.usefixtures("quick_module")

D, K, WINDOW = 6, 4, 16
pytestmark = pytest.mark.usefixtures("quick_module")


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((D, D)) * np.geomspace(1, 0.01, D)
    return rng.standard_normal((5000, D)) @ mix.T + np.arange(D)


@pytest.fixture(scope="module")
def module():
    return families.create_prior(
        "latent_flow", width=16, n_layers=1, n_heads=2, components=K, latent_dim=D, window=WINDOW, labels=("a", "b")
    )


@pytest.fixture(scope="module")
def variables(module, latents):
    params = jax.jit(module.init)(jax.random.key(0), *module.example())["params"]
    return {"params": with_statistics(params, measured(latents, K, 0.5))}


def test_components_are_uncorrelated_with_the_deviations_that_are_known(latents):
    found = measured(latents, D, 0.3)
    x = (latents - found["mean"]) @ found["basis"] / found["scale"]
    np.testing.assert_allclose(np.cov(x, rowvar=False), np.diag(found["deviation"] ** 2), atol=0.02)
    assert np.mean(found["deviation"] ** 2) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(x * found["scale"] @ found["basis"].T + found["mean"], latents, atol=1e-4)


def test_whitening_makes_all_components_alike(latents):
    np.testing.assert_allclose(measured(latents, D, 1.0)["deviation"], 1, atol=1e-5)


def test_latents_that_have_been_normalised_come_back_but_for_what_was_left_out(module, variables, latents):
    some = jnp.asarray(latents[:WINDOW], jnp.float32)[None]
    x = module.apply(variables, some, method="normalise")
    back = module.apply(variables, x, method="denormalise")
    left_out = np.var(np.asarray(some - back)) / np.var(latents)
    assert x.shape == (1, WINDOW, K)
    assert left_out < 0.01


def given(n: int) -> Given:
    return Given(np.zeros((n, K), np.float32), np.zeros(n, bool), np.ones(n, bool))


@pytest.mark.parametrize("n_frames", [WINDOW, WINDOW + WINDOW // 2, 3 * WINDOW])
def test_an_untrained_prior_makes_normal_latents(module, variables, n_frames):
    noise = np.asarray(jax.random.normal(jax.random.key(1), (n_frames, K)))
    x = solver.integrate(
        module, variables, noise, False, solver.path(200), jnp.zeros_like(noise), jnp.int32(2), jnp.float32(1),
        given(n_frames),
    )  # fmt: skip
    # where the velocity is that of a normal distribution, the path from noise to data is known
    deviation = np.asarray(variables["params"]["statistics"]["deviation"])
    np.testing.assert_allclose(x, noise * deviation, atol=2e-3)


def test_the_solver_is_of_second_order(module, variables):
    noise = np.asarray(jax.random.normal(jax.random.key(1), (WINDOW, K)))
    deviation = np.asarray(variables["params"]["statistics"]["deviation"])

    def error(steps: int) -> float:
        x = solver.integrate(
            module, variables, noise, False, solver.path(steps), jnp.zeros_like(noise), jnp.int32(2), jnp.float32(1),
            given(WINDOW),
        )  # fmt: skip
        return float(np.abs(x - noise * deviation).mean())

    assert error(16) < 0.02
    assert error(64) < error(16) / 5


def test_windows_cover_all_frames():
    assert [solver.padded_frames(n, 16) for n in (1, 16, 17, 24, 25, 64)] == [16, 16, 24, 24, 32, 64]


def loss(module, variables, latents, labels=None, n_frames=None, seed=0):
    batch = len(latents)
    labels = jnp.zeros(batch, jnp.int32) if labels is None else labels
    keys = jax.random.split(jax.random.key(seed), batch)
    apply = jax.jit(lambda *given, keys: module.apply(*given, keys=keys).losses["flow"])
    return np.asarray(apply(variables, latents, labels, n_frames, keys=keys))


def test_the_loss_of_an_untrained_prior_is_what_normal_latents_leave_open(latents):
    module = families.create_prior(
        "latent_flow", width=16, n_layers=1, n_heads=2, components=K, latent_dim=D, window=WINDOW, fill=0.0, time_std=0
    )
    params = jax.jit(module.init)(jax.random.key(0), *module.example())["params"]
    statistics = measured(latents, K, 0.5)
    variables = {"params": with_statistics(params, statistics)}
    frames = jnp.asarray(latents[: 300 * WINDOW], jnp.float32).reshape(300, WINDOW, D)
    # at t = 1/2 the velocity's variance given z is s² / (s²/4 + 1/4)
    square = np.square(statistics["deviation"])
    assert loss(module, variables, frames).mean() == pytest.approx(np.mean(square / (square / 4 + 0.25)), rel=0.03)


def test_frames_behind_a_clip_do_not_count(module, variables, latents):
    shaken = jax.tree.map(lambda x: x + 0.05, variables["params"]["network"])
    variables = {"params": {**variables["params"], "network": shaken}}
    frames = jnp.asarray(latents[: 4 * WINDOW], jnp.float32).reshape(4, WINDOW, D)
    lengths = jnp.array([16, 9, 5, 1])
    other = jnp.where(jnp.arange(WINDOW)[None, :, None] < lengths[:, None, None], frames, 100.0)
    np.testing.assert_allclose(
        loss(module, variables, frames, n_frames=lengths), loss(module, variables, other, n_frames=lengths), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vae", {}, "'vae' is no model of latents; there are: latent_flow"),
        ("latent_flow", {"width": 10, "n_heads": 3}, "width 10 is not a multiple"),
        ("latent_flow", {"components": 80, "latent_dim": 64}, "components 80 must lie between 1 and latent_dim"),
        ("latent_flow", {"whitening": 2.0}, "whitening 2.0 must lie in"),
        ("latent_flow", {"depth": 2}, "has no hyper-parameter 'depth'"),
    ],
)
def test_what_is_no_prior_is_refused(name, options, message):
    with pytest.raises(ZooError, match=message):
        families.create_prior(name, **options)
