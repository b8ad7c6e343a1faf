"""The search is exact: it finds what comparing everything with everything finds."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.cleaning import neighbours


def codes(count: int, seed: int = 0) -> np.ndarray:
    """Random codes with planted neighbours of up to three flipped bits, and equal ones."""
    rng = np.random.default_rng(seed)
    result = rng.integers(0, 2**64, count, dtype=np.uint64)
    tenth = count // 10
    result[:tenth] = result[tenth : 2 * tenth]
    for _ in range(3):
        result[:tenth] ^= np.uint64(1) << rng.integers(0, 64, tenth, dtype=np.uint64)
    result[-3:] = result[0]
    return rng.permutation(result)


def brute(a: np.ndarray, b: np.ndarray, distance: int, upper: bool) -> list[tuple[int, int, int]]:
    d = np.bitwise_count(a[:, None] ^ b[None, :])
    i, j = np.nonzero(d <= distance)
    pairs = zip(i.tolist(), j.tolist(), d[i, j].tolist(), strict=True)
    return [pair for pair in pairs if not upper or pair[0] < pair[1]]


def listed(pairs: neighbours.Pairs) -> list[tuple[int, int, int]]:
    return list(zip(*(column.tolist() for column in pairs), strict=True))


@pytest.mark.parametrize("distance", [0, 1, 4, 6, 10])
def test_all_pairs_and_only_those(distance):
    some = codes(1500)
    assert listed(neighbours.within(some, distance)) == brute(some, some, distance, upper=True)


@pytest.mark.parametrize("distance", [0, 4, 10])
def test_all_pairs_between_two_sets(distance):
    some = codes(900)
    found = neighbours.between(some[:300], some[300:], distance)
    assert listed(found) == brute(some[:300], some[300:], distance, upper=False)


@pytest.mark.parametrize(("distance", "blocks"), [(0, 1), (2, 5), (4, 6), (4, 8), (6, 9)])
def test_the_block_join_equals_the_flat_scan(distance, blocks, monkeypatch):
    some = codes(3000, seed=1)
    joined = neighbours.within(some, distance)
    monkeypatch.setattr(neighbours, "plan", lambda count, distance: blocks)
    assert listed(neighbours.within(some, distance)) == listed(joined)
    monkeypatch.setattr(neighbours, "plan", lambda count, distance: None)
    assert listed(neighbours.within(some, distance)) == listed(joined)


def test_nothing_and_one():
    for count in (0, 1):
        assert listed(neighbours.within(np.zeros(count, np.uint64), 4)) == []
    assert listed(neighbours.between(np.zeros(0, np.uint64), np.zeros(3, np.uint64), 4)) == []


def test_many_pictures_of_one_code_do_not_fill_the_tables():
    same = np.concatenate([np.full(300, 7, np.uint64), codes(2000)])
    assert (
        sum(d == 0 and j < 300 for _, j, d in listed(neighbours.within(same, 4))) == 300 * 299 // 2
    )


def test_large_sets_are_joined_and_small_ones_scanned():
    assert neighbours.plan(1000, 10) is None
    assert neighbours.plan(1_000_000, 4) is not None


@pytest.mark.parametrize(("distance", "blocks"), [(2, 3), (4, 3), (6, 4), (10, 4), (10, 6)])
def test_probed_tables_equal_the_flat_scan(distance, blocks):
    some = codes(1500, seed=2)
    i, j, d = neighbours._probe(some[:900], some[900:], distance, blocks)
    assert listed((i, j, d)) == brute(some[:900], some[900:], distance, upper=False)


@pytest.mark.parametrize("blocks", [3, 4, 6, 11])
def test_the_radii_leave_no_pair_out(blocks):
    """Were every block farther than its radius, more than ``distance`` bits would differ."""
    radii = neighbours._radii(10, blocks)
    assert len(radii) == blocks and sum(radius + 1 for radius in radii) == 11
