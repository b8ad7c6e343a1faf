from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.confusion import confusion_picture
from pipeline.evaluation.montage import GROUND


def test_equal_tables_give_equal_pictures_and_others_do_not():
    counts = np.array([[8, 2, 0], [0, 9, 1], [5, 0, 5]])
    first = confusion_picture(counts, ["a", "b", "c"])
    assert first.dtype == np.uint8 and first.shape[2] == 3
    assert (confusion_picture(counts, ["a", "b", "c"]) == first).all()
    assert (confusion_picture(2 * counts, ["a", "b", "c"]) == first).all()  # shares, not counts
    assert (confusion_picture(counts.T, ["a", "b", "c"]) != first).any()


def test_rows_are_what_was_asked():
    """All samples asked as the first breed, seen as the third: the lit cell is top right."""
    counts = np.zeros((3, 3), int)
    counts[0, 2] = 7
    picture = confusion_picture(counts, ["a", "b", "c"]).astype(int)
    yellow = (picture[..., 0] > 200) & (picture[..., 1] > 200) & (picture[..., 2] < 90)
    y, x = np.nonzero(yellow)
    purple = (abs(picture - np.array([68, 1, 84])) < 12).all(axis=2)
    rows, columns = np.nonzero(purple)
    assert y.max() < np.median(rows) and x.min() > np.median(columns)


@pytest.mark.parametrize("size", [1, 17, 120])
def test_any_number_of_breeds_with_any_names_is_a_picture_of_bounded_size(size: int):
    names = [f"${k} a_{{$ name <b>that is long, really very long</b>" for k in range(size)]
    picture = confusion_picture(np.eye(size, dtype=int), names)
    assert max(picture.shape) <= 1200 and (picture[0, 0] == GROUND).all()
