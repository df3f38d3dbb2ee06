"""Bottlenecks against their formulas in numpy: symbols, values, noise, losses, gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from zoo.nn.bands import Bands
from zoo.nn.bottlenecks import FSQ, Gaussian, Identity, ResidualVQ
from zoo.nn.bottlenecks.spectral import SpectralGrid

pytestmark = pytest.mark.usefixtures("quick_module")

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@functools.cache  # compiling threefry takes longer than anything else here
def keys(n: int, seed: int = 0) -> jax.Array:
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(n))


@functools.cache
def compiled(module, method=None):
    """Its method, whose results are numpy's: each operation on jax's own would be compiled, too."""
    run = jit(functools.partial(module.apply, method=method))
    return lambda *args, **options: jax.device_get(run(*args, **options))


@functools.cache
def init(module):
    """Random variables, of which none has its neutral initial value."""
    latent = jax.ShapeDtypeStruct((1, 2, _dim(module)), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), latent)
    leaves, tree = jax.tree.flatten(shapes)
    scales = [0.1 if leaf.ndim < 3 else leaf.shape[-2] ** -0.5 for leaf in leaves]
    leaves = [scale * noise(*leaf.shape, seed=i) for i, (leaf, scale) in enumerate(zip(leaves, scales))]
    return jax.tree.unflatten(tree, leaves)


def _dim(module):
    if isinstance(module, SpectralGrid):
        return module.bands.n + module.bands.n_envelope + module.bands.n_bins + 1
    return len(module.levels) if isinstance(module, FSQ) else module.latent_dim


def deviations(std):
    return {"params": {"log_std_tenths": jnp.asarray(np.log(std) / 10, jnp.float32)}}


BOTTLENECKS = {
    "fsq": FSQ((2, 3, 4, 5, 8)),
    "gaussian": Gaussian(5, grid_steps=(4.0, 2.0, 1.0)),
    "spectral": SpectralGrid(Bands((0, 3), shaping=0.0), grid_steps=(2.0, 1.0, 0.5), default=1),
    "vq": ResidualVQ(5, n_codebooks=3, codebook_size=16, code_dim=2, dropout=1.0),
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_what_an_example_gets_depends_on_its_own_key_alone(name):
    module = BOTTLENECKS[name]
    latent = 2.0 * noise(4, 6, _dim(module))
    variables = init(module)
    together = compiled(module)(variables, latent, keys=keys(4))
    order = np.array([2, 0, 3, 1])
    shuffled = compiled(module)(variables, latent[order], keys=keys(4)[order])
    np.testing.assert_allclose(shuffled.latent, together.latent[order], atol=1e-6)
    for i in range(4):
        alone = compiled(module)(variables, latent[i : i + 1], keys=keys(4)[i : i + 1])
        np.testing.assert_allclose(alone.latent[0], together.latent[i], atol=1e-6)
        for loss, value in alone.losses.items():
            np.testing.assert_allclose(value[0], together.losses[loss][i], rtol=1e-5)
    if name != "fsq":  # its noise is in the rate alone
        assert not np.allclose(compiled(module)(variables, latent, keys=keys(4, seed=1)).latent, together.latent)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_masked_frames_cost_nothing(name):
    module = BOTTLENECKS[name]
    latent = 2.0 * noise(4, 6, _dim(module))
    mask = np.arange(6)[None] < np.array([6, 4, 6, 6])[:, None]
    variables = init(module)
    clean = compiled(module)(variables, latent, mask, keys=keys(4))
    spoilt = compiled(module)(variables, np.where(mask[..., None], latent, np.float32(50)), mask, keys=keys(4))
    for loss, value in clean.losses.items():
        np.testing.assert_allclose(spoilt.losses[loss], value, rtol=1e-6)
        assert not np.allclose(compiled(module)(variables, latent, keys=keys(4)).losses[loss][1], value[1])
    for metric, value in clean.metrics.items():
        np.testing.assert_allclose(spoilt.metrics[metric], value, rtol=1e-6)


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_dequantised_codes_are_the_quantised_latent_at_every_level(name):
    module = BOTTLENECKS[name]
    latent = 3.0 * noise(4, 6, _dim(module))
    variables = init(module)
    sizes = np.array(module.symbols().codebook_sizes)
    for level in range(module.symbols().n_levels):
        quantised = compiled(module)(variables, latent, level=level)
        assert quantised.codes.dtype == jnp.int32
        assert quantised.codes.min() >= 0
        assert (np.asarray(quantised.codes) < sizes).all()
        again = compiled(module, "dequantise")(variables, quantised.codes, level)
        np.testing.assert_allclose(again, quantised.latent, atol=1e-6)
    default = compiled(module)(variables, latent)
    chosen = compiled(module)(variables, latent, level=module.default_level)
    np.testing.assert_array_equal(default.latent, chosen.latent)


@pytest.mark.parametrize("name", ["gaussian", "spectral", "vq"])
def test_every_example_may_have_its_own_level(name):
    module = BOTTLENECKS[name]
    latent = 2.0 * noise(4, 6, _dim(module))
    variables = init(module)
    levels = jnp.array([2, 0, 1, 2])
    mixed = compiled(module)(variables, latent, level=levels)
    again = compiled(module, "dequantise")(variables, mixed.codes, levels)
    np.testing.assert_allclose(again, mixed.latent, atol=1e-6)
    for i, level in enumerate(levels):
        np.testing.assert_array_equal(mixed.latent[i], compiled(module)(variables, latent, level=level).latent[i])


def test_identity_passes_and_has_no_symbols():
    latent = noise(2, 3, 4)
    quantised = Identity().apply({}, latent)
    np.testing.assert_array_equal(quantised.latent, latent)
    assert quantised.codes.shape == (2, 3, 0)
    with pytest.raises(ValueError, match="no codes"):
        Identity().apply({}, quantised.codes, method="dequantise")


LEVELS = (2, 3, 4, 5, 8, 63)


def test_fsq_picks_the_nearest_of_its_levels():
    module = FSQ(LEVELS)
    latent = 6.0 * noise(2, 201, len(LEVELS))
    latent[:, -1] = np.array([[1e6], [-1e6]])
    quantised = compiled(module)(init(module), latent)
    for d, levels in enumerate(LEVELS):
        half = (levels - 1) / 2
        values = np.arange(levels) - half
        bounded = np.clip(np.asarray(latent[..., d], np.float64), -half, half)
        nearest = np.abs(bounded[..., None] - values).argmin(-1)
        np.testing.assert_array_equal(quantised.codes[..., d], nearest)
        np.testing.assert_allclose(quantised.latent[..., d], values[nearest], atol=1e-4)
        if levels < 63:
            assert set(np.unique(nearest)) == set(range(levels))
        assert quantised.codes[0, -1, d] == levels - 1
        assert quantised.codes[1, -1, d] == 0


def test_fsq_gradient_passes_straight_through_rounding_and_bound():
    module = FSQ(LEVELS)
    latent, weight = 3.0 * noise(2, 5, len(LEVELS)), noise(2, 5, len(LEVELS), seed=1)
    variables = init(module)
    gradient = jit(jax.grad(lambda z: (weight * module.apply(variables, z).latent).sum()))(latent)
    assert (np.abs(latent) > (np.array(LEVELS) - 1) / 2).any()
    np.testing.assert_array_equal(gradient, weight)


def test_fsq_rate_is_the_cost_under_the_mixture():
    module = FSQ((9, 31))
    latent = 3.0 * noise(3, 8, 2)
    scales, mix = np.array([[0.5, 1.0], [2.0, 4.0]]), np.array([0.25, 0.6])
    params = {"log_scale_tenths": np.log(scales) / 10, "mix_logit_tenths": np.log(mix / (1 - mix)) / 10}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    rate = compiled(module)({"params": params}, latent, keys=keys(3)).losses["rate"]
    draws = [jax.random.uniform(key, (8, 2), minval=-0.5, maxval=0.5) for key in keys(3)]
    half = np.array([4.0, 15.0])
    y = np.clip(np.asarray(latent, np.float64), -half, half) + np.stack(draws)
    cdf = scipy.stats.logistic.cdf
    first, second = (cdf((y + 0.5) / scale) - cdf((y - 0.5) / scale) for scale in scales)
    expected = -np.log2(mix * first + (1 - mix) * second).sum(-1).mean(-1)
    np.testing.assert_allclose(rate, expected, rtol=1e-4)
    assert "rate" not in compiled(module)({"params": params}, latent).losses


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_fsq_rate_is_the_entropy_of_the_symbols_that_fit_the_prior(scale):
    module = FSQ((511,))
    uniform = np.random.default_rng(0).uniform(size=(4, 20_000, 1))
    latent = jnp.asarray(scale * np.log(uniform / (1 - uniform)), jnp.float32)
    params = {
        "log_scale_tenths": jnp.full((2, 1), np.log(scale) / 10, jnp.float32),
        "mix_logit_tenths": jnp.zeros(1),
    }
    quantised = compiled(module)({"params": params}, latent, keys=keys(4))
    counts = np.bincount(np.asarray(quantised.codes).ravel())
    p = counts[counts > 0] / counts.sum()
    entropy_bits = -(p * np.log2(p)).sum()
    # noise in the place of rounding costs a little more where the steps are coarse (Ballé et al.)
    assert entropy_bits - 0.02 < quantised.losses["rate"].mean() < entropy_bits + 0.05


def test_fsq_rate_stays_differentiable_in_the_tail():
    module = FSQ((255,))
    latent = jnp.array([[[0.0], [5.0], [60.0], [1e4]]])
    variables, key = init(module), keys(1)  # not while they are traced: what is cached would be tracers
    rate = jax.value_and_grad(lambda z: module.apply(variables, z, keys=key).losses["rate"].sum())
    loss, gradient = jit(rate)(latent)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1, 0] > 0  # smaller values are cheaper


def test_gaussian_kl_is_the_integral():
    module = Gaussian(3)
    latent = noise(2, 4, 3)
    std = np.array([0.1, 0.5, 1.2])
    variables = deviations(std)

    def nats(mean, s):
        q = scipy.stats.norm(mean, s)
        integrand = lambda x: q.pdf(x) * (q.logpdf(x) - scipy.stats.norm.logpdf(x))  # noqa: E731
        return scipy.integrate.quad(integrand, mean - 10 * s, mean + 10 * s)[0]

    expected = [np.mean([sum(map(nats, frame, std)) for frame in clip]) for clip in np.asarray(latent, np.float64)]
    np.testing.assert_allclose(compiled(module)(variables, latent, keys=keys(2)).losses["kl"], expected, rtol=1e-4)


def test_gaussian_noise_has_the_learnt_deviation_and_training_alone_has_it():
    module = Gaussian(3)
    std = np.array([0.05, 0.3, 1.5])
    variables = deviations(std)
    latent = jnp.broadcast_to(jnp.array([1.0, -2.0, 0.5]), (2, 20_000, 3))
    sampled = np.asarray(compiled(module)(variables, latent, keys=keys(2)).latent)
    error = sampled - np.asarray(latent)
    np.testing.assert_allclose(error.std(axis=1), np.broadcast_to(std, (2, 3)), rtol=0.02)
    np.testing.assert_allclose(error.mean(axis=1) / std, 0.0, atol=0.03)
    evaluated = compiled(module)(variables, latent)
    assert not np.ptp(evaluated.latent, axis=1).any()
    assert evaluated.losses == {}


def test_gaussian_codes_are_within_half_a_grid_step():
    module = Gaussian(4, grid_steps=(6.0, 3.0, 1.5), codebook_size=9)
    std = np.array([0.1, 0.2, 0.4, 0.8])
    variables = deviations(std)
    latent = jnp.asarray(np.random.default_rng(0).uniform(-6, 6, (2, 300, 4)) * std, jnp.float32)
    errors = []
    for level, steps in enumerate((6.0, 3.0, 1.5)):
        error = np.abs(np.asarray(compiled(module)(variables, latent, level=level).latent - latent)) / std
        assert error.max() <= steps / 2 + 1e-4
        errors.append(error.mean())
    np.testing.assert_allclose(errors, [1.5, 0.75, 0.375], rtol=0.1)  # of a uniform error: a quarter of the step
    loud = compiled(module)(variables, 1e3 * jnp.ones((1, 1, 4)), level=0)
    np.testing.assert_array_equal(loud.codes, 8)
    np.testing.assert_allclose(loud.latent[0, 0], 4 * 6.0 * std, rtol=1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_gaussian_codes_fill_their_alphabet_and_nothing_more(size):
    module = Gaussian(1, codebook_size=size)
    latent = jnp.linspace(-100.0, 100.0, 501).reshape(1, -1, 1)
    codes = compiled(module)(init(module), latent).codes
    assert set(np.unique(codes)) == set(range(size))


def test_gaussian_default_step_has_the_variance_of_the_noise():
    assert Gaussian(1, grid_steps=(9.0, 3.4, 2.0)).default_level == 1
    assert Gaussian(1, grid_steps=(3.5, 1.0)).default_level == 0


def vq_reference(params, latent, n_stages):
    """Codes, quantised latent, squared errors per stage, of one clip in float64."""
    residual, total, codes, errors = np.asarray(latent, np.float64), 0.0, [], []
    for q in range(n_stages):
        w_in, w_out, bias = (np.asarray(params[k][q], np.float64) for k in ("project_in", "project_out", "bias"))
        entries = 10 * np.asarray(params["codebooks_tenths"][q], np.float64)
        projected = residual @ w_in
        cosine = projected @ entries.T / np.linalg.norm(projected, axis=-1)[:, None] / np.linalg.norm(entries, axis=-1)
        index = cosine.argmax(-1)
        step = entries[index] @ w_out + bias
        errors.append(((entries[index] - projected) ** 2).mean())
        total, residual = total + step, residual - step
        codes.append(index)
    return np.stack(codes, -1), total, errors


VQ = ResidualVQ(6, n_codebooks=4, codebook_size=32, code_dim=3, dropout=1.0)
VQ_LATENT = noise(256, 3, 6, seed=7)


def test_vq_looks_up_the_nearest_entry_by_cosine():
    quantised = compiled(VQ)(init(VQ), VQ_LATENT)
    for i in range(20):
        codes, total, _ = vq_reference(init(VQ)["params"], VQ_LATENT[i], 4)
        np.testing.assert_array_equal(quantised.codes[i], codes)
        np.testing.assert_allclose(quantised.latent[i], total, atol=1e-4)


def test_vq_with_fewer_codebooks_is_a_prefix():
    full = compiled(VQ)(init(VQ), VQ_LATENT)
    for level in range(4):
        short = compiled(VQ)(init(VQ), VQ_LATENT, level=level)
        np.testing.assert_array_equal(short.codes[..., : level + 1], full.codes[..., : level + 1])
        prefix = compiled(VQ, "dequantise")(init(VQ), full.codes[..., : level + 1])
        np.testing.assert_allclose(short.latent, prefix, atol=1e-5)
        cut = compiled(VQ, "dequantise")(init(VQ), full.codes, level)
        np.testing.assert_allclose(short.latent, cut, atol=1e-5)


def test_vq_computes_no_more_codebooks_than_the_level_asks_for():
    full = compiled(VQ)(init(VQ), VQ_LATENT, level=1)
    broken = jax.tree.map(np.copy, init(VQ))
    for stages in jax.tree.leaves(broken):
        stages[2:] = np.nan  # the product of NaN and 0 is NaN
    found = compiled(VQ)(broken, VQ_LATENT, level=1)
    np.testing.assert_array_equal(found.codes, full.codes)
    np.testing.assert_array_equal(found.latent, full.latent)


def stages_used(quantised):
    """How many codebooks each example used, seen from what came out."""
    every = np.stack([compiled(VQ)(init(VQ), VQ_LATENT, level=level).latent for level in range(4)])
    distance = np.abs(every - np.asarray(quantised.latent)).max(axis=(2, 3))
    assert (distance.min(0) < 1e-4).all()
    return distance.argmin(0) + 1


def test_vq_dropout_draws_a_number_of_codebooks_per_example():
    def used(dropout):
        return stages_used(compiled(VQ.clone(dropout=dropout))(init(VQ), VQ_LATENT, keys=keys(256)))

    assert scipy.stats.chisquare(np.bincount(used(1.0), minlength=5)[1:]).pvalue > 0.001
    assert 0.5 < (used(0.5) == 4).mean() < 0.75  # 1/2 + 1/2 · 1/4
    assert (used(0.0) == 4).all()


def test_vq_losses_are_means_over_the_stages_used():
    quantised = compiled(VQ)(init(VQ), VQ_LATENT, keys=keys(256))
    used = stages_used(quantised)[:20]
    assert set(used) == {1, 2, 3, 4}
    expected = [np.mean(vq_reference(init(VQ)["params"], VQ_LATENT[i], used[i])[2]) for i in range(20)]
    np.testing.assert_allclose(quantised.losses["codebook"][:20], expected, rtol=1e-4)
    np.testing.assert_allclose(quantised.losses["commitment"][:20], expected, rtol=1e-4)


def test_vq_gradients_reach_the_active_stages_alone():
    example = int(np.flatnonzero(stages_used(compiled(VQ)(init(VQ), VQ_LATENT, keys=keys(256))) == 2)[0])

    @jit
    @jax.grad
    def gradient(params, latent, codebook, commitment):
        """Of this example's output and losses, weighted."""
        quantised = VQ.apply({"params": params}, VQ_LATENT, keys=keys(256))
        output = jnp.square(quantised.latent[example]).sum()
        losses = {name: loss[example] for name, loss in quantised.losses.items()}
        return latent * output + codebook * losses["codebook"] + commitment * losses["commitment"]

    for name, value in gradient(init(VQ)["params"], 1.0, 1.0, 1.0).items():
        per_stage = np.abs(value).reshape(4, -1).max(-1)
        assert (per_stage[:2] > 0).all(), name
        assert (per_stage[2:] == 0).all(), name
    # each loss moves its own side: entries towards the latent, the latent towards the entries
    codebook = gradient(init(VQ)["params"], 0.0, 1.0, 0.0)
    assert np.abs(codebook["codebooks_tenths"]).max() > 0
    assert np.abs(codebook["project_in"]).max() == 0
    commitment = gradient(init(VQ)["params"], 0.0, 0.0, 1.0)
    assert np.abs(commitment["codebooks_tenths"]).max() == 0
    assert np.abs(commitment["project_in"]).max() > 0


