"""Operations of programs against closed forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from evaluate.bench import operations


def array(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def of_layer(layer, x: jax.ShapeDtypeStruct) -> float:
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)
    return operations.of(layer.apply, variables, x)


def test_products_of_matrices():
    assert operations.of(jnp.matmul, array(7, 11), array(11, 13)) == 2 * 7 * 11 * 13
    assert operations.of(jax.jit(jnp.matmul), array(5, 7, 11), array(5, 11, 13)) == 2 * 5 * 7 * 11 * 13
    assert operations.of(lambda x: jnp.sin(x) + 1, array(7)) == 0


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(groups):
    layer = nn.Conv(12, (5,), feature_group_count=groups, use_bias=False)
    assert of_layer(layer, array(2, 50, 10)) == 2 * (2 * 50) * 5 * (10 // groups) * 12


def test_zeros_between_the_samples_of_a_transposed_convolution_do_not_count():
    # each frame meets each of the kernel's numbers once; at the ends there are a few more outputs
    layer = nn.ConvTranspose(12, (6,), (3,), padding=((5, 2),), use_bias=False)
    assert of_layer(layer, array(2, 50, 10)) == pytest.approx(2 * (2 * 50) * 6 * 10 * 12, rel=0.02)


def test_a_round_of_a_scan_counts_as_often_as_it_runs():
    def run(state, kernel):
        return jax.lax.scan(lambda s, _: (s @ kernel, None), state, length=9)[0]

    assert operations.of(run, array(3, 4), array(4, 4)) == 9 * 2 * 3 * 4 * 4
    # and backwards twice for each
    gradient = jax.grad(lambda kernel, state: run(state, kernel).sum())
    assert operations.of(gradient, array(4, 4), array(3, 4)) == 3 * 9 * 2 * 3 * 4 * 4


def test_the_dearer_branch_counts():
    def run(which, x):
        return jax.lax.cond(which, lambda x: x @ x, lambda x: x @ x @ x, x)

    assert operations.of(run, jax.ShapeDtypeStruct((), bool), array(6, 6)) == 2 * 2 * 6**3


def test_all_devices_count():
    mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
    mapped = jax.shard_map(lambda x, w: x @ w, mesh=mesh, in_specs=(PartitionSpec("data"), PartitionSpec()),
                           out_specs=PartitionSpec("data"))  # fmt: skip
    assert operations.of(jax.jit(mapped), array(8, 5), array(5, 3)) == 2 * 8 * 5 * 3
