"""One row per file, one reason per row, and a person's word above all."""

from __future__ import annotations

import dataclasses
import os

import pandas as pd
import pytest
from PIL import Image, ImageOps

from pipeline.cleaning import shards
from pipeline.cleaning.decide import clean, decide_folder, write_decisions_csv
from pipeline.cleaning.overrides import Override
from pipeline.cleaning.verdicts import REASONS, counts
from pipeline.errors import PipelineError
from pipeline.params import DedupeParams

PARAMS = DedupeParams(workers=2)


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    """Two breeds, and one of every trouble."""
    root = tmp_path_factory.mktemp("pictures")
    original = pictures.photo(1, (400, 300))
    data = pictures.jpeg(original)
    pictures.save(root / "beagle/best.jpg", original)
    pictures.save(root / "beagle/small copy.jpg", original.resize((200, 150)))
    pictures.save(root / "boxer/mirrored.jpg", ImageOps.mirror(original).resize((300, 225)))
    (root / "beagle/twin.jpg").write_bytes(data)
    pictures.save(root / "boxer/other.jpg", pictures.photo(2))
    pictures.save(root / "boxer/tiny.jpg", pictures.photo(3, (60, 60)))
    pictures.save(root / "boxer/strip.jpg", pictures.photo(4, (900, 100)))
    pictures.save(root / "boxer/two.jpg", pictures.collage(50, "2-up", 10))
    (root / "boxer/cut.jpg").write_bytes(data[: len(data) // 2])
    (root / "boxer/page.jpg").write_bytes(b"<html>404</html>")
    (root / "boxer/empty.png").write_bytes(b"")
    (root / "line\nbreak, ünï [x].jpg").write_bytes(pictures.jpeg(pictures.photo(5)))
    (root / os.fsdecode(b"caf\xe9.jpg")).write_bytes(pictures.jpeg(pictures.photo(6)))
    (root / ".hidden.jpg").write_bytes(data)
    (root / "link.jpg").symlink_to("beagle/best.jpg")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.jpg")
    return root


@pytest.fixture(scope="module")
def table(folder):
    return clean(folder, PARAMS).table


def row(table: pd.DataFrame, path: str) -> pd.Series:
    return table.set_index("path").loc[path]


def test_every_file_has_one_row_and_the_counts_add_up(table):
    assert table["path"].is_unique and table["path"].is_monotonic_increasing
    assert len(table) == 16
    numbers = counts(table)
    assert sum(numbers[f"reason_{name}"] for name in REASONS) == numbers["files"] == 16
    assert numbers["kept"] + numbers["dropped"] == 16
    assert set(table["reason"]) <= set(REASONS)


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("beagle/best.jpg", "kept", ""),
        ("beagle/twin.jpg", "exact_duplicate", "same bytes as beagle/best.jpg"),
        ("beagle/small copy.jpg", "near_duplicate", "bits"),
        ("boxer/mirrored.jpg", "near_duplicate", "mirrored"),
        ("boxer/other.jpg", "kept", ""),
        ("boxer/tiny.jpg", "too_small", "shorter side 60, min_side is 64"),
        ("boxer/strip.jpg", "odd_aspect", "max_aspect"),
        ("boxer/two.jpg", "collage", "joins"),
        ("boxer/cut.jpg", "corrupt", "truncated jpg"),
        ("boxer/page.jpg", "corrupt", "not a picture: html"),
        ("boxer/empty.png", "corrupt", "empty file"),
        ("line\nbreak, ünï [x].jpg", "kept", ""),
        ("caf\\xe9.jpg", "kept", ""),
        ("link.jpg", "corrupt", "link"),
        ("loop", "corrupt", "link"),
        ("pipe.jpg", "corrupt", "not a regular file"),
    ],
)
def test_each_trouble_is_named(table, path, reason, words):
    found = row(table, path)
    assert found["reason"] == reason
    assert words in found["detail"]
    assert found["keep"] == (reason == "kept")


def test_what_is_dropped_names_the_kept_twin(table):
    for path in ("beagle/twin.jpg", "beagle/small copy.jpg", "boxer/mirrored.jpg"):
        assert row(table, path)["nearest"] == "beagle/best.jpg"
        assert row(table, path)["cluster"] == row(table, "beagle/best.jpg")["cluster"] == 0
    assert row(table, "beagle/twin.jpg")["distance"] == 0
    assert row(table, "boxer/other.jpg")["cluster"] == -1


def test_one_photo_under_two_breeds_is_a_label_conflict(table):
    assert table[table["conflict"]]["cluster"].unique().tolist() == [0]
    assert counts(table)["label_conflicts"] == 1


def test_hashes_are_those_of_imagehash(table, folder):
    import imagehash

    with Image.open(folder / "boxer/other.jpg") as image:
        assert row(table, "boxer/other.jpg")["phash"] == str(imagehash.phash(image))


