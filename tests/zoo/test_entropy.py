"""Tables and range coder: exact round trips of random codes, and sizes against the ideal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.bitstream import entropy, tables

some = settings(max_examples=40, deadline=None, derandomize=True)

alphabets = st.lists(st.integers(1, 300), min_size=1, max_size=6)


def skewed_codes(sizes, n_frames, seed):
    """Random codes (n_frames, Q) of which each column has its own random, uneven distribution."""
    rng = np.random.default_rng(seed)
    columns = [rng.choice(size, n_frames, p=rng.dirichlet(np.full(size, rng.uniform(0.05, 2)))) for size in sizes]
    return np.stack(columns, -1).astype(np.int32)


@some
@given(alphabets, st.integers(0, 400), st.integers(0, 2**20))
def test_codes_come_back_exactly_and_cost_what_they_should(sizes, n_frames, seed):
    codes = skewed_codes(sizes, n_frames, seed)
    # tables of other frames: every symbol must be codable, also those that were never seen
    fitted = tables.fit(tables.count(skewed_codes(sizes, 50, seed), sizes), sizes)
    payload = entropy.encode(codes, fitted)
    np.testing.assert_array_equal(entropy.decode(payload, fitted, n_frames, len(sizes)), codes)
    ideal_bytes = tables.ideal_bits(codes, fitted) / 8
    assert ideal_bytes * 0.995 - 8 <= len(payload) <= ideal_bytes * 1.005 + 8


@some
@given(alphabets, st.integers(0, 400), st.integers(0, 2**20))
def test_fewer_codes_use_the_first_rows(sizes, n_frames, seed):
    codes = skewed_codes(sizes, n_frames, seed)
    fitted = tables.fit(tables.count(codes, sizes), sizes)
    for q in range(len(sizes) + 1):
        payload = entropy.encode(codes[:, :q], fitted)
        np.testing.assert_array_equal(entropy.decode(payload, fitted, n_frames, q), codes[:, :q])


@some
@given(alphabets, st.integers(0, 2**20), st.sampled_from([0, 1, 1000, 10**12]))
def test_every_row_sums_to_the_total_and_leaves_no_symbol_out(sizes, seed, scale):
    counts = np.zeros((len(sizes), max(sizes)), np.int64)
    rng = np.random.default_rng(seed)
    for q, size in enumerate(sizes):
        counts[q, :size] = scale * rng.dirichlet(np.full(size, 0.1))
    fitted = tables.fit(counts, sizes)
    assert fitted.dtype == np.int32
    np.testing.assert_array_equal(fitted.sum(-1), 2**24)
    for q, size in enumerate(sizes):
        assert fitted[q, :size].min() >= 1
        assert not fitted[q, size:].any()


def test_counts_are_occurrences():
    codes = np.array([[0, 2], [1, 2], [1, 0]], np.int32)
    np.testing.assert_array_equal(tables.count(codes, (2, 3)), [[1, 2, 0], [1, 0, 2]])
    np.testing.assert_array_equal(tables.count(codes[:0], (2, 3)), np.zeros((2, 3)))


def test_a_table_costs_little_more_than_the_entropy():
    sizes = (16, 1024)
    codes = skewed_codes(sizes, 50_000, 0)
    counts = tables.count(codes, sizes)
    p = counts / len(codes)
    entropy_bits = -(p * np.log2(np.where(p > 0, p, 1.0))).sum() * len(codes)
    ideal = tables.ideal_bits(codes, tables.fit(counts, sizes))
    assert entropy_bits <= ideal <= 1.005 * entropy_bits


def test_ideal_bits_are_minus_log2_of_the_frequencies():
    table = np.array([[2**23, 2**22, 2**22, 0], [2**24 - 1, 1, 0, 0]], np.int32)
    codes = np.array([[0, 0], [1, 1], [2, 0]], np.int32)
    expected = (1 + 2 + 2) + 24 - 2 * np.log2(1 - 2**-24)
    assert tables.ideal_bits(codes, table) == pytest.approx(expected)


def test_a_fair_coin_costs_a_bit():
    codes = np.random.default_rng(0).integers(0, 2, (80_000, 1)).astype(np.int32)
    payload = entropy.encode(codes, np.array([[2**23, 2**23]], np.int32))
    assert abs(len(payload) - 10_000) <= 8
