"""Distances of feature vectors against plain loops, closed forms and known cases."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation import feature_distances as module
from pipeline.evaluation.feature_distances import (
    frechet,
    kid,
    mind,
    neighbourhoods,
    squared_distances,
)


def normal(count: int, width: int = 8, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, width)) + shift
    return drawn.astype(np.float32)


def test_kid_is_the_u_statistic_of_a_plain_loop():
    a, b = normal(6), normal(9, seed=1, shift=0.3)
    kernel = lambda x, y: (float(x.astype(float) @ y.astype(float)) / 8 + 1) ** 3  # noqa: E731
    inside = [
        np.mean([kernel(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j])
        for s in (a, b)
    ]
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert kid(a, b) == pytest.approx(sum(inside) - 2 * between)


def test_kid_is_zero_on_average_for_equal_sources_at_unequal_counts():
    values = [kid(normal(20, seed=2 * k), normal(50, seed=2 * k + 1)) for k in range(200)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error


def test_kid_of_large_sets_is_the_mean_over_blocks(monkeypatch):
    a, b = normal(120), normal(90, seed=1, shift=0.5)
    whole = kid(a, b)
    monkeypatch.setattr(module, "BLOCK", 40)
    assert kid(a, b) == pytest.approx(whole, rel=0.1)
    assert kid(a, b, seed=3) == kid(a, b, seed=3) != kid(a, b, seed=4)
    assert kid(a, b[:30]) == pytest.approx(kid(b[:30], a), rel=0.1)


def test_kid_to_one_set_is_kid_whatever_was_measured_before(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 40)
    real = normal(90)
    distance = module.KidTo(real, seed=2)
    for fake in (normal(120, seed=1), normal(30, seed=2), normal(31, seed=3)):
        assert distance(fake) == kid(fake, real, seed=2)


def test_mind_of_a_shift_is_its_square_over_the_dimensions():
    """A shift by v moves each projection by v·d, whose square is |v|²/D on average."""
    a = normal(300, 16)
    shift = np.zeros(16, np.float32)
    shift[3] = 4
    # 512 directions: the mean square of one coordinate scatters by about 6 %.
    assert mind(a + shift, a) == pytest.approx(16 / 16, rel=0.2)
    assert mind(a, a) == 0


def test_mind_is_near_zero_for_equal_sources_at_any_count():
    spread = mind(normal(100, seed=1, shift=1), normal(300, seed=2))
    for count in (40, 100):
        assert abs(mind(normal(count, seed=3), normal(300, seed=4))) < spread / 20


def test_frechet_of_two_normals_is_its_closed_form():
    a, b = normal(20_000, 4), 2 * normal(20_000, 4, seed=1) + 1
    assert frechet(a, b) == pytest.approx(4 * 1 + 4 * (1 - 2) ** 2, rel=0.05)
    assert frechet(a, a) == pytest.approx(0, abs=1e-4)


def test_frechet_is_that_of_a_general_matrix_root():
    from scipy.linalg import sqrtm

    a, b = normal(50, 6), normal(70, 6, seed=1) @ normal(6, 6, seed=2)
    c, d = np.cov(a.astype(float), rowvar=False), np.cov(b.astype(float), rowvar=False)
    means = np.square(a.mean(axis=0, dtype=float) - b.mean(axis=0, dtype=float)).sum()
    assert frechet(a, b) == pytest.approx(means + np.trace(c + d - 2 * sqrtm(c @ d).real))


def test_neighbourhoods_are_those_of_a_plain_loop():
    fake, real = normal(12, 3, seed=1, shift=0.7), normal(12, 3)
    table = lambda x, y: np.linalg.norm(x[:, None] - y[None], axis=2)  # noqa: E731
    radius = lambda x, k: np.sort(table(x, x), axis=1)[:, k]  # noqa: E731
    between = table(fake, real)
    found = neighbourhoods(fake, real)
    assert found["precision"] == np.mean([any(row <= radius(real, 3)) for row in between])
    assert found["recall"] == np.mean([any(row <= radius(fake, 3)) for row in between.T])
    assert found["density"] == pytest.approx((between <= radius(real, 5)).sum() / (5 * 12))
    assert found["coverage"] == np.mean(between.min(axis=0) <= radius(real, 5))


def test_the_order_is_fake_then_real():
    """Fakes in one of two real clusters: all of them look real, half of the real is missed."""
    real = np.concatenate([normal(40, seed=1), normal(40, seed=2, shift=50)])
    found = neighbourhoods(normal(80, seed=3), real)
    assert found["precision"] > 0.7 and 0.4 < found["recall"] < 0.6
    assert found["density"] > 0.5 and 0.4 < found["coverage"] < 0.6
    swapped = neighbourhoods(real, normal(80, seed=3))
    assert (swapped["precision"], swapped["recall"]) == (found["recall"], found["precision"])


def test_equal_counts_make_the_floor_comparable():
    """Coverage by 30 of 30 and by 240 of 240 fakes, in blocks of 30, is the same quantity."""
    real = normal(300, 4)
    few, many = (neighbourhoods(normal(n, 4, seed=5), real, 30) for n in (30, 240))
    assert few["coverage"] == pytest.approx(many["coverage"], abs=0.15)
    assert neighbourhoods(normal(240, 4, seed=5), real, 240)["coverage"] > 0.85


def test_sets_smaller_than_a_neighbourhood_still_have_figures():
    found = neighbourhoods(normal(2), normal(2, seed=1))
    assert all(np.isfinite(value) for value in found.values())


def test_equal_rows_are_at_distance_exactly_zero():
    a = normal(50, 200, shift=30)
    assert (squared_distances(a, a).diagonal() == 0).all()
    assert squared_distances(a, a)[0, 1] > 0