def test_a_person_wins(folder):
    def wish(item, keep):
        return Override(item, keep, "because", 2)

    wishes = [
        wish("boxer/two.jpg", True),
        wish("boxer/tiny.jpg", True),
        wish("beagle/best.jpg", False),
        wish("boxer/cut.jpg", True),
        wish("gone.jpg", True),
    ]
    cleaned = clean(folder, PARAMS, overrides=wishes)
    table = cleaned.table
    for path in ("boxer/two.jpg", "boxer/tiny.jpg"):
        assert row(table, path)[["keep", "reason", "detail"]].tolist() == [
            True,
            "override",
            "because",
        ]
    assert row(table, "beagle/best.jpg")[["keep", "reason"]].tolist() == [False, "override"]
    # Its twin takes its place: dropping one file must not lose the photo.
    assert row(table, "beagle/twin.jpg")["reason"] == "kept"
    assert row(table, "boxer/mirrored.jpg")["nearest"] == "beagle/twin.jpg"
    # Nobody can keep what is no picture.
    assert row(table, "boxer/cut.jpg")["reason"] == "corrupt"
    assert [line.item for line in cleaned.idle] == ["gone.jpg"]


def test_two_copies_kept_by_a_person_stay_one_cluster(folder):
    wishes = [Override("boxer/mirrored.jpg", True, "both", 2)]
    table = clean(folder, PARAMS, overrides=wishes).table
    best, mirrored = row(table, "beagle/best.jpg"), row(table, "boxer/mirrored.jpg")
    assert mirrored["keep"] and mirrored["reason"] == "override"
    assert mirrored["cluster"] == best["cluster"] >= 0
    # What a person wants leads its cluster, though it is the smaller one.
    assert best["reason"] == "near_duplicate" and best["nearest"] == "boxer/mirrored.jpg"


def test_collages_stay_if_wanted(folder):
    table = clean(folder, dataclasses.replace(PARAMS, collage="keep")).table
    assert row(table, "boxer/two.jpg")["reason"] == "kept"
    assert row(table, "boxer/two.jpg")["collage"] >= 0.5


def test_a_second_run_decodes_nothing_and_says_the_same(folder, table, tmp_path, monkeypatch):
    first = clean(folder, PARAMS, cache=tmp_path).table
    pd.testing.assert_frame_equal(first, table)

    def refuse(*arguments, **options):
        raise AssertionError("nothing was to be decoded")

    monkeypatch.setattr(shards, "measure", refuse)
    monkeypatch.setattr(
        shards.pool, "each", lambda function, items, **options: iter([refuse()] if items else [])
    )
    pd.testing.assert_frame_equal(clean(folder, PARAMS, cache=tmp_path).table, table)


def test_a_damaged_cache_is_measured_anew(folder, table, tmp_path):
    clean(folder, PARAMS, cache=tmp_path)
    for part in tmp_path.rglob("*.parquet"):
        part.write_bytes(b"not parquet")
    pd.testing.assert_frame_equal(clean(folder, PARAMS, cache=tmp_path).table, table)


def test_other_processes_other_order_same_table(folder, table):
    alone = dataclasses.replace(PARAMS, workers=1)
    pd.testing.assert_frame_equal(clean(folder, alone).table, table)


def test_the_csv_has_the_six_columns(folder, table, tmp_path):
    output = tmp_path / "decisions.csv"
    numbers = decide_folder(folder, output, PARAMS)
    assert numbers == counts(table)
    read = pd.read_csv(output)
    assert list(read.columns) == ["path", "keep", "reason", "cluster", "nearest", "distance"]
    assert read["path"].tolist() == table["path"].tolist()
    assert read["keep"].tolist() == table["keep"].tolist()
    with pytest.raises(PipelineError, match="cannot be written"):
        write_decisions_csv(table, folder / "beagle/best.jpg/decisions.csv")


def test_a_folder_without_files_is_refused_in_one_line(tmp_path):
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PipelineError) as caught:
            clean(place, PARAMS)
        assert str(place) in str(caught.value) and "\n" not in str(caught.value)


def test_a_decoder_that_dies_costs_one_picture(folder, monkeypatch, tmp_path):
    real = shards.pool.each

    def lossy(function, items, **options):
        for index, result in real(function, items, **options):
            lost = function is shards.measure and items[index][0].endswith("other.jpg")
            yield index, None if lost else result

    monkeypatch.setattr(shards.pool, "each", lossy)
    found = row(clean(folder, PARAMS).table, "boxer/other.jpg")
    assert found["reason"] == "corrupt" and "crashed" in found["detail"]


def test_links_are_followed_where_they_are_our_own(folder):
    table = clean(folder, PARAMS, links=True).table
    assert row(table, "link.jpg")["reason"] == "exact_duplicate"
