"""A user's own folder behind the gallery's pages: exact bytes, safe names, nothing outside."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.scraping.gallery import Gallery, serve

HOSTILE = '<img src=x onerror=alert(1)>" & co.png'


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "my dogs"
    for name, colour in (("beagle/one.jpg", "red"), ("beagle/two.png", "blue"),
                         ("Siberian_husky/three.webp", "green")):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200), colour).save(root / name)
    return root


def test_folders_are_breeds_and_all_is_single(folder: Path) -> None:
    truth = Gallery(images=folder).truth()
    assert set(truth.breed) == {"beagle", "Siberian_husky"}
    assert set(truth.kind) == {"single"}
    assert truth.of.isna().all()
    assert set(truth.format) == {"jpg", "png", "webp"}
    assert set(zip(truth.width, truth.height, strict=True)) == {(300, 200)}


def test_originals_are_served_byte_for_byte(folder: Path) -> None:
    gallery = Gallery(images=folder)
    with serve(gallery) as url:
        sent = {get(url + path)[1] for path in gallery.truth().url}
    assert sent == {path.read_bytes() for path in folder.rglob("*.*")}


def test_health_notices_a_file_that_changed_under_its_name(folder: Path) -> None:
    one = folder / "beagle" / "one.jpg"
    with serve(Gallery(images=folder)) as url:
        seen = [get(url + "/healthz")[1], get(url + "/healthz")[1]]
        Image.new("RGB", (310, 200), "red").save(one)
        seen.append(get(url + "/healthz")[1])
        one.unlink()
        seen.append(get(url + "/healthz")[1])
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 3), ("my dogs", 3), ("siberian husky dog", 1), ("beagle", 2), ("two", 1), ("cat", 0)],
)
def test_queries_match_folders_then_files(folder: Path, query: str, count: int) -> None:
    assert len(Gallery(images=folder).collection.find(query)) == count


def test_a_flat_folder_is_one_breed_named_like_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "corgis"
    root.mkdir()
    Image.new("RGB", (50, 50)).save(root / "a.jpg")
    gallery = Gallery(images=root)
    assert gallery.truth().breed.tolist() == ["corgis"]
    assert len(gallery.collection.find("corgis")) == 1


def test_hostile_file_names_are_text_on_every_page(tmp_path: Path) -> None:
    root = tmp_path / "<b>bold"
    root.mkdir()
    Image.new("RGB", (50, 50)).save(root / HOSTILE.replace("/", "_"))
    gallery = Gallery(images=root)
    row = gallery.truth().iloc[0]
    with serve(gallery) as url:
        for path in ("/", "/search?q=", f"/detail/{row.id}", f"/page/{row.id}"):
            status, body = get(url + path)
            assert status == 200
            assert b"<img src=x" not in body
            assert b"<b>bold" not in body
        assert get(url + row.url)[0] == 200


def test_names_that_are_not_text_are_served_too(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    out = io.BytesIO()
    Image.new("RGB", (50, 50)).save(out, "JPEG")
    try:
        with open(str(tmp_path).encode() + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(out.getvalue())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    gallery = Gallery(images=tmp_path)
    with serve(gallery) as url:
        assert get(url + "/search?q=")[0] == 200
        assert get(url + gallery.truth().url[0]) == (200, out.getvalue())


def test_links_out_of_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    Image.new("RGB", (50, 50)).save(secret / "secret.jpg")
    (folder / "beagle" / "link.jpg").symlink_to(secret / "secret.jpg")
    (folder / "linked").symlink_to(secret)
    assert len(Gallery(images=folder).truth()) == 3


def test_a_file_that_turns_into_a_link_is_gone(folder: Path, tmp_path: Path) -> None:
    gallery = Gallery(images=folder)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    row = gallery.truth().query("format == 'jpg'").iloc[0]
    (folder / "beagle" / "one.jpg").unlink()
    (folder / "beagle" / "one.jpg").symlink_to(secret)
    with serve(gallery) as url:
        status, body = get(url + row.url)
        assert status == 404
        assert b"secret" not in body
        assert get(f"{url}/thumb/{row.id}")[0] == 200


def test_paths_in_addresses_lead_nowhere(folder: Path) -> None:
    with serve(Gallery(images=folder)) as url:
        for path in ("/original/beagle/one.jpg", "/original/one.jpg", "/original/..%2Fone.jpg",
                     "/original/%2Fetc%2Fpasswd", "/thumb/..%2F..%2Fone"):  # fmt: skip
            assert get(url + path)[0] == 404, path


def test_a_broken_file_has_a_placeholder_and_its_own_bytes(folder: Path) -> None:
    (folder / "beagle" / "broken.jpg").write_bytes(b"not a picture")
    gallery = Gallery(images=folder)
    row = gallery.truth().query("format.isna()").iloc[0]
    with serve(gallery) as url:
        status, body = get(f"{url}/thumb/{row.id}")
        assert status == 200
        Image.open(io.BytesIO(body)).load()
        assert get(url + row.url) == (200, b"not a picture")
        assert b"size unknown" in get(f"{url}/detail/{row.id}")[1]


def test_no_folder_and_an_empty_folder_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such folder"):
        Gallery(images=tmp_path / "nowhere")
    with pytest.raises(PipelineError, match="holds no pictures"):
        Gallery(images=tmp_path)
