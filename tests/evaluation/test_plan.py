from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.plan import noise_seed, plan_samples, proportional


def test_equal_breeds_get_equal_shares():
    plan = plan_samples(np.full(6, 60), 192, 8, seed=0)
    assert np.bincount(plan.labels).tolist() == [32] * 6
    assert plan.measured.sum() == 192
    assert np.bincount(plan.labels[plan.shown]).tolist() == [8] * 6


def test_unequal_breeds_get_their_proportion_and_two_at_least():
    assert proportional(np.array([600, 300, 3, 0]), 100, least=2).tolist() == [64, 32, 2, 2]
    assert proportional(np.array([1, 1, 1]), 10, least=2).tolist() == [4, 3, 3]
    assert proportional(np.array([0, 0]), 8, least=2).tolist() == [4, 4]


@pytest.mark.parametrize("total", [12, 13, 100, 191])
def test_the_shares_always_add_up(total: int):
    for seed in range(20):
        counts = np.random.default_rng(seed).integers(0, 1000, 6)
        shares = proportional(counts, total, least=2)
        assert shares.sum() == total and shares.min() >= 2


def test_a_grid_wider_than_the_share_draws_more_without_measuring_them():
    plan = plan_samples(np.array([10, 10]), 6, 5, seed=0)
    assert len(plan.labels) == 10
    assert plan.measured.sum() == 6 and plan.shown.sum() == 10


def test_more_samples_leave_the_first_ones_as_they_were():
    small, large = (plan_samples(np.array([5, 5]), n, 4, seed=3) for n in (8, 40))
    first = [s for s, shown in zip(large.seeds, large.shown, strict=True) if shown]
    assert first == [s for s, shown in zip(small.seeds, small.shown, strict=True) if shown]


def test_no_two_samples_share_their_noise():
    plan = plan_samples(np.full(20, 9), 1000, 8, seed=0)
    assert len(set(plan.seeds)) == len(plan.seeds)
    assert noise_seed(0, 1, 2) != noise_seed(1, 1, 2)
    assert all(0 <= seed < 2**53 for seed in plan.seeds)


def test_too_few_samples_for_the_breeds_is_one_clear_line():
    with pytest.raises(PipelineError, match=r"evaluate\.samples: got 6.*4 breeds.*at least 8"):
        plan_samples(np.full(4, 9), 6, 8, seed=0)