def test_vq_gradient_passes_straight_through_the_lookup():
    module = ResidualVQ(4, n_codebooks=1, codebook_size=16, code_dim=2)
    latent, weight = noise(1, 3, 4), noise(1, 3, 4, seed=1)
    variables = init(module)
    gradient = jit(jax.grad(lambda z: (weight * module.apply(variables, z).latent).sum()))(latent)
    chain = variables["params"]["project_in"][0] @ variables["params"]["project_out"][0]
    np.testing.assert_allclose(gradient, weight @ chain.T, atol=1e-5)


def test_vq_usage_of_known_codes():
    size = 16
    angles = 2 * np.pi * np.arange(size) / size
    circle = np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
    module = ResidualVQ(2, n_codebooks=1, codebook_size=size, code_dim=2, dropout=0.0)
    identity = jnp.eye(2)[None]
    entries = circle[None] / 10
    params = {"project_in": identity, "project_out": identity, "bias": jnp.zeros((1, 2)), "codebooks_tenths": entries}
    for n in (size, 4, 1):
        latent = np.tile(circle[:: size // n], (4, size // n, 1))  # (4, size, 2)
        quantised = compiled(module)({"params": params}, latent, keys=keys(4))
        np.testing.assert_allclose(quantised.latent, latent, atol=1e-6)
        use = quantised.codebooks
        np.testing.assert_array_equal(use.counts[0], np.where(np.arange(size) % (size // n) == 0, 4 * size // n, 0))
        np.testing.assert_allclose(use.inputs[:, :, 0], latent, atol=1e-6)
        assert use.asked.all()
