"""A data set one already has becomes the same data/raw, however it is packed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.dataset.collection import slug
from pipeline.dataset.importers import import_datasets
from pipeline.errors import ParamsError, PipelineError
from pipeline.workspace import Workspace


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


CLASSES = {
    f"{name}/{i}.jpg": picture(i + 10 * k)
    for k, name in enumerate(("Great Dane", "pug"))
    for i in range(4)
}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def imported(path: Path, where: Path, **options: int) -> pd.DataFrame:
    import_datasets([str(path)], Workspace(where, where), **options)
    return pd.read_parquet(where / "data" / "raw" / "manifest.parquet")


def tree(where: Path) -> dict[str, bytes]:
    raw = where / "data" / "raw"
    files = (path for path in raw.rglob("*") if path.is_file())
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in files}


def test_folder_tar_and_zip_give_equal_bytes_with_or_without_a_wrapping_folder(
    tmp_path: Path,
) -> None:
    wrapped = {f"dogs-v2/images/{name}": data for name, data in CLASSES.items()}
    sources = [
        folder_of(tmp_path / "a" / "dogs", CLASSES),
        folder_of(tmp_path / "b" / "dogs", wrapped),
        tar_of(tmp_path / "dogs.tar", wrapped),
        tar_of(tmp_path / "dogs.tar.gz", CLASSES, "w:gz"),
        tar_of(tmp_path / "dogs.tar.xz", dict(reversed(CLASSES.items())), "w:xz"),
        zip_of(tmp_path / "dogs.zip", wrapped),
    ]
    trees = []
    for number, source in enumerate(sources):
        where = tmp_path / f"w{number}"
        table = imported(source, where)
        trees.append(tree(where))
        assert list(table["breed"]) == ["great_dane"] * 4 + ["pug"] * 4
    assert all(each == trees[0] for each in trees)


def test_the_manifest_says_where_each_picture_came_from(tmp_path: Path) -> None:
    table = imported(folder_of(tmp_path / "dogs", CLASSES), tmp_path / "w")
    first = table.iloc[0]
    assert first["source"] == "import" and first["image_url"] == "import:Great Dane/0.jpg"
    assert (first["rank"], first["width"], first["height"]) == (0, 30, 20)
    assert pd.isna(first["page_url"]) and pd.isna(first["fetched_at"])
    assert tree(tmp_path / "w")[first["path"]] == CLASSES["Great Dane/0.jpg"]


def test_pictures_in_no_folder_are_one_class_named_after_the_source(tmp_path: Path) -> None:
    flat = {f"{i}.jpg": picture(i) for i in range(3)}
    assert set(imported(folder_of(tmp_path / "My Dogs", flat), tmp_path / "a")["breed"]) == {
        "my_dogs"
    }
    assert set(imported(tar_of(tmp_path / "My.tar.gz", flat, "w:gz"), tmp_path / "b")["breed"]) == {
        "my"
    }
    one = {f"wrap/beagle/{i}.jpg": picture(i) for i in range(3)}
    assert set(imported(tar_of(tmp_path / "x.tar", one), tmp_path / "c")["breed"]) == {"beagle"}


def test_a_stray_picture_beside_the_classes_does_not_melt_them(tmp_path: Path) -> None:
    files = {f"dogs/{name}": data for name, data in CLASSES.items()} | {"dogs/all.jpg": picture(99)}
    table = imported(tar_of(tmp_path / "x.tar", files), tmp_path / "w")
    assert set(table["breed"]) == {"great_dane", "pug", "dogs"}


def test_a_train_and_test_split_is_seen_through(tmp_path: Path) -> None:
    files = {f"{split}/pug/{i}.jpg": picture(i) for i, split in enumerate(("train", "test"))}
    files |= {f"{split}/boxer/{i}.jpg": picture(9 + i) for i, split in enumerate(("train", "test"))}
    table = imported(folder_of(tmp_path / "dogs", files), tmp_path / "w")
    assert list(table["breed"]) == ["boxer", "boxer", "pug", "pug"]


def test_what_is_no_picture_is_left_out_and_broken_pictures_are_kept(tmp_path: Path) -> None:
    files = CLASSES | {
        "readme.txt": b"about",
        "pug/labels.csv": b"a,b",
        "pug/.hidden.jpg": picture(50),
        "__MACOSX/pug/0.jpg": b"resource fork",
        "pug/page.jpg": b"<html>",
        "pug/cut.jpg": picture(60)[:-100],
    }
    table = imported(folder_of(tmp_path / "dogs", files), tmp_path / "w")
    assert len(table) == len(CLASSES) + 2
    broken = table[table["width"].isna()]
    assert sorted(broken["image_url"]) == ["import:pug/cut.jpg", "import:pug/page.jpg"]
    assert {Path(path).suffix for path in broken["path"]} == {".bin", ".jpg"}


def test_hostile_names_and_links_reach_nothing(tmp_path: Path) -> None:
    source = tmp_path / "evil.tar"
    with tarfile.open(source, "w") as archive:
        for name in ("../../up.jpg", "/etc/abs.jpg", "pug/ok.jpg", "pug/../../x.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(picture(1))
            archive.addfile(member, io.BytesIO(picture(1)))
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "pug/ok.jpg")):
            link = tarfile.TarInfo(f"pug/link{target[-4:]}.jpg")
            link.type, link.linkname = kind, target
            archive.addfile(link)
        pipe = tarfile.TarInfo("pug/pipe.jpg")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    before = set(tmp_path.rglob("*"))
    table = imported(source, tmp_path / "w")
    assert sorted(table["image_url"]) == ["import:etc/abs.jpg", "import:pug/ok.jpg"]
    made = set(tmp_path.rglob("*")) - before
    assert all((tmp_path / "w") in path.parents or path == tmp_path / "w" for path in made)


def test_a_file_over_the_limit_is_refused_and_counted(tmp_path: Path) -> None:
    big = {
        "pug/big.jpg": picture(1) + bytes(5000),
        "pug/a.jpg": picture(2),
        "boxer/b.jpg": picture(3),
    }
    where = Workspace(tmp_path / "w", tmp_path / "w")
    metrics = import_datasets([str(zip_of(tmp_path / "x.zip", big))], where, max_bytes=5000)
    assert (metrics["fetched"], metrics["failures"]) == (2, {"too_large": 1})


def test_names_become_slugs_and_stay_apart() -> None:
    assert slug("n02085620-Chihuahua") == "n02085620_chihuahua"
    assert slug("  São Bernardo! ") == "sao_bernardo"
    assert slug("柴犬") != slug("秋田犬") and slug("柴犬").startswith("class_")


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda path: path / "missing", ParamsError, "does not exist"),
        (lambda path: folder_of(path / "x", {"a.txt": b"x"}), PipelineError, "holds no pictures"),
        (lambda path: folder_of(path, {"x.csv": b"x"}) / "x.csv", ParamsError, "no tar or zip"),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path: Path, make, error, said) -> None:  # type: ignore[no-untyped-def]
    source = make(tmp_path / "in")
    with pytest.raises(error, match=said):
        imported(source, tmp_path / "w")
    assert not (tmp_path / "w" / "data").exists(), "nothing was touched"


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_that_is_cut_short_leaves_data_raw_alone(tmp_path: Path, kind: str) -> None:
    imported(folder_of(tmp_path / "good", CLASSES), tmp_path / "w")
    before = tree(tmp_path / "w")
    files = {f"pug/{i}.jpg": np.random.default_rng(i).bytes(9000) for i in range(20)}
    source = tmp_path / f"cut.{kind}"
    if kind == "zip":
        zip_of(source, files)
    else:
        tar_of(source, files, "w:gz" if kind == "tar.gz" else "w")
    data = source.read_bytes()
    if kind == "zip":  # the table of contents is at the end: damage the content instead
        source.write_bytes(data[:4000] + bytes(4000) + data[8000:])
    else:
        source.write_bytes(data[: len(data) // 2])
    with pytest.raises(PipelineError, match=r"cannot be read to its end"):
        imported(source, tmp_path / "w")
    assert tree(tmp_path / "w") == before
