"""Rate control: never above the target, as near to it as packets allow, whatever the packets cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from zoo.coding.rate import Constant, Planned, Reservoir, Steered, plan
from zoo.errors import ZooError

pytestmark = pytest.mark.usefixtures("quick_module")

many = settings(max_examples=60, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


def costs(n_packets: int, n_levels: int, seed: int) -> np.ndarray:
    """Bytes (packets, levels) that grow with the level; some packets are ten times as dear as others."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.uniform(20, 60, (n_packets, n_levels)), axis=1) * 10 ** rng.uniform(-1, 0, (n_packets, 1))


@given(n=st.integers(20, 200), n_levels=st.integers(2, 9), share=st.floats(0.001, 1.0), seed=st.integers(0, 99))
@many
def test_a_plan_leaves_less_than_any_further_step_costs(n, n_levels, share, seed):
    sizes = costs(n, n_levels, seed)
    lowest, highest = sizes[:, 0].sum(), sizes[:, -1].sum()
    target = lowest + share * (highest - lowest)
    levels = plan(sizes, n, target / 125 / n)
    spent = sizes[np.arange(n), levels].sum()
    assert spent <= target * (1 + 1e-9)
    steps = np.diff(sizes)
    further = [steps[p, level] for p, level in enumerate(levels) if level + 1 < n_levels]
    assert target - spent < min(further, default=1e-9 * target)
    # so that it is within five per cent where no one packet's step is more than that
    assert spent >= 0.95 * target or steps.max() > 0.05 * target
    assert max(levels) - min(levels) <= 2  # of nearly constant quality


def test_a_plan_says_what_is_possible():
    sizes = np.array([[100.0, 200.0], [300.0, 400.0]])
    assert plan(sizes, 2.0, 2.4) == [1, 1]
    assert plan(sizes, 2.0, 100.0) == [1, 1]
    assert plan(sizes, 2.0, 1.6) == [0, 0]
    with pytest.raises(ZooError, match=r"1\.5 kbps cannot be reached.*1\.60 kbps"):
        plan(sizes, 2.0, 1.5)
    # a single packet climbs as far as it may
    assert plan(np.array([[10.0, 20.0, 30.0, 40.0]]), 1.0, 35 / 125) == [2]


def test_upgrades_are_spread_over_time():
    levels = np.array(plan(np.tile([[100.0, 200.0]], (100, 1)), 100.0, 150 * 100 / 125 / 100))
    assert levels.sum() == 50
    assert all(4 <= part.sum() <= 6 for part in levels.reshape(10, 10))


@given(n=st.integers(1, 120), n_levels=st.integers(2, 9), share=st.floats(0.1, 1.0), seed=st.integers(0, 99))
@many
def test_a_reservoir_never_overdraws(n, n_levels, share, seed):
    sizes = costs(n, n_levels, seed)
    lowest, highest = sizes[:, 0].max(), sizes[:, -1].mean()
    per_packet = lowest + share * max(highest - lowest, 0.0)
    policy = Reservoir(per_packet / 125, n_levels)
    spent = 0.0
    for k, row in enumerate(sizes):
        level = policy.choose(lambda level, row=row: row[level], 1.0)
        policy.spent(int(row[level]))
        spent += row[level]
        assert spent <= (k + 1) * per_packet + k + 1  # (bytes are whole)


def test_a_reservoir_comes_close_to_its_target():
    sizes = costs(600, 8, 3)
    target = sizes.mean()
    policy = Reservoir(target / 125, 8)
    spent = 0.0
    for row in sizes:
        level = policy.choose(lambda level, row=row: row[level], 1.0)
        policy.spent(int(row[level]))
        spent += row[level]
    assert 0.9 * 600 * target < spent <= 600 * target + 600


def test_levels_known_beforehand():
    assert [Constant(3).choose(lambda level: 0.0, 1.0) for _ in range(2)] == [3, 3]
    planned = Planned([2, 0, 1])
    assert [planned.choose(lambda level: 0.0, 1.0) for _ in range(3)] == [2, 0, 1]


def steered(sizes, expected, target):
    policy, spent, levels = Steered(expected, target), 0.0, []
    for row in sizes:
        level = policy.choose(lambda level, row=row: row[level], 1.0)
        policy.spent(int(row[level]))
        spent += row[level]
        levels.append(level)
    return spent, levels


@given(n=st.integers(4, 300), share=st.floats(0.05, 0.95), error=st.floats(0.0, 0.25), seed=st.integers(0, 99))
@many
def test_a_file_is_steered_to_just_below_its_target_by_what_its_packets_cost(n, share, error, seed):
    n_levels = 12
    sizes = 40 * 1.2 ** np.arange(n_levels) * 10 ** np.random.default_rng(seed).uniform(-0.5, 0.5, (n, 1))
    # each packet is expected at another part of its cost, and all together a tenth too cheap
    wrong = 0.9 * np.exp(error * np.random.default_rng(seed + 1).standard_normal((n, 1)))
    wrong[-2:] = 1.0
    target = sizes[:, 0].sum() * 1.3 + share * (sizes[:, -1].sum() - 1.3 * sizes[:, 0].sum())
    spent, levels = steered(sizes, sizes * wrong, target)
    assert spent <= target + n  # bytes are whole
    # one packet's last step is what may be left, and what those before it were wrong by
    assert spent >= 0.95 * target - 0.5 * sizes[-2:].max()
    assert np.std(levels[: n // 2]) < 2


def test_steering_reaches_either_end():
    sizes = np.tile(np.array([10.0, 20.0, 40.0]), (5, 1))
    assert steered(sizes, sizes, 1e9)[1] == [2] * 5
    assert steered(sizes, sizes, 50.0)[1] == [0] * 5
    assert sum(steered(sizes, sizes, 75.0)[1]) == 2
