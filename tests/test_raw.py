"""data/raw holds exactly what its rows say, in equal bytes for equal rows."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.raw import MANIFEST, Row, Store, examine, materialise


def picture(number: int, kind: str = "JPEG") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def row(store: Store, number: int, data: bytes, breed: str = "beagle") -> Row:
    content = examine(data)
    store.put(data, content)
    url = f"http://x/{number}"
    return Row(breed, "q", "s", number, None, url, None, "CC0", None, None, content)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_content_decides_name_and_size_never_the_url() -> None:
    data = picture(1, "PNG")
    content = examine(data)
    assert content.sha256 == sha256(data).hexdigest()
    assert (content.ext, content.bytes, content.width, content.height) == ("png", len(data), 40, 30)


@pytest.mark.parametrize(
    ("data", "ext"),
    [(picture(1)[:-200], "jpg"), (b"<!doctype html>", "bin"), (b"", "bin"), (b"BMW", "bin")],
)
def test_what_does_not_decode_has_no_size(data: bytes, ext: str) -> None:
    content = examine(data)
    assert (content.ext, content.width, content.height) == (ext, None, None)
    assert not content.is_picture


def test_equal_rows_give_equal_bytes_in_any_order(tmp_path: Path) -> None:
    trees = []
    for name, step in (("one", 1), ("two", -1)):
        store = Store(tmp_path / name / "store")
        rows = [row(store, number, picture(number)) for number in range(5)]
        materialise(rows[::step], store, tmp_path / name / "raw")
        trees.append(tree(tmp_path / name / "raw"))
    assert trees[0] == trees[1]
    assert len(trees[0]) == 6


def test_two_urls_with_equal_bytes_are_two_rows_and_one_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [row(store, 0, picture(7)), row(store, 1, picture(7)), row(store, 2, picture(7), "pug")]
    assert materialise(rows, store, tmp_path / "raw") == 2
    manifest = pd.read_parquet(tmp_path / "raw" / MANIFEST)
    name = sha256(picture(7)).hexdigest()[:16] + ".jpg"
    assert list(manifest["path"]) == [f"beagle/{name}", f"beagle/{name}", f"pug/{name}"]
    assert list(manifest["breed"]) == ["beagle", "beagle", "pug"]


def test_what_is_not_asked_for_any_more_goes(tmp_path: Path) -> None:
    store, raw = Store(tmp_path / "store"), tmp_path / "raw"
    rows = [row(store, 0, picture(0)), row(store, 1, picture(1), "pug")]
    materialise(rows, store, raw)
    (raw / "stray").mkdir()
    (raw / "stray" / "x.jpg").write_bytes(b"x")
    materialise(rows[:1], store, raw)
    assert set(tree(raw)) == {MANIFEST, rows[0].path}
    assert [path.name for path in raw.iterdir() if path.is_dir()] == ["beagle"]
    assert store.has(rows[1].content), "the store keeps it for later"


def test_files_are_links_into_the_store_and_copies_where_links_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    mine = row(store, 0, picture(0))
    materialise([mine], store, tmp_path / "raw")
    assert (tmp_path / "raw" / mine.path).samefile(store.path(mine.content))

    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    materialise([mine], store, tmp_path / "copy")
    assert not (tmp_path / "copy" / mine.path).samefile(store.path(mine.content))
    assert tree(tmp_path / "copy") == tree(tmp_path / "raw")


def test_a_manifest_never_stands_beside_half_the_files(tmp_path: Path) -> None:
    store, raw = Store(tmp_path / "store"), tmp_path / "raw"
    rows = [row(store, 0, picture(0)), row(store, 1, picture(1))]
    materialise(rows[:1], store, raw)
    store.path(rows[1].content).unlink()
    with pytest.raises(PipelineError, match="vanished"):
        materialise(rows, store, raw)
    assert not (raw / MANIFEST).exists()


def test_a_file_that_lost_bytes_is_not_taken_for_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    mine = row(store, 0, picture(0))
    assert store.has(mine.content)
    assert not store.has(replace(mine.content, bytes=mine.content.bytes + 1))


def test_parts_of_dead_processes_are_swept_away_and_living_ones_left(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mine = store.temporary()
    mine.write_bytes(b"coming in")
    dead = tmp_path / ".999999999-00.part"
    dead.write_bytes(b"never finished")
    store.sweep()
    assert mine.exists() and not dead.exists()
