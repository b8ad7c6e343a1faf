from __future__ import annotations

import numpy as np

from pipeline.evaluation.quick import EACH, quick_figures, quick_reference


def test_the_quick_figures_fall_as_the_pictures_get_better(train, fresh, damage):
    few, reference = fresh.images[:32], train.images[:128]
    poor, better, good = (
        quick_figures(images, reference) for images in (few // 2 + 90, damage["blur"](few, 1), few)
    )
    for name in ("quick/swd", "quick/spectrum"):
        assert good[name] < better[name] and good[name] < poor[name]
    assert good["quick/colour"] < poor["quick/colour"]


def test_without_pictures_there_are_no_figures(train):
    assert quick_figures(train.images[:1], train.images) == {}
    assert quick_figures(train.images[:8], train.images[:0]) == {}


def test_the_reference_is_of_the_shown_breeds_in_equal_numbers_and_of_training_rows(train):
    among = np.arange(0, 240, 2)
    labels = np.repeat(np.arange(4), 60)
    images = np.arange(240, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    found = quick_reference(images, labels, among, 3)[:, 0, 0, 0]
    assert len(found) == len(set(found.tolist())) and set(found.tolist()) <= set(among.tolist())
    assert np.bincount(labels[found]).tolist() == [min(EACH, 30)] * 3
    assert len(quick_reference(images, labels, among[:0], 3)) == 0
