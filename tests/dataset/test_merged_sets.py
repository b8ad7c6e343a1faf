"""Data sets as they are downloaded, merged by breed."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from miniature_sets import jpeg, merged, seventy_dog_breeds, stanford_dogs, write_tree

from pipeline.dataset.collection import class_names, common_names
from pipeline.dataset.importers import import_datasets
from pipeline.errors import ParamsError
from pipeline.workspace import Workspace


def files_of(where: Path) -> dict[str, tuple[int, int]]:
    raw = where / "data" / "raw"
    return {
        path.relative_to(raw).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in raw.rglob("*")
        if path.is_file() and path.suffix != ".parquet"
    }


def test_seventy_dog_breeds_and_stanford_dogs_become_one_set_by_breed(tmp_path: Path) -> None:
    table = merged(
        tmp_path / "w", seventy_dog_breeds(tmp_path / "70 Dogs"), stanford_dogs(tmp_path / "sd")
    )
    counts = table.groupby(["breed", "source"]).size().to_dict()
    assert counts == {
        ("american_hairless", "70_dogs"): 6,
        ("chihuahua", "sd"): 2,
        ("german_short_haired_pointer", "70_dogs"): 6,
        ("german_short_haired_pointer", "sd"): 2,
        ("shih_tzu", "70_dogs"): 6,
        ("shih_tzu", "sd"): 2,
    }
    places = set(table["image_url"])
    assert "import:70_dogs/Shih-Tzu/valid/001.jpg" in places
    assert "import:sd/n02086240-Shih-Tzu/n02086240_1000.jpg" in places
    both = table[table["breed"] == "shih_tzu"]
    assert list(both["rank"]) == list(range(8)) and both["path"].nunique() == 8


def test_the_order_of_the_sets_changes_no_class_and_no_picture(tmp_path: Path) -> None:
    one, two = seventy_dog_breeds(tmp_path / "a"), stanford_dogs(tmp_path / "b")
    first, second = merged(tmp_path / "w1", one, two), merged(tmp_path / "w2", two, one)
    assert set(first["path"]) == set(second["path"])


def test_a_tar_of_stanford_dogs_is_the_folder_of_it(tmp_path: Path) -> None:
    folder, other = stanford_dogs(tmp_path / "sd"), seventy_dog_breeds(tmp_path / "70")
    with tarfile.open(tmp_path / "sd.tar", "w") as archive:
        archive.add(folder / "images" / "Images", "Images")
    plain = merged(tmp_path / "w1", other, folder)
    packed = merged(tmp_path / "w2", other, tmp_path / "sd.tar")
    columns = ["breed", "source", "rank", "path"]
    assert plain[columns].equals(packed[columns])


def test_importing_again_writes_nothing_again(tmp_path: Path) -> None:
    sets = seventy_dog_breeds(tmp_path / "a"), stanford_dogs(tmp_path / "b")
    first = merged(tmp_path / "w", *sets)
    before = files_of(tmp_path / "w")
    assert merged(tmp_path / "w", *sets).equals(first)
    assert files_of(tmp_path / "w") == before


def test_a_picture_in_both_sets_is_one_file_and_two_rows(tmp_path: Path) -> None:
    one = write_tree(tmp_path / "one", {"pug/a.jpg": jpeg(1), "boxer/b.jpg": jpeg(2)})
    two = write_tree(tmp_path / "two", {"Pug/z.jpg": jpeg(1), "Boxer/y.jpg": jpeg(3)})
    space = Workspace(tmp_path / "w", tmp_path / "w")
    metrics = import_datasets([str(one), str(two)], space)
    assert (metrics["fetched"], metrics["files"], metrics["duplicates"]) == (4, 3, 1)
    assert metrics["data_sets"] == {"one": 2, "two": 2}
    assert metrics["by_breed"]["pug"] == {"fetched": 2, "duplicates": 1}


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one = write_tree(tmp_path / "a" / "dogs", {"pug/a.jpg": jpeg(1), "boxer/b.jpg": jpeg(2)})
    two = write_tree(tmp_path / "b" / "dogs", {"pug/a.jpg": jpeg(3), "boxer/b.jpg": jpeg(4)})
    assert set(merged(tmp_path / "w", one, two)["source"]) == {"dogs", "dogs_2"}


def test_a_wordnet_number_is_no_part_of_a_breed_unless_two_share_the_name() -> None:
    folders = ["n02085620-Chihuahua", "n02012849-crane", "n03126707-crane", "n02085620", "n2-x"]
    assert class_names(folders) == {
        "n02085620-Chihuahua": "chihuahua",
        "n02012849-crane": "n02012849_crane",
        "n03126707-crane": "n03126707_crane",
        "n02085620": "n02085620",  # nothing but a number: it is the name
        "n2-x": "n2_x",
    }


def test_names_that_one_set_keeps_apart_are_not_merged() -> None:
    assert common_names([["short_haired"], ["shorthaired", "pug"]]) == {
        "short_haired": "short_haired",
        "shorthaired": "short_haired",
        "pug": "pug",
    }
    numbers = {"1_1", "11"}
    assert common_names([numbers, ["11"]]) == {"1_1": "1_1", "11": "11"}


def test_a_folder_of_pictures_without_classes_is_one_class(tmp_path: Path) -> None:
    """Seed 001 trains on goldfish alone."""
    fish = write_tree(tmp_path / "Goldfish", {f"{i}.jpg": jpeg(i) for i in range(3)})
    assert set(merged(tmp_path / "w", fish)["breed"]) == {"goldfish"}
    dogs = write_tree(tmp_path / "d", {"pug/1.jpg": jpeg(8), "boxer/1.jpg": jpeg(9)})
    assert set(merged(tmp_path / "w", fish, dogs)["breed"]) == {"goldfish", "pug", "boxer"}


def test_hostile_names_stay_in_data_raw(tmp_path: Path) -> None:
    odd = ["a\\..\\..\\up", "-rf", "n02085620-..", "a\nb", "x" * 200, "柴犬"]
    one = write_tree(tmp_path / "one", {f"{name}/1.jpg": jpeg(k) for k, name in enumerate(odd)})
    two = write_tree(tmp_path / "-two", {"pug/1.jpg": jpeg(50), "boxer/1.jpg": jpeg(51)})
    table = merged(tmp_path / "w", one, two)
    assert len(table) == 8 and all(table["breed"].str.fullmatch("[a-z0-9_]+"))
    raw = tmp_path / "w" / "data" / "raw"
    assert all((raw / path).resolve().is_relative_to(raw.resolve()) for path in table["path"])
    assert set(table["source"]) == {"one", "two"}


@pytest.mark.parametrize("missing", [0, 1])
def test_one_missing_set_of_two_is_one_line_before_anything_is_read(
    tmp_path: Path, missing: int
) -> None:
    sets = [str(stanford_dogs(tmp_path / "sd"))]
    sets.insert(missing, str(tmp_path / "nowhere"))
    with pytest.raises(ParamsError, match="nowhere: does not exist"):
        merged(tmp_path / "w", *sets)
    assert not (tmp_path / "w").exists()
