"""Oracles of copying: a generator that replays scores as copying, fresh pictures do not."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.memorisation import TrainingFeatures, authpct, ct, mifid_factor


def normal(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> TrainingFeatures:
    plain = normal(300, 0)
    return TrainingFeatures(plain, plain * np.array([-1, 1, 1, 1, 1, 1], np.float32))


def test_a_replay_is_nearest_to_itself_and_a_mirrored_one_is_marked(known):
    found = known.nearest(known.plain[[4, 9]])
    assert found.index.tolist() == [4, 9]
    assert found.distance.tolist() == [0, 0] and not found.mirrored.any()
    found = known.nearest(known.mirrored[[7]])
    assert found.index.tolist() == [7] and found.mirrored.all()


def test_a_training_picture_does_not_count_as_its_own_neighbour_nor_does_its_mirror_image(known):
    both = np.stack([known.plain, known.mirrored]).astype(float)
    table = np.linalg.norm(known.plain[None, :, None].astype(float) - both[:, None], axis=3)
    table[:, np.arange(300), np.arange(300)] = np.inf
    assert known.own_distances() == pytest.approx(table.min(axis=(0, 2)), rel=1e-5)


@pytest.mark.parametrize("side", ["plain", "mirrored"])
@pytest.mark.parametrize("noise", [0, 0.02])
def test_replays_and_near_replays_are_copies_by_all_three(known, side: str, noise: float):
    replay = getattr(known, side)[:100] + noise * normal(100, 5)
    nearest = known.nearest(replay)
    assert authpct(nearest, known.own_distances()) < 5
    assert ct(nearest.distance, known.nearest(normal(80, 2)).distance) < -8
    assert known.cosine(replay) < 0.001
    assert mifid_factor(known.cosine(replay)) > 100


def test_fresh_vectors_are_none_by_any(known):
    nearest = known.nearest(normal(200, 1))
    assert authpct(nearest, known.own_distances()) == pytest.approx(50, abs=10)
    assert abs(ct(nearest.distance, known.nearest(normal(80, 2)).distance)) < 3
    assert known.cosine(normal(200, 1)) > 0.02


def test_the_more_is_replayed_the_more_it_shows(known):
    fresh, own = normal(100, 1), known.own_distances()
    held_out = known.nearest(normal(80, 2)).distance
    values = []
    for share in (0, 25, 50, 100):
        mixed = np.concatenate([known.plain[:share], fresh[share:]])
        nearest = known.nearest(mixed)
        values.append((authpct(nearest, own), ct(nearest.distance, held_out), known.cosine(mixed)))
    for column in zip(*values, strict=True):
        assert list(column) == sorted(column, reverse=True) and len(set(column)) == 4


def test_ct_is_the_z_score_of_scipys_test():
    from scipy.stats import mannwhitneyu, norm

    a, b = (
        np.random.default_rng(0).exponential(size=60),
        np.random.default_rng(1).exponential(1.5, 40),
    )
    p = mannwhitneyu(a, b, alternative="less", method="asymptotic", use_continuity=False).pvalue
    assert ct(a, b) == pytest.approx(norm.ppf(p))
    assert ct(a, a) == 0


def test_the_factor_of_mifid_is_one_where_nothing_is_amiss():
    assert mifid_factor(0.1) == mifid_factor(0.5) == 1
    assert mifid_factor(0.05) == pytest.approx(20)


def test_blocks_change_nothing(known, monkeypatch):
    queries = normal(40, 8)
    whole = known.nearest(queries), known.own_distances(), known.cosine(queries)
    monkeypatch.setattr("pipeline.evaluation.memorisation._BLOCK", 7)
    assert (known.nearest(queries).index == whole[0].index).all()
    assert known.own_distances() == pytest.approx(whole[1])
    assert known.cosine(queries) == pytest.approx(whole[2], abs=1e-6)


def test_only_the_pictures_that_are_asked_for_are_compared(known):
    whole, asked = known.own_distances(), np.array([3, 7, 290])
    some = known.own_distances(asked)
    assert some[asked] == pytest.approx(whole[asked])
    assert np.isnan(np.delete(some, asked)).all()
