from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.evaluation.diversity import diversity, uniqueness


def test_fresh_pictures_are_as_diverse_as_training_pictures(train, fresh):
    sides = (fresh.images, fresh.labels, train.images, train.labels)
    assert diversity(*sides) == pytest.approx(1, abs=0.1)
    assert uniqueness(*sides, seed=0) == pytest.approx(1, abs=0.1)


def test_a_set_against_itself_is_one(train):
    sides = (train.images, train.labels, train.images, train.labels)
    assert diversity(*sides) == pytest.approx(1)
    assert uniqueness(*sides, seed=0) == pytest.approx(1)


def test_mode_collapse_lowers_both_and_repeats_lower_uniqueness_first(train, fresh, damage):
    labels = fresh.labels
    values = {}
    for modes in (120, 60, 16, 4):
        images = damage["collapse"](fresh.images, modes)
        sides = (images, labels, train.images, train.labels)
        values[modes] = diversity(*sides), uniqueness(*sides, seed=0)
    spread = [value[0] for value in values.values()]
    assert spread == sorted(spread, reverse=True)
    assert spread[1] > 0.9  # half the pictures repeated: hardly seen by the spread
    assert values[60][1] < 0.01
    assert values[4] == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_pictures_pulled_towards_their_mean_are_less_diverse(train, fresh):
    mean = fresh.images.mean(axis=0)
    values = [
        diversity(
            (mean + pull * (fresh.images - mean)).astype(np.uint8),
            fresh.labels,
            train.images,
            train.labels,
        )
        for pull in (1, 0.7, 0.4)
    ]
    assert values == pytest.approx([1, 0.7, 0.4], abs=0.1)


def test_the_counts_of_the_two_sides_do_not_matter(train, fresh):
    few = (fresh.images[:24], fresh.labels[:24], train.images, train.labels)
    assert diversity(*few) == pytest.approx(1, abs=0.2)
    assert uniqueness(*few, seed=0) == pytest.approx(1, abs=0.2)


def test_single_pictures_have_no_diversity_to_speak_of(train):
    assert math.isnan(diversity(train.images[:4], train.labels[:4], train.images, train.labels))


def test_of_very_many_pictures_a_part_is_enough(train, fresh, monkeypatch):
    sides = (fresh.images, fresh.labels, train.images, train.labels)
    whole = diversity(*sides)
    monkeypatch.setattr("pipeline.evaluation.diversity.MOST", 20)
    assert diversity(*sides) == pytest.approx(whole, abs=0.1)
