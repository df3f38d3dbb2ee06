"""Layers against jax.lax's textbook operations with the same kernels, closed forms, and masks against single clips."""

import functools

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from zoo.nn import layers
from zoo.nn.layers import convolution, convolve

pytestmark = pytest.mark.usefixtures("quick_module")

# every new size is compiled: few of them, and no search for a smaller failure
few = settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])

# optimisations take longer than they save here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

LAYOUT = ("NWC", "WIO", "NWC")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def randomised(module, x, *args):
    """Variables of the module with every parameter random, so that none is its neutral initial value."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(module.init, jax.random.key(0), x, *args))
    leaves = [0.5 + 0.3 * noise(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(tree, leaves)


def with_gradients(function, on_y, *args):
    y, pull_back = jax.vjp(function, *args)
    return y, *pull_back(on_y)


def test_an_initialiser_is_asked_only_where_a_parameter_is_made():
    asked = []

    def init(key, shape, dtype):
        asked.append(shape)
        return jax.random.normal(key, shape, dtype)

    module = layers.Conv1d(4, 3, kernel_init=init)
    x = noise(1, 5, 2)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    assert asked == [(3, 2, 4)]
    assert jax.eval_shape(module.apply, variables, x).shape == (1, 5, 4)
    assert asked == [(3, 2, 4)]
    with pytest.raises(flax.errors.ScopeParamShapeError, match=r'"kernel" in "/", .*\(3, 3, 4\).*\(3, 2, 4\)'):
        jax.eval_shape(module.apply, variables, noise(1, 5, 3))
    with pytest.raises(flax.errors.ScopeParamNotFoundError):
        jax.eval_shape(module.apply, {"params": {"bias": jnp.zeros(4)}}, x)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("stride", "multiple", "frames", "channels"),
    [(2, 2, 5, 1), (3, 1, 4, 2), (5, 2, 3, 2), (4, 3, 1, 3), (3, 2, 4, 2), (5, 2, 3, 4), (6, 1, 2, 3)],
)
def test_strided_convolution_is_the_textbook_one(stride, multiple, frames, channels, causal):
    size = stride * multiple
    x = noise(2, frames * stride, channels)
    module = layers.Conv1d(5, size, stride=stride, causal=causal)
    variables = randomised(module, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    left = size - stride if causal else (size - stride) // 2
    padding = [(left, size - stride - left)]

    def textbook(x, kernel):
        y = jax.lax.conv_general_dilated(x, kernel, (stride,), padding, dimension_numbers=LAYOUT)
        return y + bias[None, None]

    def convolved(x, kernel):
        return module.apply({"params": {"kernel": kernel, "bias": bias}}, x)

    on_y = noise(2, frames, 5, seed=1)
    expected = jit(lambda on_y: with_gradients(textbook, on_y, x, kernel))(on_y)
    found = jit(lambda on_y: with_gradients(convolved, on_y, x, kernel))(on_y)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (7, 3), (4, 2)])
def test_dilated_convolution_keeps_the_length_and_is_the_textbook_one(size, dilation):
    x = noise(2, 20, 3)
    module = layers.Conv1d(4, size, dilation=dilation, use_bias=False)
    variables = randomised(module, x)
    total = (size - 1) * dilation
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"],
        (1,),
        [(total // 2, total - total // 2)],
        rhs_dilation=(dilation,),
        dimension_numbers=LAYOUT,
    )
    assert set(variables["params"]) == {"kernel"}
    np.testing.assert_allclose(jit(module.apply)(variables, x), expected, atol=2e-5)


@pytest.mark.parametrize("options", [{"kernel_size": 5, "stride": 2}, {"kernel_size": 4, "stride": 2, "dilation": 2}])
def test_a_stride_that_does_not_fit_is_refused(options):
    with pytest.raises(ValueError, match="multiple of stride"):
        layers.Conv1d(4, **options).init(jax.random.key(0), noise(1, 8, 2))


@pytest.mark.parametrize(
    ("size", "stride", "channels", "features"),
    [
        ((3, 8), 4, 3, 4), ((3, 8), 2, 3, 4), ((3, 3), 1, 3, 4), ((2, 6), 3, 3, 4), ((3, 5), 1, 3, 2),
        ((3, 8), 2, 8, 5), ((2, 6), 3, 11, 4), ((4, 3), 1, 22, 3), ((3, 8), 2, 8, 65),
    ],
)  # fmt: skip
def test_convolution_over_time_and_frequency_is_the_textbook_one(size, stride, channels, features):
    x = noise(2, 5, 12, channels)
    module = layers.Conv2d(features, size, stride=stride)
    variables = randomised(module, x)
    padding = [((size[0] - 1) // 2, size[0] // 2), ((size[1] - stride) // 2, -((stride - size[1]) // 2))]
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]

    def textbook(x, kernel, bias):
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, stride), padding, dimension_numbers=layout)
        return y + bias[None, None, None]

    def convolved(x, kernel, bias):
        return module.apply({"params": {"kernel": kernel, "bias": bias}}, x)

    on_y = noise(2, 5, 12 // stride, features, seed=1)
    expected = jit(lambda on_y: with_gradients(textbook, on_y, x, kernel, bias))(on_y)
    found = jit(lambda on_y: with_gradients(convolved, on_y, x, kernel, bias))(on_y)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(("stride", "frames", "channels"), [(1, 4, 1), (2, 1, 3), (5, 3, 2), (4, 6, 2)])
def test_transposed_convolution_is_the_textbook_one(stride, frames, channels):
    x = noise(2, frames, channels)
    module = layers.ConvTranspose1d(3, stride)
    variables = randomised(module, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    # what the docstring says: each frame adds its window of two strides, half a stride before its own samples
    written_out = np.zeros((2, (frames + 1) * stride, 3))
    for f in range(frames):
        written_out[:, f * stride : (f + 2) * stride] += np.einsum("bc,ncd->bnd", x[:, f], kernel)
    half = stride // 2
    written_out = written_out[:, half : half + frames * stride] + np.asarray(bias)
    result = jit(module.apply)(variables, x)
    np.testing.assert_allclose(result, written_out, atol=2e-5)
    # and jax's own (zeros inserted between the frames), which wants the kernel flipped
    full = jax.lax.conv_transpose(x, kernel[::-1], (stride,), "VALID", dimension_numbers=LAYOUT)
    expected = full[:, half : half + frames * stride] + bias[None, None]
    np.testing.assert_allclose(result, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("size", "channels", "dilation", "more"),
    [(2, 7, 1, 0), (2, 7, 3, 0), (5, 6, 2, 0), (5, 6, 2, 99), (7, 1, 1, 99), (3, 2, 2, 99), (2, 7, 1, 99)],
)
def test_gradients_by_products_are_those_of_the_textbook_convolution(monkeypatch, size, channels, dilation, more):
    monkeypatch.setattr(convolve, "_MORE", more)
    x, kernel = noise(2, 17, channels), noise(size, channels, 5, seed=1)
    weight = noise(2, 17 - (size - 1) * dilation, 5, seed=2)

    def textbook(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "VALID", rhs_dilation=(dilation,), dimension_numbers=LAYOUT
        )

    def ours(x, kernel):
        return convolve.convolve(x, kernel, dilation)

    assert "custom_vjp" in str(jax.make_jaxpr(ours)(x, kernel))
    found, wanted = (jit(jax.grad(lambda *a, f=f: (f(*a) * weight).sum(), (0, 1)))(x, kernel) for f in (ours, textbook))
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


def test_transposed_convolution_of_a_large_kernel_is_the_same(monkeypatch):
    layer, x = layers.ConvTranspose1d(5, 4, left=1), noise(2, 7, 3)
    variables = randomised(layer, x)

    def with_gradients(variables, x):
        return jax.value_and_grad(lambda v, x: (layer.apply(v, x) ** 3).sum(), (0, 1))(variables, x)

    wanted = jit(with_gradients)(variables, x)
    monkeypatch.setattr(convolution, "_HUGE", 0)
    found = jit(lambda *args: with_gradients(*args))(variables, x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()))


def test_transposed_convolution_is_the_transpose_of_the_strided_one():
    stride, frames = 4, 6
    x, y = noise(1, frames * stride, 2), noise(1, frames, 3, seed=1)
    kernel = noise(2 * stride, 2, 3, seed=2)
    down = layers.Conv1d(3, 2 * stride, stride=stride, use_bias=False)
    up = layers.ConvTranspose1d(2, stride, use_bias=False)
    forward = np.asarray(jit(down.apply)({"params": {"kernel": kernel}}, x))
    backward = np.asarray(jit(up.apply)({"params": {"kernel": kernel.swapaxes(1, 2)}}, y))
    np.testing.assert_allclose((forward * y).sum(), (x * backward).sum(), rtol=1e-4)


@pytest.mark.parametrize(("size", "length", "channels"), [(7, 12, 4), (4, 5, 3), (9, 2, 2), (1, 3, 2)])
def test_depthwise_convolution_is_the_grouped_one(size, length, channels):
    x = noise(2, length, channels)
    module = layers.DepthwiseConv1d(size)
    variables = randomised(module, x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    left = (size - 1) // 2
    expected = jax.lax.conv_general_dilated(
        x,
        kernel[:, None],
        (1,),
        [(left, size - 1 - left)],
        dimension_numbers=LAYOUT,
        feature_group_count=channels,
    )
    np.testing.assert_allclose(jit(module.apply)(variables, x), expected + bias[None, None], atol=2e-5)


MASKED = {
    "convolution": (layers.Conv1d(4, 7), 1),
    "dilated": (layers.Conv1d(4, 3, dilation=3), 1),
    "strided": (layers.Conv1d(4, 8, stride=4), 4),
    "transposed": (layers.ConvTranspose1d(4, 3), 1),
    "transposed_inner": (layers.ConvTranspose1d(4, 3), 2),
    "depthwise": (layers.DepthwiseConv1d(7), 1),
    "convnext": (layers.ConvNeXtBlock(8), 1),
    "residual": (layers.ResidualUnit(3), 5),
}


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_batch_is_its_single_clips(name):
    module, samples_per_frame = MASKED[name]
    n, longest = 4 * samples_per_frame, 9 * samples_per_frame
    padded = noise(2, longest, 4)
    padded[0, n:] *= 1e3  # whatever lies there may not be heard
    mask = np.arange(9)[None] < np.array([4, 9])[:, None]
    variables = randomised(module, padded, mask)
    together = jit(module.apply)(variables, padded, mask)
    alone = jit(module.apply)(variables, padded[:1, :n])
    np.testing.assert_allclose(together[:1, : alone.shape[1]], alone, rtol=1e-5, atol=2e-5)
    assert np.abs(together[1, alone.shape[1] :]).max() > 0.1  # the longer clip is heard to its end


def test_a_mask_silences_even_a_nan():
    x = noise(1, 6, 2)
    silenced = x.copy()
    x[0, 4:], silenced[0, 4:] = np.nan, 0.0
    np.testing.assert_array_equal(layers.apply_mask(jnp.asarray(x), jnp.array([[True, True, False]])), silenced)
    np.testing.assert_array_equal(layers.apply_mask(x, None), x)


@few
@given(st.floats(0.2, 1.0), st.integers(0, 99))
def test_compand_and_expand_are_inverse(exponent, seed):
    x = noise(50, seed=seed) * 10.0 ** np.random.default_rng(seed).uniform(-6, 1, 50).astype(np.float32)
    there = layers.compand(x, exponent)
    np.testing.assert_allclose(layers.expand(there, exponent), x, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(layers.compand(layers.expand(there, exponent), exponent), there, rtol=1e-3, atol=1e-6)
    assert (np.diff(there[np.argsort(x)]) >= 0).all()


def test_compand_is_an_odd_power_law_with_a_finite_slope_at_zero():
    x = np.array([1e-3, 0.1, 1.0], np.float64)
    expected = (x + 1e-3) ** 0.7 - 1e-3**0.7
    np.testing.assert_allclose(layers.compand(jnp.asarray(x, jnp.float32), 0.7), expected, rtol=1e-5)
    np.testing.assert_allclose(layers.compand(jnp.asarray(-x, jnp.float32), 0.7), -expected, rtol=1e-5)
    slope = jax.grad(lambda v: layers.compand(v, 0.7))(1e-9)
    np.testing.assert_allclose(slope, 0.7 * 1e-3**-0.3, rtol=1e-3)
    for function in (layers.compand, layers.expand):
        # zeros are everywhere (padding, silence): a dead or infinite gradient there would stop learning
        assert np.isfinite(jax.grad(lambda v, f=function: f(v, 0.7))(0.0))


def test_snake_is_its_formula():
    x = noise(2, 9, 3)
    alpha = jnp.array([0.5, 1.0, 3.0])
    x64, a64 = np.asarray(x, np.float64), np.asarray(alpha, np.float64)
    expected = x64 + np.sin(a64 * x64) ** 2 / a64
    np.testing.assert_allclose(layers.Snake().apply({"params": {"alpha": alpha}}, x), expected, atol=1e-6)


def test_layer_norm_is_its_closed_form():
    x = 5.0 * noise(2, 4, 16) + 3.0
    scale, bias = noise(16, seed=1), noise(16, seed=2)
    x64 = np.asarray(x, np.float64)
    normalised = (x64 - x64.mean(-1, keepdims=True)) / np.sqrt(x64.var(-1, keepdims=True) + 1e-6)
    result = layers.LayerNorm().apply({"params": {"scale": scale, "bias": bias}}, x)
    np.testing.assert_allclose(result, normalised * np.asarray(scale) + np.asarray(bias), atol=1e-5)


def test_blocks_are_the_identity_where_their_branch_is_silent():
    x = noise(2, 9, 4)
    convnext = layers.ConvNeXtBlock(8)
    variables = randomised(convnext, x)
    variables["params"]["layer_scale"] *= 0.0
    np.testing.assert_array_equal(jit(convnext.apply)(variables, x), x)
    residual = layers.ResidualUnit()
    variables = randomised(residual, x)
    variables["params"]["pointwise"] = jax.tree.map(jnp.zeros_like, variables["params"]["pointwise"])
    np.testing.assert_array_equal(jit(residual.apply)(variables, x), x)


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: layers.Conv1d(4, 3, dtype=dtype),
        lambda dtype: layers.ConvTranspose1d(4, 2, dtype=dtype),
        lambda dtype: layers.ConvNeXtBlock(8, dtype=dtype),
        lambda dtype: layers.ResidualUnit(dtype=dtype),
    ],
)
def test_half_precision_computes_in_it_and_keeps_float32_parameters(make):
    x = noise(2, 6, 4)
    variables = randomised(make(jnp.bfloat16), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    exact = np.asarray(jit(make(jnp.float32).apply)(variables, x))
    half = jit(make(jnp.bfloat16).apply)(variables, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(half, np.float32), exact, atol=0.03 * np.abs(exact).max())


def test_snake_and_its_gradients_agree_with_numpy():
    x = np.concatenate([np.linspace(-7, 7, 2001), np.linspace(-3000, 3000, 2001)]).astype(np.float32).reshape(2, -1, 1)
    alpha, depth, pulled = jnp.array([0.5, 1.0]), jnp.array([2.0, 0.3]), noise(2, x.shape[1], 2)
    x = np.repeat(x, 2, axis=-1)
    value, pull_back = jax.vjp(layers.snake, jnp.asarray(x), alpha, depth)
    of_x, of_alpha, of_depth = pull_back(pulled)
    x64, a, d, g = (np.asarray(each, np.float64) for each in (x, alpha, depth, pulled))
    # float32 itself resolves an angle of 3000 to 2e-4 rad
    tolerance = 5e-7 + 4e-7 * np.abs(a * x64)
    assert (np.abs(value - (x64 + d * np.sin(a * x64) ** 2)) < d * tolerance + 1e-7 * np.abs(x64)).all()
    assert (np.abs(of_x - g * (1 + a * d * np.sin(2 * a * x64))) < np.abs(g) * (1e-6 + 2 * a * d * tolerance)).all()
    near = np.abs(x64[:, :, 0]) < 7
    small = jax.vjp(layers.snake, jnp.asarray(x[near][None]), alpha, depth)[1](pulled[near][None])
    x64, g = x64[near], g[near]
    np.testing.assert_allclose(small[1], (g * d * x64 * np.sin(2 * a * x64)).sum(axis=0), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(small[2], (g * np.sin(a * x64) ** 2).sum(axis=0), rtol=1e-5, atol=1e-3)
    assert of_alpha.shape == of_depth.shape == (2,)


def test_a_snake_whose_depth_follows_its_frequency_has_the_gradient_of_both():
    x, pulled, alpha = 3 * noise(2, 500, 2), noise(2, 500, 2, seed=1), jnp.array([0.3, 2.0])
    tied, of_tied = jax.vjp(layers.snake, x, alpha)
    free, of_free = jax.vjp(lambda x, alpha: layers.snake(x, alpha, 1 / (alpha + 1e-9)), x, alpha)
    np.testing.assert_array_equal(tied, free)
    for found, expected in zip(of_tied(pulled), of_free(pulled)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
