"""The site: what the truth table says is what the server sends."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import socket
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urlsplit

import pandas as pd
import pytest
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.scraping.gallery import Gallery, serve
from pipeline.scraping.gallery.entry import COLUMNS, best_names

BREEDS = ["beagle", "french_bulldog", "bulldog"]
KINDS = {
    "single", "exact_copy", "near_duplicate", "collage", "broken", "dead_link", "redirect",
    "slow", "rate_limited",
}  # fmt: skip


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return self.body.decode()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def get(url: str, follow: bool = True) -> Reply:
    opener = urllib.request.build_opener(*([] if follow else [_Stay]))
    try:
        with opener.open(url, timeout=20) as reply:
            return Reply(reply.status, reply.read(), dict(reply.headers))
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read(), dict(error.headers))


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(BREEDS, seed=1, per_breed=48, planted=0.25)


@pytest.fixture(scope="module")
def truth(gallery: Gallery) -> pd.DataFrame:
    return gallery.truth()


@pytest.fixture(scope="module")
def site(gallery: Gallery) -> Iterator[str]:
    with serve(gallery) as url:
        yield url


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --------------------------------------------------------------------------- truth


def test_truth_has_a_row_a_result_in_page_order(truth: pd.DataFrame) -> None:
    assert list(truth.columns) == list(COLUMNS)
    assert truth.groupby("breed").size().to_dict() == dict.fromkeys(BREEDS, 48)
    assert truth.id.is_unique
    assert truth.url.is_unique
    for breed in BREEDS:
        assert truth[truth.breed == breed]["rank"].tolist() == list(range(48))


def test_every_kind_is_planted_in_every_breed(truth: pd.DataFrame) -> None:
    for breed in BREEDS:
        assert set(truth[truth.breed == breed].kind) == KINDS


def test_the_planted_share_is_what_was_asked() -> None:
    counts = Gallery(["beagle"], per_breed=400, planted=0.2).truth().kind.value_counts()
    assert counts["single"] == 320
    assert counts["near_duplicate"] == pytest.approx(20, abs=1)
    assert counts["exact_copy"] == pytest.approx(12, abs=1)
    assert counts["collage"] == pytest.approx(16, abs=1)
    assert counts["broken"] == pytest.approx(12, abs=1)
    assert counts["dead_link"] == pytest.approx(4, abs=1)
    assert set(Gallery(["beagle"], per_breed=80, planted=0).truth().kind) == {"single"}


def test_asking_for_more_keeps_the_first_results() -> None:
    few = Gallery(BREEDS, per_breed=50).truth()
    many = Gallery(BREEDS, per_breed=130).truth()
    both = many[many["rank"] < 50].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, both)


def test_a_breeds_pictures_do_not_hang_on_the_other_breeds() -> None:
    alone = Gallery(["bulldog"], planted=0).truth()
    among = Gallery(BREEDS, planted=0).truth()
    assert alone.id.tolist() == among[among.breed == "bulldog"].id.tolist()


# --------------------------------------------------------------------------- bytes served


def test_whole_pictures_have_the_size_and_format_of_the_truth(
    site: str, truth: pd.DataFrame
) -> None:
    names = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
    some = truth[truth.width.notna() & (truth.kind != "slow")].groupby(
        ["kind", "edit"], dropna=False
    )
    for row in some.head(2).itertuples():
        reply = get(site + row.url)
        if reply.status == 429:
            reply = get(site + row.url)
        assert reply.status == 200, row
        with Image.open(io.BytesIO(reply.body)) as image:
            image.load()
            assert (image.width, image.height) == (row.width, row.height), row
            assert names[str(image.format)] == row.format, row


def test_exact_copies_are_the_same_bytes_under_another_url(site: str, truth: pd.DataFrame) -> None:
    urls = truth.set_index("id").url
    for row in truth[truth.kind == "exact_copy"].itertuples():
        assert row.url != urls[row.of]
        assert sha(get(site + row.url).body) == sha(get(site + urls[row.of]).body)


def test_near_duplicates_are_other_bytes_of_the_same_picture(
    site: str, truth: pd.DataFrame
) -> None:
    import imagehash
    from PIL import ImageOps

    urls = truth.set_index("id").url
    rows = truth[truth.kind == "near_duplicate"]
    assert {re.sub(r"\d", "", edit) for edit in rows.edit} == {
        "resize", "jpeg", "crop", "mirror", "watermark",
    }  # fmt: skip
    for row in rows.itertuples():
        ours, theirs = get(site + row.url).body, get(site + urls[row.of]).body
        assert sha(ours) != sha(theirs)
        copy, source = (_on_white(Image.open(io.BytesIO(data))) for data in (ours, theirs))
        if row.edit == "mirror":
            copy = ImageOps.mirror(copy)
        allowed = 26 if row.edit.startswith("crop") else 8
        assert imagehash.phash(copy) - imagehash.phash(source) <= allowed, row


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def test_broken_files_are_broken_in_the_way_that_truth_says(site: str) -> None:
    truth = Gallery(["beagle"], seed=1, per_breed=160, planted=0.5).truth()
    with serve(Gallery(["beagle"], seed=1, per_breed=160, planted=0.5)) as url:
        broken = truth[truth.kind == "broken"].drop_duplicates("edit").set_index("edit").url
        assert set(broken.index) == {"truncated", "html", "zero", "wrong_type"}
        body = {edit: get(url + path).body for edit, path in broken.items()}
    assert all(path.endswith(".jpg") for path in broken)
    assert body["zero"] == b""
    assert body["html"].lstrip().startswith(b"<")
    assert body["wrong_type"].startswith(b"\x89PNG")
    Image.open(io.BytesIO(body["wrong_type"])).load()
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(body["truncated"])).load()


def test_dead_links_are_dead(site: str, truth: pd.DataFrame) -> None:
    for row in truth[truth.kind == "dead_link"].itertuples():
        assert get(site + row.url).status == int(row.edit)


def test_a_redirect_leads_to_the_picture(site: str, truth: pd.DataFrame) -> None:
    row = truth[truth.kind == "redirect"].iloc[0]
    first = get(site + row.url, follow=False)
    assert first.status == 302
    assert first.headers["location"].startswith("/moved/")
    Image.open(io.BytesIO(get(site + row.url).body)).load()


def test_a_rate_limit_asks_to_wait_once(gallery: Gallery, truth: pd.DataFrame) -> None:
    row = truth[truth.kind == "rate_limited"].iloc[0]
    with serve(Gallery(BREEDS, seed=1, per_breed=48, planted=0.25)) as url:
        first, second = get(url + row.url), get(url + row.url)
    assert (first.status, first.headers["retry-after"], second.status) == (429, "1", 200)
    Image.open(io.BytesIO(second.body)).load()


def test_a_slow_answer_is_late_but_whole(site: str, truth: pd.DataFrame) -> None:
    start = time.monotonic()
    reply = get(site + truth[truth.kind == "slow"].iloc[0].url)
    assert time.monotonic() - start > 0.4
    Image.open(io.BytesIO(reply.body)).load()


# --------------------------------------------------------------------------- pages


class _Tiles(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tiles: list[dict[str, str | None]] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a" and values.get("class") == "tile":
            self.tiles.append(values)
        if tag == "img" and "data-src" in values:
            self.images.append(values)


def test_batches_give_every_result_once_and_in_order(site: str, truth: pd.DataFrame) -> None:
    page = get(f"{site}/search?q=beagle+dog")
    assert "<title>beagle dog – Gallery</title>" in page.text
    seen = _Tiles(page.text)
    assert len(seen.tiles) == 24
    rest = _Tiles(get(f"{site}/results?q=beagle+dog&offset=24").text)
    assert _Tiles(get(f"{site}/results?q=beagle+dog&offset=48").text).tiles == []
    ids = [tile["data-id"] for tile in seen.tiles + rest.tiles]
    assert ids == truth[truth.breed == "beagle"].id.tolist()
    for tile, image in zip(seen.tiles, seen.images, strict=True):
        assert tile["href"] == f"/page/{tile['data-id']}"
        assert tile["data-detail"] == f"/detail/{tile['data-id']}"
        assert image["data-src"] == f"/thumb/{tile['data-id']}"
        assert str(image["src"]).startswith("data:image/")
        assert image["alt"]


def test_detail_names_original_source_licence_author_and_size(
    site: str, truth: pd.DataFrame
) -> None:
    row = truth[truth.kind == "single"].iloc[3]
    text = get(f"{site}/detail/{row.id}").text
    assert f'<article class="detail" data-id="{row.id}">' in text
    assert re.search(rf'<a class="original[^"]*" href="{re.escape(row.url)}"', text)
    assert re.search(rf'<a class="source-page[^"]*" href="/page/{row.id}"', text)
    assert f"{row.width} × {row.height}" in text
    for name in ("title", "preview", "licence", "author", "dimensions"):
        assert f'class="{name}"' in text
    assert get(f"{site}/page/{row.id}").status == 200


def test_thumbs_are_small_jpegs_even_of_broken_files(site: str, truth: pd.DataFrame) -> None:
    for row in truth.drop_duplicates("kind").itertuples():
        with Image.open(io.BytesIO(get(f"{site}/thumb/{row.id}").body)) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= 240


def test_no_page_asks_for_anything_from_another_host(site: str, truth: pd.DataFrame) -> None:
    pages = ["/", "/search?q=beagle", f"/page/{truth.id[0]}", "/about", "/static/gallery.css"]
    for path in [*pages, "/static/gallery.js"]:
        text = get(site + path).text
        assert not re.search(r'(src|action)="(https?:)?//|url\(\s*["\']?(https?:)?//', text), path
        assert not re.search(r'<link[^>]*href="(https?:)?//|@import', text), path


def test_consent_is_asked_until_the_cookie_is_set(site: str) -> None:
    assert '<dialog id="consent"' in get(site + "/").text
    asked = urllib.request.Request(site + "/", headers={"Cookie": "consent=reject"})
    with urllib.request.urlopen(asked) as reply:
        assert b'<dialog id="consent"' not in reply.read()


def test_nothing_found_suggests_breeds_and_escapes_the_query(site: str) -> None:
    text = get(f"{site}/search?q=%3Cscript%3Ealert(1)%3C/script%3E").text
    assert 'id="none"' in text
    assert "<script>alert" not in text
    assert "French bulldog" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/robots.txt", 200), ("/healthz", 200), ("/nowhere", 404), ("/detail/nope", 404),
     ("/page/nope", 404), ("/thumb/nope", 404), ("/original/nope.jpg", 404),
     ("/original/..%2f..%2fpasswd", 404), ("/static/../site.py", 404),
     ("/results?q=beagle&offset=" + "9" * 5000, 200), ("/results?q=beagle&offset=-1", 200)],
)  # fmt: skip
def test_addresses_answer_with_their_status(site: str, path: str, status: int) -> None:
    assert get(site + path).status == status


NAMES = ["siberian_husky", "golden_retriever", "labrador_retriever", "french_bulldog", "bulldog",
         "bernese_mountain_dog", "german_shorthaired_pointer", "boxer"]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "found"),
    [("siberian husky dog", ["siberian_husky"]), ("HUSKY", ["siberian_husky"]),
     ("english bulldog", ["bulldog"]), ("french bulldog", ["french_bulldog"]),
     ("bernese mountain dog", ["bernese_mountain_dog"]), ("boxer dog breed", ["boxer"]),
     ("retriever", ["golden_retriever", "labrador_retriever"]),
     ("german short-haired pointer", ["german_shorthaired_pointer"]),
     ("cat", []), ("dog", []), ("golden poodle", [])],
)  # fmt: skip
def test_a_query_finds_its_breed(query: str, found: list[str]) -> None:
    assert best_names(query, NAMES, {}) == found


def test_a_phrase_finds_a_breed_whose_name_says_little() -> None:
    gallery = Gallery(["gsd"], per_breed=3, phrases={"gsd": ["german shepherd dog"]})
    assert len(gallery.collection.find("German Shepherd dog")) == 3


# --------------------------------------------------------------------------- serving


def test_health_tells_one_gallery_from_another() -> None:
    def told(**changed: object) -> str:
        arguments = {"breeds": BREEDS, "seed": 1, "per_breed": 6, "planted": 0.2} | changed
        with serve(Gallery(**arguments)) as url:  # type: ignore[arg-type]
            return get(url + "/healthz").text

    same = told()
    assert told() == same and same.strip() not in ("", "ok")
    others = [{"seed": 2}, {"per_breed": 7}, {"planted": 0.3}, {"faults": 0.1},
              {"breeds": BREEDS[::-1]}, {"phrases": {"beagle": ["snoopy"]}}]  # fmt: skip
    assert len({same, *(told(**other) for other in others)}) == 1 + len(others)


def test_a_taken_port_is_one_clear_line(gallery: Gallery) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PipelineError, match=f"127.0.0.1:{port}.*--port"), serve(gallery, port):
            pass


def test_small_answers_on_an_open_connection_do_not_wait_for_an_acknowledgement(site: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=20)
    seconds = []
    for _ in range(60):
        start = time.monotonic()
        connection.request("GET", "/robots.txt")
        connection.getresponse().read()
        seconds.append(time.monotonic() - start)
    connection.close()
    assert statistics.median(seconds[30:]) < 0.03  # a delayed acknowledgement takes 0.04 s


def test_the_server_stops_with_its_context(gallery: Gallery) -> None:
    with serve(gallery) as url:
        assert get(url + "/healthz").status == 200
    with pytest.raises(urllib.error.URLError):
        get(url + "/healthz")
