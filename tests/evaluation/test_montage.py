from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation import montage
from pipeline.evaluation.montage import (
    GAP,
    GROUND,
    MARGIN,
    denoising_strip,
    nearest_grid,
    sample_grid,
    write_png,
)

SIDE = 16


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """Random pictures: no two alike, and none with the colour of the ground."""
    return np.random.default_rng(seed).integers(60, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def at(sheet: np.ndarray, x: int, y: int, scale: int) -> np.ndarray:
    """The picture whose corner is at (x, y), shrunk back. Each pixel must be a whole square."""
    tile = sheet[y : y + SIDE * scale, x : x + SIDE * scale]
    small = tile[::scale, ::scale]
    assert (montage.enlarge(small, scale) == tile).all()
    return small


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_each_sample_lies_in_the_row_of_its_breed_pixel_for_pixel(scale: int):
    images = pictures(6)
    labels = np.array([1, 0, 1, 0, 1, 0])
    sheet = sample_grid(images, labels, ["a", "b"], scale=scale)
    step = SIDE * scale + GAP
    left = sheet.shape[1] - MARGIN - 3 * step + GAP
    for label in (0, 1):
        for column, image in enumerate(images[labels == label]):
            found = at(sheet, left + column * step, MARGIN + label * step, scale)
            assert (found == image).all()
    assert sheet.shape[0] == 2 * MARGIN + 2 * step - GAP
    assert (sheet[:, -MARGIN:] == GROUND).all() and (sheet[:MARGIN] == GROUND).all()
    assert (sheet[:, left + SIDE * scale : left + step] == GROUND).all()


def test_rows_may_be_of_unequal_length_and_are_cut_to_columns():
    images = pictures(5)
    labels = np.array([0, 0, 0, 0, 1])
    wide = sample_grid(images, labels, ["a", "b"], scale=1)
    cut = sample_grid(images, labels, ["a", "b"], columns=2, scale=1)
    assert wide.shape[1] - cut.shape[1] == 2 * (SIDE + GAP)
    last = wide.shape[1] - MARGIN - SIDE
    assert (wide[MARGIN + SIDE + GAP :, last:] == GROUND).all()


def test_the_breeds_name_is_written_at_its_row():
    sheet = sample_grid(pictures(2), np.array([0, 1]), ["beagle", " "], scale=4)
    left = sheet.shape[1] - MARGIN - 4 * SIDE
    inked = (sheet[:, :left] != GROUND).any(axis=2).any(axis=1)
    assert inked[: MARGIN + 4 * SIDE].any()
    assert not inked[MARGIN + 4 * SIDE :].any()


def test_long_unknown_and_hostile_names_widen_the_label_but_never_reach_the_pictures():
    names = [
        "x" * 300,
        "<script>alert(1)</script> 犬",
        "_",
        "a b c d e f g h i j k l m n o p q r s",
    ]
    images = pictures(5)
    sheet = sample_grid(images, np.array([0, 1, 2, 3, -1]), names, scale=2)
    left = sheet.shape[1] - MARGIN - 2 * SIDE
    assert (sheet[:, left - MARGIN + 1 : left] == GROUND).all()
    assert sheet.shape[1] < 600
    order = [4, 0, 1, 2, 3]  # label -1, "any breed", comes first
    for row, image in enumerate(images[order]):
        assert (at(sheet, left, MARGIN + row * (2 * SIDE + GAP), 2) == image).all()


def test_the_strip_has_the_noisy_frames_above_the_clean_ones():
    noisy, clean = pictures(4, 1), pictures(4, 2)
    sheet = denoising_strip(noisy, clean, [80, 1.234, 0.05, 0], scale=3)
    step = 3 * SIDE + GAP
    left = sheet.shape[1] - MARGIN - 4 * step + GAP
    for frame in range(4):
        assert (at(sheet, left + frame * step, MARGIN, 3) == noisy[frame]).all()
        assert (at(sheet, left + frame * step, MARGIN + step, 3) == clean[frame]).all()
        below = sheet[MARGIN + 2 * step - GAP :, left + frame * step :][:, : 3 * SIDE]
        assert (below != GROUND).any()  # its noise level


def test_each_sample_lies_beside_its_neighbours():
    samples, by_hash, by_pixels = pictures(5, 1), pictures(5, 2), pictures(5, 3)
    notes = ["", "", "", "", ""]
    ways = {"by hash": (by_hash, notes), "by pixels": (by_pixels, notes)}
    sheet = nearest_grid(samples, ways, groups=2, scale=2)
    tile = 2 * SIDE
    group, between = 3 * (tile + GAP) - GAP, 3 * MARGIN
    size = montage._caption_size(tile)
    head, foot = size + MARGIN, size + 10
    for i in range(5):
        x = MARGIN + i % 2 * (group + between)
        y = MARGIN + head + i // 2 * (tile + foot)
        for place, source in enumerate((samples, by_hash, by_pixels)):
            assert (at(sheet, x + place * (tile + GAP), y, 2) == source[i]).all()


def test_a_single_sample_makes_a_small_sheet():
    one = pictures(1)
    assert nearest_grid(one, {"by hash": (one, ["0 bits"])}).shape[1] < 200


def test_png_holds_the_exact_pixels_and_equal_sheets_are_equal_files(tmp_path):
    sheet = sample_grid(pictures(4), np.array([0, 0, 1, 1]), ["a", "b"])
    write_png(tmp_path / "deep" / "a.png", sheet)
    write_png(tmp_path / "b.png", sheet.copy())
    assert (np.asarray(Image.open(tmp_path / "b.png")) == sheet).all()
    assert (tmp_path / "deep" / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_write_leaves_the_old_picture_and_no_litter(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, pictures(1)[0])
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        write_png(path, np.zeros((4, 4, 7), np.float64))
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.png"]
