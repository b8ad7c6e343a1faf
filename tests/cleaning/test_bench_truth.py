"""The truth that bench/cleaning.py is measured against is what it says it is."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.images import PictureError, open_picture

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from cleaning_truth import collages, compose, edits
from cleaning_truth.photos import Photo, find_photos, halves, seeded
from cleaning_truth.score import area, empty_clusters, judge_copies, lost_photos
from hostile_pictures.folder import make_hostile
from hostile_pictures.kinds import TWIN


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory) -> list[Photo]:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(50):
        pictures.save(folder / f"{seed}.jpg", pictures.photo(seed, (240, 180)))
    return find_photos(folder)


def test_a_photo_keeps_its_half_whatever_comes_beside_it(photos):
    parts, fewer = halves(photos), halves(photos[::2])
    assert sorted(p.name for part in parts.values() for p in part) == [p.name for p in photos]
    assert min(map(len, parts.values())) > 10
    for half, part in fewer.items():
        assert {photo.name for photo in part} <= {photo.name for photo in parts[half]}


@pytest.mark.parametrize("kind", edits.ALL)
def test_every_copy_is_a_picture_and_is_drawn_from_its_seed(photos, kind):
    image = photos[0].open()
    first, suffix = edits.make_copy(image, kind, seeded(1))
    assert edits.make_copy(image, kind, seeded(1)) == (first, suffix)
    with Image.open(io.BytesIO(first)) as copy:
        assert copy.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[suffix]
        assert min(copy.size) >= 90
        same = copy.size == image.size and np.array_equal(copy.convert("RGB"), image)
    assert same == (kind == "PNG")


@pytest.mark.parametrize("name", collages.STRAIGHT)
def test_the_cells_of_a_layout_cover_the_canvas_once(name):
    for seed in range(20):
        cells = np.array(collages.STRAIGHT[name](seeded(name, seed)))
        sides = cells[:, 2:] - cells[:, :2]
        assert (sides > 0.05).all() and np.isclose(sides.prod(axis=1).sum(), 1)
        low = np.maximum(cells[:, None, :2], cells[None, :, :2])
        high = np.minimum(cells[:, None, 2:], cells[None, :, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=2)
        assert np.allclose(shared, np.diag(sides.prod(axis=1)))


@pytest.mark.parametrize("kind", collages.ALL)
def test_every_collage_is_drawn_from_its_seed(photos, kind):
    images = [photo.open() for photo in photos[: collages.MOST]]
    data = collages.make_collage(images, kind, seeded(2))
    assert data == collages.make_collage(images, kind, seeded(2))
    with Image.open(io.BytesIO(data)) as image:
        assert max(image.size) >= 400 and 1 / 4 < image.width / image.height < 4


def test_collages_are_of_photos_that_their_folder_does_not_hold(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(collages, "ALL", ["2-up", "3x3"])
    made = compose.batches(photos, tmp_path, seed=0)
    singles: set[str] = set()
    for folder, truth in made:
        assert sorted(path.name for path in folder.iterdir()) == sorted(truth["path"])
        assert set(truth["kind"]) == {"single", "again", "2-up", "3x3"}
        held = set(truth.loc[truth["kind"] == "single", "photo"])
        assert len(held) == 40
        singles |= held
    assert len(singles) == 50


def test_broken_files_are_refused_and_odd_ones_show_their_picture(photos, tmp_path):
    cases = make_hostile(photos, tmp_path, each=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        {name for case in cases for name in (case.path, case.twin) if name}
    )
    for case in cases:
        if case.expect == TWIN:
            seen, twin = (
                np.asarray(open_picture(tmp_path / name).convert("L").resize((32, 32)), float)
                for name in (case.path, case.twin)
            )
            assert np.abs(seen - twin).mean() < 6, case.kind
        elif case.expect == "corrupt" and "link" not in case.kind:
            with pytest.raises(PictureError):
                open_picture(tmp_path / case.path)


def test_verdicts_about_copies():
    truth = pd.DataFrame(
        [
            ("a", "A", "original"), ("a1", "A", "blur"), ("a2", "A", "grey"),
            ("b", "B", "original"), ("b1", "B", "blur"), ("b2", "B", "grey"),
            ("c", "C", "original"), ("c1", "C", "blur"),
        ],
        columns=["path", "photo", "kind"],
    )  # fmt: skip
    table = pd.DataFrame(
        [
            ("a", True, "kept", 0, None), ("a1", False, "near_duplicate", 0, "a"),
            ("a2", True, "kept", -1, None),
            ("b", False, "near_duplicate", 1, "b1"), ("b1", True, "kept", 1, None),
            ("b2", False, "collage", -1, None),
            ("c", False, "near_duplicate", 0, "a"), ("c1", False, "near_duplicate", 2, "a"),
        ],
        columns=["path", "keep", "reason", "cluster", "nearest"],
    )  # fmt: skip
    judged = judge_copies(truth, table)
    verdicts = "found found missed found found collage foreign foreign"
    assert judged["verdict"].tolist() == verdicts.split()
    assert lost_photos(judged).to_dict() == {"A": False, "B": False, "C": True}
    assert empty_clusters(judged) == 1


def test_the_area_counts_ties_half():
    assert area(pd.Series([0.1, 0.2]), pd.Series([0.2, 0.3])) == 0.875
