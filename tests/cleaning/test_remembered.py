"""Squares that cleaning remembers are bit for bit those that a decode gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.cleaning.decide import clean
from pipeline.cleaning.remembered import fill_squares
from pipeline.dataset import pack as packing
from pipeline.dataset.pack import Known, pack
from pipeline.images import DRAFT, draft_for, open_picture
from pipeline.params import DedupeParams, Params, ResizeParams
from pipeline.workspace import Workspace
from stages import resize

CLEANING = DedupeParams(workers=1)
FILES = ("images.npy", "index.parquet", "dataset.json")


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory, pictures) -> tuple[Path, pd.DataFrame]:
    """A project with pictures of all kinds, some decoded reduced, and the decisions."""
    root = tmp_path_factory.mktemp("project")
    raw = root / "data/raw/beagle"
    raw.mkdir(parents=True)
    for k, size in enumerate([(1600, 1200), (830, 1240), (500, 375), (90, 70)]):
        pictures.save(raw / f"{k}.jpg", pictures.photo(k, size))
    pictures.photo(7).save(raw / "grey.png", "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures.photo(8, (1700, 1000)).save(raw / "turned.jpg", "JPEG", exif=turned)
    pictures.photo(9).convert("CMYK").save(raw / "cmyk.jpg", "JPEG")
    decisions = clean(root / "data/raw", CLEANING, cache=root / ".cache").table
    assert decisions["keep"].all()
    return root, decisions


def no_decode(task):
    raise AssertionError(f"{task} is decoded again")


def test_the_data_set_is_the_same_with_and_without_the_cache(cleaned, tmp_path, monkeypatch):
    root, decisions = cleaned
    params = ResizeParams(size=64, workers=1)
    pack(decisions, root / "data/raw", tmp_path / "without", params)
    monkeypatch.setattr(packing, "square", no_decode)
    known = Known(root / ".cache", CLEANING.max_pixels)
    pack(decisions, root / "data/raw", tmp_path / "with", params, known)
    for name in FILES:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


@pytest.mark.parametrize("size", [32, 128])
def test_other_sizes_are_decoded(cleaned, tmp_path, size):
    root, decisions = cleaned
    params = ResizeParams(size=size, workers=1)
    known = Known(root / ".cache", CLEANING.max_pixels)
    pack(decisions, root / "data/raw", tmp_path / "with", params, known)
    pack(decisions, root / "data/raw", tmp_path / "without", params)
    assert np.load(tmp_path / "with/images.npy").shape[1:] == (size, size, 3)
    for name in FILES:
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_what_the_cache_does_not_hold_is_decoded(cleaned, tmp_path, pictures):
    root, decisions = cleaned
    shas = [*decisions["sha256"], "0" * 64]
    images = np.full((len(shas), 64, 64, 3), 7, np.uint8)
    found = fill_squares(images, shas, root / ".cache", max_pixels=CLEANING.max_pixels)
    assert found.tolist() == [True] * len(decisions) + [False]
    assert (images[-1] == 7).all()
    nothing = fill_squares(images, shas, tmp_path / "none", max_pixels=CLEANING.max_pixels)
    assert not nothing.any()


def test_copies_of_one_content_all_get_its_square(cleaned):
    root, decisions = cleaned
    shas = decisions["sha256"].tolist()[:2] * 2
    images = np.zeros((4, 64, 64, 3), np.uint8)
    assert fill_squares(images, shas, root / ".cache", max_pixels=CLEANING.max_pixels).all()
    assert (images[:2] == images[2:]).all() and (images[0] != images[1]).any()


def test_the_stage_looks_into_the_cache(cleaned, monkeypatch):
    root, decisions = cleaned
    space = Workspace(root, root)
    space.clean.mkdir(parents=True)
    decisions.to_parquet(space.clean / "decisions.parquet")
    monkeypatch.setattr(packing, "square", no_decode)
    params = dataclasses.replace(Params(), dedupe=CLEANING, resize=ResizeParams(workers=1))
    assert resize.run(params, space)["count"] == len(decisions)


def test_one_rule_says_how_small_a_jpeg_is_decoded(cleaned):
    assert [draft_for(size) for size in (8, 64, 128, 256)] == [DRAFT, DRAFT, 384, 768]
    root, _ = cleaned
    decoded = open_picture(root / "data/raw/beagle/0.jpg", draft=draft_for(64))
    assert decoded.size == (400, 300)
