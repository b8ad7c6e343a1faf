"""Cells cut out of a collage are the pictures it was made of, and are judged as any other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.cleaning import collages, crops, decide, seams
from pipeline.cleaning.decide import clean
from pipeline.cleaning.overrides import Override
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams

PARAMS = DedupeParams(workers=1, collage="split")
Boxes = list[tuple[int, int, int, int]]

LAYOUTS = {
    "2-up": [(0, 0, 300, 400), (300, 0, 600, 400)],
    "2x2": [(x, y, x + 300, y + 240) for y in (0, 240) for x in (0, 300)],
    "3x3": [(x, y, x + 220, y + 180) for y in (0, 180, 360) for x in (0, 220, 440)],
    "1+2": [(0, 0, 400, 480), (400, 0, 640, 240), (400, 240, 640, 480)],
    "2 above 3": [(0, 0, 300, 240), (300, 0, 600, 240)]
    + [(x, 240, x + 200, 480) for x in (0, 200, 400)],
}


def compose(pictures, boxes: Boxes, gutter: int, first: int) -> tuple[Image.Image, Boxes]:
    """A sheet with margins and gutters, as it comes back from JPEG, and where its cells lie."""
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    sheet = Image.new("RGB", (right + gutter, bottom + gutter), "white")
    places = [(a + gutter, b + gutter, c, d) for a, b, c, d in boxes]
    for k, (a, b, c, d) in enumerate(places):
        sheet.paste(pictures.photo(first + k, (c - a, d - b)), (a, b))
    return sheet, places


def likeness(one: Image.Image, two: Image.Image) -> float:
    """Correlation of two pictures at 64 x 64, all channels."""
    a, b = (np.asarray(some.resize((64, 64)), float).ravel() for some in (one, two))
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("gutter", [0, 3, 12])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_cells_are_the_pictures_that_were_glued(pictures, tmp_path, layout, gutter):
    sheet, places = compose(pictures, LAYOUTS[layout], gutter, 900)
    path = pictures.save(tmp_path / "sheet.jpg", sheet, 85)
    with Image.open(path) as file:
        image = file.convert("RGB")
    found = crops.boxes(image, seams.evidence(image)[0].seams)
    assert len(found) == len(places)
    for truth in places:
        near = min(found, key=lambda box: np.abs(np.subtract(box, truth)).sum())
        assert np.abs(np.subtract(near, truth)).max() <= 3
        assert likeness(image.crop(near), sheet.crop(truth)) > 0.98


def test_a_single_picture_and_scattered_prints_are_not_cut(pictures):
    single = pictures.photo(1, (640, 480))
    assert crops.boxes(single, seams.evidence(single)[0].seams) == []
    sheet = pictures.photo(2, (700, 500))
    for k, at in enumerate(((40, 50), (380, 40), (200, 260))):
        print_ = pictures.photo(10 + k, (240, 180)).rotate(15 - 12 * k, expand=True)
        sheet.paste(print_, at)
    assert crops.boxes(sheet, seams.evidence(sheet)[0].seams) == []


def test_white_ground_beside_a_white_gutter_stays(pictures):
    """What looks like a gutter and does not end like one is the ground of the picture."""
    sheet = Image.new("RGB", (620, 400), "white")
    sheet.paste(pictures.photo(1, (300, 400)), (0, 0))
    subject = pictures.photo(2, (160, 160))
    mask = Image.new("L", subject.size)
    mask.paste(255, (0, 0, 160, 160))
    sheet.paste(subject, (400, 120), mask)
    left, right = crops.boxes(sheet, [seams.Seam(True, 300 / 620, 1.0)])
    assert left[:4:2] == (0, 300) and right[3] - right[1] == 400 and right[2] == 620


# ------------------------------------------------------------------ as part of cleaning


@pytest.fixture
def folder(pictures, tmp_path: Path) -> Path:
    """A 2 x 2 sheet, whose second picture is also there as a file, and a picture of its own."""
    raw = tmp_path / "raw"
    sheet, places = compose(pictures, LAYOUTS["2x2"], 8, 40)
    pictures.save(raw / "beagle/sheet.jpg", sheet)
    box = places[1]
    pictures.save(raw / "boxer/whole.jpg", pictures.photo(41, (box[2] - box[0], box[3] - box[1])))
    pictures.save(raw / "boxer/other.jpg", pictures.photo(7))
    return raw


def split(folder: Path, *overrides: Override, params: DedupeParams = PARAMS) -> pd.DataFrame:
    cells = folder.parent / "clean"
    return clean(folder, params, overrides=list(overrides), cells=cells).table.set_index("path")


def cells_of(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["part_of"].notna()]


def test_cells_become_pictures_and_the_counts_are_of_files(folder):
    table = split(folder)
    sheet, cells = table.loc["beagle/sheet.jpg"], cells_of(table)
    assert sheet["reason"] == "collage" and sheet["detail"].endswith("4 cells cut out of it")
    stem = f"cells/beagle/{sheet['sha256'][:16]}"
    assert cells.index.tolist() == [f"{stem}-{k}.png" for k in range(4)]
    assert set(cells["part_of"]) == {"beagle/sheet.jpg"} and set(cells["breed"]) == {"beagle"}
    numbers = counts(table.reset_index())
    assert (numbers["files"], numbers["kept"]) == (3, 2)
    assert (numbers["cells"], numbers["cells_kept"]) == (4, 3)
    assert sum(numbers[f"reason_{name}"] for name in REASONS) == 3
    for path, row in cells.iterrows():
        with Image.open(folder.parent / "clean" / str(path)) as image:
            assert image.size == (row["width"], row["height"]) and image.format == "PNG"
        left, top, right, bottom = map(float, row["box"].split())
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
        assert np.isnan(row["collage"])


def test_a_whole_picture_is_preferred_to_a_cell_of_it(folder):
    table = split(folder)
    cell = cells_of(table).iloc[1]
    assert (cell["reason"], cell["nearest"]) == ("near_duplicate", "boxer/whole.jpg")
    assert "is no cell" in cell["detail"] and table.loc["boxer/whole.jpg", "keep"]
    # The sheet lies under another breed than its source.
    assert cell["conflict"] and counts(table.reset_index())["label_conflicts"] == 1
    # One sheet is one group, with whatever is linked to a cell of it.
    groups = [*cells_of(table)["group"], table.loc["boxer/whole.jpg", "group"]]
    assert set(groups) == {table.loc["beagle/sheet.jpg", "group"]} != {-1}
    assert table.loc["boxer/other.jpg", "group"] == -1


def test_conflicts_of_two_cells_of_one_sheet_are_two(folder, pictures):
    box = compose(pictures, LAYOUTS["2x2"], 8, 40)[1][2]
    photo = pictures.photo(42, (box[2] - box[0], box[3] - box[1]))
    pictures.save(folder / "boxer/another.jpg", photo)
    table = split(folder)
    torn = table[table["conflict"]]
    assert torn["linked"].nunique() == 2 and torn["group"].nunique() == 1
    assert counts(table.reset_index())["label_conflicts"] == 2


def test_the_same_bytes_again_and_nothing_left_of_before(folder):
    first = split(folder)
    out = folder.parent / "clean/cells"
    before = {path: path.read_bytes() for path in out.rglob("*.png")}
    (out / "beagle/0123-9.png").write_bytes(b"old")
    (out / "gone").mkdir()
    pd.testing.assert_frame_equal(split(folder), first)
    assert {path: path.read_bytes() for path in out.rglob("*.png")} == before
    assert not (out / "gone").exists()
    split(folder, params=dataclasses.replace(PARAMS, collage="drop"))
    assert not out.exists()


def test_a_sheet_under_two_breeds_gives_cells_to_both_and_a_conflict(folder):
    (folder / "boxer/again.jpg").write_bytes((folder / "beagle/sheet.jpg").read_bytes())
    cells = cells_of(split(folder))
    assert sorted(cells["breed"]) == ["beagle"] * 4 + ["boxer"] * 4
    assert cells["conflict"].all() and cells["keep"].sum() == 3


def test_a_person_keeps_the_sheet_or_drops_a_cell(folder):
    first = split(folder)
    cell = cells_of(first).index[0]
    sha = first.loc[cell, "sha256"]
    for item in (cell, sha[:12]):
        table = split(folder, Override(item, False, "no dog", 2))
        assert table.loc[cell, ["keep", "reason", "detail"]].tolist() == [
            False,
            "override",
            "no dog",
        ]
    copy = cells_of(first).index[1]
    assert split(folder, Override(copy, True, "", 2)).loc[copy, "keep"]
    table = split(folder, Override("beagle/sheet.jpg", True, "one scene", 2))
    assert table.loc["beagle/sheet.jpg", "keep"] and not len(cells_of(table))
    assert not (folder.parent / "clean/cells").exists()
    table = split(folder, Override("beagle/sheet.jpg", False, "", 2))
    assert table.loc["beagle/sheet.jpg", "reason"] == "override" and not len(cells_of(table))


def test_a_sheet_that_a_person_keeps_under_one_breed_is_cut_for_none(folder):
    (folder / "boxer/again.jpg").write_bytes((folder / "beagle/sheet.jpg").read_bytes())
    table = split(folder, Override("boxer/again.jpg", True, "one scene", 2))
    assert table.loc["boxer/again.jpg", "keep"] and not len(cells_of(table))


def test_a_cell_and_its_source_can_be_called_distinct(folder):
    copy = cells_of(split(folder)).index[1]
    table = split(folder, Override(copy, None, "", 2, "boxer/whole.jpg"))
    assert table.loc[copy, "keep"] and table.loc["boxer/whole.jpg", "keep"]


def test_small_cells_are_left_out_and_rename_nothing(folder):
    strict = dataclasses.replace(PARAMS, min_side=233)
    assert not len(cells_of(split(folder, params=strict)))


def test_without_a_place_for_cells_split_is_drop(folder):
    table = clean(folder, PARAMS).table
    drop = clean(folder, dataclasses.replace(PARAMS, collage="drop")).table
    pd.testing.assert_frame_equal(table, drop)


def test_a_cell_is_never_judged_a_collage_again(folder, monkeypatch):
    known = []
    real = collages.judge
    monkeypatch.setattr(
        decide.collages, "judge", lambda *a, **k: known.append(len(a[0])) or real(*a, **k)
    )
    split(folder)
    assert known == [3]


def test_a_place_that_refuses_the_cells_is_one_line(folder):
    (folder.parent / "clean").write_text("a file where the folder should be")
    with pytest.raises(PipelineError, match=r"cells: cells cannot be written \(") as caught:
        split(folder)
    assert "\n" not in str(caught.value)
