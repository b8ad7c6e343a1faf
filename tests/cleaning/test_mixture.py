"""A mixture taken apart: how many collages, and a line that lets few through."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from pipeline.cleaning.collage_model import FOLDS, USED, cross_fit
from pipeline.cleaning.mixture import MOST, line_at, over, proportion

SINGLE, COLLAGE = beta(2, 8), beta(6, 2)


def mixed(share: float, seed: int, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a set of which ``share`` are collages, and of composed collages."""
    rng = np.random.default_rng(seed)
    some = round(share * count)
    unknown = [SINGLE.rvs(count - some, random_state=rng), COLLAGE.rvs(some, random_state=rng)]
    return np.concatenate(unknown), COLLAGE.rvs(700, random_state=rng)


def let_through(scores: np.ndarray) -> float:
    """The line without any reckoning: what one in a hundred of all reach."""
    return float(np.quantile(scores, 0.99))


@pytest.mark.parametrize("share", [0, 0.05, 0.3])
def test_one_single_picture_in_a_hundred_is_called_a_collage_however_many_there_are(share):
    sets = [mixed(share, seed) for seed in range(30)]
    alarms = [float(SINGLE.sf(line_at(*some, 0.01, 0.0))) for some in sets]
    assert 0.005 < np.mean(alarms) < 0.015 and max(alarms) < 0.04
    found = [float(COLLAGE.sf(line_at(*some, 0.01, 0.0))) for some in sets]
    naive = [float(COLLAGE.sf(let_through(unknown))) for unknown, _ in sets]
    assert np.mean(found) > 0.7
    if share:
        assert np.mean(naive) < 0.3
    else:
        assert np.allclose(found, naive, atol=0.05)


@pytest.mark.parametrize("share", [0, 0.05, 0.3])
def test_the_share_of_collages_is_told(share):
    told = [proportion(*mixed(share, seed)) for seed in range(20)]
    assert abs(np.mean(told) - share) < 0.012


def test_a_clean_set_and_one_without_examples_are_judged_by_the_plain_rule():
    scores = np.linspace(0, 0.5, 1000)
    collages = np.linspace(0.6, 1, 300)
    line = line_at(scores, collages, 0.01, 0.0)
    assert proportion(scores, collages) == 0
    assert 0.009 <= (scores >= line).mean() <= 0.01
    assert line == line_at(scores, collages[:0], 0.01, 0.0)
    assert line_at(scores / 10, collages, 0.01, 0.5) == 0.5
    assert line_at(scores[:0], collages, 0.01, 0.5) == 0.5
    # Alike: a set of nothing but collages is not believed.
    assert proportion(collages, collages) == MOST


def test_a_few_pictures_are_no_evidence_of_collages():
    """Sixty single pictures: one of them on top must not be taken for a collage."""
    for seed in range(20):
        unknown, collages = mixed(0, seed, count=60)
        assert proportion(unknown, collages) < 0.05
        assert (unknown >= line_at(unknown, collages, 0.01, 0.0)).sum() <= 3


def test_shares_are_counted_from_the_place_itself():
    assert over(np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 0.95])).tolist() == pytest.approx(
        [1, 2 / 3, 0]
    )


def test_no_score_knows_another_example_of_its_fold():
    rng = np.random.default_rng(0)
    count = 96
    truth = np.arange(count) % 2 == 0
    folds = np.arange(count) // 4 % FOLDS
    features = rng.normal(size=(count, len(USED))).astype(np.float32)
    features[truth, :20] += 1.5
    use = np.ones(count, bool)
    scores = cross_fit(features, truth, folds, use)
    assert scores[truth].mean() > 0.7 > 0.3 > scores[~truth].mean()
    # Half of a fold becomes something else: the other half must be judged as before.
    other = features.copy()
    changed = (folds == 1) & (np.arange(count) >= count // 2)
    other[changed] = -features[changed]
    again = cross_fit(other, truth, folds, use)
    same = (folds == 1) & ~changed
    assert np.array_equal(scores[same], again[same])
    assert not np.array_equal(scores[folds == 2], again[folds == 2])
