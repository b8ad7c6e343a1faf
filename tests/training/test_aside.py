"""Pictures drawn beside the training come out once, in order, and their errors do too."""

import threading

import numpy as np
import pytest

from pipeline.training.aside import Aside


def picture(value):
    return np.full((2, 2, 3), value, np.uint8)


@pytest.mark.parametrize("wanted", [True, False])
def test_every_picture_comes_out_once_and_in_order(wanted):
    aside = Aside(wanted)
    for nimg in (8, 16, 24):
        aside.draw(nimg, lambda nimg=nimg: picture(nimg))
    found = [*aside.finished(), *aside.finished(wait=True)]
    assert [(nimg, int(image[0, 0, 0])) for nimg, image in found] == [(8, 8), (16, 16), (24, 24)]
    assert list(aside.finished(wait=True)) == []
    aside.close()


def test_nobody_waits_for_a_picture_that_is_being_drawn():
    aside, go = Aside(True), threading.Event()

    def slow():
        assert go.wait(60)
        return picture(1)

    aside.draw(8, slow)
    assert list(aside.finished()) == []  # and this line is reached
    go.set()
    assert [nimg for nimg, _ in aside.finished(wait=True)] == [8]
    aside.close()


def test_what_goes_wrong_in_drawing_is_raised_where_the_picture_is_asked_for():
    aside = Aside(True)
    aside.draw(8, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(aside.finished(wait=True))
    aside.close()
