"""What the collage model is made of: joins of a part, composed layouts, and the line it draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from pipeline.cleaning import cells, seams, sheets, synthesis
from pipeline.cleaning.collage_model import LINE, bend


def bands(full: dict[int, slice]) -> np.ndarray:
    """12 x 100 bands with little everywhere, and steps in some bands of some columns."""
    found = np.full((12, 100), 0.1, np.float32)
    for column, rows in full.items():
        found[rows, column] = 1
    return found


def test_a_join_of_a_part_is_seen_by_the_part():
    part = bands({40: slice(0, 6)})
    four, _, six, _, eight, _ = cells.partial(part)
    assert four == six == pytest.approx(1)
    assert eight < 0.5
    assert cells.span_score(part).max() < 0.5
    left, right = cells.split(part, 6 / 12)
    assert left == pytest.approx(1) and right == pytest.approx(0.1)


def test_even_spacing_needs_every_join():
    score = np.zeros(300)
    score[100] = 0.9
    assert cells.spacing(score) == [0, 0, 0]
    score[203] = 0.8
    assert cells.spacing(score) == [0, pytest.approx(0.8), 0]


def test_what_crosses_a_join_does_not_go_on():
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.normal(128, 30, (200, 1)), 200, axis=1)  # the same in every column
    grey[:, 101:] = rng.normal(128, 30, (200, 1))
    likeness, less, grain = cells.torn(grey.astype(np.float32), [100])
    assert abs(likeness) < 0.3 and less > 0.7 and grain < 0.3
    assert cells.torn(grey.astype(np.float32), [50])[0] > 0.95


@pytest.mark.parametrize(
    "make", [sheets.straight, sheets.captioned, sheets.scattered, sheets.inset]
)
def test_layouts_are_drawn_the_same_from_the_same_seed(pictures, make):
    some = [pictures.photo(seed, (90, 70)) for seed in range(3)]
    for seed in range(12):
        first, second = (make(some, 200, random.Random(seed)) for _ in range(2))
        assert first.mode == "RGB" and min(first.size) >= 50
        assert first.tobytes() == second.tobytes()


def test_an_edited_picture_is_still_that_picture(pictures):
    for seed in range(12):
        sheet = synthesis.edited(pictures.photo(seed), 300, random.Random(seed))
        assert isinstance(sheet, Image.Image)
        assert 300 <= max(sheet.size) <= 450


def test_bent_scores_keep_their_order_and_their_side_of_the_line():
    scores = np.linspace(0, 1, 501)
    for line in (0.5, 0.9, float(np.nextafter(1, 2))):
        bent = bend(scores, line)
        assert (np.diff(bent) >= 0).all() and bent.min() == 0 and bent.max() <= 1
        assert np.array_equal(bent >= LINE, scores >= line)


def test_numbers_are_as_many_as_announced(pictures):
    evidence, _ = seams.evidence(pictures.collage(0, "2x2"))
    assert evidence.features.shape == (seams.COUNT,) and np.isfinite(evidence.features).all()
