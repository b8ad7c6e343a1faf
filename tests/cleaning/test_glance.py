"""A first look clears single pictures, and never what all evidence would call a collage."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.cleaning import seams, sheets, steps
from pipeline.cleaning.glance import glance, turned
from pipeline.cleaning.measure import measure
from pipeline.images import open_picture


def lined(angle: float, length: int) -> np.ndarray:
    """An edge of a length, its normal at an angle (degrees), that softly fades on both sides."""
    y, x = np.mgrid[-128:128, -128:128].astype(np.float32)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    off, along = x * cos + y * sin, y * cos - x * sin
    edge = 30 * np.clip(off, -1, 1) * np.exp(-((off / 12) ** 2))
    return np.where(np.abs(along) < length / 2, 100 + edge, 100)


@pytest.mark.parametrize("angle", [7, 25, 45, 68, 112, 160])
def test_a_turned_line_counts_with_its_length(angle):
    some = [turned(lined(angle, length)) for length in (60, 120, 180)]
    assert some[0] < some[1] < some[2] and some[2] >= 160
    assert turned(lined(angle, 4)) < 20


def test_upright_and_level_lines_and_noise_count_nothing():
    assert turned(lined(0, 250)) == turned(lined(90, 250)) == 0
    noise = np.random.default_rng(0).normal(128, 60, (256, 256)).astype(np.float32)
    assert turned(noise) < 20
    assert turned(np.full((256, 256), 7, np.float32)) == 0


def test_single_pictures_are_cleared_and_collages_are_not(pictures):
    singles = [glance(pictures.photo(seed, (500, 375))).suspect for seed in range(30)]
    assert np.mean(singles) < 0.4
    for layout in ("2-up", "stack", "2x2", "3x3"):
        for gutter in (0, 8):
            assert glance(pictures.collage(3, layout, gutter)).suspect, (layout, gutter)
    rng = random.Random(5)
    photos = [pictures.photo(seed, (500, 375)) for seed in range(9)]
    found = [sheets.compose(photos, 700, rng) for _ in range(60)]
    passed = {
        loose: [glance(sheet).suspect for sheet, one in found if one == loose]
        for loose in (False, True)
    }
    assert np.mean(passed[False]) >= 0.95 and np.mean(passed[True]) >= 0.7


@pytest.mark.parametrize("border", [(0, 0, 0, 0), (20, 0, 0, 0), (30, 10, 30, 40), (0, 25, 0, 25)])
def test_the_frame_is_that_of_all_evidence(pictures, border):
    framed = ImageOps.expand(pictures.photo(4, (400, 300)), border, "white")
    left, top, right, bottom = glance(framed).frame
    assert (left, top, right, bottom) == pytest.approx(seams.evidence(framed)[1], abs=1.5 / 256)
    wide, high = framed.size
    sides = (border[0] / wide, border[1] / high, border[2] / wide, border[3] / high)
    assert (left, top, right, bottom) == pytest.approx(sides, abs=2.5 / 256)


def test_two_columns_tell_that_there_is_no_frame(pictures):
    for border in (0, 1, 12, (0, 9, 0, 0)):
        picture = ImageOps.expand(pictures.photo(2, (256, 256)), border, "black")
        planes = steps.planes(picture.resize((256, 256)))
        assert steps.frame_of(planes) == steps.frame(steps.deviation(planes))


def test_what_is_small_or_plain_is_cleared():
    flat = glance(Image.new("RGB", (400, 300), "white"))
    assert not flat.suspect and flat.score == 0
    halves = Image.new("RGB", (120, 120), "white")
    halves.paste((0, 90, 30), (60, 0, 120, 120))
    assert not glance(halves).suspect


def test_of_a_cleared_picture_the_score_alone_is_stored(pictures, tmp_path):
    files = [pictures.save(tmp_path / f"{k}.jpg", pictures.photo(k, (500, 375))) for k in range(30)]
    looks = [(file, glance(open_picture(file))) for file in files]
    cleared, look = next((file, look) for file, look in looks if not look.suspect)
    row = measure((str(cleared), 10**8))
    features = np.frombuffer(row["features"], np.float32)
    assert features[0] == np.float32(look.score) and not features[1:].any()
    assert row["seams"] == b""
    sheet = pictures.save(tmp_path / "sheet.jpg", pictures.collage(0, "2x2"))
    features = np.frombuffer(measure((str(sheet), 10**8))["features"], np.float32)
    assert np.array_equal(features, seams.evidence(open_picture(sheet))[0].features)
