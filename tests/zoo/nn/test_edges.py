"""What stands beyond the ends of a clip: against numpy's padding, for clips anywhere in an array and of any length."""

import jax
import numpy as np
import pytest

from zoo.nn import layers


def mirrored(clip: np.ndarray, left: int, right: int) -> np.ndarray:
    """EnCodec's padding in its own words: zeros until the clip is longer than the padding, mirror, drop the zeros."""
    gap = max(max(left, right) - len(clip) + 1, 0)
    padded = np.pad(np.pad(clip, ((0, gap), (0, 0))), ((left, right), (0, 0)), mode="reflect")
    return padded[: len(padded) - gap]


@pytest.mark.parametrize(("left", "right"), [(6, 0), (3, 3), (2, 5), (0, 4), (1, 0)])
@pytest.mark.parametrize("edge", ["reflect", "replicate"])
def test_edges_of_a_whole_array(left, right, edge):
    pad = jax.jit(lambda x: layers.pad_time(x, left, right, edge))
    for length in (1, 2, 3, 4, 6, 7, 11):
        x = np.random.default_rng(length).standard_normal((2, length, 3)).astype(np.float32)
        if edge == "reflect":
            expected = np.stack([mirrored(clip, left, right) for clip in x])
        else:
            expected = np.pad(x, ((0, 0), (left, right), (0, 0)), mode="edge")
        np.testing.assert_array_equal(pad(x), expected)


@pytest.mark.parametrize("edge", ["zero", "reflect", "replicate"])
def test_a_clip_inside_an_array_has_the_edges_it_has_alone(edge):
    left, right, repeats = 5, 3, 4
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 8 * repeats, 2)).astype(np.float32)
    mask = np.zeros((3, 8), bool)
    mask[0, 2:7], mask[1, :3], mask[2, 4:5] = True, True, True
    pad = jax.jit(lambda *args: layers.pad_time(args[0], left, right, edge, *args[1:]))
    x *= np.repeat(mask, repeats, axis=1)[..., None]
    padded = np.asarray(pad(x, mask))
    for i, (first, last) in enumerate([(2, 7), (0, 3), (4, 5)]):
        alone = np.asarray(pad(x[i : i + 1, first * repeats : last * repeats]))[0]
        start = first * repeats  # of the padded clip in the padded array
        np.testing.assert_array_equal(padded[i, start : start + len(alone)], alone)


@pytest.mark.parametrize("left", [0, 2, 3, 5])
def test_the_place_of_a_convolution_is_free(left):
    x = np.random.default_rng(0).standard_normal((1, 20, 3)).astype(np.float32)
    module = layers.Conv1d(4, 10, stride=5, left=left)
    variables = jax.device_get(jax.jit(module.init)(jax.random.key(0), x))
    kernel = variables["params"]["kernel"]
    expected = jax.lax.conv_general_dilated(
        x, kernel, (5,), [(left, 5 - left)], dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(jax.jit(module.apply)(variables, x), expected, atol=1e-5)
    up = layers.ConvTranspose1d(4, 5, left=left)
    variables = jax.device_get(jax.jit(up.init)(jax.random.key(0), x))
    wide = np.zeros((1, 21 * 5, 4), np.float32)
    for frame in range(20):
        wide[0, frame * 5 : frame * 5 + 10] += np.einsum("c,ncf->nf", x[0, frame], variables["params"]["kernel"])
    np.testing.assert_allclose(jax.jit(up.apply)(variables, x), wide[:, left : left + 100], atol=1e-5)


@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_a_dilated_depthwise_convolution_is_the_textbook_one(dilation):
    x = np.random.default_rng(0).standard_normal((2, 40, 3)).astype(np.float32)
    module = layers.DepthwiseConv1d(7, dilation=dilation)
    variables = jax.device_get(jax.jit(module.init)(jax.random.key(0), x))
    expected = jax.lax.conv_general_dilated(
        x,
        variables["params"]["kernel"][:, None],
        (1,),
        [(3 * dilation, 3 * dilation)],
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(jax.jit(module.apply)(variables, x), expected, atol=1e-5)
    assert module.inputs(layers.Span(10, 12)) == layers.Span(10 - 3 * dilation, 12 + 3 * dilation)
