"""The intervals of bench/cleaning.py, held against closed forms and against known truth."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, norm

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from cleaning_truth import intervals, peers
from cleaning_truth.intervals import Share, found_at, nested, share, threshold_at
from cleaning_truth.parts import Goal


@pytest.mark.parametrize(("hits", "count"), [(30, 60), (90, 100), (198, 200), (12, 2000)])
def test_independent_cases_have_the_binomial_interval(hits, count):
    found = pd.Series([True] * hits + [False] * (count - hits))
    some = share(found, pd.Series(range(count)))
    exact = binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert some.value == hits / count
    # Not narrower, and hardly wider: the number of cases is itself estimated from resamples.
    width = exact.high - exact.low
    assert exact.low - 0.1 * width <= some.low <= exact.low + 0.01 * width
    assert exact.high - 0.01 * width <= some.high <= exact.high + 0.1 * width


def test_many_cases_have_the_percentiles_of_the_bootstrap():
    """Of n independent cases a resample has Binomial(n, hits / n) hits."""
    found = pd.Series([True] * 900 + [False] * 600)
    some = share(found, found.index.to_series())
    low, high = binom.ppf([0.025, 0.975], 1500, 0.6) / 1500
    assert (some.low, some.high) == (pytest.approx(low, abs=3e-3), pytest.approx(high, abs=3e-3))


def test_where_all_or_none_hit_the_limit_is_the_exact_binomial_one():
    for count in (1, 9, 90):
        hits = pd.Series([True] * count)
        exact = binomtest(count, count).proportion_ci(0.95, method="exact")
        assert share(hits, hits.index.to_series()).low == pytest.approx(exact.low)
        assert share(~hits, hits.index.to_series()).high == pytest.approx(1 - exact.low)
        assert share(hits, hits.index.to_series()).high == 1


def test_cases_of_one_photo_count_as_one():
    """Ten copies of each verdict tell nothing new: the interval stays, and does not shrink."""
    hits, group = pd.Series([True] * 80 + [False] * 20), pd.Series(range(100))
    once = share(hits, group)
    ten = share(pd.concat([hits] * 10), pd.concat([group] * 10))
    assert (ten.value, ten.count) == (once.value, 1000)
    assert (ten.low, ten.high) == pytest.approx((once.low, once.high), abs=0.005)


def clustered(rng: np.random.Generator, groups: int, each: int) -> tuple[pd.Series, pd.Series]:
    """Hits whose share differs from group to group: Beta(8, 2), so 0.8 on the whole."""
    chances = rng.beta(8, 2, groups)
    hits = rng.random((groups, each)) < chances[:, None]
    return pd.Series(hits.ravel()), pd.Series(np.repeat(np.arange(groups), each))


@pytest.mark.parametrize(("way", "groups", "each"), [(share, 60, 5), (nested, 10, 20)])
def test_intervals_of_clustered_cases_cover_the_truth(monkeypatch, way, groups, each):
    monkeypatch.setattr(intervals, "_RESAMPLES", 300)
    rng = np.random.default_rng(1)
    trials = [way(*clustered(rng, groups, each)) for _ in range(200)]
    covered = np.mean([some.low <= 0.8 <= some.high for some in trials])
    # 95 % were the ideal, less a little for few groups; a binomial interval would cover far less.
    assert 0.92 <= covered <= 1


def test_the_line_at_a_share_of_false_alarms():
    scores = pd.Series(np.arange(200) / 200)
    assert (scores >= threshold_at(scores, 0.01)).sum() == 2


def test_found_at_a_share_of_false_alarms_covers_the_truth_of_two_normals(monkeypatch):
    """Single photos N(0, 1), collages N(2.5, 1): at 5 % alarms 1 - F(z_0.95 - 2.5) are found."""
    monkeypatch.setattr(intervals, "_RESAMPLES", 200)
    truth = norm.sf(norm.ppf(0.95) - 2.5)
    rng = np.random.default_rng(2)
    covered, widths = [], []
    for _ in range(120):
        photo = np.arange(400)
        singles = pd.DataFrame({"collage": rng.normal(size=400), "photo": photo})
        made = pd.DataFrame({"collage": rng.normal(2.5, 1, 200), "folder": np.arange(200) % 10})
        some = found_at(singles, made, 0.05)
        covered.append(some.low <= truth <= some.high)
        widths.append(some.high - some.low)
    assert 0.91 <= np.mean(covered) <= 1
    # Not by being wide: the files alone would give 2 * 1.96 * sqrt(p q / n).
    assert np.mean(widths) < 3 * 2 * 1.96 * np.sqrt(truth * (1 - truth) / 200)


def test_a_goal_says_whether_its_interval_agrees():
    def met(value: float, low: float, high: float, **to: float) -> str:
        return Goal("", "", Share(value, low, high, 9), **to).met

    assert met(0.99, 0.985, 1, least=0.98) == "yes"
    assert met(0.99, 0.97, 1, least=0.98) == "yes; the interval reaches past it"
    assert met(0.97, 0.96, 0.99, least=0.98) == "no; the interval reaches it"
    assert met(0.9, 0.85, 0.95, least=0.98) == "no"
    assert met(0.0, 0.0, 0.01, most=0.002) == "yes; the interval reaches past it"
    assert met(0.5, 0.4, 0.6) == "–"
    assert Goal("", "", 0, most=0).met == "yes" and Goal("", "", 1, most=0).met == "no"


def test_pairs_named_are_held_against_the_truth():
    truth = pd.DataFrame(
        [("a", "A", "original"), ("a1", "A", "blur"), ("a2", "A", "grey"),
         ("b", "B", "original"), ("b1", "B", "blur"), ("b2", "B", "grey")],
        columns=["path", "photo", "kind"],
    )  # fmt: skip
    table = pd.DataFrame({"path": list(truth["path"]), "cluster": [0, 0, 1, 1, 1, -1]})
    named = peers.cluster_pairs(table)
    assert named == {("a", "a1"), ("a2", "b"), ("a2", "b1"), ("b", "b1")}
    linked, weakest, right = peers.compare(truth, named, ["blur", "grey"])
    assert (linked.value, weakest, right.value) == (0.5, "grey 0.0", 0.5)
