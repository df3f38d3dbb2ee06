"""Checkpoint keys and linen parameters: layouts by their definition, weight norm by its formula, errors by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import CheckpointError
from zoo.published import keymap
from zoo.published.keymap import (
    CONV,
    CONV_TRANSPOSE,
    DENSE_AS_CONV,
    DEPTHWISE,
    LINEAR,
    PLAIN,
    SNAKE,
    VECTOR,
    Entry,
    KeyMap,
    Layout,
)

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("layout", "shape", "at"),  # at: index there -> index here
    [
        (CONV, (2, 3, 4), lambda o, i, k: (k, i, o)),
        (CONV_TRANSPOSE, (2, 3, 4), lambda i, o, k: (k, i, o)),
        (DEPTHWISE, (3, 1, 5), lambda c, _, k: (k, c)),
        (LINEAR, (2, 3), lambda o, i: (i, o)),
        (DENSE_AS_CONV, (2, 3), lambda o, i: (0, i, o)),
        (SNAKE, (1, 3, 1), lambda _, c, __: (c,)),
        (VECTOR, (3,), lambda c: (c,)),
        (PLAIN, (2, 3), lambda a, b: (a, b)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_layout_puts_every_element_where_it_belongs_and_back(layout, shape, at):
    there = normal(*shape)
    here = layout.read(there)
    assert here.size == there.size
    for index in np.ndindex(shape):
        assert here[at(*index)] == there[index]
    (again,) = layout.write(here)
    np.testing.assert_array_equal(again, there)


def small() -> tuple[KeyMap, dict, dict[str, np.ndarray]]:
    """A map, a template, and a checkpoint without weight norm."""
    entries = (
        Entry("conv/kernel", ("conv.weight",), CONV),
        Entry("conv/bias", ("conv.bias",), VECTOR),
        *(Entry("books", (f"book.{i}.weight",), LINEAR, i) for i in range(3)),
        Entry("mean", ("sum", "count"), Layout("MEAN", lambda a, n: a / n, lambda m: (m, np.float32(1).reshape(())))),
    )
    template = {
        "conv": {"kernel": np.zeros((5, 3, 4), np.float32), "bias": np.zeros(4, np.float32)},
        "books": np.zeros((3, 6, 2), np.float32),
        "mean": np.zeros(7, np.float32),
    }
    weights = {"conv.weight": normal(4, 3, 5), "conv.bias": normal(4), "sum": normal(7), "count": np.float32(2)}
    weights |= {f"book.{i}.weight": normal(2, 6) for i in range(3)}
    return KeyMap(entries, ignored=(r"\.steps$",)), template, weights


def test_every_parameter_is_filled_from_its_keys():
    layout, template, weights = small()
    params = keymap.to_params(weights, layout, template)
    np.testing.assert_array_equal(params["conv"]["kernel"], weights["conv.weight"].transpose(2, 1, 0))
    np.testing.assert_array_equal(params["books"][1], weights["book.1.weight"].T)
    np.testing.assert_array_equal(params["mean"], weights["sum"] / 2)
    assert params.keys() == template.keys()
    # not views of what they were made of
    weights["conv.bias"][:] = 0
    assert np.all(params["conv"]["bias"])


def test_parameters_have_the_types_of_the_template():
    layout, template, weights = small()
    params = keymap.to_params({key: np.asarray(w, np.float64) for key, w in weights.items()}, layout, template)
    assert {leaf.dtype.name for leaf in keymap.flatten(params).values()} == {"float32"}


@pytest.mark.parametrize("weight_norm", [None, "legacy", "parametrized"])
def test_what_is_written_is_read_to_the_bit(weight_norm):
    layout, template, weights = small()
    weights["conv.weight"][1] = 0
    layout = KeyMap(layout.entries, weight_norm=weight_norm, written=(Entry("conv/bias", ("average",), VECTOR),))
    params = keymap.to_params(weights, layout, template)
    written = keymap.from_params(params, layout)
    names = {
        None: {"conv.weight"},
        "legacy": {"conv.weight_g", "conv.weight_v"},
        "parametrized": {f"conv.parametrizations.weight.original{i}" for i in (0, 1)},
    }[weight_norm]
    assert written.keys() == weights.keys() - {"conv.weight"} | names | {"average"}  # books have but two axes
    assert all(np.isfinite(array).all() for array in written.values())
    again = keymap.flatten(keymap.to_params(written, layout, template))
    for path, leaf in keymap.flatten(params).items():
        np.testing.assert_array_equal(again[path], leaf, err_msg=path)
    written.pop("average")  # which is for others
    keymap.to_params(written, layout, template)


def test_weight_norm_is_written_for_the_modules_that_are_named():
    layout, template, weights = small()
    layout = KeyMap(layout.entries, weight_norm="legacy", weight_norm_keys=(r"^book\.[02]$",))
    written = keymap.from_params(keymap.to_params(weights, layout, template), layout)
    assert {key for key in written if key.endswith("_g")} == {"book.0.weight_g", "book.2.weight_g"}
    assert written["book.0.weight_g"].shape == (2, 1)
    np.testing.assert_allclose(written["book.0.weight_g"][:, 0], np.linalg.norm(weights["book.0.weight"], axis=1))


@pytest.mark.parametrize("prefix", ["", "a.b_g.c."])
@pytest.mark.parametrize(
    "spelling", [("weight_g", "weight_v"), tuple(f"parametrizations.weight.original{i}" for i in (0, 1))]
)
def test_weight_norm_is_folded_in_every_spelling(prefix, spelling):
    gain, direction = normal(4, 1, 1), normal(4, 3, 5)
    folded = keymap.fold_weight_norm({prefix + spelling[0]: gain, prefix + spelling[1]: direction, "x_v": gain})
    assert folded.keys() == {f"{prefix}weight", "x_v"}
    length = np.sqrt((direction.astype(np.float64) ** 2).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(folded[f"{prefix}weight"], gain * direction / length, rtol=1e-6)
    lone = keymap.fold_weight_norm({prefix + spelling[0]: gain})
    assert list(lone) == [prefix + spelling[0]]


def test_a_gain_of_all_of_a_weight_is_folded():
    direction = normal(4, 3)
    folded = keymap.fold_weight_norm({"weight_g": np.float32(3).reshape(()), "weight_v": direction})
    np.testing.assert_allclose(np.linalg.norm(folded["weight"]), 3, rtol=1e-6)


def test_a_gain_of_another_weight_is_refused():
    with pytest.raises(CheckpointError, match=r"x\.weight_g \(4, 1\)"):
        keymap.fold_weight_norm({"x.weight_g": normal(4, 1), "x.weight_v": normal(4, 3, 5)})


def test_keys_that_are_missing_extra_or_misshaped_are_named():
    layout, template, weights = small()
    weights["conv.bias"] = normal(5)
    weights["sum"] = normal(2, 7)
    weights["book.1.weight"] = normal(3)
    weights |= {"extra": normal(1), "book.9.weight": normal(2, 6), "conv.steps": normal(1)}
    del weights["count"]
    with pytest.raises(CheckpointError) as caught:
        keymap.to_params(weights, layout, template)
    message = str(caught.value)
    assert "missing keys: count;" in message
    assert "conv.bias (5,) does not fit conv/bias (4,) as VECTOR" in message
    assert "book.1.weight (3,) does not fit books (6, 2) as LINEAR" in message
    assert "extra keys: extra, book.9.weight" in message
    assert "steps" not in message


@pytest.mark.parametrize(
    ("poison", "words"),
    [
        (lambda x: np.round(100 * x).astype(np.int8), "is of type int8, not float32"),
        (lambda x: x > 0, "is of type bool, not float32"),
        (lambda x: np.where(x == x.max(), np.nan, x), "holds NaN or infinity"),
        (lambda x: np.where(x == x.max(), -np.inf, x), "holds NaN or infinity"),
        (lambda x: np.where(x == x.max(), 1e300, x.astype(np.float64)), "holds NaN or infinity"),
    ],
    ids=["quantised", "bool", "NaN", "infinity", "beyond float32"],
)
def test_what_is_no_weight_is_not_taken_for_one(poison, words):
    layout, template, weights = small()
    keymap.to_params({**weights, "conv.bias": weights["conv.bias"].astype(np.float64)}, layout, template)
    with pytest.raises(CheckpointError, match=rf"^meaningless keys: conv\.bias \({words}\)$"):
        keymap.to_params({**weights, "conv.bias": poison(weights["conv.bias"])}, layout, template)


def test_a_weight_that_is_there_twice_is_refused():
    pair = {"x.weight_g": normal(4, 1, 1), "x.weight_v": normal(4, 3, 5)}
    with pytest.raises(CheckpointError, match=r"^x\.weight is there twice: as it is, and as x\.weight_g and"):
        keymap.fold_weight_norm({"x.weight": normal(4, 3, 5), **pair})
    with pytest.raises(CheckpointError, match=r"^meaningless keys: x\.weight_v \(is of type int8, not float32\)$"):
        keymap.fold_weight_norm({**pair, "x.weight_v": np.ones((4, 3, 5), np.int8)})


def test_of_many_keys_the_first_are_named_and_the_others_counted():
    layout, template, _ = small()
    with pytest.raises(CheckpointError, match=r"missing keys: conv\.weight, conv\.bias, book\.0\.weight and 4 more$"):
        keymap.to_params({}, layout, template)


def test_a_map_that_is_not_of_this_module_is_refused():
    layout, template, weights = small()
    with pytest.raises(CheckpointError, match="any for other"):
        keymap.to_params(weights, layout, {**template, "other": np.zeros(2)})
    del template["mean"]
    with pytest.raises(CheckpointError, match=r"sum\+count \(there is no parameter mean\)"):
        keymap.to_params(weights, layout, template)
    layout, template, weights = small()
    template["books"] = np.zeros((4, 6, 2), np.float32)
    with pytest.raises(CheckpointError, match="books is a stack of 4, of which 3 were given"):
        keymap.to_params(weights, layout, template)


def test_mismatches_are_the_keys_too_few_and_too_many():
    layout, _, weights = small()
    assert keymap.mismatches(weights, layout) == 0
    normed = {key: value for key, value in weights.items() if key != "conv.weight"}
    assert keymap.mismatches({**normed, "conv.weight_g": 0, "conv.weight_v": 0, "a.steps": 0}, layout) == 0
    assert keymap.mismatches({**normed, "other": 0}, layout) == 2


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1)))
@settings(max_examples=50, deadline=None)
def test_a_flattened_tree_is_built_again(tree):
    if isinstance(tree, dict):
        assert keymap.unflatten(keymap.flatten(tree)) == tree
