"""The expected number of false pairs: by hand, its growth, and against pairs that are counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.cleaning import duplicates, false_pairs, hashing, neighbours
from pipeline.cleaning.false_pairs import expected
from pipeline.params import DedupeParams

USUAL = DedupeParams(near_distance=6, loose_distance=10, correlation=0.85, mirrored=True)


def by_name(params: DedupeParams, count: int) -> dict[str, false_pairs.FalsePairs]:
    return {row.name: row for row in expected(params, count)}


def test_the_numbers_of_fourteen_thousand_pictures_by_hand():
    pairs = 14_000 * 13_999 / 2
    near, loose, correlation = expected(USUAL, 14_000)
    assert near.value == 6 and near.candidates == pytest.approx(4e-9 * pairs)
    # Published for this size: 0.4 within 6 bits, 39 within 10.
    assert near.candidates == pytest.approx(0.39, abs=0.01)
    assert correlation.candidates == pytest.approx(39.2, abs=0.1)
    certain = false_pairs.ALIKE[0.75] * 4e-9
    probable = (4e-7 - 4e-9) * 0.0056
    assert near.after == pytest.approx(certain * pairs)
    assert correlation.after == pytest.approx((certain + probable) * pairs)
    assert loose.candidates == pytest.approx(4e-7 * false_pairs.TIMES[True] * pairs)
    changed = false_pairs.CHANGED[10]
    assert loose.after == pytest.approx((certain + probable + changed) * pairs)


@pytest.mark.parametrize("count", [2, 1000, 14_000, 10**8])
def test_they_grow_as_the_number_of_pairs(count):
    one = expected(USUAL, 2)
    for small, large in zip(one, expected(USUAL, count), strict=True):
        times = count * (count - 1) / 2
        assert large.candidates == pytest.approx(small.candidates * times)
        assert large.after == pytest.approx(small.after * times)
        assert large.at_most == pytest.approx(small.at_most * times)


def test_fewer_than_two_pictures_are_no_pair():
    assert all(row.candidates == row.after == 0 for n in (0, 1) for row in expected(USUAL, n))


@pytest.mark.parametrize("mirrored", [False, True])
def test_looser_thresholds_let_more_through(mirrored):
    def series(name: str, values) -> list[false_pairs.FalsePairs]:
        base = dataclasses.replace(USUAL, mirrored=mirrored)
        return [by_name(dataclasses.replace(base, **{name: v}), 14_000)[name] for v in values]

    for name, values in (
        ("near_distance", range(21)),
        ("loose_distance", range(21)),
        ("correlation", np.linspace(1, 0, 21)),
    ):
        rows = series(name, values)
        for column in ("candidates", "after", "at_most"):
            got = [getattr(row, column) for row in rows]
            assert (np.diff(got) >= 0).all(), (name, column)


def test_the_look_at_the_pixels_only_takes_away_and_limits_lie_above():
    for near in range(0, 21, 2):
        for loose in range(0, 21, 2):
            params = dataclasses.replace(USUAL, near_distance=near, loose_distance=loose)
            for row in expected(params, 1000):
                assert 0 < row.after <= row.candidates and row.after <= row.at_most, row


def test_a_mirror_makes_more():
    with_it, without = (
        by_name(dataclasses.replace(USUAL, mirrored=m), 1000)["loose_distance"]
        for m in (True, False)
    )
    assert with_it.candidates > 1.5 * without.candidates and with_it.after > without.after


def test_the_least_likeness_of_certain_pairs_is_that_of_the_rules():
    assert false_pairs._LEAST_ALIKE == duplicates._LEAST_ALIKE


def test_pairs_of_unlike_drawn_pictures_are_as_frequent_as_expected(pictures):
    """Counted anew, on pictures that no rate comes from: 45,000 pairs show the looser distances."""
    greys = [pictures.photo(seed, (64, 64)).convert("L").resize((32, 32)) for seed in range(300)]
    codes = hashing.phash(np.stack([np.asarray(grey) for grey in greys]))
    loosest = dataclasses.replace(USUAL, near_distance=20, loose_distance=20)
    for bits in (16, 18, 20):
        found = len(neighbours.within(codes, bits)[0])
        row = by_name(dataclasses.replace(loosest, near_distance=bits), 300)["near_distance"]
        assert row.candidates / 2.5 < found < 2.5 * row.candidates, bits
    assert len(neighbours.within(codes, 10)[0]) == 0
