"""The faults a gallery serves when asked: as its truth table says, and nothing else changes."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pandas as pd
import pytest

from pipeline.scraping.gallery import Gallery, serve
from pipeline.scraping.gallery.faults import ENDS, PRIVATE

BREEDS = ["beagle", "pug"]
SHARE = 0.4
Reply = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery(BREEDS, seed=5, per_breed=70, planted=0.2, faults=SHARE)


@pytest.fixture(scope="module")
def site(gallery: Gallery) -> Iterator[str]:
    with serve(gallery) as url:
        yield url


def row_with(gallery: Gallery, fault: str, number: int = 0) -> pd.Series:
    truth = gallery.truth()
    return truth[truth["fault"] == fault].iloc[number]


def file_of(gallery: Gallery, row: pd.Series) -> bytes:
    entry = gallery.collection.entry(row["id"])
    assert entry is not None
    answer = gallery.collection.original(entry)
    assert answer is not None
    return answer.body


def ask(site: str, path: str, most: int | None = None, **headers: str) -> Reply:
    """One answer, not followed; what came until the connection was closed too early counts."""
    connection = http.client.HTTPConnection(urlsplit(site).netloc, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        names = {name.lower(): value for name, value in reply.getheaders()}
        try:
            return reply.status, names, reply.read(most)
        except http.client.IncompleteRead as cut:
            return reply.status, names, cut.partial
    finally:
        connection.close()


def test_without_faults_nothing_is_different(gallery: Gallery) -> None:
    plain = Gallery(BREEDS, seed=5, per_breed=70, planted=0.2)
    mine, theirs = gallery.truth(), plain.truth()
    assert theirs["fault"].isna().all()
    pd.testing.assert_frame_equal(mine.drop(columns="fault"), theirs.drop(columns="fault"))
    for row in mine[mine["fault"].notna()].head(4).itertuples():
        entry = plain.collection.entry(row.id)
        assert entry is not None
        assert plain.collection.original(entry) == gallery.collection.original(entry)
    with serve(plain) as url:
        assert ask(url, "/robots.txt")[2] == b"User-agent: *\nAllow: /\n"


# Any change of what an existing seed draws must be meant: pictures of old runs are compared by it.
def test_the_default_collection_is_the_one_it_always_was() -> None:
    gallery = Gallery(["beagle", "boxer", "pug"], seed=0, per_breed=80)
    table = gallery.truth().drop(columns="fault").to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(table.encode()).hexdigest()[:16] == "4b4694651afd2d66"


def test_the_share_is_exact_every_kind_occurs_and_more_results_keep_the_first(
    gallery: Gallery,
) -> None:
    truth = gallery.truth()
    assert truth.groupby("breed")["fault"].count().to_dict() == dict.fromkeys(BREEDS, 28)
    for _, part in truth.groupby("breed"):
        assert set(part["fault"].dropna()) == set(ENDS)
    many = Gallery(BREEDS, seed=5, per_breed=130, planted=0.2, faults=SHARE).truth()
    first = many[many["rank"] < 70].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, truth)
    misbehaving = truth[truth["kind"].isin(["slow", "redirect", "rate_limited", "dead_link"])]
    assert len(misbehaving) and misbehaving["fault"].isna().all()


def test_a_server_error_passes_or_stays(gallery: Gallery, site: str) -> None:
    once, always = row_with(gallery, "server_error"), row_with(gallery, "broken_server")
    assert [ask(site, once["url"])[0] for _ in range(3)] == [500, 200, 200]
    assert ask(site, once["url"])[2] == file_of(gallery, once)
    assert [ask(site, always["url"])[0] for _ in range(3)] == [500, 500, 500]


def test_a_cut_answer_announces_all_and_sends_half(gallery: Gallery, site: str) -> None:
    row = row_with(gallery, "truncated")
    whole = file_of(gallery, row)
    for _ in range(2):
        status, headers, body = ask(site, row["url"])
        assert (status, int(headers["content-length"])) == (200, len(whole))
        assert body == whole[: len(whole) // 2]


def test_an_answer_that_was_cut_once_can_be_continued(gallery: Gallery, site: str) -> None:
    row = row_with(gallery, "cut_once")
    whole = file_of(gallery, row)
    _, headers, half = ask(site, row["url"])
    assert half == whole[: len(whole) // 2] and headers["accept-ranges"] == "bytes"
    wish, tag = f"bytes={len(half)}-", headers["etag"]
    status, headers, rest = ask(site, row["url"], Range=wish, **{"If-Range": tag})
    assert status == 206 and half + rest == whole
    assert headers["content-range"] == f"bytes {len(half)}-{len(whole) - 1}/{len(whole)}"
    for other in ({"Range": wish, "If-Range": '"old"'}, {"Range": "bytes=99999999-"}, {}):
        status, _, body = ask(site, row["url"], **other)
        assert (status, body) == (200, whole)


def test_an_endless_answer_outlasts_any_bound(gallery: Gallery, site: str) -> None:
    status, headers, body = ask(site, row_with(gallery, "endless")["url"], most=30_000_000)
    assert status == 200 and "content-length" not in headers and len(body) == 30_000_000


def test_a_page_calls_itself_a_picture(gallery: Gallery, site: str) -> None:
    status, headers, body = ask(site, row_with(gallery, "wrong_type")["url"])
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert body.startswith(b"<!doctype html>")


def test_redirects_lead_round_or_into_private_networks(gallery: Gallery, site: str) -> None:
    loop = row_with(gallery, "redirect_loop")
    status, headers, _ = ask(site, loop["url"])
    assert (status, headers["location"]) == (302, loop["url"])
    many = Gallery(BREEDS, per_breed=200, faults=0.5).truth()
    with serve(Gallery(BREEDS, per_breed=200, faults=0.5)) as url:
        where = {
            ask(url, path)[1]["location"] for path in many[many.fault == "redirect_private"].url
        }
    assert where == set(PRIVATE)


def test_forbidden_opted_out_and_robots(gallery: Gallery, site: str) -> None:
    assert ask(site, row_with(gallery, "forbidden")["url"])[0] == 403
    row = row_with(gallery, "opted_out")
    status, headers, body = ask(site, row["url"])
    assert (status, headers["x-robots-tag"], body) == (200, "noai", file_of(gallery, row))
    truth = gallery.truth()
    lines = ask(site, "/robots.txt")[2].decode().splitlines()
    assert lines[:2] == ["User-agent: *", "Allow: /"]
    expected = {f"Disallow: {url}" for url in truth[truth["fault"] == "robots"]["url"]}
    assert set(lines[2:]) == expected and expected
