"""Sprites in .npy files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from miniature_sets import jpeg, merged, write_tree
from PIL import Image

from pipeline.cleaning.decide import clean
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams, load

REPOSITORY = Path(__file__).parents[2]
NAMES = ["hero", "non_hero", "food", "spell", "side_facing"]
COUNT = 40


def sprites(folder: Path, one_hot: bool) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (COUNT, 16, 16, 3), np.uint8)
    labels = np.arange(COUNT) * 7 % 5
    folder.mkdir()
    np.save(folder / "sprites.npy", pixels)
    np.save(folder / "labels.npy", np.eye(5)[labels] if one_hot else labels.astype(np.uint8))
    return folder / "sprites.npy", folder / "labels.npy", pixels, labels


@pytest.mark.parametrize("one_hot", [True, False])
def test_every_pixel_and_every_label_arrives(tmp_path: Path, one_hot: bool) -> None:
    file, labels_file, pixels, labels = sprites(tmp_path / "s", one_hot)
    table = merged(tmp_path / "w", file, labels=str(labels_file), classes=NAMES)
    table["index"] = table["image_url"].str.removeprefix("import:sprites/").astype(int)
    table = table.sort_values("index")
    assert list(table["breed"]) == [NAMES[label] for label in labels]
    assert set(table["source"]) == {"sprites"} and set(table["width"]) == {16}
    for index, path in zip(table["index"], table["path"], strict=True):
        with Image.open(tmp_path / "w" / "data" / "raw" / path) as image:
            assert image.format == "PNG" and np.array_equal(np.array(image), pixels[index])


def test_classes_without_names_are_numbered_and_without_labels_there_is_one(tmp_path: Path) -> None:
    file, labels, *_ = sprites(tmp_path / "s", True)
    assert set(merged(tmp_path / "w", file, labels=str(labels))["breed"]) == {
        f"class_{k}" for k in range(5)
    }
    assert set(merged(tmp_path / "w", file)["breed"]) == {"sprites"}


def test_sprites_merge_with_a_folder_of_classes(tmp_path: Path) -> None:
    file, labels, *_ = sprites(tmp_path / "s", True)
    more = write_tree(tmp_path / "more", {"Non-Hero/1.jpg": jpeg(1), "food/1.jpg": jpeg(2)})
    table = merged(tmp_path / "w", file, more, labels=str(labels), classes=NAMES)
    assert table[table["breed"] == "non_hero"]["source"].value_counts().to_dict() == {
        "sprites": 8,
        "more": 1,
    }


def test_dedupe_keeps_sprites_as_the_preset_asks(tmp_path: Path) -> None:
    """Sprites are small and much alike: the usual rules would drop most of them."""
    random = np.random.default_rng(1)
    pixels = np.repeat(random.integers(0, 256, (4, 16, 16, 3), np.uint8), 5, axis=0)
    pixels[:, 0, 0] = random.integers(0, 256, (20, 3))  # five of a kind, one pixel apart
    pixels[7] = pixels[6]  # and one exact copy
    np.save(tmp_path / "sprites.npy", pixels)
    merged(tmp_path / "w", tmp_path / "sprites.npy")
    raw = tmp_path / "w" / "data" / "raw"
    wanted = load(REPOSITORY / "presets" / "seed-002.yaml", ["dedupe.workers=1"]).dedupe
    kept = clean(raw, wanted, skip=("manifest.parquet",)).table
    assert kept["keep"].all() and len(kept) == 19
    usual = DedupeParams(min_side=16, drop=[], workers=1)
    assert clean(raw, usual, skip=("manifest.parquet",)).table["keep"].sum() == 4


def bad(folder: Path, name: str) -> tuple[str, str | None, list[str]]:
    file, labels, pixels, numbers = sprites(folder, True)
    if name == "objects":
        np.save(file, np.array([{}, {}], dtype=object))
    elif name == "pickle":
        file.write_bytes(pickle.dumps([1]))
    elif name == "float":
        np.save(file, pixels / 255)
    elif name == "flat":
        np.save(file, pixels.reshape(COUNT, -1))
    elif name == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif name == "short":
        np.save(labels, numbers[:-1])
    elif name == "two hot":
        np.save(labels, np.ones((COUNT, 5)))
    elif name == "negative":
        np.save(labels, numbers - 1)
    elif name == "huge label":
        np.save(labels, np.full(COUNT, 10**12))
    elif name == "few names":
        return str(file), str(labels), NAMES[:4]
    elif name == "one name":
        return str(file), str(labels), ["Hero", "hero", "a", "b", "c"]
    elif name == "no labels":
        return str(file), str(folder / "none.npy"), []
    elif name == "labels of nothing":
        return str(write_tree(folder, {"pug/1.jpg": jpeg(1)})), str(labels), []
    return str(file), str(labels), []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("objects", "is no plain .npy array"),
        ("pickle", "is no plain .npy array"),
        ("float", "holds float64 of shape"),
        ("flat", "expected uint8 pictures"),
        ("cut", "is no plain .npy array"),
        ("short", "expected 40 labels"),
        ("two hot", "not one-hot"),
        ("negative", "whole numbers from 0"),
        ("huge label", "has label 1000000000000; labels count"),
        ("few names", "has label 4, but 4 class names were given"),
        ("one name", "two classes are called hero"),
        ("no labels", "none.npy: does not exist"),
        ("labels of nothing", "belong to one .npy"),
    ],
)
def test_what_does_not_fit_is_one_line_and_data_raw_stays(
    tmp_path: Path, name: str, says: str
) -> None:
    good, *_ = sprites(tmp_path / "good", True)
    before = merged(tmp_path / "w", good)
    file, labels, classes = bad(tmp_path / "bad", name)
    with pytest.raises(PipelineError, match=says) as caught:
        merged(tmp_path / "w", file, labels=labels, classes=classes)
    assert "\n" not in str(caught.value)
    assert pd.read_parquet(tmp_path / "w" / "data" / "raw" / "manifest.parquet").equals(before)
